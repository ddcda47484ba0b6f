//! One value of a JSON payload: its number without rounding, its type, its quality.

use forebay_schemas::{Quality, Status, Value, ValueType};
use serde_json::{Number, Value as Json};

use crate::{convert::convert, time::shown};

/// 2⁶³: no integer nearer to zero is kept as a double.
const BEYOND_64_BITS: f64 = 9_223_372_036_854_775_808.0;

/// What a JSON value is called in a reason.
pub(crate) fn kind(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "true or false",
        Json::Number(_) => "a number",
        Json::String(_) => "a text",
        Json::Array(_) => "an array",
        Json::Object(_) => "an object",
    }
}

/// A device's own word for quality. An unknown word makes a reading uncertain, not bad: the value is there.
pub(crate) fn quality(word: &Json) -> Status {
    let known = match word {
        Json::Bool(true) => Some(Quality::Good),
        Json::Bool(false) => Some(Quality::Bad),
        Json::String(text) => match text.to_ascii_lowercase().as_str() {
            "good" => Some(Quality::Good),
            "uncertain" => Some(Quality::Uncertain),
            "bad" => Some(Quality::Bad),
            _ => None,
        },
        Json::Number(number) => number
            .as_u64()
            .and_then(|n| u32::try_from(n).ok())
            .and_then(|n| Quality::try_from(n).ok()),
        _ => None,
    };
    match known {
        Some(Quality::Good) => Status::GOOD,
        Some(quality) => Status {
            quality,
            code: word.as_i64(),
            reason: Some("the device says so".to_owned()),
        },
        None => Status {
            quality: Quality::Uncertain,
            code: word.as_i64(),
            reason: Some(format!("unknown quality {}", shown(&word.to_string()))),
        },
    }
}

/// The value as the type that the rule asks for; bad where it cannot be that type, or is a text that no text column takes.
pub(crate) fn typed(
    value: Value,
    written: &str,
    to: Option<ValueType>,
    status: Status,
) -> (Option<Value>, Status) {
    let converted = match to {
        Some(to) => convert(value, written, to),
        None => Ok(value),
    };
    let value = match converted {
        Ok(value) => value,
        Err(reason) => return (None, Status::bad(None, reason)),
    };
    match value {
        Value::Text(text) if text.contains('\0') => {
            let reason = "the text holds the character U+0000 and is kept as bytes";
            let bytes = Value::Bytes(text.into_bytes());
            (Some(bytes), Status::bad(None, reason))
        }
        value => (Some(value), status),
    }
}

/// A number without rounding where 64 bits can hold it. An integer that they cannot hold becomes a double of uncertain
/// quality, unless a text is asked for, which takes all `digits`.
pub(crate) fn number(
    number: &Number,
    digits: &str,
    to: Option<ValueType>,
    status: &Status,
) -> (Option<Value>, Status) {
    if let Some(integer) = number.as_i64() {
        return (Some(Value::I64(integer)), status.clone());
    }
    if let Some(integer) = number.as_u64() {
        return (Some(Value::U64(integer)), status.clone());
    }
    // serde_json may miss a double's last bit: the digits are read again, to the nearest double.
    let double = digits.parse::<f64>().ok().or_else(|| number.as_f64());
    let value = double.map(Value::F64);
    if double.is_none_or(|double| double.abs() < BEYOND_64_BITS) {
        return (value, status.clone());
    }
    let is_integer = digits.chars().all(|c| c.is_ascii_digit() || c == '-');
    if !is_integer || *status != Status::GOOD || to == Some(ValueType::Text) {
        return (value, status.clone());
    }
    let shown = shown(digits);
    let rounded = Status {
        quality: Quality::Uncertain,
        code: None,
        reason: Some(format!(
            "the integer {shown} has more than 64 bits and is rounded"
        )),
    };
    (value, rounded)
}
