//! Sparkplug B's payload, metric and property set, read from borrowed bytes (Sparkplug 3.0.0, section 6.4).
//!
//! The messages and numbers of their fields are those of `sparkplug_b.proto` beside this file. What a field of another kind than
//! its number's holds makes the message malformed; fields that are not known are skipped.

use super::wire::{Fields, Malformed, WireValue, Writer};

/// The metric by which a host asks a node for its births (section 6.4.21).
const REBIRTH: &str = "Node Control/Rebirth";
/// The data type Boolean.
const BOOLEAN: u64 = 11;

/// A payload whose own fields are read, and whose metrics are read as they are asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Payload<'p> {
    bytes: &'p [u8],
    /// When it was sent, in ms since 1970.
    pub(super) timestamp: Option<u64>,
    pub(super) seq: Option<u64>,
    /// What the body is, where there is one.
    pub(super) uuid: Option<&'p [u8]>,
    pub(super) body: Option<&'p [u8]>,
}

/// A metric as it stands on the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Metric<'p> {
    pub(super) name: Option<&'p str>,
    pub(super) alias: Option<u64>,
    /// When its value was taken, in ms since 1970.
    pub(super) timestamp: Option<u64>,
    pub(super) datatype: Option<u64>,
    pub(super) is_historical: bool,
    pub(super) is_null: bool,
    properties: Option<&'p [u8]>,
    pub(super) value: Option<RawValue<'p>>,
}

/// The oneof that holds a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum RawValue<'p> {
    Int(u64),
    Float(f32),
    Double(f64),
    Bool(bool),
    Text(&'p str),
    Bytes(&'p [u8]),
    DataSet(&'p [u8]),
    Template(&'p [u8]),
}

/// The properties of a metric that readings have places for.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Properties<'p> {
    /// The property `Quality`.
    pub(super) quality: Option<i64>,
    /// The property `engUnit`, which Ignition and others send.
    pub(super) unit: Option<&'p str>,
}

impl<'p> Payload<'p> {
    /// Reads a payload; metrics are checked as they are read.
    pub(super) fn read(bytes: &'p [u8]) -> Result<Self, Malformed> {
        let mut payload = Self {
            bytes,
            timestamp: None,
            seq: None,
            uuid: None,
            body: None,
        };
        for field in Fields::of(bytes) {
            match field? {
                (1, value) => payload.timestamp = Some(value.number().ok_or(Malformed)?),
                (3, value) => payload.seq = Some(value.number().ok_or(Malformed)?),
                (2, value) => drop(value.bytes().ok_or(Malformed)?),
                (4, value) => payload.uuid = Some(value.bytes().ok_or(Malformed)?),
                (5, value) => payload.body = Some(value.bytes().ok_or(Malformed)?),
                _ => {}
            }
        }
        Ok(payload)
    }

    /// The same under another number.
    pub(super) fn with_seq(self, seq: Option<u64>) -> Self {
        Self { seq, ..self }
    }

    /// Its metrics, in order.
    pub(super) fn metrics(&self) -> impl Iterator<Item = Result<Metric<'p>, Malformed>> + use<'p> {
        metrics_of(self.bytes)
    }
}

/// The metrics of a payload or a template: field 2 of either.
pub(super) fn metrics_of(bytes: &[u8]) -> impl Iterator<Item = Result<Metric<'_>, Malformed>> {
    Fields::of(bytes).filter_map(|field| match field {
        Ok((2, WireValue::Bytes(metric))) => Some(Metric::read(metric)),
        Ok((2, _)) | Err(Malformed) => Some(Err(Malformed)),
        Ok(_) => None,
    })
}

impl<'p> Metric<'p> {
    fn read(bytes: &'p [u8]) -> Result<Self, Malformed> {
        let mut metric = Self::default();
        for field in Fields::of(bytes) {
            let (number, value) = field?;
            let known = match number {
                1 => value.text().map(|name| metric.name = Some(name)),
                2 => value.number().map(|alias| metric.alias = Some(alias)),
                3 => value.number().map(|millis| metric.timestamp = Some(millis)),
                4 => value.number().map(|kind| metric.datatype = Some(kind)),
                5 => value
                    .number()
                    .map(|truth| metric.is_historical = truth != 0),
                7 => value.number().map(|truth| metric.is_null = truth != 0),
                9 => value.bytes().map(|bytes| metric.properties = Some(bytes)),
                10..=18 => RawValue::of(number, value).map(|value| metric.value = Some(value)),
                _ => Some(()),
            };
            known.ok_or(Malformed)?;
        }
        Ok(metric)
    }

    pub(super) fn properties(&self) -> Result<Properties<'p>, Malformed> {
        let mut found = Properties::default();
        let Some(bytes) = self.properties else {
            return Ok(found);
        };
        let (mut keys, mut values) = (Fields::of(bytes), Fields::of(bytes));
        // Keys and values are two lists, in one order.
        while let Some(key) = nth_of(&mut keys, 1)? {
            let Some(value) = nth_of(&mut values, 2)? else {
                break;
            };
            match std::str::from_utf8(key).ok() {
                Some("Quality") => found.quality = property(value)?.number(),
                Some("engUnit") => found.unit = property(value)?.text(),
                _ => {}
            }
        }
        Ok(found)
    }
}

