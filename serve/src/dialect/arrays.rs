//! PostgreSQL's array literals: `'{a,b}'`, as a constant and as a parameter.
//!
//! The engine makes an array of one element of a text that is cast to an array. So a literal is written out as
//! `ARRAY['a', 'b']`, a parameter gets the array's type, and any other such cast is refused. Arrays have one dimension.

use std::{iter::Peekable, ops::ControlFlow, str::Chars, sync::Arc};

use arrow::datatypes::{DataType, Field};
use datafusion::{
    common::{
        DFSchema, ParamValues, Result, ScalarValue, metadata::ScalarAndMetadata,
        tree_node::Transformed,
    },
    error::DataFusionError,
    logical_expr::{Expr as EngineExpr, ExprSchemable as _, expr::Placeholder},
    sql::sqlparser::{
        ast::{
            Array, DataType as SqlType, Expr, Statement, Value, ValueWithSpan, VisitMut as _,
            VisitorMut,
        },
        tokenizer::Token,
    },
};

use crate::error::QueryError;

/// Functions of an array and a value that may be in it.
const MEMBERSHIPS: [&str; 2] = ["array_has", "array_contains"];

/// Whether a token may be an array literal.
pub(super) fn may_be_array(token: &Token) -> bool {
    match token {
        Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) => is_array(text),
        Token::DollarQuotedString(text) => is_array(&text.value),
        _ => false,
    }
}

fn is_array(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

/// Writes array literals out where an array is meant: in casts, and after `ANY` and `ALL`.
///
/// # Errors
/// For a malformed one.
pub(super) fn write_out(statement: &mut Statement) -> Result<(), QueryError> {
    match statement.visit(&mut Literals) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(why) => Err(QueryError::Data(why)),
    }
}

struct Literals;

impl VisitorMut for Literals {
    type Break = String;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<String> {
        let literal = match expr {
            Expr::Cast {
                expr,
                data_type: SqlType::Array(_),
                ..
            } => expr,
            Expr::AnyOp { right, .. } | Expr::AllOp { right, .. } => right,
            _ => return ControlFlow::Continue(()),
        };
        let mut inner = literal.as_ref();
        while let Expr::Nested(nested) = inner {
            inner = nested;
        }
        let Some(text) = text_of(inner) else {
            return ControlFlow::Continue(());
        };
        match elements(text) {
            Ok(elements) => {
                **literal = written(elements);
                ControlFlow::Continue(())
            }
            Err(why) => ControlFlow::Break(why),
        }
    }
}

fn text_of(expr: &Expr) -> Option<&str> {
    let Expr::Value(ValueWithSpan { value, .. }) = expr else {
        return None;
    };
    match value {
        Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => Some(text),
        Value::DollarQuotedString(text) => Some(&text.value),
        _ => None,
    }
}

fn written(elements: Vec<Option<String>>) -> Expr {
    let value = |element| match element {
        Some(text) => Expr::value(Value::SingleQuotedString(text)),
        None => Expr::value(Value::Null),
    };
    Expr::Array(Array {
        elem: elements.into_iter().map(value).collect(),
        named: true,
    })
}

/// The elements of an array literal, as PostgreSQL's documentation (8.15.6) has it: quotes, backslashes, and NULL.
fn elements(text: &str) -> Result<Vec<Option<String>>, String> {
    let malformed =
        || format!("malformed array literal {text:?}: write array['a', 'b'] or '{{a,b}}'");
    let inside = text
        .trim()
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'));
    let inside = inside.ok_or_else(malformed)?;
    let mut elements = Vec::new();
    if inside.trim().is_empty() {
        return Ok(elements);
    }
    let mut chars = inside.chars().peekable();
    loop {
        let element = element(&mut chars).ok_or_else(malformed)?;
        elements.push(element);
        match chars.next() {
            Some(',') => {}
            None => return Ok(elements),
            Some(_) => return Err(malformed()),
        }
    }
}

/// One element up to the comma or the end; `None` if it is malformed or has further dimensions.
fn element(chars: &mut Peekable<Chars<'_>>) -> Option<Option<String>> {
    skip_spaces(chars);
    let mut text = String::new();
    if chars.next_if_eq(&'"').is_some() {
        loop {
            match chars.next()? {
                '"' => break,
                '\\' => text.push(chars.next()?),
                other => text.push(other),
            }
        }
        skip_spaces(chars);
        return Some(Some(text));
    }
    // What is escaped stays, also a space at the end.
    let mut kept = 0;
    let mut is_escaped = false;
    while let Some(next) = chars.next_if(|next| *next != ',') {
        match next {
            '\\' => {
                text.push(chars.next()?);
                is_escaped = true;
                kept = text.len();
            }
            '{' | '}' | '"' => return None,
            other => {
                text.push(other);
                if !other.is_ascii_whitespace() {
                    kept = text.len();
                }
            }
        }
    }
    text.truncate(kept);
    if text.is_empty() {
        return None;
    }
    let is_null = !is_escaped && text.eq_ignore_ascii_case("null");
    Some((!is_null).then_some(text))
}

