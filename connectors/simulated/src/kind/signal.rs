//! Signals: the course of a value over time.

use std::time::Duration;

use forebay_schemas::Value;

use super::random::Random;

/// The course of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Course {
    Sine,
    Triangle,
    Ramp,
    Square,
    RandomWalk,
    Counter,
    States,
    Constant,
}

/// A signal, as configured.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Signal {
    pub(super) course: Course,
    pub(super) low: f64,
    /// Not below `low`.
    pub(super) high: f64,
    /// Above zero.
    pub(super) period: Duration,
    /// Standard deviation of what is added to each value.
    pub(super) noise: f64,
    pub(super) states: Vec<String>,
}

/// A signal under way.
#[derive(Debug, Clone)]
pub(super) struct Run {
    signal: Signal,
    random: Random,
    walk: f64,
    /// Values so far.
    count: i64,
}

impl Run {
    pub(super) fn new(signal: Signal, random: Random) -> Self {
        let walk = f64::midpoint(signal.low, signal.high);
        Self {
            signal,
            random,
            walk,
            count: 0,
        }
    }

    /// The next value, `at` after the start.
    pub(super) fn next(&mut self, at: Duration) -> Value {
        let Signal {
            course, low, high, ..
        } = self.signal;
        let turns = at.as_secs_f64() / self.signal.period.as_secs_f64();
        let phase = turns.fract();
        let count = self.count;
        self.count = count.wrapping_add(1);
        let plain = match course {
            Course::Sine => {
                let middle = f64::midpoint(low, high);
                middle + (high - low) / 2.0 * (std::f64::consts::TAU * phase).sin()
            }
            Course::Triangle => low + (high - low) * (1.0 - (2.0 * phase - 1.0).abs()),
            Course::Ramp => low + (high - low) * phase,
            Course::Square if phase < 0.5 => low,
            Course::Square => high,
            Course::RandomWalk => self.step(),
            Course::Constant => low,
            Course::Counter => return counted(low, high, count),
            Course::States => return Value::Text(self.state(phase)),
        };
        // Drawn even where it is not used, so that noise changes no other draw.
        let noise = self.random.normal() * self.signal.noise;
        Value::F64(plain + noise)
    }

    /// A step of a hundredth of the range, turned back at its ends.
    fn step(&mut self) -> f64 {
        let Signal { low, high, .. } = self.signal;
        let next = self.walk + self.random.normal() * (high - low) / 100.0;
        let turned = if next > high {
            2.0 * high - next
        } else if next < low {
            2.0 * low - next
        } else {
            next
        };
        self.walk = turned.clamp(low, high);
        self.walk
    }

    fn state(&self, phase: f64) -> String {
        let states = &self.signal.states;
        let place = (phase * states.len() as f64) as usize;
        states.get(place).cloned().unwrap_or_default()
    }
}

/// An integer from `low` to `high`, and then from `low` again.
fn counted(low: f64, high: f64, count: i64) -> Value {
    let low = low.ceil() as i64;
    let span = (high.floor() as i64)
        .saturating_sub(low)
        .saturating_add(1)
        .max(1);
    Value::I64(low.saturating_add(count.rem_euclid(span)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(course: Course, noise: f64) -> Run {
        let signal = Signal {
            course,
            low: 10.0,
            high: 30.0,
            period: Duration::from_secs(8),
            noise,
            states: vec!["off".into(), "on".into()],
        };
        Run::new(signal, Random::new(7, 0))
    }

    /// Values a second apart.
    fn values(course: Course, count: u64) -> Vec<Value> {
        let mut run = run(course, 0.0);
        (0..count)
            .map(|second| run.next(Duration::from_secs(second)))
            .collect()
    }

    #[test]
    fn signals_take_the_course_that_they_are_named_for() {
        let table = [
            (
                Course::Sine,
                [20.0, 27.071, 30.0, 27.071, 20.0, 12.929, 10.0, 12.929, 20.0],
            ),
            (
                Course::Triangle,
                [10.0, 15.0, 20.0, 25.0, 30.0, 25.0, 20.0, 15.0, 10.0],
            ),
            (
                Course::Ramp,
                [10.0, 12.5, 15.0, 17.5, 20.0, 22.5, 25.0, 27.5, 10.0],
            ),
            (
                Course::Square,
                [10.0, 10.0, 10.0, 10.0, 30.0, 30.0, 30.0, 30.0, 10.0],
            ),
            (Course::Constant, [10.0; 9]),
        ];
        for (course, expected) in table {
            let made = values(course, 9).into_iter().map(|value| match value {
                Value::F64(value) => (value * 1e3).round() / 1e3,
                other => panic!("{course:?} gives {other:?}"),
            });
            assert_eq!(made.collect::<Vec<f64>>(), expected, "{course:?}");
        }
    }

    #[test]
    fn a_counter_begins_again_behind_its_highest_number() {
        let counted = values(Course::Counter, 23);
        let expected: Vec<Value> = (10..=30).chain(10..12).map(Value::I64).collect();
        assert_eq!(counted, expected);
        assert_eq!(super::counted(-0.5, 1e300, i64::MAX), Value::I64(0));
        assert_eq!(super::counted(5.5, 5.7, 9), Value::I64(6));
    }

    #[test]
    fn states_share_the_period() {
        let expected = ["off", "off", "off", "off", "on", "on", "on", "on", "off"];
        let expected = expected.map(|text| Value::Text(text.into()));
        assert_eq!(values(Course::States, 9), expected);
    }

    #[test]
    fn a_walk_stays_in_its_range_and_goes_through_it() {
        let walk = values(Course::RandomWalk, 50_000);
        let numbers: Vec<f64> = walk.iter().filter_map(Value::as_f64).collect();
        assert!(numbers.iter().all(|value| (10.0..=30.0).contains(value)));
        assert!(numbers.iter().any(|value| *value < 12.0));
        assert!(numbers.iter().any(|value| *value > 28.0));
        let steps = numbers.windows(2).map(|pair| (pair[1] - pair[0]).abs());
        assert!(steps.fold(0.0, f64::max) < 1.2, "five hundredths and more");
        assert_eq!(walk, values(Course::RandomWalk, 50_000));
    }

    #[test]
    fn noise_has_the_deviation_that_is_asked_for() {
        let mut noisy = run(Course::Constant, 2.0);
        let count = 20_000;
        let drawn: Vec<f64> = (0..count)
            .filter_map(|_| noisy.next(Duration::ZERO).as_f64())
            .collect();
        let mean = drawn.iter().sum::<f64>() / f64::from(count);
        let squares: f64 = drawn.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = (squares / f64::from(count)).sqrt();
        assert!((mean - 10.0).abs() < 0.1, "{mean}");
        assert!((deviation - 2.0).abs() < 0.1, "{deviation}");
    }
}
