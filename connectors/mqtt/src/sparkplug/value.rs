//! Values of Sparkplug metrics, by data type (Sparkplug 3.0.0, section 6.4.16), flattened to parts.
//!
//! A scalar is one part without a name. Of an array the parts are named by their places from 0, of a data set by row and column
//! (`0/temperature`), of a template by its metrics, with a slash between names, as Sparkplug writes hierarchies. A
//! template's parameters and a definition are no values. Parts and nesting are bounded. Members of a template have their data types
//! from the birth where a message leaves them out, as metrics have.

use std::collections::BTreeMap;

use forebay_connectors::finite;
use forebay_schemas::{Status, Value};

use super::{
    payload::{RawValue, metrics_of},
    wire::{Fields, Malformed, WireValue},
};

/// As long as a tag's name may be.
const NAME_BYTES_MAX: usize = 512;
/// Templates within each other.
const DEPTH_MAX: usize = 16;

/// One value of a metric.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Part {
    /// Its name below the metric's; empty for a scalar.
    pub(super) name: String,
    pub(super) value: Option<Value>,
    /// Not good where there is no value to be had.
    pub(super) status: Status,
}

/// Data types of a template's members, by their names below the metric's.
pub(super) type Members = BTreeMap<String, u64>;

/// Flattens metrics; counts down how many parts there may still be.
#[derive(Debug)]
pub(super) struct Flattener {
    left: usize,
    parts: Vec<Part>,
    /// Members of templates that have brought their data types.
    members: Vec<(String, u64)>,
}

impl Flattener {
    pub(super) fn new(parts_max: usize) -> Self {
        Self {
            left: parts_max,
            parts: Vec::new(),
            members: Vec::new(),
        }
    }

    /// The parts of a metric's value. Members of templates without a data type have that which is `known` of them.
    ///
    /// # Errors
    /// It is malformed, nested too deeply, or has too many parts; for people.
    pub(super) fn parts(
        &mut self,
        datatype: Option<u64>,
        value: RawValue<'_>,
        known: &Members,
    ) -> Result<Vec<Part>, String> {
        self.parts.clear();
        self.members.clear();
        self.value("", datatype, value, 0, known)?;
        Ok(std::mem::take(&mut self.parts))
    }

    /// The members of the last value that have brought their data types.
    pub(super) fn take_members(&mut self) -> Vec<(String, u64)> {
        std::mem::take(&mut self.members)
    }

    fn value(
        &mut self,
        name: &str,
        datatype: Option<u64>,
        value: RawValue<'_>,
        depth: usize,
        known: &Members,
    ) -> Result<(), String> {
        match (datatype, value) {
            (_, RawValue::DataSet(bytes)) => self.data_set(name, bytes),
            (_, RawValue::Template(bytes)) => self.template(name, bytes, depth, known),
            (Some(kind @ 22..=34), RawValue::Bytes(bytes)) => self.array(name, kind, bytes),
            (kind, value) => {
                let scalar = scalar(kind, value);
                self.push(name.to_owned(), scalar)
            }
        }
    }

    fn push(&mut self, name: String, value: Result<Value, Status>) -> Result<(), String> {
        if name.len() > NAME_BYTES_MAX {
            return Err(format!(
                "the name of a part has {} bytes, more than {NAME_BYTES_MAX}",
                name.len()
            ));
        }
        let left = self.left.checked_sub(1);
        self.left = left.ok_or("the message has too many values: the rest is dropped")?;
        let (value, status) = match value {
            Ok(value) => (Some(value), Status::GOOD),
            Err(status) => (None, status),
        };
        self.parts.push(Part {
            name,
            value,
            status,
        });
        Ok(())
    }

    fn template(
        &mut self,
        name: &str,
        bytes: &[u8],
        depth: usize,
        known: &Members,
    ) -> Result<(), String> {
        if depth == DEPTH_MAX {
            return Err(format!("templates are nested more than {DEPTH_MAX} deep"));
        }
        for metric in metrics_of(bytes) {
            let metric = metric.map_err(|Malformed| "the template is malformed")?;
            let Some(inner) = metric.name else {
                continue;
            };
            let name = below(name, inner);
            let datatype = metric.datatype.or_else(|| known.get(&name).copied());
            self.members
                .extend(metric.datatype.map(|datatype| (name.clone(), datatype)));
            match metric.value {
                Some(value) if !metric.is_null => {
                    self.value(&name, datatype, value, depth + 1, known)?;
                }
                _ => self.push(name, Err(Status::bad(None, "null value")))?,
            }
        }
        Ok(())
    }

