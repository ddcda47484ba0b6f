//! OPC UA data values as samples: times, status codes, and the parts of a value.
//!
//! Kept here: integers stay exact, Float widens to f64 exactly, a bad status never carries a value, NaN and infinity are
//! none, a text ends at its first NUL, and what cannot be taken over becomes a bad sample that says so. It deliberately
//! scales nothing and knows no units.

use forebay_connectors::{RuleId, Sample, SampleKind};
use forebay_schemas::{DeviceId, Quality, Status, TagName, Timestamp, Value};
use opcua::types::{DataValue, DateTime, StatusCode, SubStatusCode, Variant};

use crate::{
    settings::{Compound, EnumerationForm, ServerDeadband},
    tree::{Budget, Leaf, Tree},
    types::{Enumeration, Types},
};

/// 1970-01-01 in OPC UA's ticks of 100 ns since 1601-01-01.
pub(crate) const UNIX_EPOCH_TICKS: i64 = 116_444_736_000_000_000;

/// Info type DataValue with the overflow bit (Part 4, 7.39): the server's queue dropped values before this one.
const OVERFLOW: u32 = 0x0480;

/// The name of a series, to be repeated in each of its samples, and what a value of it becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) rule: RuleId,
    pub(crate) device: DeviceId,
    pub(crate) tag: TagName,
    pub(crate) compound: Compound,
    pub(crate) enumeration: EnumerationForm,
}

impl Target {
    /// A sample that says since when and why there is no value; without a time it is that of arrival.
    pub(crate) fn failed(&self, tag: TagName, time: Option<Timestamp>, status: Status) -> Sample {
        self.sample(tag, time, None, status)
    }

    fn part(&self, suffix: &str) -> Result<TagName, String> {
        if suffix.is_empty() {
            return Ok(self.tag.clone());
        }
        let tag = format!("{}{suffix}", self.tag);
        TagName::new(&tag).map_err(|error| format!("part {tag} of the value: {error}"))
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

/// The shape of a value, which says why the parts of an earlier one are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// One value under the tag itself.
    Scalar,
    /// So many elements.
    Array(usize),
    /// Fields.
    Structure,
}

/// What a data value gives, each with its status.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ItemValue {
    /// A sample for each part, in order; none of an empty array.
    Parts(Form, Vec<Sample>),
    /// No value at all, whatever its parts.
    Missing(Status),
}

/// What one data value gives. `names` are those of the variable's enumeration.
pub(crate) fn item_value(
    target: &Target,
    data: &DataValue,
    types: &Types,
    names: Option<&Enumeration>,
) -> ItemValue {
    let time = event_time(data);
    let code = data.status.unwrap_or(StatusCode::Good);
    let status = status(code);
    let code = (code.bits() != 0).then(|| i64::from(code.bits()));
    if status.quality == Quality::Bad {
        return ItemValue::Missing(status);
    }
    let Some(value) = data.value.as_ref().filter(|value| !value.is_empty()) else {
        return ItemValue::Missing(Status::bad(code, "the server sent no value"));
    };
    let mut tree = Tree::of(value, types, 0, &mut Budget::new());
    if let Some(names) = names {
        tree = tree.named(&|number| names.name(number));
    }
    let form = match &tree {
        // The whole is without a value, and with it every part that an earlier one had.
        Tree::Leaf(Err(bad)) => {
            return ItemValue::Missing(Status {
                code: bad.code.or(code),
                ..bad.clone()
            });
        }
        Tree::Leaf(Ok(_)) | Tree::Named(..) => Form::Scalar,
        Tree::Array(_, items) => Form::Array(items.len()),
        Tree::Fields(_) => Form::Structure,
    };
    let sample = |leaf: Leaf| {
        let tag = target.part(&leaf.suffix)?;
        Ok(match leaf.value {
            Ok(value) => target.sample(tag, time, Some(value), status.clone()),
            Err(bad) => target.sample(tag, time, None, bad),
        })
    };
    if form != Form::Scalar && target.compound == Compound::Json {
        let mut text = String::new();
        tree.json(&mut text);
        let whole = target.sample(target.tag.clone(), time, Some(Value::Text(text)), status);
        return ItemValue::Parts(Form::Scalar, vec![whole]);
    }
    let samples = tree
        .leaves(target.enumeration)
        .and_then(|leaves| leaves.into_iter().map(sample).collect());
    match samples {
        Ok(samples) => ItemValue::Parts(form, samples),
        Err(reason) => ItemValue::Missing(Status::bad(code, reason)),
    }
}

