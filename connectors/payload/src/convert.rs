//! The key `type` of a tag: the value as that type, or why it is none.
//!
//! Numbers are read from their digits, so that none is rounded on its way; a text is a number as a whole or not at all.

use forebay_schemas::{Value, ValueType};

use crate::time::shown;

/// The words of the key.
pub(crate) const TYPES: [(&str, ValueType); 5] = [
    ("f64", ValueType::F64),
    ("i64", ValueType::I64),
    ("u64", ValueType::U64),
    ("bool", ValueType::Bool),
    ("text", ValueType::Text),
];

/// The value as another type. `written` are the digits of a number as the payload has them.
pub(crate) fn convert(value: Value, written: &str, to: ValueType) -> Result<Value, String> {
    if value.value_type() == to {
        return Ok(value);
    }
    let text = match &value {
        Value::Text(text) => text.trim(),
        Value::Bool(true) if to != ValueType::Text => "1",
        Value::Bool(false) if to != ValueType::Text => "0",
        Value::Bool(truth) => {
            if *truth {
                "true"
            } else {
                "false"
            }
        }
        Value::Bytes(_) => return Err(format!("bytes cannot become {}", to.name())),
        _ => written.trim(),
    };
    let wrong = || {
        format!(
            "{:?} is not a valid {}, the type of the tag",
            shown(text),
            to.name()
        )
    };
    match to {
        ValueType::F64 => decimal(text).map(Value::F64).ok_or_else(wrong),
        ValueType::I64 => integer(text)
            .and_then(|n| i64::try_from(n).ok())
            .map(Value::I64)
            .ok_or_else(wrong),
        ValueType::U64 => integer(text)
            .and_then(|n| u64::try_from(n).ok())
            .map(Value::U64)
            .ok_or_else(wrong),
        ValueType::Bool => match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "on" => Ok(Value::Bool(true)),
            "false" | "0" | "off" => Ok(Value::Bool(false)),
            _ => Err(wrong()),
        },
        ValueType::Text => Ok(Value::Text(text.to_owned())),
        ValueType::Bytes => Err(wrong()),
    }
}

/// Digits with a point, perhaps an exponent. `inf` and `nan` are no numbers.
fn decimal(text: &str) -> Option<f64> {
    let is_number = text.contains(|c: char| c.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|number: &f64| is_number && number.is_finite())
}

/// An integer; a fraction of zeros is none of it: `48.0` is 48.
fn integer(text: &str) -> Option<i128> {
    let whole = match text.split_once('.') {
        Some((whole, fraction))
            if !fraction.is_empty() && fraction.bytes().all(|digit| digit == b'0') =>
        {
            whole
        }
        Some(_) => return None,
        None => text,
    };
    whole.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_of_the_type_or_it_is_told_why_not() {
        use ValueType::*;
        let text = |text: &str| Value::Text(text.to_owned());
        let table = [
            (text("48.5"), "", F64, Ok(Value::F64(48.5))),
            (text(" -4.85e1 "), "", F64, Ok(Value::F64(-48.5))),
            (
                text("21,5"),
                "",
                F64,
                Err("\"21,5\" is not a valid f64, the type of the tag"),
            ),
            (
                text("nan"),
                "",
                F64,
                Err("\"nan\" is not a valid f64, the type of the tag"),
            ),
            (
                text("1e999"),
                "",
                F64,
                Err("\"1e999\" is not a valid f64, the type of the tag"),
            ),
            (
                text(""),
                "",
                F64,
                Err("\"\" is not a valid f64, the type of the tag"),
            ),
            (Value::I64(21), "21", F64, Ok(Value::F64(21.0))),
            (
                text("9007199254740993"),
                "",
                I64,
                Ok(Value::I64(9_007_199_254_740_993)),
            ),
            (Value::F64(48.0), "48.0", I64, Ok(Value::I64(48))),
            (
                Value::F64(48.5),
                "48.5",
                I64,
                Err("\"48.5\" is not a valid i64, the type of the tag"),
            ),
            (
                Value::I64(-1),
                "-1",
                U64,
                Err("\"-1\" is not a valid u64, the type of the tag"),
            ),
            (
                text("18446744073709551615"),
                "",
                U64,
                Ok(Value::U64(u64::MAX)),
            ),
            (text("ON"), "", Bool, Ok(Value::Bool(true))),
            (Value::I64(0), "0", Bool, Ok(Value::Bool(false))),
            (
                Value::I64(2),
                "2",
                Bool,
                Err("\"2\" is not a valid bool, the type of the tag"),
            ),
            (Value::Bool(true), "", I64, Ok(Value::I64(1))),
            (Value::Bool(true), "", Text, Ok(text("true"))),
            (Value::F64(0.1), "0.10", Text, Ok(text("0.10"))),
            (text(" as it is "), "", Text, Ok(text(" as it is "))),
        ];
        for (value, written, to, expected) in table {
            let found = convert(value.clone(), written, to);
            assert_eq!(
                found,
                expected.map_err(str::to_owned),
                "{value:?} as {to:?}"
            );
        }
    }
}