    fn data_set(&mut self, name: &str, bytes: &[u8]) -> Result<(), String> {
        let malformed = |Malformed| "the data set is malformed".to_owned();
        let (mut columns, mut types) = (Vec::new(), Vec::new());
        for field in Fields::of(bytes) {
            match field.map_err(malformed)? {
                (2, column) => columns.push(column.text().ok_or("the data set is malformed")?),
                (3, WireValue::Varint(kind)) => types.push(kind),
                (3, WireValue::Bytes(packed)) => {
                    types.extend(packed.iter().copied().map(u64::from))
                }
                _ => {}
            }
        }
        let mut row = 0_usize;
        for field in Fields::of(bytes) {
            let (4, WireValue::Bytes(elements)) = field.map_err(malformed)? else {
                continue;
            };
            let elements = Fields::of(elements).map(|element| element.map_err(malformed));
            for (column, element) in elements.enumerate() {
                let (_, element) = element?;
                let of_column = columns.get(column);
                let column_name =
                    of_column.map_or_else(|| column.to_string(), |name| (*name).to_owned());
                let name = below(name, &format!("{row}/{column_name}"));
                let value = Fields::of(element.bytes().ok_or("the data set is malformed")?).next();
                let value = value.transpose().map_err(malformed)?;
                let value = value.and_then(|(number, value)| RawValue::of_element(number, value));
                let kind = types.get(column).copied();
                let value = match value {
                    Some(value) => scalar(kind, value),
                    None => Err(Status::bad(None, "null value")),
                };
                self.push(name, value)?;
            }
            row += 1;
        }
        Ok(())
    }

    /// Items of an array, little-endian (section 6.4.16, from Int8Array on).
    fn array(&mut self, name: &str, kind: u64, bytes: &[u8]) -> Result<(), String> {
        if kind == 32 {
            return self.booleans(name, bytes);
        }
        if kind == 33 {
            let texts = bytes.strip_suffix(&[0]).unwrap_or(bytes);
            for (place, text) in texts.split(|byte| *byte == 0).enumerate() {
                let text = String::from_utf8_lossy(text).into_owned();
                self.push(below(name, &place.to_string()), Ok(Value::Text(text)))?;
            }
            return Ok(());
        }
        // Int8 to UInt64 twice four kinds, then Float, Double, and DateTime.
        let (width, of_item) = match kind {
            22 | 26 => (1, kind - 21),
            23 | 27 => (2, kind - 21),
            24 | 28 => (4, kind - 21),
            25 | 29 => (8, kind - 21),
            30 => (4, 9),
            31 => (8, 10),
            _ => (8, 13),
        };
        if !bytes.len().is_multiple_of(width) {
            return Err(format!(
                "an array of {} bytes is no list of items of {width}",
                bytes.len()
            ));
        }
        for (place, item) in bytes.chunks_exact(width).enumerate() {
            let bits = item.iter().rev();
            let bits = bits.fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
            let raw = match of_item {
                9 => RawValue::Float(f32::from_bits(bits as u32)),
                10 => RawValue::Double(f64::from_bits(bits)),
                _ => RawValue::Int(bits),
            };
            let name = below(name, &place.to_string());
            self.push(name, scalar(Some(of_item), raw))?;
        }
        Ok(())
    }

    /// A count of 32 bits, then the bits, the first in the highest place.
    fn booleans(&mut self, name: &str, bytes: &[u8]) -> Result<(), String> {
        let Some((count, bits)) = bytes.split_first_chunk::<4>() else {
            return Err("an array of booleans has no count".to_owned());
        };
        let count = u32::from_le_bytes(*count) as usize;
        if count > bits.len().saturating_mul(8) {
            return Err("an array of booleans ends too early".to_owned());
        }
        for place in 0..count {
            let truth = bits[place / 8] >> (7 - place % 8) & 1 == 1;
            self.push(below(name, &place.to_string()), Ok(Value::Bool(truth)))?;
        }
        Ok(())
    }
}

