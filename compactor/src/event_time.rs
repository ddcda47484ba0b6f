//! Which event times a device can mean (E11): from the year 2000 to a little ahead of its gateway's clock.

use std::time::Duration;

use forebay_schemas::Timestamp;

/// Event times before this are no times of a device: 2000-01-01.
const EARLIEST: Timestamp = Timestamp::from_nanos(946_684_800_000_000_000);

/// How far ahead of its gateway's clock a device's may be, unless told.
pub const MAX_SKEW: Duration = Duration::from_secs(24 * 3_600);

/// Whether an event time is one that a device can mean, given when its gateway heard of it.
pub(crate) fn is_plausible(
    event_time: Timestamp,
    observed_time: Timestamp,
    max_skew: Duration,
) -> bool {
    let skew = i64::try_from(max_skew.as_nanos()).unwrap_or(i64::MAX);
    event_time >= EARLIEST && event_time.nanos() <= observed_time.nanos().saturating_add(skew)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_included() {
        let (observed, skew) = (1_700_000_000_000_000_000, 3_600_000_000_000);
        for (event, plausible) in [
            (EARLIEST.nanos() - 1, false),
            (EARLIEST.nanos(), true),
            (observed + skew, true),
            (observed + skew + 1, false),
        ] {
            let found = is_plausible(
                Timestamp::from_nanos(event),
                Timestamp::from_nanos(observed),
                Duration::from_nanos(skew as u64),
            );
            assert_eq!(found, plausible, "{event}");
        }
        let latest = Timestamp::from_nanos(i64::MAX);
        assert!(
            is_plausible(latest, latest, MAX_SKEW),
            "the end of time overflows nothing"
        );
    }
}
