//! The value of an expression for one reading.

use std::collections::{BTreeMap, BTreeSet};

use forebay_schemas::{DeviceId, Quality, Reading, TagName, Value};

use super::{ExpressionError, Function, Node, Operator, Part, Variable, error};
use crate::pipeline::SERIES_MAX;

/// A longer text is not kept for `last`.
const LAST_TEXT_BYTES_MAX: usize = 1_000;

/// What an expression or a part of it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Term {
    Number(f64),
    Truth(bool),
    Text(String),
}

/// What an expression sees.
pub(crate) struct Scope<'r> {
    pub(crate) reading: &'r Reading,
    pub(crate) last: &'r LastValues,
}

/// The last values of the tags that expressions ask for; none where a tag is bad. Bounded: at most [`SERIES_MAX`] tags of
/// devices, and of long texts and bytes only that they were there.
#[derive(Debug, Default)]
pub(crate) struct LastValues {
    wanted: BTreeSet<String>,
    values: BTreeMap<(DeviceId, TagName), LastValue>,
}

/// A last value.
#[derive(Debug)]
enum LastValue {
    Short(Value),
    LongText,
    Bytes,
}

impl LastValues {
    /// Of these tags.
    pub(crate) fn of(wanted: BTreeSet<String>) -> Self {
        Self {
            wanted,
            values: BTreeMap::new(),
        }
    }

