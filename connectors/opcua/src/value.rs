//! OPC UA data values as samples: times, status codes, types, arrays.
//!
//! Kept here: integers stay exact, Float widens to f64 exactly, a bad status never carries a value, and what cannot be
//! taken over becomes a bad sample that says so. It deliberately scales nothing and knows no units.

use forebay_connectors::{RuleId, Sample, Told};
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
    /// A sample that says why there is no value; the time is that of arrival.
    pub(crate) fn failed(&self, status: Status) -> Sample {
        self.sample(self.tag.clone(), None, None, status)
    }

    fn sample(&self, tag: TagName, time: Option<Timestamp>, value: Option<Value>, status: Status) -> Sample {
        Sample {
            rule: self.rule,
            device: self.device.clone(),
            tag,
            event_time: time,
            value,
            unit: None,
            status,
            told: Told::Anew,
        }
    }
}

/// The samples of one data value, in order: one, or one for each element of an array.
pub(crate) fn samples(target: &Target, data: &DataValue) -> Vec<Sample> {
    let time = event_time(data);
    let code = data.status.unwrap_or(StatusCode::Good);
    let status = status(code);
    let refused = |reason: String| {
        let code = (code.bits() != 0).then(|| i64::from(code.bits()));
        vec![target.sample(target.tag.clone(), time, None, Status::bad(code, reason))]
    };
    if status.quality == Quality::Bad {
        return vec![target.sample(target.tag.clone(), time, None, status)];
    }
    match &data.value {
        None | Some(Variant::Empty) => refused("the server sent no value".to_owned()),
        Some(Variant::Array(array)) => match elements(target, array) {
            Ok(elements) => elements
                .into_iter()
                .map(|(tag, value)| match value {
                    Ok(value) => target.sample(tag, time, Some(value), status.clone()),
                    Err(reason) => target.sample(tag, time, None, Status::bad(None, reason)),
                })
                .collect(),
            Err(reason) => refused(reason),
        },
        Some(scalar) => match convert(scalar) {
            Ok(value) => vec![target.sample(target.tag.clone(), time, Some(value), status)],
            Err(reason) => refused(reason),
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
        let lost = "the server's queue overflowed, values before this one are lost: raise queue_size";
        reason = Some(reason.map_or_else(|| lost.to_owned(), |name| format!("{name}; {lost}")));
    }
    Status { quality, code: (code.bits() != 0).then(|| i64::from(code.bits())), reason }
}

/// The symbolic name of a status code, or its number where the specification has none.
pub(crate) fn name(code: StatusCode) -> String {
    match code.sub_code() {
        SubStatusCode::Invalid => format!("0x{:08X}", code.bits()),
        sub_code => sub_code.name().to_owned(),
    }
}

/// Whether a reconnected server tells again what it has told before: the same source time, value and status.
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
fn event_time(data: &DataValue) -> Option<Timestamp> {
    let of = |time: &Option<DateTime>| time.as_ref().filter(|time| !time.is_null()).and_then(timestamp);
    of(&data.source_timestamp).or_else(|| of(&data.server_timestamp))
}

fn timestamp(time: &DateTime) -> Option<Timestamp> {
    time.ticks().checked_sub(UNIX_EPOCH_TICKS)?.checked_mul(100).map(Timestamp::from_nanos)
}

type Element = (TagName, Result<Value, String>);

fn elements(target: &Target, array: &Array) -> Result<Vec<Element>, String> {
    let dimensions = array.dimensions.as_ref().map_or(1, Vec::len);
    if dimensions > 1 {
        return Err(format!("unsupported type: array of {dimensions} dimensions"));
    }
    if array.values.len() > ELEMENTS_MAX {
        return Err(format!("array of {} elements: at most {ELEMENTS_MAX} are taken", array.values.len()));
    }
    let element = |(index, value): (usize, &Variant)| {
        let tag = format!("{}[{index}]", target.tag);
        let tag = TagName::new(&tag).map_err(|error| format!("array element {tag}: {error}"))?;
        Ok((tag, convert(value)))
    };
    array.values.iter().enumerate().map(element).collect()
}

fn convert(value: &Variant) -> Result<Value, String> {
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
        Variant::Float(v) => Value::F64(f64::from(*v)),
        Variant::Double(v) => Value::F64(*v),
        // A null text or byte string is told as an empty one: the model has no typed null.
        Variant::String(v) => Value::Text(v.as_ref().to_owned()),
        Variant::ByteString(v) => Value::Bytes(v.as_ref().to_vec()),
        Variant::DateTime(v) => Value::Text(v.as_chrono().to_rfc3339().replace("+00:00", "Z")),
        Variant::LocalizedText(v) => Value::Text(v.text.as_ref().to_owned()),
        Variant::QualifiedName(v) => Value::Text(v.name.as_ref().to_owned()),
        Variant::Guid(v) => Value::Text(v.to_string()),
        Variant::NodeId(v) => Value::Text(v.to_string()),
        Variant::ExpandedNodeId(v) => Value::Text(v.to_string()),
        Variant::StatusCode(v) => Value::U64(u64::from(v.bits())),
        Variant::XmlElement(_) => return Err(unsupported("XmlElement")),
        Variant::ExtensionObject(v) => return Err(unsupported(v.type_name().unwrap_or("ExtensionObject"))),
        Variant::DataValue(_) => return Err(unsupported("DataValue")),
        Variant::DiagnosticInfo(_) => return Err(unsupported("DiagnosticInfo")),
        Variant::Variant(inner) => match &**inner {
            // Arrays of Variant hold one level; more is no measurement.
            Variant::Variant(_) | Variant::Array(_) => return Err(unsupported("nested Variant")),
            scalar => return convert(scalar),
        },
        Variant::Empty => return Err("the server sent no value".to_owned()),
        Variant::Array(_) => return Err(unsupported("nested array")),
    })
}

