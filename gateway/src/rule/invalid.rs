//! Raw values by which a device says that it has none.

use forebay_config::{Expanded, FromValue, Shape};
use forebay_schemas::Value;

/// A number or a text that stands for "no value".
#[derive(Debug, Clone, PartialEq)]
pub enum Invalid {
    /// Compared without rounding.
    Integer(i128),
    /// Compared as doubles are.
    Number(f64),
    /// Compared with upper and lower case alike.
    Text(String),
}

impl Invalid {
    /// Whether a raw value is this one.
    pub(crate) fn is(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Integer(stands), Value::I64(found)) => *stands == i128::from(*found),
            (Self::Integer(stands), Value::U64(found)) => *stands == i128::from(*found),
            (Self::Integer(stands), Value::F64(found)) => *stands as f64 == *found,
            (Self::Number(stands), found @ (Value::I64(_) | Value::U64(_) | Value::F64(_))) => {
                // What a device holds as a 32-bit float and a person writes in decimals is the same number.
                let found = found.as_f64().unwrap_or_default();
                *stands == found || f64::from(*stands as f32) == found
            }
            (Self::Text(stands), Value::Text(found)) => {
                stands.trim().eq_ignore_ascii_case(found.trim())
            }
            (Self::Text(stands), Value::F64(found)) => {
                stands.eq_ignore_ascii_case("nan") && found.is_nan()
            }
            _ => false,
        }
    }
}

impl FromValue for Invalid {
    const EXPECTED: &'static str = "a number such as -9999 or a text such as \"ERROR\"";

    fn from_value(value: &Expanded) -> Result<Self, String> {
        match value {
            Expanded::Integer(integer) => Ok(Self::Integer(*integer)),
            Expanded::Float(number) => Ok(Self::Number(*number)),
            Expanded::Text(text) => Ok(Self::Text(text.clone())),
            _ => Err(format!("{} is expected", Self::EXPECTED)),
        }
    }

    fn shape() -> Shape {
        Shape::AnyOf(vec![Shape::Number, Shape::Text])
    }
}