fn skip_spaces(chars: &mut Peekable<Chars<'_>>) {
    while chars.next_if(char::is_ascii_whitespace).is_some() {}
}

/// Gives a parameter that is an array its type, and refuses to make an array of a text.
pub(super) fn typed(expr: EngineExpr, schema: &DFSchema) -> Result<Transformed<EngineExpr>> {
    match expr {
        EngineExpr::Cast(mut cast) if is_list(cast.field.data_type()) => {
            let is_typed = give_type(&mut cast.expr, cast.field.data_type().clone());
            let inner = cast.expr.get_type(schema);
            if !is_typed && inner.is_ok_and(|inner| inner.is_string()) {
                let why = "a text cannot be cast to an array: write array['a', 'b'] or '{a,b}'";
                return Err(DataFusionError::Plan(why.into()));
            }
            Ok(Transformed::new_transformed(
                EngineExpr::Cast(cast),
                is_typed,
            ))
        }
        EngineExpr::ScalarFunction(mut call) if MEMBERSHIPS.contains(&call.name()) => {
            let value = call.args.get(1).map(|value| value.get_type(schema));
            let is_typed = match (call.args.first_mut(), value) {
                (Some(array), Some(Ok(value))) => {
                    let value = if value.is_string() {
                        DataType::Utf8
                    } else {
                        value
                    };
                    give_type(array, DataType::new_list(value, true))
                }
                _ => false,
            };
            Ok(Transformed::new_transformed(
                EngineExpr::ScalarFunction(call),
                is_typed,
            ))
        }
        expr => Ok(Transformed::no(expr)),
    }
}

fn give_type(expr: &mut EngineExpr, data_type: DataType) -> bool {
    let EngineExpr::Placeholder(Placeholder { field, .. }) = expr else {
        return false;
    };
    if field.is_some() {
        return false;
    }
    *field = Some(Arc::new(Field::new("array", data_type, true)));
    true
}

/// Whether values of a type are arrays.
pub(crate) fn is_list(data_type: &DataType) -> bool {
    matches!(data_type, DataType::List(_) | DataType::LargeList(_))
}

/// Bound parameters with the types that the statement has for them, where these are arrays.
///
/// # Errors
/// For a text that is no array literal, and for elements of another type.
pub(crate) fn bound(
    values: ParamValues,
    types: &[Option<DataType>],
) -> Result<ParamValues, QueryError> {
    let ParamValues::List(values) = values else {
        return Ok(values);
    };
    let mut lists = Vec::with_capacity(values.len());
    for (at, value) in values.into_iter().enumerate() {
        lists.push(match types.get(at) {
            Some(Some(data_type)) if is_list(data_type) => {
                ScalarAndMetadata::from(list(value.value, data_type)?)
            }
            _ => value,
        });
    }
    Ok(ParamValues::List(lists))
}

fn list(value: ScalarValue, data_type: &DataType) -> Result<ScalarValue, QueryError> {
    let value = match value.try_as_str() {
        Some(Some(text)) => {
            let elements = elements(text).map_err(QueryError::Data)?;
            let elements: Vec<_> = elements.into_iter().map(ScalarValue::Utf8).collect();
            ScalarValue::List(ScalarValue::new_list_nullable(&elements, &DataType::Utf8))
        }
        Some(None) => ScalarValue::Null,
        None => value,
    };
    let cast = value.cast_to(data_type);
    cast.map_err(|error| QueryError::Data(error.strip_backtrace()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn array_literals_are_read_as_postgresql_reads_them() {
        let texts = |texts: &[Option<&str>]| -> Vec<Option<String>> {
            texts.iter().map(|text| text.map(str::to_owned)).collect()
        };
        for (literal, expected) in [
            ("{}", Some(texts(&[]))),
            (" { } ", Some(texts(&[]))),
            (
                "{flow.v,temp}",
                Some(texts(&[Some("flow.v"), Some("temp")])),
            ),
            ("{ a b , c }", Some(texts(&[Some("a b"), Some("c")]))),
            (
                r#"{"a,b","c\"d",""}"#,
                Some(texts(&[Some("a,b"), Some("c\"d"), Some("")])),
            ),
            (
                r#"{NULL,null,"NULL",nul}"#,
                Some(texts(&[None, None, Some("NULL"), Some("nul")])),
            ),
            (r"{a\,b,\ }", Some(texts(&[Some("a,b"), Some(" ")]))),
            (r#"{"{a}"}"#, Some(texts(&[Some("{a}")]))),
            ("a", None),
            ("{a", None),
            ("{a,}", None),
            ("{{a},{b}}", None),
            (r#"{"a"b}"#, None),
            (r#"{"a}"#, None),
        ] {
            assert_eq!(elements(literal).ok(), expected, "{literal}");
        }
    }
}
