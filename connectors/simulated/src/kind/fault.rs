//! Faults of sensors and of the way from them, at random times of a seed.

use std::{collections::VecDeque, time::Duration};

use forebay_connectors::Sample;
use forebay_schemas::{Quality, Status, Value};

use super::random::Random;

/// Samples that a late fault holds back at most: the oldest come before its end where it would be more.
const HELD_MAX: usize = 10_000;
/// Of how many of its ranges a spike is away.
const SPIKE_RANGES: f64 = 10.0;
/// A range before two values have been different.
const RANGE_MIN: f64 = 1.0;
/// The shortest time between two faults.
const PAUSE_MIN: Duration = Duration::from_millis(1);

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Bad readings without a value for a while.
    DropOut,
    /// No readings for a while.
    Silence,
    /// The last value for a while.
    Stuck,
    /// One value ten ranges away.
    Spike,
    /// Values that move away by a range, and are right again at the end.
    Drift,
    /// Values that come together at the end, with their own times.
    Late,
}

/// The words of the key.
pub(super) const FAULTS: [(&str, Fault); 6] = [
    ("dropout", Fault::DropOut),
    ("silence", Fault::Silence),
    ("stuck", Fault::Stuck),
    ("spike", Fault::Spike),
    ("drift", Fault::Drift),
    ("late", Fault::Late),
];

/// Faults, as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FaultRule {
    /// At least one.
    pub(super) faults: Vec<Fault>,
    /// From the end of one to the start of the next, on average; above zero.
    pub(super) every: Duration,
    /// How long one lasts.
    pub(super) length: Duration,
}

/// Faults under way.
#[derive(Debug)]
pub(super) struct Faulty {
    rule: FaultRule,
    random: Random,
    next: Spell,
    /// The last value that was right.
    last: Option<Value>,
    seen: Range,
    held: VecDeque<Sample>,
}

/// One fault and its time after the start.
#[derive(Debug, Clone, Copy)]
struct Spell {
    fault: Fault,
    begins: Duration,
    ends: Duration,
}

/// The least and the greatest number so far.
#[derive(Debug, Clone, Copy)]
struct Range {
    low: f64,
    high: f64,
}

impl Faulty {
    pub(super) fn new(rule: FaultRule, mut random: Random) -> Self {
        Self {
            next: Spell::after(Duration::ZERO, &rule, &mut random),
            rule,
            random,
            last: None,
            seen: Range {
                low: f64::INFINITY,
                high: f64::NEG_INFINITY,
            },
            held: VecDeque::new(),
        }
    }

    /// Adds to `out` what comes of a sample `at` after the start; samples are given in the order of time.
    pub(super) fn pass(&mut self, at: Duration, mut sample: Sample, out: &mut Vec<Sample>) {
        while at >= self.next.ends && self.next.fault != Fault::Spike {
            self.next = Spell::after(self.next.ends, &self.rule, &mut self.random);
        }
        let number = sample.value.as_ref().and_then(Value::as_f64);
        if at < self.next.begins {
            self.seen.widen(number);
            self.last.clone_from(&sample.value);
            self.release(out);
            out.push(sample);
            return;
        }
        if self.next.fault != Fault::Late {
            self.release(out);
        }
        match self.next.fault {
            Fault::DropOut => {
                sample.value = None;
                sample.status = Status::bad(None, "simulated drop-out");
            }
            Fault::Silence => return,
            Fault::Stuck => {
                if let Some(last) = &self.last {
                    sample.value = Some(last.clone());
                    sample.status = Status::GOOD;
                }
            }
            Fault::Spike => {
                let away = number.map(|number| number + SPIKE_RANGES * self.seen.width());
                moved(&mut sample, away);
                self.next = Spell::after(at, &self.rule, &mut self.random);
            }
            Fault::Drift => {
                let share = self.next.share(at);
                moved(
                    &mut sample,
                    number.map(|number| number + share * self.seen.width()),
                );
            }
            Fault::Late => {
                if self.held.len() >= HELD_MAX {
                    out.extend(self.held.pop_front());
                }
                self.held.push_back(sample);
                return;
            }
        }
        out.push(sample);
    }

