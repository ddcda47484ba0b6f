//! Types of values, the order of their bytes, and how registers become a value.
//!
//! Pure. Numbers keep their kind: unsigned integers and decimal digits (BCD) become U64, signed ones I64, floats F64, bits
//! Bool. What is no value of its type (a NaN, an infinity, a nibble above nine), or what the configuration calls invalid, is
//! bad and says why. A text ends at its first NUL.

mod order;
mod sentinel;

use forebay_connectors::finite;
use forebay_schemas::{Quality, Status, Value};

pub(crate) use self::{order::Order, sentinel::Sentinel};

/// The longest text: all the registers of the largest read.
const TEXT_BYTES_MAX: u16 = 250;

/// A type of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueKind {
    /// A coil or discrete input.
    Bool,
    /// One bit of a register, 0 the lowest.
    Bit(u8),
    I16,
    U16,
    I32,
    U32,
    /// Three registers, two's complement.
    I48,
    U48,
    I64,
    U64,
    /// Signed magnitude: the highest bit is the sign, the other 15 are the magnitude.
    Sm16,
    /// Signed magnitude: the highest bit is the sign, the other 31 are the magnitude.
    Sm32,
    /// IEEE 754 binary16.
    F16,
    F32,
    F64,
    /// Four decimal digits.
    Bcd16,
    /// Eight decimal digits.
    Bcd32,
    /// This many bytes of text, two per register.
    Text(u16),
}

/// Names of the types without a number.
pub(crate) const PLAIN: [(&str, ValueKind); 16] = [
    ("bool", ValueKind::Bool),
    ("i16", ValueKind::I16),
    ("u16", ValueKind::U16),
    ("i32", ValueKind::I32),
    ("u32", ValueKind::U32),
    ("i48", ValueKind::I48),
    ("u48", ValueKind::U48),
    ("i64", ValueKind::I64),
    ("u64", ValueKind::U64),
    ("sm16", ValueKind::Sm16),
    ("sm32", ValueKind::Sm32),
    ("f16", ValueKind::F16),
    ("f32", ValueKind::F32),
    ("f64", ValueKind::F64),
    ("bcd16", ValueKind::Bcd16),
    ("bcd32", ValueKind::Bcd32),
];

impl ValueKind {
    /// The type of this name, or what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Some((_, kind)) = PLAIN.iter().find(|(name, _)| *name == text) {
            return Ok(*kind);
        }
        match text.split_once(':') {
            Some(("bit", number)) => match number.parse() {
                Ok(bit @ 0..=15) => Ok(Self::Bit(bit)),
                _ => Err(format!(
                    "{text:?}: a register has the bits \"bit:0\" (lowest) to \"bit:15\""
                )),
            },
            Some(("string", number)) => match number.parse() {
                Ok(bytes @ 1..=TEXT_BYTES_MAX) => Ok(Self::Text(bytes)),
                _ => Err(format!(
                    "{text:?}: a text has 1 to {TEXT_BYTES_MAX} bytes, such as \"string:16\""
                )),
            },
            _ => {
                let names: Vec<&str> = PLAIN.iter().map(|(name, _)| *name).collect();
                Err(format!(
                    "{text:?} is not a type; the types are {}, bit:N (N from 0 to 15) and string:N (N bytes)",
                    names.join(", ")
                ))
            }
        }
    }

    /// Its name in the configuration.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Bit(bit) => format!("bit:{bit}"),
            Self::Text(bytes) => format!("string:{bytes}"),
            plain => PLAIN
                .iter()
                .find(|(_, kind)| *kind == plain)
                .map_or_else(String::new, |(name, _)| (*name).to_owned()),
        }
    }

    /// Registers that hold a value; none for a coil.
    pub(crate) fn registers(self) -> u16 {
        match self {
            Self::Bool => 0,
            Self::Bit(_) | Self::I16 | Self::U16 | Self::Sm16 | Self::F16 | Self::Bcd16 => 1,
            Self::I32 | Self::U32 | Self::Sm32 | Self::F32 | Self::Bcd32 => 2,
            Self::I48 | Self::U48 => 3,
            Self::I64 | Self::U64 | Self::F64 => 4,
            Self::Text(bytes) => bytes.div_ceil(2),
        }
    }

    /// Whether its bits are decimal digits.
    pub(crate) fn is_decimal(self) -> bool {
        matches!(self, Self::Bcd16 | Self::Bcd32)
    }

    /// Bytes that an order names: a value's, or a text's within each register.
    pub(crate) fn ordered_bytes(self) -> usize {
        match self {
            Self::Text(_) => 2,
            other => usize::from(other.registers()) * 2,
        }
    }
}

/// How a value lies in its registers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layout {
    pub(crate) kind: ValueKind,
    /// As long as the kind's `ordered_bytes`.
    pub(crate) order: Order,
    /// Values that stand for none.
    pub(crate) invalid: Vec<Sentinel>,
}

/// A value and how far to trust it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Decoded {
    pub(crate) value: Option<Value>,
    pub(crate) status: Status,
}

impl Decoded {
    fn good(value: Value) -> Self {
        Self {
            value: Some(value),
            status: Status::GOOD,
        }
    }

