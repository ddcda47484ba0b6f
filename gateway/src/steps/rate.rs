//! From a counter to a rate.

use forebay_schemas::Timestamp;

use crate::rule::RatePer;

/// A decrease that would be an increase of more than this share of the counter's range is a reset, not a roll-over: a counter
/// that moves so far between two readings is not read often enough to be understood.
const ROLL_OVER_SHARE_MAX: f64 = 0.5;
/// Counts that came sooner after another, and have no time but that of their arrival, were taken together: nobody knows how much
/// time is between them.
const ARRIVAL_SECONDS_MIN: f64 = 0.01;

/// What a counter showed last.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Counter {
    at: Timestamp,
    count: f64,
}

/// What follows from what a counter shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Rated {
    /// The increase per unit of time since the reading before.
    Rate(f64),
    /// There is no reading before.
    First,
    /// It is not newer than the reading before, as far as is known: that one stays.
    NotNewer,
    /// The counter went back, and did not roll over: from this count.
    Reset(f64),
}

/// The rate since the last reading; `last` is this one from now on. `observed` is when it arrived, which is its time where it
/// has none of its own.
pub(super) fn rate(
    last: &mut Option<Counter>,
    (at, count): (Timestamp, f64),
    observed: Timestamp,
    per: RatePer,
    rolls_over_at: Option<f64>,
) -> Rated {
    let Some(before) = *last else {
        *last = Some(Counter { at, count });
        return Rated::First;
    };
    let seconds = at.nanos().saturating_sub(before.at.nanos()) as f64 / 1e9;
    if seconds <= 0.0 {
        // A time ahead of the gateway's clock, which may have been set back, must not silence the counter until it comes.
        if before.at > observed {
            *last = Some(Counter { at, count });
            return Rated::First;
        }
        return Rated::NotNewer;
    }
    if at == observed && seconds < ARRIVAL_SECONDS_MIN {
        return Rated::NotNewer;
    }
    *last = Some(Counter { at, count });
    let increase = count - before.count;
    if increase >= 0.0 {
        return Rated::Rate(increase / seconds * per.seconds());
    }
    let rolled = rolls_over_at
        .map(|end| (end, increase + end))
        .filter(|(end, rolled)| (0.0..=end * ROLL_OVER_SHARE_MAX).contains(rolled));
    match rolled {
        Some((_, rolled)) => Rated::Rate(rolled / seconds * per.seconds()),
        None => Rated::Reset(before.count),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn a_counter_gives_its_rate_and_says_when_it_was_reset() {
        let end = Some(65_536.0);
        // Counts by second; what the last one gives.
        type Case<'a> = (&'a [(i64, f64)], Option<f64>, Rated);
        let table: [Case<'_>; 9] = [
            (&[(0, 5.0)], end, Rated::First),
            (&[(0, 5.0), (10, 25.0)], end, Rated::Rate(120.0)),
            (&[(0, 5.0), (10, 5.0)], end, Rated::Rate(0.0)),
            (&[(0, 65_530.0), (6, 6.0)], end, Rated::Rate(120.0)),
            (&[(0, 65_530.0), (6, 6.0)], None, Rated::Reset(65_530.0)),
            (&[(0, 500.0), (6, 3.0)], end, Rated::Reset(500.0)),
            (&[(5, 1.0), (5, 9.0)], end, Rated::NotNewer),
            (&[(5, 1.0), (4, 9.0), (6, 2.0)], end, Rated::Rate(60.0)),
            (&[(99, 1.0), (4, 9.0), (5, 10.0)], end, Rated::Rate(60.0)),
        ];
        for (counts, end, expected) in table {
            let mut last = None;
            let found = counts.iter().map(|(second, count)| {
                rate(
                    &mut last,
                    (at(*second), *count),
                    at(6),
                    RatePer::Minute,
                    end,
                )
            });
            assert_eq!(found.last(), Some(expected), "{counts:?}");
        }
    }

    #[test]
    fn counts_that_arrived_together_are_averaged_and_times_of_a_fast_device_hold() {
        let mut last = None;
        let mut rated = |micros: i64, count, is_own: bool| {
            let [time, observed] = [micros, micros + i64::from(is_own)]
                .map(|micros| Timestamp::from_nanos(micros * 1_000));
            rate(&mut last, (time, count), observed, RatePer::Second, None)
        };
        assert_eq!(rated(0, 7.0, false), Rated::First);
        assert_eq!(rated(1, 8.0, false), Rated::NotNewer);
        assert_eq!(rated(2, 9.0, false), Rated::NotNewer);
        assert_eq!(rated(1_000_000, 11.0, false), Rated::Rate(4.0));
        assert_eq!(rated(1_001_000, 12.0, true), Rated::Rate(1_000.0));
    }

    proptest! {
        /// Whatever a counter of 16 bits has counted, rates times times add up to it.
        #[test]
        fn rates_add_up_to_what_was_counted(
            start in 0..65_536_u64,
            steps in proptest::collection::vec((1..100_i64, 0..32_768_u64), 1..50),
        ) {
            let (mut last, mut second, mut total, mut sum) = (None, 0, start, 0.0);
            rate(&mut last, (at(0), start as f64), at(0), RatePer::Second, Some(65_536.0));
            for (seconds, more) in steps {
                second += seconds;
                total += more;
                let shown = (total % 65_536) as f64;
                let now = (at(second), shown);
                match rate(&mut last, now, at(second), RatePer::Second, Some(65_536.0)) {
                    Rated::Rate(rate) => sum += rate * seconds as f64,
                    other => prop_assert!(false, "{:?}", other),
                }
            }
            prop_assert!((sum - (total - start) as f64).abs() < 1e-3);
        }
    }
}
