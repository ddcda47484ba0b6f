//! Times of arrival of what waits together: one look at the clock, and a time for each message.
//!
//! Invariant: times only go forward, by a microsecond at least, which is what tables keep; so messages of one series that were taken
//! together stand in their order, and none passes for another. They run ahead of the clock by as many microseconds as messages
//! were taken together.

use forebay_connectors::Sample;
use forebay_schemas::Timestamp;

/// Two messages are so far apart at least.
const STEP_NANOS: i64 = 1_000;
/// A clock that stands back further was set, and is followed.
const AHEAD_MAX_NANOS: i64 = 1_000_000_000;

/// The arrivals of one connector.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    last_nanos: Option<i64>,
}

impl Arrivals {
    /// When samples came, which are taken next, and with others by this clock. Those that all have a time of their own need no other.
    pub(crate) fn of(&mut self, samples: &[Sample], now: Timestamp) -> Timestamp {
        if samples.iter().all(|sample| sample.event_time.is_some()) {
            return now;
        }
        self.next(now)
    }

    /// The time of the next arrival.
    pub(crate) fn next(&mut self, now: Timestamp) -> Timestamp {
        let mut nanos = now.nanos();
        if let Some(last) = self.last_nanos {
            let next = last.saturating_add(STEP_NANOS);
            if nanos < next && next.saturating_sub(nanos) <= AHEAD_MAX_NANOS {
                nanos = next;
            }
        }
        self.last_nanos = Some(nanos);
        Timestamp::from_nanos(nanos)
    }
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
}
