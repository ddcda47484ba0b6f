//! What is wrong with a series as data: gaps, stuck values, spikes, values out of range, drift, a wrong clock.
//!
//! Each check is a function of the good readings of one series in the order of their event times (gaps: of these times alone); what is usual for the series
//! is taken from these readings themselves, so that the defaults fit a temperature and a flow. A check says what it
//! saw and where; what to make of it is the caller's.

mod clock;
mod drift;
mod gaps;
mod spikes;
mod stuck;

pub use clock::{ClockError, clock_error};
pub use drift::{Drift, drift};
pub use gaps::{Gaps, gaps, usual_interval_micros};
pub use spikes::spikes;
pub use stuck::stuck_values;

/// A good reading of a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation {
    /// Its event time, in microseconds since 1970.
    pub event_micros: i64,
    /// When the gateway had it, in microseconds since 1970.
    pub observed_micros: i64,
    /// Its value.
    pub value: f64,
}

/// A stretch of readings with something wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stretch {
    /// The first reading's event time, in microseconds since 1970.
    pub from_micros: i64,
    /// The last one's.
    pub to_micros: i64,
    /// How many readings; none in a gap.
    pub readings: usize,
    /// How much, in the measure that the check names.
    pub value: f64,
}

/// The stretches of values outside `low` to `high`; their `value` is the furthest.
pub fn out_of_range(readings: &[Observation], low: f64, high: f64) -> Vec<Stretch> {
    let beyond = |value: f64| (low - value).max(value - high);
    stretches(
        readings,
        |reading| beyond(reading.value) > 0.0,
        |a, b| match beyond(b) > beyond(a) {
            true => b,
            false => a,
        },
    )
}

/// Neighbouring readings that fit, joined; `worse` chooses the value that stands for two.
fn stretches(
    readings: &[Observation],
    fits: impl Fn(&Observation) -> bool,
    worse: impl Fn(f64, f64) -> f64,
) -> Vec<Stretch> {
    let mut found: Vec<Stretch> = Vec::new();
    let mut is_open = false;
    for reading in readings {
        if !fits(reading) {
            is_open = false;
            continue;
        }
        match found.last_mut().filter(|_| is_open) {
            Some(last) => {
                last.to_micros = reading.event_micros;
                last.readings += 1;
                last.value = worse(last.value, reading.value);
            }
            None => found.push(Stretch {
                from_micros: reading.event_micros,
                to_micros: reading.event_micros,
                readings: 1,
                value: reading.value,
            }),
        }
        is_open = true;
    }
    found
}

#[cfg(test)]
mod tests;