    /// Adds to `out` what is held back.
    pub(super) fn release(&mut self, out: &mut Vec<Sample>) {
        out.extend(self.held.drain(..));
    }
}

impl Spell {
    /// The next one after a time.
    fn after(time: Duration, rule: &FaultRule, random: &mut Random) -> Self {
        let place = (random.even() * rule.faults.len() as f64) as usize;
        let fault = rule.faults.get(place).copied().unwrap_or(Fault::DropOut);
        let pause = Duration::try_from_secs_f64(rule.every.as_secs_f64() * random.exponential());
        let pause = pause.unwrap_or(Duration::MAX).max(PAUSE_MIN);
        let begins = time.saturating_add(pause);
        Self {
            fault,
            begins,
            ends: begins.saturating_add(rule.length),
        }
    }

    /// How much of it has passed, from 0 to 1.
    fn share(&self, at: Duration) -> f64 {
        let length = (self.ends - self.begins)
            .as_secs_f64()
            .max(f64::MIN_POSITIVE);
        (at.saturating_sub(self.begins)).as_secs_f64() / length
    }
}

impl Range {
    fn widen(&mut self, number: Option<f64>) {
        if let Some(number) = number {
            self.low = self.low.min(number);
            self.high = self.high.max(number);
        }
    }

    fn width(self) -> f64 {
        let width = self.high - self.low;
        if width.is_finite() && width > 0.0 {
            width
        } else {
            RANGE_MIN
        }
    }
}

/// Texts, and samples that are bad as they are, stay what they are.
fn moved(sample: &mut Sample, number: Option<f64>) {
    if let Some(number) = number.filter(|_| sample.status.quality == Quality::Good) {
        sample.value = Some(Value::F64(number));
    }
}

#[cfg(test)]
mod tests {
    use forebay_connectors::{RuleId, SampleKind};
    use forebay_schemas::{DeviceId, TagName, Timestamp};

    use super::*;

    const SECONDS: u64 = 20_000;

    fn sample(second: u64) -> Sample {
        let nanos = i64::try_from(second).unwrap() * 1_000_000_000;
        Sample {
            rule: RuleId(0),
            device: DeviceId::new("d").unwrap(),
            tag: TagName::new("t").unwrap(),
            event_time: Some(Timestamp::from_nanos(nanos)),
            value: Some(value(second)),
            unit: None,
            status: Status::GOOD,
            kind: SampleKind::Update,
        }
    }

    /// Two values in turn, of a range of 2.
    fn value(second: u64) -> Value {
        Value::F64(if second.is_multiple_of(2) { 1.0 } else { 3.0 })
    }

    fn second(sample: &Sample) -> u64 {
        u64::try_from(sample.event_time.unwrap().nanos() / 1_000_000_000).unwrap()
    }

    /// What comes of a sample a second, with 100 s between faults of 5 s.
    fn made(fault: Fault) -> Vec<Sample> {
        let rule = FaultRule {
            faults: vec![fault],
            every: Duration::from_secs(100),
            length: Duration::from_secs(5),
        };
        let mut faulty = Faulty::new(rule, Random::new(3, 1));
        let mut out = Vec::new();
        for second in 0..SECONDS {
            faulty.pass(Duration::from_secs(second), sample(second), &mut out);
        }
        faulty.release(&mut out);
        out
    }

    /// A share of all seconds, within a fifth.
    fn check_share(what: &str, seconds: usize, expected: f64) {
        let share = seconds as f64 / SECONDS as f64 / expected;
        assert!((0.8..1.2).contains(&share), "{what}: {seconds} s");
    }

    fn odd(samples: &[Sample]) -> Vec<&Sample> {
        let is_odd = |sample: &&Sample| sample.value != Some(value(second(sample)));
        samples.iter().filter(is_odd).collect()
    }

