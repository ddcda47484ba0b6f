//! OPC UA data values as samples: times, status codes, types, arrays.
//!
//! Kept here: integers stay exact, Float widens to f64 exactly, a bad status never carries a value, NaN and infinity are
//! none, a text ends at its first NUL, and what cannot be taken over becomes a bad sample that says so. It deliberately
//! scales nothing and knows no units.

use forebay_connectors::{RuleId, Sample, SampleKind, finite};
use forebay_schemas::{DeviceId, Quality, Status, TagName, Timestamp, Value};
use opcua::types::{Array, DataValue, DateTime, StatusCode, SubStatusCode, Variant};

/// Arrays longer than this are refused: one notification must stay one bounded delivery.
const ELEMENTS_MAX: usize = 1000;

/// 1970-01-01 in OPC UA's ticks of 100 ns since 1601-01-01.
pub(crate) const UNIX_EPOCH_TICKS: i64 = 116_444_736_000_000_000;

/// Info type DataValue with the overflow bit (Part 4, 7.39): the server's queue dropped values before this one.
const OVERFLOW: u32 = 0x0480;

/// The name of a series, to be repeated in each of its samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) rule: RuleId,
    pub(crate) device: DeviceId,
    pub(crate) tag: TagName,
}

impl Target {
    /// A sample that says since when and why there is no value; without a time it is that of arrival.
    pub(crate) fn failed(&self, time: Option<Timestamp>, status: Status) -> Sample {
        self.sample(self.tag.clone(), time, None, status)
    }

    /// The same for an element of an array; none where it can have no name.
    pub(crate) fn element_failed(
        &self,
        index: usize,
        time: Option<Timestamp>,
        status: Status,
    ) -> Option<Sample> {
        Some(self.sample(self.element(index).ok()?, time, None, status))
    }

    fn element(&self, index: usize) -> Result<TagName, String> {
        let tag = format!("{}[{index}]", self.tag);
        TagName::new(&tag).map_err(|error| format!("array element {tag}: {error}"))
    }

    fn sample(
        &self,
        tag: TagName,
        time: Option<Timestamp>,
        value: Option<Value>,
        status: Status,
    ) -> Sample {
        Sample {
            rule: self.rule,
            device: self.device.clone(),
            tag,
            event_time: time,
            value,
            unit: None,
            status,
            kind: SampleKind::Update,
        }
    }
}

/// What a data value gives, each with its status.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ItemValue {
    /// One value.
    Scalar(Sample),
    /// One for each element of an array, in order; none where it is empty.
    Elements(Vec<Sample>),
    /// No value at all, be it of a scalar or of an array.
    Missing(Status),
}

/// What one data value gives.
pub(crate) fn item_value(target: &Target, data: &DataValue) -> ItemValue {
    let time = event_time(data);
    let code = data.status.unwrap_or(StatusCode::Good);
    let status = status(code);
    let code = (code.bits() != 0).then(|| i64::from(code.bits()));
    let sample = |tag, value: Result<Value, Status>| match value {
        Ok(value) => target.sample(tag, time, Some(value), status.clone()),
        Err(bad) => target.sample(tag, time, None, bad),
    };
    if status.quality == Quality::Bad {
        return ItemValue::Missing(status);
    }
    match &data.value {
        None | Some(Variant::Empty) => {
            ItemValue::Missing(Status::bad(code, "the server sent no value"))
        }
        Some(Variant::Array(array)) => match elements(target, array) {
            Ok(elements) => ItemValue::Elements(
                elements
                    .into_iter()
                    .map(|(tag, value)| sample(tag, value))
                    .collect(),
            ),
            Err(reason) => ItemValue::Missing(Status::bad(code, reason)),
        },
        Some(scalar) => match convert(scalar) {
            Ok(value) => ItemValue::Scalar(sample(target.tag.clone(), Ok(value))),
            Err(bad) => ItemValue::Missing(Status {
                code: bad.code.or(code),
                ..bad
            }),
        },
    }
}

/// The severity as quality, the raw code unless it is plain Good, and the symbolic name where it is not good.
pub(crate) fn status(code: StatusCode) -> Status {
    let quality = match code.bits() >> 30 {
        0 => Quality::Good,
        1 => Quality::Uncertain,
        _ => Quality::Bad,
    };
    let overflow = code.bits() & OVERFLOW == OVERFLOW;
    let mut reason = (quality != Quality::Good).then(|| name(code));
    if overflow {
        let lost =
            "the server's queue overflowed, values before this one are lost: raise queue_size";
        reason = Some(reason.map_or_else(|| lost.to_owned(), |name| format!("{name}; {lost}")));
    }
    Status {
        quality,
        code: (code.bits() != 0).then(|| i64::from(code.bits())),
        reason,
    }
}

/// The symbolic name of a status code, or its number where the specification has none.
pub(crate) fn name(code: StatusCode) -> String {
    match code.sub_code() {
        SubStatusCode::Invalid => format!("0x{:08X}", code.bits()),
        sub_code => sub_code.name().to_owned(),
    }
}