fn below(whole: &str, part: &str) -> String {
    if whole.is_empty() {
        part.to_owned()
    } else {
        format!("{whole}/{part}")
    }
}

/// A value as its data type has it; without one, as it stands on the wire.
fn scalar(datatype: Option<u64>, value: RawValue<'_>) -> Result<Value, Status> {
    let range = |name: &str, bits: u64| {
        let code = Some(bits.cast_signed());
        Status::bad(code, format!("the value is out of range for {name}"))
    };
    // Signed integers of up to 32 bits stand on the wire in two's complement of 32 bits, some libraries write them in their own width.
    let signed = |name: &str, bits: u64, width: u32| {
        let wide = bits as u32 as i32;
        let limit = 1_i64 << (width - 1);
        if (-limit..limit).contains(&i64::from(wide)) {
            Ok(Value::I64(wide.into()))
        } else if bits < 1 << width {
            Ok(Value::I64(bits.cast_signed() - (1 << width)))
        } else {
            Err(range(name, bits))
        }
    };
    let unsigned = |name: &str, bits: u64, width: u32| {
        if bits >> width == 0 {
            Ok(Value::I64(bits.cast_signed()))
        } else {
            Err(range(name, bits))
        }
    };
    match (datatype, value) {
        (Some(1), RawValue::Int(bits)) => signed("Int8", bits, 8),
        (Some(2), RawValue::Int(bits)) => signed("Int16", bits, 16),
        (Some(3), RawValue::Int(bits)) => Ok(Value::I64((bits as u32 as i32).into())),
        (Some(4 | 13), RawValue::Int(bits)) => Ok(Value::I64(bits.cast_signed())),
        (Some(5), RawValue::Int(bits)) => unsigned("UInt8", bits, 8),
        (Some(6), RawValue::Int(bits)) => unsigned("UInt16", bits, 16),
        (Some(7), RawValue::Int(bits)) => unsigned("UInt32", bits, 32),
        (Some(8), RawValue::Int(bits)) => Ok(Value::U64(bits)),
        (Some(11), RawValue::Int(bits @ (0 | 1))) => Ok(Value::Bool(bits == 1)),
        (None, RawValue::Int(bits)) => Ok(i64::try_from(bits).map_or(Value::U64(bits), Value::I64)),
        (_, RawValue::Float(number)) => finite(number.into(), number.to_bits().into()),
        (_, RawValue::Double(number)) => finite(number, number.to_bits()),
        (_, RawValue::Bool(truth)) => Ok(Value::Bool(truth)),
        (_, RawValue::Text(text)) if text.contains('\0') => {
            let reason = "the text holds the character U+0000";
            Err(Status::bad(None, reason))
        }
        (_, RawValue::Text(text)) => Ok(Value::Text(text.to_owned())),
        (_, RawValue::Bytes(bytes)) => Ok(Value::Bytes(bytes.to_vec())),
        (Some(kind), _) => {
            let reason = format!("the value does not fit its data type {kind}");
            Err(Status::bad(None, reason))
        }
        (None, RawValue::DataSet(_) | RawValue::Template(_)) => {
            Err(Status::bad(None, "a data set within a data set"))
        }
    }
}

/// The status of the property `Quality` (section 6.4.13): Sparkplug's own 0 bad, 192 good and 500 stale, and OPC's classes around them.
pub(super) fn status_of(code: i64) -> Status {
    let of = |quality, reason: &str| Status {
        quality,
        code: Some(code),
        reason: Some(reason.to_owned()),
    };
    match code {
        192..=255 => Status {
            code: Some(code),
            ..Status::GOOD
        },
        500 => of(
            forebay_schemas::Quality::Uncertain,
            "stale (Sparkplug quality 500)",
        ),
        64..=127 => of(
            forebay_schemas::Quality::Uncertain,
            "the device says so (Sparkplug quality)",
        ),
        _ => Status::bad(Some(code), "the device says so (Sparkplug quality)"),
    }
}

#[cfg(test)]
mod tests {
    use forebay_schemas::Quality;

    use super::*;

