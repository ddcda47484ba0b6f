//! Swinging-door compression (Bristol 1990, US patent 4669097, expired) in the form that keeps its word: straight lines between
//! the readings that are sent pass every reading that is left out within the deviation.
//!
//! From the reading that was sent last the door swings between two slopes. A reading whose own slope lies between them is held
//! and takes the place of the one before; any other sends the one that is held, from which the door swings again. The longest
//! gap between two readings that are sent is bounded.

use std::time::Duration;

use forebay_schemas::{Reading, Status, Timestamp, Value};

use crate::series::elapsed;

/// A door, as configured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DoorRule {
    /// In the unit of the value.
    pub(crate) deviation: f64,
    /// Longest time between two readings that are sent.
    pub(crate) gap_max: Duration,
}

/// What a door does with a reading.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Swung {
    /// The one that was held and is sent now.
    pub(super) released: Option<Reading>,
    /// The reading, where it is sent at once.
    pub(super) passes: Option<Reading>,
}

/// One series' door.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Door {
    from: Option<Hinge>,
    held: Option<Reading>,
}

/// The reading that was sent last, and how far the door may swing.
#[derive(Debug, Clone, PartialEq)]
struct Hinge {
    at: Timestamp,
    value: f64,
    status: Status,
    low: f64,
    high: f64,
}

impl Door {
    /// What is held back.
    pub(super) fn held(&self) -> Option<&Reading> {
        self.held.as_ref()
    }

    /// What was held back and is sent now: nothing followed it.
    pub(super) fn release(&mut self) -> Option<Reading> {
        let held = self.held.take()?;
        self.from = number(&held).map(|value| Hinge::new(&held, value));
        Some(held)
    }

    /// The newest time that it was told of.
    pub(super) fn newest(&self) -> Option<Timestamp> {
        let held = self.held.as_ref().map(|held| held.event_time);
        held.or(self.from.as_ref().map(|from| from.at))
    }

    /// Takes a reading.
    pub(super) fn take(&mut self, reading: Reading, rule: DoorRule) -> Swung {
        let value = number(&reading);
        let (Some(value), Some(from)) = (value, &mut self.from) else {
            return self.restart(reading);
        };
        let newest = self.held.as_ref().map_or(from.at, |held| held.event_time);
        if reading.event_time <= newest {
            // Late: it is sent, and changes nothing.
            return Swung {
                released: None,
                passes: Some(reading),
            };
        }
        if reading.status != from.status {
            return self.restart(reading);
        }
        let is_long = elapsed(from.at, reading.event_time) > rule.gap_max;
        if !is_long && from.swings(&reading, value, rule) {
            self.held = Some(reading);
            return Swung {
                released: None,
                passes: None,
            };
        }
        // Nothing is held where two readings alone are further apart than the longest gap.
        let Some(held) = self.release() else {
            return self.restart(reading);
        };
        let again = self.take(reading, rule);
        Swung {
            released: Some(held),
            passes: again.passes,
        }
    }

    /// Sends what is held and the reading, from which the door swings again.
    pub(super) fn restart(&mut self, reading: Reading) -> Swung {
        let released = self.held.take();
        self.from = number(&reading).map(|value| Hinge::new(&reading, value));
        Swung {
            released,
            passes: Some(reading),
        }
    }
}

impl Hinge {
    fn new(reading: &Reading, value: f64) -> Self {
        Self {
            at: reading.event_time,
            value,
            status: reading.status.clone(),
            low: f64::NEG_INFINITY,
            high: f64::INFINITY,
        }
    }

    /// Whether a straight line to this reading passes all that were left out; if so the door closes to those that pass it too.
    fn swings(&mut self, reading: &Reading, value: f64, rule: DoorRule) -> bool {
        let seconds = elapsed(self.at, reading.event_time).as_secs_f64();
        let slope = |value: f64| (value - self.value) / seconds;
        if !(self.low..=self.high).contains(&slope(value)) {
            return false;
        }
        let low = slope(value - rule.deviation);
        let high = slope(value + rule.deviation);
        self.low = self.low.max(low);
        self.high = self.high.min(high);
        true
    }
}

fn number(reading: &Reading) -> Option<f64> {
    match reading.value.as_ref()? {
        Value::Bool(_) => None,
        value => value.as_f64(),
    }
}

