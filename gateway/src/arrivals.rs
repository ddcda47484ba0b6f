//! Times of arrival of what waits together: one look at the clock, and a time of its own for each message of one series.
//!
//! Invariants: no time is behind one that was given before, whatever it is of, unless the clock was set back by more than a second;
//! what has no time of its own goes forward, and by a microsecond at least, which is what tables keep, where a series comes again; so
//! messages of one series that were taken together stand in their order, and none passes for another. Other series share a time,
//! which a file keeps in next to no room.

use std::{collections::HashSet, hash::BuildHasher as _};

use foldhash::fast::RandomState;
use forebay_connectors::Sample;
use forebay_schemas::Timestamp;

/// Two messages of a series are so far apart at least.
const STEP_NANOS: i64 = 1_000;
/// A clock that stands back further was set, and is followed.
const AHEAD_MAX_NANOS: i64 = 1_000_000_000;

/// The arrivals of one connector.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    last_nanos: Option<i64>,
    /// Hashes of the series that have the last time. One that is another's costs a microsecond.
    having_it: HashSet<u64, RandomState>,
    hasher: RandomState,
    /// Hashes of the series of one message, kept for its room.
    series: Vec<u64>,
}

impl Arrivals {
    /// When samples came, which are taken next, and with others by this clock. Those that all have a time of their own need no other
    /// than what was given last.
    pub(crate) fn of(&mut self, samples: &[Sample], now: Timestamp) -> Timestamp {
        let hasher = &self.hasher;
        let of_series = |sample: &Sample| {
            hasher.hash_one((sample.rule.0, sample.device.as_str(), sample.tag.as_str()))
        };
        let timeless = samples.iter().filter(|sample| sample.event_time.is_none());
        self.series.clear();
        self.series.extend(timeless.map(of_series));
        if self.series.is_empty() {
            return self.at_least(now);
        }
        let comes_again = self
            .series
            .iter()
            .any(|series| self.having_it.contains(series));
        let nanos = match self.last_nanos {
            Some(last) if !comes_again && follows(last, now.nanos()) => last,
            _ => self.forward(now),
        };
        self.having_it.extend(&self.series);
        Timestamp::from_nanos(nanos)
    }

    /// A time behind all that were given.
    pub(crate) fn next(&mut self, now: Timestamp) -> Timestamp {
        Timestamp::from_nanos(self.forward(now))
    }

    /// The clock, or the time that was given last where that is ahead of it: of what needs no time of its own.
    pub(crate) fn at_least(&mut self, now: Timestamp) -> Timestamp {
        let is_ahead = |last: &i64| *last >= now.nanos() && follows(*last, now.nanos());
        let nanos = self.last_nanos.filter(is_ahead).unwrap_or_else(|| {
            self.having_it.clear();
            now.nanos()
        });
        self.last_nanos = Some(nanos);
        Timestamp::from_nanos(nanos)
    }

    fn forward(&mut self, now: Timestamp) -> i64 {
        self.having_it.clear();
        let nanos = match self.last_nanos {
            Some(last) if follows(last, now.nanos()) => last.saturating_add(STEP_NANOS),
            _ => now.nanos(),
        };
        self.last_nanos = Some(nanos);
        nanos
    }
}

/// Whether a time that was given holds on: the clock has not come a step beyond it, nor was it set back.
fn follows(last: i64, now: i64) -> bool {
    now < last.saturating_add(STEP_NANOS) && last.saturating_sub(now) <= AHEAD_MAX_NANOS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_go_forward_unless_the_clock_is_set_back() {
        let mut arrivals = Arrivals::default();
        let day = 86_400 * 1_000_000_000;
        for (now, expected) in [
            (5_000, 5_000),
            (5_000, 6_000),
            (5_500, 7_000),
            (90_000, 90_000),
            (90_001, 91_000),
            (day, day),
            (day - 900_000_000, day + 1_000),
            (2_000, 2_000),
            (2_000, 3_000),
        ] {
            let found = arrivals.next(Timestamp::from_nanos(now));
            assert_eq!(found.nanos(), expected, "{now}");
        }
    }

    #[test]
    fn what_needs_no_time_of_its_own_is_not_behind_what_was_given() {
        let mut arrivals = Arrivals::default();
        let second = 1_000_000_000;
        let at = Timestamp::from_nanos;
        assert_eq!(arrivals.at_least(at(5 * second)), at(5 * second));
        assert_eq!(arrivals.next(at(5 * second)), at(5 * second + 1_000));
        // A tick, and then a message that has its own time.
        assert_eq!(arrivals.at_least(at(5 * second)), at(5 * second + 1_000));
        assert_eq!(arrivals.of(&[], at(5 * second)), at(5 * second + 1_000));
        assert_eq!(arrivals.at_least(at(6 * second)), at(6 * second));
        // A clock that was set back a little, and one that was set back far.
        assert_eq!(arrivals.next(at(5 * second)), at(6 * second + 1_000));
        assert_eq!(arrivals.at_least(at(4 * second)), at(4 * second));
        assert_eq!(arrivals.next(at(4 * second)), at(4 * second + 1_000));
    }
}