/// Whether a reconnected server repeats what it has reported before: the same source time, value and status.
/// Without a source time nothing can be the same instant.
pub(crate) fn is_repeat(before: &DataValue, now: &DataValue) -> bool {
    now.source_timestamp.is_some()
        && now.source_timestamp == before.source_timestamp
        && now.source_picoseconds == before.source_picoseconds
        && now.status.unwrap_or(StatusCode::Good) == before.status.unwrap_or(StatusCode::Good)
        && match (&before.value, &now.value) {
            (Some(before), Some(now)) => same(before, now),
            (before, now) => before.is_none() == now.is_none(),
        }
}

/// Equality with NaN equal to itself.
fn same(before: &Variant, now: &Variant) -> bool {
    match (before, now) {
        (Variant::Float(a), Variant::Float(b)) => a.to_bits() == b.to_bits(),
        (Variant::Double(a), Variant::Double(b)) => a.to_bits() == b.to_bits(),
        (Variant::Array(a), Variant::Array(b)) => {
            a.dimensions == b.dimensions
                && a.values.len() == b.values.len()
                && a.values.iter().zip(&b.values).all(|(a, b)| same(a, b))
        }
        (a, b) => a == b,
    }
}

/// The source's time; the server's where there is none; none outside of what a timestamp can hold.
pub(crate) fn event_time(data: &DataValue) -> Option<Timestamp> {
    let of = |time: &Option<DateTime>| {
        time.as_ref()
            .filter(|time| !time.is_null())
            .and_then(timestamp)
    };
    of(&data.source_timestamp).or_else(|| of(&data.server_timestamp))
}

fn timestamp(time: &DateTime) -> Option<Timestamp> {
    time.ticks()
        .checked_sub(UNIX_EPOCH_TICKS)?
        .checked_mul(100)
        .map(Timestamp::from_nanos)
}

type Element = (TagName, Result<Value, Status>);

fn elements(target: &Target, array: &Array) -> Result<Vec<Element>, String> {
    let dimensions = array.dimensions.as_ref().map_or(1, Vec::len);
    if dimensions > 1 {
        return Err(format!(
            "unsupported type: array of {dimensions} dimensions"
        ));
    }
    if array.values.len() > ELEMENTS_MAX {
        return Err(format!(
            "array of {} elements: at most {ELEMENTS_MAX} are taken",
            array.values.len()
        ));
    }
    let element = |(index, value): (usize, &Variant)| Ok((target.element(index)?, convert(value)));
    array.values.iter().enumerate().map(element).collect()
}

fn convert(value: &Variant) -> Result<Value, Status> {
    Ok(match value {
        Variant::Boolean(v) => Value::Bool(*v),
        Variant::SByte(v) => Value::I64(i64::from(*v)),
        Variant::Int16(v) => Value::I64(i64::from(*v)),
        Variant::Int32(v) => Value::I64(i64::from(*v)),
        Variant::Int64(v) => Value::I64(*v),
        Variant::Byte(v) => Value::U64(u64::from(*v)),
        Variant::UInt16(v) => Value::U64(u64::from(*v)),
        Variant::UInt32(v) => Value::U64(u64::from(*v)),
        Variant::UInt64(v) => Value::U64(*v),
        Variant::Float(v) => return finite(f64::from(*v), u64::from(v.to_bits())),
        Variant::Double(v) => return finite(*v, v.to_bits()),
        // A null text or byte string is reported as an empty one: the model has no typed null.
        Variant::String(v) => text(v.as_ref()),
        Variant::ByteString(v) => Value::Bytes(v.as_ref().to_vec()),
        Variant::DateTime(v) => Value::Text(v.as_chrono().to_rfc3339().replace("+00:00", "Z")),
        Variant::LocalizedText(v) => text(v.text.as_ref()),
        Variant::QualifiedName(v) => text(v.name.as_ref()),
        Variant::Guid(v) => Value::Text(v.to_string()),
        Variant::NodeId(v) => text(&v.to_string()),
        Variant::ExpandedNodeId(v) => text(&v.to_string()),
        Variant::StatusCode(v) => Value::U64(u64::from(v.bits())),
        Variant::XmlElement(_) => return Err(unsupported("XmlElement")),
        Variant::ExtensionObject(v) => {
            return Err(unsupported(v.type_name().unwrap_or("ExtensionObject")));
        }
        Variant::DataValue(_) => return Err(unsupported("DataValue")),
        Variant::DiagnosticInfo(_) => return Err(unsupported("DiagnosticInfo")),
        Variant::Variant(inner) => match &**inner {
            // Arrays of Variant hold one level; more is no measurement.
            Variant::Variant(_) | Variant::Array(_) => return Err(unsupported("nested Variant")),
            scalar => return convert(scalar),
        },
        Variant::Empty => return Err(Status::bad(None, "the server sent no value")),
        Variant::Array(_) => return Err(unsupported("nested array")),
    })
}

/// Up to the first NUL: what lies behind one is left over from a longer text.
fn text(text: &str) -> Value {
    Value::Text(text.split('\0').next().unwrap_or_default().to_owned())
}

fn unsupported(what: &str) -> Status {
    Status::bad(None, format!("unsupported type {what}"))
}

#[cfg(test)]
#[path = "value_tests.rs"]
mod tests;