#[cfg(test)]
mod tests {
    use forebay_schemas::{DeviceId, Series, SiteId, TagName};
    use proptest::prelude::*;

    use super::*;

    fn reading(seconds: f64, value: f64) -> Reading {
        let at = Timestamp::from_nanos((seconds * 1e9) as i64);
        Reading {
            series: Series {
                site: SiteId::new("s").unwrap(),
                device: DeviceId::new("d").unwrap(),
                tag: TagName::new("t").unwrap(),
            },
            event_time: at,
            observed_time: at,
            value: Some(Value::F64(value)),
            unit: None,
            status: Status::GOOD,
        }
    }

    fn sent(points: &[(f64, f64)], deviation: f64, gap: u64) -> Vec<(f64, f64)> {
        let rule = DoorRule {
            deviation,
            gap_max: Duration::from_secs(gap),
        };
        let mut door = Door::default();
        let mut sent = Vec::new();
        for (seconds, value) in points {
            let swung = door.take(reading(*seconds, *value), rule);
            sent.extend(swung.released.into_iter().chain(swung.passes));
        }
        sent.extend(door.release());
        let point = |reading: &Reading| {
            let seconds = reading.event_time.nanos() as f64 / 1e9;
            (seconds, number(reading).unwrap())
        };
        sent.iter().map(point).collect()
    }

    #[test]
    fn only_corners_are_sent() {
        let ramp_and_rest: Vec<(f64, f64)> = (0..20)
            .map(|at| (f64::from(at), f64::from(at.min(10))))
            .collect();
        let table = [
            (
                ramp_and_rest.clone(),
                600,
                vec![(0.0, 0.0), (10.0, 10.0), (19.0, 10.0)],
            ),
            (
                ramp_and_rest,
                7,
                vec![
                    (0.0, 0.0),
                    (7.0, 7.0),
                    (10.0, 10.0),
                    (17.0, 10.0),
                    (19.0, 10.0),
                ],
            ),
            (
                vec![(0.0, 1.0), (100.0, 1.0)],
                7,
                vec![(0.0, 1.0), (100.0, 1.0)],
            ),
            (
                vec![(0.0, 1.0), (5.0, 1.0), (3.0, 1.0)],
                7,
                vec![(0.0, 1.0), (3.0, 1.0), (5.0, 1.0)],
            ),
        ];
        for (points, gap, expected) in table {
            assert_eq!(sent(&points, 0.01, gap), expected, "{points:?}");
        }
    }

    proptest! {
        /// Interpolated between the readings that are sent, every other one is met within the deviation, and no gap is longer
        /// than it may be unless there was nothing to send.
        #[test]
        fn lines_between_what_is_sent_meet_what_is_not(
            steps in proptest::collection::vec((0.1..20.0_f64, -3.0..3.0_f64), 2..200),
            deviation in 0.0..4.0_f64,
            gap in 10..100_u64,
        ) {
            let (mut at, mut value) = (0.0, 0.0);
            let points: Vec<(f64, f64)> = steps.iter().map(|(after, move_)| {
                at += after;
                value += move_;
                (at, value)
            }).collect();
            let sent = sent(&points, deviation, gap);
            prop_assert_eq!(sent.first().map(|first| first.1), points.first().map(|first| first.1));
            prop_assert_eq!(sent.last().map(|last| last.1), points.last().map(|last| last.1));
            for (seconds, value) in &points {
                let behind = sent.iter().position(|(at, _)| *at + 1e-6 >= *seconds).unwrap();
                let (to_at, to) = sent[behind];
                let (from_at, from) = sent[behind.saturating_sub(1)];
                let share = if to_at > from_at { (seconds - from_at) / (to_at - from_at) } else { 1.0 };
                let line = from + share * (to - from);
                prop_assert!((line - value).abs() <= deviation + 1e-6, "{} at {}: {}", value, seconds, line);
            }
            for pair in sent.windows(2) {
                let apart = pair[1].0 - pair[0].0;
                let between = points.iter().filter(|(at, _)| *at > pair[0].0 + 1e-6 && *at < pair[1].0 - 1e-6).count();
                prop_assert!(apart <= gap as f64 + 1e-6 || between == 0);
            }
        }
    }
}