/// The next field of a number, as bytes.
fn nth_of<'p>(fields: &mut Fields<'p>, wanted: u32) -> Result<Option<&'p [u8]>, Malformed> {
    for field in fields {
        let (number, value) = field?;
        if number == wanted {
            return value.bytes().map(Some).ok_or(Malformed);
        }
    }
    Ok(None)
}

/// A property's value; one that is null or of another kind is a text of nothing.
enum Property<'p> {
    Number(i64),
    Text(&'p str),
    Other,
}

impl<'p> Property<'p> {
    fn number(&self) -> Option<i64> {
        if let Self::Number(number) = self {
            Some(*number)
        } else {
            None
        }
    }

    fn text(&self) -> Option<&'p str> {
        if let Self::Text(text) = self {
            // No text column takes U+0000.
            Some(*text).filter(|text| !text.is_empty() && !text.contains('\0'))
        } else {
            None
        }
    }
}

fn property(bytes: &[u8]) -> Result<Property<'_>, Malformed> {
    let mut found = Property::Other;
    for field in Fields::of(bytes) {
        match field? {
            // Int32 is written as an unsigned integer of 32 bits.
            (3, WireValue::Varint(number)) => {
                found = Property::Number(i64::from(number as u32 as i32));
            }
            (4, WireValue::Varint(number)) => found = Property::Number(number.cast_signed()),
            (8, value) => found = Property::Text(value.text().ok_or(Malformed)?),
            _ => {}
        }
    }
    Ok(found)
}

impl<'p> RawValue<'p> {
    /// Of the field numbers of Metric's oneof.
    fn of(number: u32, value: WireValue<'p>) -> Option<Self> {
        Some(match (number, value) {
            (10 | 11, WireValue::Varint(number)) => Self::Int(number),
            (12, WireValue::Fixed32(bits)) => Self::Float(f32::from_bits(bits)),
            (13, WireValue::Fixed64(bits)) => Self::Double(f64::from_bits(bits)),
            (14, WireValue::Varint(number)) => Self::Bool(number != 0),
            (15, value) => Self::Text(value.text()?),
            (16, WireValue::Bytes(bytes)) => Self::Bytes(bytes),
            (17, WireValue::Bytes(bytes)) => Self::DataSet(bytes),
            (18, WireValue::Bytes(bytes)) => Self::Template(bytes),
            _ => return None,
        })
    }

    /// Of the field numbers of a data set's element: the same six kinds, from 1.
    pub(super) fn of_element(number: u32, value: WireValue<'p>) -> Option<Self> {
        (1..=6)
            .contains(&number)
            .then(|| Self::of(number + 9, value))?
    }
}

/// The payload of a NCMD that asks a node for its births.
pub(super) fn rebirth_request(now_millis: u64) -> Vec<u8> {
    let metric = Writer::default()
        .bytes(1, REBIRTH.as_bytes())
        .varint(3, now_millis)
        .varint(4, BOOLEAN)
        .varint(14, 1);
    Writer::default()
        .varint(1, now_millis)
        .bytes(2, &metric.0)
        .0
}

/// Whether a template's value is a definition: what instances look like, and no value.
pub(super) fn is_definition(template: &[u8]) -> bool {
    Fields::of(template)
        .any(|field| matches!(field, Ok((5, WireValue::Varint(truth))) if truth != 0))
}
