//! Single readings that leave their neighbours and are back at once.

use super::{Observation, Stretch};
use crate::order::{NORMAL, median};

/// Readings to each side that say what is usual around one.
const NEIGHBOURS: usize = 4;

/// Readings that may stand out together and still be a spike.
const WIDTH_MAX: usize = 2;

/// The spikes: at most two readings in a row that differ from the median of their neighbours on both sides by more than
/// `limit` times the usual step of the series (1.4826 times the median absolute step that is not 0), while the readings before and
/// after agree with each other. `value` is the difference from the neighbours.
///
/// A level that has changed is no spike: the neighbours on one side agree with it.
pub fn spikes(readings: &[Observation], limit: f64) -> Vec<Stretch> {
    let mut steps: Vec<f64> = readings
        .windows(2)
        .map(|pair| (pair[1].value - pair[0].value).abs())
        .filter(|step| *step > 0.0)
        .collect();
    if steps.len() < 2 * NEIGHBOURS {
        return Vec::new();
    }
    let usual = NORMAL * median(&mut steps);
    let mut found: Vec<Stretch> = Vec::new();
    let mut at = 0;
    while at < readings.len() {
        let spike = (1..=WIDTH_MAX).find_map(|width| spike(readings, at, width, limit * usual));
        at += spike.map_or(1, |spike| spike.readings);
        found.extend(spike);
    }
    found
}

/// The spike of `width` readings from `at` on, if they are one.
fn spike(readings: &[Observation], at: usize, width: usize, least: f64) -> Option<Stretch> {
    let before = readings.get(at.checked_sub(NEIGHBOURS)?..at)?;
    let inside = readings.get(at..at + width)?;
    let after = readings.get(at + width..at + width + NEIGHBOURS)?;
    let median_of = |part: &[Observation]| {
        median(&mut part.iter().map(|reading| reading.value).collect::<Vec<_>>())
    };
    let (left, right) = (median_of(before), median_of(after));
    let centre = left / 2.0 + right / 2.0;
    let stands_out = |reading: &Observation| {
        let from_left = reading.value - left;
        let from_right = reading.value - right;
        from_left.signum() == from_right.signum() && from_left.abs().min(from_right.abs()) > least
    };
    // The readings next to it must not stand out too: then it is a longer event, not a spike.
    let is_back = |reading: &Observation| (reading.value - centre).abs() <= least;
    let neighbours_are_calm =
        before.last().is_some_and(is_back) && after.first().is_some_and(is_back);
    let is_spike =
        inside.iter().all(stands_out) && neighbours_are_calm && (left - right).abs() <= least / 2.0;
    is_spike.then(|| Stretch {
        from_micros: inside[0].event_micros,
        to_micros: inside[width - 1].event_micros,
        readings: width,
        value: inside[0].value - centre,
    })
}
