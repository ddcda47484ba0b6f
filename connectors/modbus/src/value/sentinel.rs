//! Values by which a device says that it has none: the key `invalid` of a tag.
//!
//! Pure. An integer is compared with the bits of the value as they stand, and with the number that they mean; so 0x8000 and
//! -32768 are the same for an i16.

use forebay_config::{Expanded, FromValue, Shape};
use forebay_schemas::Value;

use super::ValueKind;

const NAN: &str = "nan";

/// One such value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Sentinel {
    /// These bits, or this number.
    Integer(i64),
    /// This number.
    Float(f64),
    /// Any NaN; every one is bad in any case.
    Nan,
}

impl Sentinel {
    /// Whether a value of these bits, which mean this number, is the sentinel.
    pub(crate) fn is(self, kind: ValueKind, raw: u64, value: Option<&Value>) -> bool {
        match (self, value) {
            (Self::Integer(integer), Some(Value::F64(float))) => *float == integer as f64,
            (Self::Integer(integer), Some(Value::I64(signed))) if integer < 0 => *signed == integer,
            (Self::Integer(integer), Some(Value::U64(decimal))) if kind.is_decimal() => {
                u64::try_from(integer).is_ok_and(|integer| integer == *decimal || integer == raw)
            }
            (Self::Integer(integer), _) => raw.cast_signed() == integer,
            (Self::Float(sentinel), Some(Value::F64(float))) => {
                // What the file writes with all its digits, the device holds rounded.
                *float == sentinel || *float == f64::from(sentinel as f32)
            }
            (Self::Float(sentinel), Some(Value::I64(integer))) => *integer as f64 == sentinel,
            (Self::Float(sentinel), Some(Value::U64(integer))) => *integer as f64 == sentinel,
            (Self::Float(_) | Self::Nan, _) => false,
        }
    }

    /// Why no value of this type is ever the sentinel.
    pub(crate) fn unfit(self, kind: ValueKind) -> Option<String> {
        let name = kind.name();
        let bits = u32::from(kind.registers()) * 16;
        match (self, kind) {
            (_, ValueKind::Bool | ValueKind::Bit(_) | ValueKind::Text(_)) => {
                Some(format!("{name} has no invalid values: only numbers have"))
            }
            (Self::Nan, ValueKind::F16 | ValueKind::F32 | ValueKind::F64) => None,
            (Self::Nan, _) => Some(format!(
                "\"nan\" is no value of {name}: write the number that stands for it, such as 0x8000"
            )),
            (Self::Integer(integer), _) if bits < 64 => {
                let range = -(1_i64 << (bits - 1))..1_i64 << bits;
                let is_float = matches!(kind, ValueKind::F16 | ValueKind::F32);
                (!is_float && !range.contains(&integer))
                    .then(|| format!("{integer} does not fit the {bits} bits of {name}"))
            }
            (Self::Integer(_) | Self::Float(_), _) => None,
        }
    }
}

impl FromValue for Sentinel {
    const EXPECTED: &'static str = "a number such as 0x8000 or -9999, or \"nan\"";

    fn from_value(value: &Expanded) -> Result<Self, String> {
        let refused = |found: String| Err(format!("{} is expected, found {found}", Self::EXPECTED));
        match value {
            // All 64 bits may be set: 0xFFFF_FFFF_FFFF_FFFF.
            Expanded::Integer(integer) => {
                match (i64::try_from(*integer), u64::try_from(*integer)) {
                    (Ok(integer), _) => Ok(Self::Integer(integer)),
                    (_, Ok(bits)) => Ok(Self::Integer(bits.cast_signed())),
                    _ => refused(integer.to_string()),
                }
            }
            Expanded::Float(float) if float.is_nan() => Ok(Self::Nan),
            Expanded::Float(float) if float.is_finite() => Ok(Self::Float(*float)),
            Expanded::Text(text) if text.eq_ignore_ascii_case(NAN) => Ok(Self::Nan),
            other => refused(other.toml()),
        }
    }

    fn shape() -> Shape {
        Shape::AnyOf(vec![Shape::Number, Shape::Words(vec![NAN])])
    }
}