    /// Whether any expression asks for one.
    pub(crate) fn is_asked(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Takes note of a reading.
    pub(crate) fn note(&mut self, reading: &Reading) {
        if !self.wanted.contains(reading.series.tag.as_str()) {
            return;
        }
        let key = (reading.series.device.clone(), reading.series.tag.clone());
        let value = reading.value.as_ref();
        match value.filter(|_| reading.status.quality != Quality::Bad) {
            Some(_) if self.values.len() >= SERIES_MAX && !self.values.contains_key(&key) => {}
            Some(value) => drop(self.values.insert(key, LastValue::of(value))),
            None => drop(self.values.remove(&key)),
        }
    }

    fn get(&self, device: &DeviceId, tag: &str) -> Option<&LastValue> {
        let tag = TagName::new(tag).ok()?;
        self.values.get(&(device.clone(), tag))
    }
}

impl LastValue {
    fn of(value: &Value) -> Self {
        match value {
            Value::Text(text) if text.len() > LAST_TEXT_BYTES_MAX => Self::LongText,
            Value::Bytes(_) => Self::Bytes,
            value => Self::Short(value.clone()),
        }
    }
}

pub(super) fn term(node: &Node, scope: &Scope<'_>) -> Result<Term, ExpressionError> {
    match &node.what {
        Part::Number(number) => Ok(Term::Number(*number)),
        Part::Truth(truth) => Ok(Term::Truth(*truth)),
        Part::Text(text) => Ok(Term::Text(text.clone())),
        Part::Variable(variable) => of_variable(*variable, node.column, scope.reading),
        Part::Last(tag) => last(tag, node.column, scope),
        Part::Not(inner) => Ok(Term::Truth(!truth(inner, scope)?)),
        Part::Minus(inner) => Ok(Term::Number(-number(inner, scope)?)),
        Part::Binary(operator, left, right) => binary(*operator, left, right, scope),
        Part::Choice(condition, then, other) => {
            let chosen = if truth(condition, scope)? {
                then
            } else {
                other
            };
            term(chosen, scope)
        }
        Part::Call(function, arguments) => call(*function, arguments, scope),
    }
}

fn last(tag: &str, column: usize, scope: &Scope<'_>) -> Result<Term, ExpressionError> {
    match scope.last.get(&scope.reading.series.device, tag) {
        Some(LastValue::Short(value)) => of_value(Some(value), column, String::new),
        Some(LastValue::Bytes) => error(column, "the value is bytes"),
        Some(LastValue::LongText) => {
            let what =
                format!("the text of tag {tag:?} is longer than {LAST_TEXT_BYTES_MAX} bytes");
            error(column, what)
        }
        None => error(column, format!("tag {tag:?} has no good value")),
    }
}

fn of_variable(
    variable: Variable,
    column: usize,
    reading: &Reading,
) -> Result<Term, ExpressionError> {
    let text = |text: &str| Ok(Term::Text(text.to_owned()));
    match variable {
        Variable::Value => of_value(reading.value.as_ref(), column, || {
            "there is no value".to_owned()
        }),
        Variable::Quality => text(match reading.status.quality {
            Quality::Good => "good",
            Quality::Uncertain => "uncertain",
            Quality::Bad => "bad",
        }),
        Variable::Unit => text(reading.unit.as_deref().unwrap_or_default()),
        Variable::Device => text(reading.series.device.as_str()),
        Variable::Tag => text(reading.series.tag.as_str()),
        Variable::Time => Ok(Term::Number(reading.event_time.nanos() as f64 / 1e9)),
    }
}

fn of_value(
    value: Option<&Value>,
    column: usize,
    missing: impl FnOnce() -> String,
) -> Result<Term, ExpressionError> {
    match value {
        Some(Value::Bool(truth)) => Ok(Term::Truth(*truth)),
        Some(Value::Text(text)) => Ok(Term::Text(text.clone())),
        Some(Value::Bytes(_)) => error(column, "the value is bytes"),
        Some(number) => Ok(Term::Number(number.as_f64().unwrap_or_default())),
        None => error(column, missing()),
    }
}

fn binary(
    operator: Operator,
    left: &Node,
    right: &Node,
    scope: &Scope<'_>,
) -> Result<Term, ExpressionError> {
    match operator {
        Operator::Or => Ok(Term::Truth(truth(left, scope)? || truth(right, scope)?)),
        Operator::And => Ok(Term::Truth(truth(left, scope)? && truth(right, scope)?)),
        Operator::Equal => equal(left, right, scope).map(Term::Truth),
        Operator::Unequal => Ok(Term::Truth(!equal(left, right, scope)?)),
        _ => {
            let (left, right) = (number(left, scope)?, number(right, scope)?);
            Ok(arithmetic(operator, left, right))
        }
    }
}

fn arithmetic(operator: Operator, left: f64, right: f64) -> Term {
    match operator {
        Operator::Less => Term::Truth(left < right),
        Operator::AtMost => Term::Truth(left <= right),
        Operator::More => Term::Truth(left > right),
        Operator::AtLeast => Term::Truth(left >= right),
        Operator::Plus => Term::Number(left + right),
        Operator::Minus => Term::Number(left - right),
        Operator::Times => Term::Number(left * right),
        Operator::Remainder => Term::Number(left % right),
        // The others are not of numbers.
        _ => Term::Number(left / right),
    }
}

fn equal(left: &Node, right: &Node, scope: &Scope<'_>) -> Result<bool, ExpressionError> {
    match (term(left, scope)?, term(right, scope)?) {
        (Term::Number(left), Term::Number(right)) => Ok(left == right),
        (Term::Truth(left), Term::Truth(right)) => Ok(left == right),
        (Term::Text(left), Term::Text(right)) => Ok(left == right),
        (left, other) => error(
            right.column,
            format!(
                "{} is expected as on the other side, not {}",
                what(&left),
                what(&other)
            ),
        ),
    }
}

fn call(
    function: Function,
    arguments: &[Node],
    scope: &Scope<'_>,
) -> Result<Term, ExpressionError> {
    if let Function::Contains | Function::StartsWith | Function::EndsWith = function {
        let whole = text(&arguments[0], scope)?;
        let part = text(&arguments[1], scope)?;
        return Ok(Term::Truth(match function {
            Function::Contains => whole.contains(&part),
            Function::StartsWith => whole.starts_with(&part),
            _ => whole.ends_with(&part),
        }));
    }
    let mut numbers = Vec::with_capacity(arguments.len());
    for argument in arguments {
        numbers.push(number(argument, scope)?);
    }
    let first = numbers[0];
    Ok(Term::Number(match function {
        Function::Abs => first.abs(),
        Function::Ceil => first.ceil(),
        Function::Floor => first.floor(),
        Function::Round => first.round(),
        Function::Sqrt => first.sqrt(),
        Function::Exp => first.exp(),
        Function::Ln => first.ln(),
        Function::Log10 => first.log10(),
        Function::Pow => first.powf(numbers[1]),
        Function::Min => numbers.iter().copied().fold(f64::INFINITY, f64::min),
        _ => numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    }))
}

/// As a number; true and false are 1 and 0 as everywhere.
fn number(node: &Node, scope: &Scope<'_>) -> Result<f64, ExpressionError> {
    match term(node, scope)? {
        Term::Number(number) => Ok(number),
        Term::Truth(truth) => Ok(f64::from(u8::from(truth))),
        Term::Text(text) => error(
            node.column,
            format!("a number is expected, not the text {text:?}"),
        ),
    }
}

fn truth(node: &Node, scope: &Scope<'_>) -> Result<bool, ExpressionError> {
    match term(node, scope)? {
        Term::Truth(truth) => Ok(truth),
        other => error(
            node.column,
            format!("true or false is expected, not {}", what(&other)),
        ),
    }
}

fn text(node: &Node, scope: &Scope<'_>) -> Result<String, ExpressionError> {
    match term(node, scope)? {
        Term::Text(text) => Ok(text),
        other => error(
            node.column,
            format!("a text is expected, not {}", what(&other)),
        ),
    }
}

fn what(term: &Term) -> String {
    match term {
        Term::Number(number) => number.to_string(),
        Term::Truth(truth) => truth.to_string(),
        Term::Text(text) => format!("{text:?}"),
    }
}