/// The severity as quality, the raw code unless it is plain Good, and the symbolic name where it is not good.
pub(crate) fn status(code: StatusCode) -> Status {
    let overflow = code.bits() & OVERFLOW == OVERFLOW;
    let quality = match code.bits() >> 30 {
        // The value is right, and what was before it is not there.
        0 if overflow => Quality::Uncertain,
        0 => Quality::Good,
        1 => Quality::Uncertain,
        _ => Quality::Bad,
    };
    let mut reason = (code.bits() >> 30 != 0).then(|| name(code));
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
        && both_or_neither(before, now, same)
}

/// Whether a server that reports changes has nothing to say of a value that is read, because it reported as much before: the
/// status, and the value or one that the dead-band does not tell from it. The times say nothing: a server may stamp each sample.
pub(crate) fn holds(before: &DataValue, now: &DataValue, deadband: Option<ServerDeadband>) -> bool {
    // Bits below the code tell of the way that a value took, such as a queue that overflowed.
    let code = |data: &DataValue| data.status.unwrap_or(StatusCode::Good).bits() >> 16;
    let same_or_within = |before: &Variant, now: &Variant| {
        same(before, now) || deadband.is_some_and(|deadband| is_within(deadband, before, now))
    };
    code(now) == code(before) && both_or_neither(before, now, same_or_within)
}

fn both_or_neither(
    before: &DataValue,
    now: &DataValue,
    is_same: impl Fn(&Variant, &Variant) -> bool,
) -> bool {
    match (&before.value, &now.value) {
        (Some(before), Some(now)) => is_same(before, now),
        (before, now) => before.is_none() == now.is_none(),
    }
}

/// A server may compute with fewer digits.
const ROUNDING: f64 = 1e-6;

fn is_within(deadband: ServerDeadband, before: &Variant, now: &Variant) -> bool {
    if let (Variant::Array(before), Variant::Array(now)) = (before, now) {
        let mut pairs = before.values.iter().zip(&now.values);
        return before.dimensions == now.dimensions
            && before.values.len() == now.values.len()
            && pairs.all(|(before, now)| same(before, now) || is_within(deadband, before, now));
    }
    let (Some(before), Some(now)) = (number(before), number(now)) else {
        return false;
    };
    let distance = (now - before).abs();
    match deadband {
        ServerDeadband::Absolute(width) => distance <= width * (1.0 + ROUNDING),
        // The range is the server's; what lies outside of the dead-band it reports by itself.
        ServerDeadband::Percent(_) => distance.is_finite(),
    }
}

fn number(value: &Variant) -> Option<f64> {
    Some(match value {
        Variant::SByte(number) => f64::from(*number),
        Variant::Byte(number) => f64::from(*number),
        Variant::Int16(number) => f64::from(*number),
        Variant::UInt16(number) => f64::from(*number),
        Variant::Int32(number) => f64::from(*number),
        Variant::UInt32(number) => f64::from(*number),
        Variant::Int64(number) => *number as f64,
        Variant::UInt64(number) => *number as f64,
        Variant::Float(number) => f64::from(*number),
        Variant::Double(number) => *number,
        _ => return None,
    })
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

/// A time of the server's; none outside of what a timestamp can hold.
pub(crate) fn timestamp(time: &DateTime) -> Option<Timestamp> {
    time.ticks()
        .checked_sub(UNIX_EPOCH_TICKS)?
        .checked_mul(100)
        .map(Timestamp::from_nanos)
}

#[cfg(test)]
mod tests;