fn unsupported(what: &str) -> String {
    format!("unsupported type {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        Target { rule: RuleId(3), device: DeviceId::new("press").unwrap(), tag: TagName::new("force").unwrap() }
    }

    fn at(ticks: i64, value: impl Into<Variant>) -> DataValue {
        DataValue { value: Some(value.into()), source_timestamp: Some(DateTime::from(ticks)), ..DataValue::null() }
    }

    #[test]
    fn severity_decides_the_quality_and_the_code_is_kept() {
        let cases = [
            (0x0000_0000, Quality::Good, None, None),
            (0x00A3_0000, Quality::Good, Some(0x00A3_0000), None),
            (0x4090_0000, Quality::Uncertain, Some(0x4090_0000), Some("UncertainLastUsableValue")),
            (0x808B_0000, Quality::Bad, Some(0x808B_0000), Some("BadDeviceFailure")),
            (0xC000_0000, Quality::Bad, Some(0xC000_0000), Some("0xC0000000")),
            (0x80FE_0000, Quality::Bad, Some(0x80FE_0000), Some("0x80FE0000")),
        ];
        for (bits, quality, code, reason) in cases {
            let expected = Status { quality, code, reason: reason.map(str::to_owned) };
            assert_eq!(status(StatusCode::from(bits)), expected, "{bits:#x}");
        }
        let overflowed = status(StatusCode::from(0x0000_0480));
        assert_eq!(overflowed.quality, Quality::Good);
        assert!(overflowed.reason.unwrap().contains("queue overflowed"));
        assert_eq!(status(StatusCode::from(0x0000_0080)).reason, None, "the bit means overflow only for data values");
    }

    #[test]
    fn the_source_time_goes_before_the_server_time_and_impossible_times_are_none() {
        let mut data = at(UNIX_EPOCH_TICKS + 15, 1.5_f64);
        data.server_timestamp = Some(DateTime::from(UNIX_EPOCH_TICKS + 20));
        assert_eq!(event_time(&data), Some(Timestamp::from_nanos(1500)));
        data.source_timestamp = None;
        assert_eq!(event_time(&data), Some(Timestamp::from_nanos(2000)));
        data.server_timestamp = None;
        assert_eq!(event_time(&data), None);
        for ticks in [0, 1, i64::MIN, i64::MAX, i64::MAX - 1] {
            assert_eq!(event_time(&at(ticks, 1.5_f64)), None, "{ticks}");
        }
    }

    #[test]
    fn a_bad_status_carries_no_value_and_an_uncertain_one_does() {
        let mut data = at(UNIX_EPOCH_TICKS, 7_i32);
        data.status = Some(StatusCode::BadSensorFailure);
        assert_eq!(samples(&target(), &data)[0].value, None);
        data.status = Some(StatusCode::UncertainSubNormal);
        assert_eq!(samples(&target(), &data)[0].value, Some(Value::I64(7)));
    }

    #[test]
    fn arrays_become_numbered_tags_and_too_much_is_refused_with_a_reason() {
        let array = |values: Vec<f32>| Variant::from(values);
        let found = samples(&target(), &at(UNIX_EPOCH_TICKS, array(vec![1.5, f32::NAN])));
        let tags: Vec<&str> = found.iter().map(|sample| sample.tag.as_str()).collect();
        assert_eq!(tags, ["force[0]", "force[1]"]);
        assert_eq!(found[0].value, Some(Value::F64(1.5)));
        assert_eq!(samples(&target(), &at(0, array(vec![0.0; 1000]))).len(), 1000);
        let reason = |data| samples(&target(), &data)[0].status.reason.clone().unwrap();
        assert_eq!(reason(at(0, array(vec![0.0; 1001]))), "array of 1001 elements: at most 1000 are taken");
        let matrix = Array {
            value_type: opcua::types::VariantScalarTypeId::Int32,
            values: vec![Variant::Int32(1); 4],
            dimensions: Some(vec![2, 2]),
        };
        assert_eq!(reason(at(0, Variant::Array(Box::new(matrix)))), "unsupported type: array of 2 dimensions");
        assert_eq!(reason(at(0, Variant::Empty)), "the server sent no value");
        let nested = Variant::Variant(Box::new(Variant::Variant(Box::new(Variant::Int32(1)))));
        assert_eq!(reason(at(0, nested)), "unsupported type nested Variant");
    }

    #[test]
    fn a_repeat_has_the_same_source_time_value_and_status() {
        let first = at(UNIX_EPOCH_TICKS, f64::NAN);
        assert!(is_repeat(&first, &first.clone()));
        assert!(!is_repeat(&first, &at(UNIX_EPOCH_TICKS + 1, f64::NAN)));
        assert!(!is_repeat(&first, &at(UNIX_EPOCH_TICKS, 1.0_f64)));
        let bad = DataValue { status: Some(StatusCode::BadSensorFailure), ..first.clone() };
        assert!(!is_repeat(&first, &bad));
        let timeless = DataValue { source_timestamp: None, ..first };
        assert!(!is_repeat(&timeless, &timeless.clone()));
    }
}
