//! The value of a raw payload.

use forebay_schemas::Value;
use serde_json::Value as Json;

/// A number or truth as JSON writes it, NaN or infinity by their usual names, else the text as it came.
pub(crate) fn raw(text: &str) -> Value {
    let word = text.trim();
    match serde_json::from_str::<Json>(word) {
        Ok(Json::Bool(truth)) => Value::Bool(truth),
        Ok(Json::Number(number)) => {
            match (number.as_i64(), number.as_u64(), word.parse::<f64>().ok()) {
                (Some(integer), ..) => Value::I64(integer),
                (None, Some(integer), _) => Value::U64(integer),
                // A longer integer stays a text: raw payloads are often identifiers, and a double would round it.
                (None, None, Some(double)) if word.contains(['.', 'e', 'E']) || word == "-0" => {
                    Value::F64(double)
                }
                _ => Value::Text(text.to_owned()),
            }
        }
        _ => match word.to_ascii_lowercase().as_str() {
            "nan" => Value::F64(f64::NAN),
            "inf" | "infinity" => Value::F64(f64::INFINITY),
            "-inf" | "-infinity" => Value::F64(f64::NEG_INFINITY),
            _ => Value::Text(text.to_owned()),
        },
    }
}
