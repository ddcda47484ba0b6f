//! From a sample to a reading: pure, one series at a time. What scaling makes infinite or no number is bad and has no value.

use forebay_connectors::Sample;
use forebay_schemas::{Quality, Reading, Series, SiteId, Status, Timestamp, Value};

use crate::rule::Rule;

/// What the steps that need no memory make of a sample.
#[derive(Debug, PartialEq)]
pub(crate) enum Stepped {
    /// A reading.
    Reading(Reading),
    /// A value outside what the rule keeps.
    OutOfRange,
}

/// Scales, bounds and names one sample.
pub(crate) fn step(sample: Sample, rule: &Rule, site: &SiteId, now: Timestamp) -> Stepped {
    let Sample {
        rule: _,
        kind: _,
        device,
        tag,
        event_time,
        mut value,
        unit,
        mut status,
    } = sample;
    if let Some(raw) = value.as_ref().and_then(Value::as_f64) {
        let scaled = raw * rule.scale + rule.offset;
        if let Some(reason) = not_finite(scaled) {
            // No good value (D4), and none that sums and averages could take.
            value = None;
            status = Status::bad(status.code.or(Some(raw.to_bits().cast_signed())), reason);
        } else if rule
            .keep
            .is_some_and(|(low, high)| !(low..=high).contains(&scaled))
        {
            return Stepped::OutOfRange;
        } else if let Some(bound) = rule.clamp.and_then(|bounds| beyond(scaled, bounds)) {
            value = Some(Value::F64(bound));
            status.quality = status.quality.max(Quality::Uncertain);
            status
                .reason
                .get_or_insert_with(|| format!("{scaled} clamped to {bound}"));
        } else if rule.is_scaled() {
            value = Some(Value::F64(scaled));
        }
    }
    Stepped::Reading(Reading {
        series: Series {
            site: site.clone(),
            device,
            tag: rule.named(tag),
        },
        event_time: event_time.unwrap_or(now),
        observed_time: now,
        value,
        unit: rule.unit.clone().or(unit),
        status,
    })
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
