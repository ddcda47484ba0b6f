//! A dead-band, as it is configured.

use forebay_config::{Expanded, FromValue, Shape};

/// How far a value must move before it is sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Deadband {
    /// In the unit of the scaled value.
    Absolute(f64),
    /// In per cent of the value that was sent last.
    Percent(f64),
}

impl FromValue for Deadband {
    const EXPECTED: &'static str = "a number such as 0.5, or a share such as \"1%\"";

    fn from_value(value: &Expanded) -> Result<Self, String> {
        let wrong = || format!("{} from 0 on is expected", Self::EXPECTED);
        let (width, deadband): (f64, fn(f64) -> Self) = match value {
            Expanded::Text(text) => {
                let number = text.strip_suffix('%').ok_or_else(wrong)?;
                (number.trim().parse().map_err(|_| wrong())?, Self::Percent)
            }
            other => (f64::from_value(other).map_err(|_| wrong())?, Self::Absolute),
        };
        if width.is_finite() && width >= 0.0 {
            Ok(deadband(width))
        } else {
            Err(wrong())
        }
    }

    fn shape() -> Shape {
        let share = Shape::Pattern {
            what: "a share such as \"1%\"",
            pattern: r"\s*[0-9.eE+-]+\s*%",
        };
        Shape::AnyOf(vec![Shape::Number, share])
    }
}
