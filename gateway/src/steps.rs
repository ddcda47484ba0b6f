//! From a sample to a reading, and the steps that look at one reading alone: pure. What a step makes infinite or no number is
//! bad and has no value.

mod conversion;
mod door;
mod message;
mod rate;
mod series;
mod tables;
mod trace;
mod window;

use forebay_connectors::Sample;
use forebay_schemas::{Quality, Reading, Series, SiteId, Status, Timestamp, Value};

pub use self::{
    door::DoorRule,
    tables::StepSettings,
    window::{Aggregate, WindowRule},
};
pub(crate) use self::{
    series::{HoldRule, Outcome, Passage, SeriesSteps},
    tables::{StepRule, StepTables, Surroundings},
    trace::Trace,
};
use crate::{
    rule::{Rule, ToUnit},
    ucum::Conversion,
};

/// What the steps that need no memory make of a sample.
#[derive(Debug, PartialEq)]
pub(crate) enum Stepped {
    /// A reading.
    Reading(Reading),
    /// A value outside what the rule keeps.
    OutOfRange,
}

/// Names one sample, and takes it as far as it goes without memory.
pub(crate) fn step(
    sample: Sample,
    rule: &Rule,
    site: &SiteId,
    now: Timestamp,
    around: &Surroundings,
) -> Stepped {
    let mut reading = Reading {
        series: Series {
            site: site.clone(),
            device: sample.device,
            tag: rule.named(sample.tag),
        },
        event_time: sample.event_time.unwrap_or(now),
        observed_time: now,
        value: sample.value,
        unit: sample.unit,
        status: sample.status,
    };
    if rule.rename.is_some() {
        around.show("rename", &reading);
    }
    raw_steps(&mut reading, rule, around);
    name_unit(&mut reading, rule, around);
    if rule.computes() {
        return Stepped::Reading(reading);
    }
    let conversion = match &rule.to_unit {
        Some(ToUnit::Known(known)) => Some(known.conversion),
        _ => None,
    };
    value_steps(reading, rule, conversion, around)
}

/// Invalid, scale and offset.
fn raw_steps(reading: &mut Reading, rule: &Rule, around: &Surroundings) {
    let Some(value) = &reading.value else { return };
    if rule.invalid.iter().any(|invalid| invalid.is(value)) {
        let code = match value {
            Value::I64(code) => Some(*code),
            Value::U64(code) => i64::try_from(*code).ok(),
            _ => None,
        };
        let reason = format!("invalid value {}", shown(value));
        reading.status = Status::bad(reading.status.code.or(code), reason);
        reading.value = None;
        return around.show("invalid", reading);
    }
    let Some(raw) = value.as_f64() else { return };
    let scaled = raw * rule.scale + rule.offset;
    if is_value(reading, scaled, raw) && rule.is_scaled() {
        reading.value = Some(Value::F64(scaled));
    }
    if rule.is_scaled() {
        around.show("scale", reading);
    }
}

/// The unit that the rule names.
fn name_unit(reading: &mut Reading, rule: &Rule, around: &Surroundings) {
    if let Some(unit) = &rule.unit {
        reading.unit = Some(unit.clone());
        around.show("unit", reading);
    }
}

/// Conversion, keep, clamp.
fn value_steps(
    mut reading: Reading,
    rule: &Rule,
    conversion: Option<Conversion>,
    around: &Surroundings,
) -> Stepped {
    if let Some(conversion) = conversion {
        if let Some(value) = reading.value.as_ref().and_then(Value::as_f64) {
            let converted = conversion.of(value);
            if is_value(&mut reading, converted, value) {
                reading.value = Some(Value::F64(converted));
            }
        }
        if let Some(ToUnit::Known(known)) = &rule.to_unit {
            reading.unit = Some(known.code.clone());
            around.show("to_unit", &reading);
        }
    }
    let Some(value) = reading.value.as_ref().and_then(Value::as_f64) else {
        return Stepped::Reading(reading);
    };
    if let Some((low, high)) = rule.keep {
        if !(low..=high).contains(&value) {
            around.show_left_out("keep", &reading);
            return Stepped::OutOfRange;
        }
        around.show("keep", &reading);
    }
    if let Some(bound) = rule.clamp.and_then(|bounds| beyond(value, bounds)) {
        reading.value = Some(Value::F64(bound));
        let status = &mut reading.status;
        status.quality = status.quality.max(Quality::Uncertain);
        status
            .reason
            .get_or_insert_with(|| format!("{value} clamped to {bound}"));
    }
    if rule.clamp.is_some() {
        around.show("clamp", &reading);
    }
    Stepped::Reading(reading)
}

/// Whether a number can be a value; what cannot makes the reading bad, with the bits of `raw` as its code.
fn is_value(reading: &mut Reading, number: f64, raw: f64) -> bool {
    let Some(reason) = not_finite(number) else {
        return true;
    };
    // No good value (D4), and none that sums and averages could take.
    reading.value = None;
    let code = reading.status.code.or(Some(raw.to_bits().cast_signed()));
    reading.status = Status::bad(code, reason);
    false
}

/// What a value is that is no number to count with; its raw bits are the reading's code.
fn not_finite(value: f64) -> Option<&'static str> {
    match value {
        value if value.is_nan() => Some("not a number"),
        value if value.is_infinite() => Some("infinite"),
        _ => None,
    }
}

/// The bound that a value is beyond.
fn beyond(value: f64, (low, high): (f64, f64)) -> Option<f64> {
    if value < low {
        Some(low)
    } else if value > high {
        Some(high)
    } else {
        None
    }
}

/// A raw value in a reason.
fn shown(value: &Value) -> String {
    match value {
        Value::F64(value) => value.to_string(),
        Value::I64(value) => value.to_string(),
        Value::U64(value) => value.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::Text(value) => format!("{value:?}"),
        Value::Bytes(bytes) => format!("of {} bytes", bytes.len()),
    }
}