    #[test]
    fn a_drop_out_is_bad_without_a_value() {
        let made = made(Fault::DropOut);
        let bad = odd(&made);
        check_share("dropout", bad.len(), 5.0 / 105.0);
        let status = Status::bad(None, "simulated drop-out");
        assert!(
            bad.iter()
                .all(|sample| sample.value.is_none() && sample.status == status)
        );
        assert_eq!(made.len() as u64, SECONDS);
    }

    #[test]
    fn silence_says_nothing() {
        let made = made(Fault::Silence);
        assert_eq!(odd(&made), Vec::<&Sample>::new());
        check_share("silence", SECONDS as usize - made.len(), 5.0 / 105.0);
    }

    #[test]
    fn a_stuck_sensor_repeats_its_last_value_and_calls_it_good() {
        let made = made(Fault::Stuck);
        // Of two values in turn it misses three in five.
        check_share("stuck", odd(&made).len(), 3.0 / 105.0);
        assert!(made.iter().all(|sample| sample.status == Status::GOOD));
    }

    #[test]
    fn a_spike_is_one_value_ten_ranges_away() {
        let made = made(Fault::Spike);
        let spikes = odd(&made);
        check_share("spike", spikes.len(), 1.0 / 100.0);
        for spike in spikes {
            let away = spike.value.as_ref().and_then(Value::as_f64).unwrap()
                - value(second(spike)).as_f64().unwrap();
            assert!(away == 20.0 || second(spike) < 2, "{away}");
        }
    }

    #[test]
    fn a_drift_grows_to_one_range() {
        let made = made(Fault::Drift);
        let drifts = odd(&made);
        check_share("drift", drifts.len(), 5.0 / 105.0);
        let away = |sample: &Sample| {
            let number = sample.value.as_ref().and_then(Value::as_f64).unwrap();
            number - value(second(sample)).as_f64().unwrap()
        };
        for pair in drifts.windows(2) {
            let follows = second(pair[1]) == second(pair[0]) + 1;
            let grown = away(pair[1]) - away(pair[0]);
            assert!(away(pair[0]) < 2.0 && (!follows || (grown - 0.4).abs() < 1e-9 || grown < 0.0));
        }
    }

    #[test]
    fn late_values_come_together_with_their_own_times() {
        let made = made(Fault::Late);
        assert_eq!(odd(&made), Vec::<&Sample>::new());
        let seconds: Vec<u64> = made.iter().map(second).collect();
        assert_eq!(seconds, (0..SECONDS).collect::<Vec<u64>>());
        let rule = FaultRule {
            faults: vec![Fault::Late],
            every: Duration::from_secs(100),
            length: Duration::from_secs(5),
        };
        let mut faulty = Faulty::new(rule, Random::new(3, 1));
        let mut waited = 0;
        for at in 0..SECONDS {
            let mut out = Vec::new();
            faulty.pass(Duration::from_secs(at), sample(at), &mut out);
            let released = if out.is_empty() { 0 } else { waited + 1 };
            assert_eq!(out.len(), released, "all at once");
            waited = if out.is_empty() { waited + 1 } else { 0 };
            assert!(waited <= 10, "two faults in a row at most");
        }
        let rule = FaultRule {
            faults: vec![Fault::Late],
            every: Duration::from_secs(1),
            length: Duration::from_secs(1_000_000),
        };
        let mut faulty = Faulty::new(rule, Random::new(3, 1));
        let mut out = Vec::new();
        for at in 0..SECONDS {
            faulty.pass(Duration::from_secs(at), sample(at), &mut out);
        }
        assert_eq!(faulty.held.len(), HELD_MAX, "what is held is bounded");
        assert_eq!(out.len() + HELD_MAX, SECONDS as usize);
    }

    #[test]
    fn a_seed_gives_the_same_faults() {
        assert_eq!(made(Fault::DropOut), made(Fault::DropOut));
    }
}