    #[test]
    fn scalars_are_of_their_data_type() {
        use RawValue::*;
        let table = [
            (Some(1), Int(0xffff_fffb), Ok(Value::I64(-5))),
            (Some(1), Int(0xfb), Ok(Value::I64(-5))),
            (
                Some(1),
                Int(0x1ff),
                Err("the value is out of range for Int8"),
            ),
            (Some(2), Int(0x8000), Ok(Value::I64(-32768))),
            (Some(3), Int(0xffff_ffff), Ok(Value::I64(-1))),
            (Some(4), Int(u64::MAX), Ok(Value::I64(-1))),
            (Some(5), Int(255), Ok(Value::I64(255))),
            (
                Some(5),
                Int(256),
                Err("the value is out of range for UInt8"),
            ),
            (Some(7), Int(0xffff_ffff), Ok(Value::I64(4_294_967_295))),
            (Some(8), Int(u64::MAX), Ok(Value::U64(u64::MAX))),
            (Some(9), Float(0.5), Ok(Value::F64(0.5))),
            (Some(9), Float(f32::NAN), Err("not a number")),
            (Some(10), Double(f64::INFINITY), Err("infinite")),
            (Some(11), Bool(true), Ok(Value::Bool(true))),
            (Some(11), Int(1), Ok(Value::Bool(true))),
            (Some(12), Text("x"), Ok(Value::Text("x".into()))),
            (
                Some(12),
                Text("a\0"),
                Err("the text holds the character U+0000"),
            ),
            (
                Some(13),
                Int(1_700_000_000_000),
                Ok(Value::I64(1_700_000_000_000)),
            ),
            (
                Some(12),
                Int(3),
                Err("the value does not fit its data type 12"),
            ),
            (None, Int(7), Ok(Value::I64(7))),
        ];
        for (datatype, raw, expected) in table {
            let found = scalar(datatype, raw).map_err(|status| status.reason.unwrap());
            let expected = expected.map_err(str::to_owned);
            assert_eq!(found, expected, "{datatype:?} {raw:?}");
        }
    }

    #[test]
    fn arrays_have_a_part_for_each_item() {
        /// A data type, its bytes, and what they mean.
        type Case<'a> = (u64, &'a [u8], Result<&'a [Value], &'a str>);
        let table: [Case<'_>; 7] = [
            (22, &[1, 0xff], Ok(&[Value::I64(1), Value::I64(-1)])),
            (
                27,
                &[1, 0, 0xff, 0xff],
                Ok(&[Value::I64(1), Value::I64(65535)]),
            ),
            (30, &[0, 0, 0xc0, 0x3f], Ok(&[Value::F64(1.5)])),
            (
                32,
                &[3, 0, 0, 0, 0b1010_0000],
                Ok(&[Value::Bool(true), Value::Bool(false), Value::Bool(true)]),
            ),
            (33, b"ab\0c\0", Ok(&[])),
            (
                24,
                &[1, 2, 3],
                Err("an array of 3 bytes is no list of items of 4"),
            ),
            (
                32,
                &[255, 255, 255, 255, 0],
                Err("an array of booleans ends too early"),
            ),
        ];
        for (kind, bytes, expected) in table {
            let bytes = RawValue::Bytes(bytes);
            let parts = Flattener::new(100).parts(Some(kind), bytes, &Members::new());
            let parts = parts.map(|parts| {
                assert!(
                    parts
                        .iter()
                        .enumerate()
                        .all(|(i, part)| part.name == i.to_string())
                );
                parts
                    .into_iter()
                    .map(|part| part.value.unwrap())
                    .collect::<Vec<_>>()
            });
            let expected = match kind {
                33 => Ok(vec![Value::Text("ab".into()), Value::Text("c".into())]),
                _ => expected.map(<[Value]>::to_vec).map_err(str::to_owned),
            };
            assert_eq!(parts, expected, "{kind}");
        }
        let bytes = RawValue::Bytes(&[1, 2, 3]);
        let many = Flattener::new(2).parts(Some(22), bytes, &Members::new());
        assert!(many.unwrap_err().contains("too many values"));
    }

    #[test]
    fn quality_codes_keep_their_class() {
        let table = [
            (192, Quality::Good),
            (216, Quality::Good),
            (500, Quality::Uncertain),
            (64, Quality::Uncertain),
            (0, Quality::Bad),
            (24, Quality::Bad),
            (-1, Quality::Bad),
        ];
        for (code, quality) in table {
            let status = status_of(code);
            assert_eq!((status.quality, status.code), (quality, Some(code)));
        }
    }
}