    /// No value, and why.
    pub(crate) fn bad(reason: impl Into<String>) -> Self {
        Self {
            value: None,
            status: Status::bad(None, reason),
        }
    }

    fn float(value: f64, raw: u64) -> Self {
        match finite(value, raw) {
            Ok(value) => Self::good(value),
            Err(status) => Self {
                value: None,
                status,
            },
        }
    }

    /// A coil or discrete input.
    pub(crate) fn bit(bit: bool) -> Self {
        Self::good(Value::Bool(bit))
    }
}

impl Layout {
    /// Addresses that a value takes: registers, or one coil.
    pub(crate) fn addresses(&self) -> u16 {
        self.kind.registers().max(1)
    }

    /// The value in these registers, as many as `kind` has.
    pub(crate) fn decode(&self, words: &[u16]) -> Decoded {
        let wire: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        if let ValueKind::Text(bytes) = self.kind {
            return text(self.order.arrange_each(&wire), usize::from(bytes));
        }
        let raw = self.order.number(&wire);
        let decoded = number(self.kind, raw);
        let is_invalid = |sentinel: &Sentinel| sentinel.is(self.kind, raw, decoded.value.as_ref());
        if self.invalid.iter().any(is_invalid) {
            let width = usize::from(self.kind.registers()) * 4;
            let reason = format!("0x{raw:0width$X} is one of the tag's invalid values");
            return Decoded {
                value: None,
                status: Status::bad(Some(raw.cast_signed()), reason),
            };
        }
        decoded
    }
}

/// The value of these bits, right-aligned.
fn number(kind: ValueKind, raw: u64) -> Decoded {
    // Each cast keeps the low bits, which are all that a value of its width has.
    Decoded::good(match kind {
        ValueKind::Bool => Value::Bool(raw != 0),
        ValueKind::Bit(bit) => Value::Bool(raw >> bit & 1 == 1),
        ValueKind::I16 => Value::I64(i64::from(raw as i16)),
        ValueKind::I32 => Value::I64(i64::from(raw as i32)),
        // Shifted to the top and back, so that bit 47 becomes the sign.
        ValueKind::I48 => Value::I64((raw << 16) as i64 >> 16),
        ValueKind::I64 => Value::I64(raw as i64),
        ValueKind::U16 | ValueKind::U32 | ValueKind::U48 | ValueKind::U64 => Value::U64(raw),
        ValueKind::Sm16 => Value::I64(signed_magnitude(raw, 15)),
        ValueKind::Sm32 => Value::I64(signed_magnitude(raw, 31)),
        ValueKind::F16 => return Decoded::float(f16(raw as u16), raw),
        ValueKind::F32 => return Decoded::float(f64::from(f32::from_bits(raw as u32)), raw),
        ValueKind::F64 => return Decoded::float(f64::from_bits(raw), raw),
        ValueKind::Bcd16 | ValueKind::Bcd32 => return decimal(raw, kind),
        ValueKind::Text(_) => return Decoded::bad("a text is not a number"),
    })
}

/// The bit at `sign` says whether the bits below it are negative; a negative zero is zero.
fn signed_magnitude(raw: u64, sign: u32) -> i64 {
    let magnitude = (raw & ((1 << sign) - 1)).cast_signed();
    if raw >> sign & 1 == 1 {
        -magnitude
    } else {
        magnitude
    }
}

/// IEEE 754-2019, binary16: one sign bit, five of exponent (bias 15), ten of fraction. Every one is a double exactly.
fn f16(bits: u16) -> f64 {
    let negative = bits >> 15 == 1;
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
    let magnitude = match exponent {
        0 => fraction * 2_f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1024.0 + fraction) * 2_f64.powi(exponent - 25),
    };
    if negative { -magnitude } else { magnitude }
}

fn decimal(raw: u64, kind: ValueKind) -> Decoded {
    let digits = u32::from(kind.registers()) * 4;
    let mut value = 0;
    for place in (0..digits).rev() {
        let digit = raw >> (4 * place) & 0xf;
        if digit > 9 {
            let width = digits as usize;
            return Decoded::bad(format!(
                "0x{raw:0width$x} is not a {}: {digit:x} is not a decimal digit",
                kind.name()
            ));
        }
        value = value * 10 + digit;
    }
    Decoded::good(Value::U64(value))
}

/// Up to its first NUL: what lies behind one is left over from a longer text. Without the blanks that pad it; bytes that are
/// no UTF-8 are kept as they are.
fn text(mut bytes: Vec<u8>, len: usize) -> Decoded {
    let end = bytes
        .iter()
        .take(len)
        .position(|byte| *byte == 0)
        .unwrap_or(len);
    bytes.truncate(end);
    match String::from_utf8(bytes) {
        Ok(mut text) => {
            text.truncate(text.trim_end_matches(' ').len());
            Decoded::good(Value::Text(text))
        }
        Err(error) => {
            let reason = format!(
                "not UTF-8 from byte {} on",
                error.utf8_error().valid_up_to()
            );
            let status = Status {
                quality: Quality::Uncertain,
                code: None,
                reason: Some(reason),
            };
            Decoded {
                value: Some(Value::Bytes(error.into_bytes())),
                status,
            }
        }
    }
}

#[cfg(test)]
mod tests;
