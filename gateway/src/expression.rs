//! Expressions over a reading: which readings to keep, and what to compute from them.
//!
//! `value > 0 && quality == 'good'`, `last("voltage") * value / 1000`. The syntax is a part of CEL's (ADR 0034); all numbers are
//! doubles. An expression is read and its types are checked once, at validation, where an error names the column; then it
//! is evaluated per reading, in bounded time and without allocating for numbers. It does no I/O and keeps nothing.

mod check;
mod evaluate;
mod lexer;
mod parser;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, fmt};

use thiserror::Error;

pub(crate) use evaluate::{LastValues, Scope, Term};

/// Longest expression, in characters.
const CHARS_MAX: usize = 1_000;

/// An expression whose types fit.
#[derive(Clone, PartialEq)]
pub struct Expression {
    source: String,
    root: Node,
    kind: Kind,
}

/// What an expression gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Number,
    Truth,
    Text,
    /// Known only when a reading is there.
    Any,
}

/// Why a text is no expression, or why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("column {column}: {what}")]
pub(crate) struct ExpressionError {
    /// In characters, from 1.
    pub(crate) column: usize,
    pub(crate) what: String,
}

/// A part of an expression, and where it begins.
#[derive(Debug, Clone, PartialEq)]
struct Node {
    column: usize,
    what: Part,
}

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Number(f64),
    Truth(bool),
    Text(String),
    Variable(Variable),
    /// The last value of another tag of the device.
    Last(String),
    Not(Box<Node>),
    Minus(Box<Node>),
    Binary(Operator, Box<Node>, Box<Node>),
    /// Condition, then, else.
    Choice(Box<Node>, Box<Node>, Box<Node>),
    Call(Function, Vec<Node>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variable {
    Value,
    Quality,
    Unit,
    Device,
    Tag,
    Time,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Or,
    And,
    Equal,
    Unequal,
    Less,
    AtMost,
    More,
    AtLeast,
    Plus,
    Minus,
    Times,
    Over,
    Remainder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Abs,
    Ceil,
    Floor,
    Round,
    Sqrt,
    Exp,
    Ln,
    Log10,
    Pow,
    Min,
    Max,
    Contains,
    StartsWith,
    EndsWith,
}

/// Name, function, kind of its arguments, how many it takes, kind of what it gives.
const FUNCTIONS: &[(&str, Function, Kind, std::ops::RangeInclusive<usize>, Kind)] = &[
    ("abs", Function::Abs, Kind::Number, 1..=1, Kind::Number),
    ("ceil", Function::Ceil, Kind::Number, 1..=1, Kind::Number),
    ("floor", Function::Floor, Kind::Number, 1..=1, Kind::Number),
    ("round", Function::Round, Kind::Number, 1..=1, Kind::Number),
    ("sqrt", Function::Sqrt, Kind::Number, 1..=1, Kind::Number),
    ("exp", Function::Exp, Kind::Number, 1..=1, Kind::Number),
    ("ln", Function::Ln, Kind::Number, 1..=1, Kind::Number),
    ("log10", Function::Log10, Kind::Number, 1..=1, Kind::Number),
    ("pow", Function::Pow, Kind::Number, 2..=2, Kind::Number),
    ("min", Function::Min, Kind::Number, 1..=16, Kind::Number),
    ("max", Function::Max, Kind::Number, 1..=16, Kind::Number),
    (
        "contains",
        Function::Contains,
        Kind::Text,
        2..=2,
        Kind::Truth,
    ),
    (
        "starts_with",
        Function::StartsWith,
        Kind::Text,
        2..=2,
        Kind::Truth,
    ),
    (
        "ends_with",
        Function::EndsWith,
        Kind::Text,
        2..=2,
        Kind::Truth,
    ),
];

const VARIABLES: &[(&str, Variable, Kind)] = &[
    ("value", Variable::Value, Kind::Any),
    ("quality", Variable::Quality, Kind::Text),
    ("unit", Variable::Unit, Kind::Text),
    ("device", Variable::Device, Kind::Text),
    ("tag", Variable::Tag, Kind::Text),
    ("time", Variable::Time, Kind::Number),
];

impl Expression {
    /// Reads an expression and checks its types.
    pub(crate) fn parse(source: &str) -> Result<Self, ExpressionError> {
        if source.chars().count() > CHARS_MAX {
            return Err(ExpressionError {
                column: CHARS_MAX + 1,
                what: format!("more than {CHARS_MAX} characters"),
            });
        }
        let root = parser::parse(source)?;
        let kind = check::kind(&root)?;
        Ok(Self {
            source: source.to_owned(),
            root,
            kind,
        })
    }

    /// What it gives.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// The tags whose last values it asks for.
    pub(crate) fn tags(&self) -> BTreeSet<String> {
        let mut tags = BTreeSet::new();
        self.root.visit(&mut |node| {
            if let Part::Last(tag) = &node.what {
                tags.insert(tag.clone());
            }
        });
        tags
    }

    /// Whether it asks for last values.
    pub(crate) fn asks_for_last(&self) -> bool {
        let mut asks = false;
        self.root
            .visit(&mut |node| asks |= matches!(node.what, Part::Last(_)));
        asks
    }

    /// Whether it asks for last values and gives the same for any reading of a device and time.
    pub(crate) fn is_of_last_values_alone(&self) -> bool {
        let mut is_alone = true;
        self.root.visit(&mut |node| {
            if let Part::Variable(variable) = &node.what {
                is_alone &= matches!(variable, Variable::Device | Variable::Time);
            }
        });
        is_alone && self.asks_for_last()
    }

    /// Its value for one reading.
    ///
    /// # Errors
    /// A value that is missing or of another kind than the expression takes.
    pub(crate) fn evaluate(&self, scope: &Scope<'_>) -> Result<Term, ExpressionError> {
        evaluate::term(&self.root, scope)
    }
}

impl Node {
    fn visit(&self, visitor: &mut impl FnMut(&Node)) {
        visitor(self);
        match &self.what {
            Part::Not(inner) | Part::Minus(inner) => inner.visit(visitor),
            Part::Binary(_, left, right) => {
                [left, right].into_iter().for_each(|n| n.visit(visitor))
            }
            Part::Choice(..) | Part::Call(..) => self.visit_many(visitor),
            _ => {}
        }
    }

    fn visit_many(&self, visitor: &mut impl FnMut(&Node)) {
        match &self.what {
            Part::Choice(one, two, three) => {
                [one, two, three].into_iter().for_each(|n| n.visit(visitor));
            }
            Part::Call(_, arguments) => arguments.iter().for_each(|n| n.visit(visitor)),
            _ => {}
        }
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.source)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Number => "a number",
            Self::Truth => "true or false",
            Self::Text => "a text",
            Self::Any => "any value",
        })
    }
}

fn error<T>(column: usize, what: impl Into<String>) -> Result<T, ExpressionError> {
    Err(ExpressionError {
        column,
        what: what.into(),
    })
}
