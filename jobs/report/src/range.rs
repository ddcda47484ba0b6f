//! The time that a report is about, and what stands for it in SQL.

use std::time::Duration;

use forebay_jobs::SeriesPattern;
use forebay_jobs_sql::{Parameters, timestamp};
use forebay_schemas::Timestamp;

/// A range is cut into this many parts at most.
const BINS_MAX: u64 = 240;

/// Lengths of parts, in seconds.
const BINS: [u64; 19] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400,
    604_800,
];

/// Where the range ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RangeEnd {
    Due,
    LatestReading,
}

/// From `from` up to, and without, `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
}

impl Range {
    pub(crate) fn up_to(to: Timestamp, length: Duration) -> Self {
        let length = i64::try_from(length.as_nanos()).unwrap_or(i64::MAX);
        Self {
            from: Timestamp::from_nanos(to.nanos().saturating_sub(length)),
            to,
        }
    }

    /// A run's parameters, with those of the range and of the series.
    pub(crate) fn fill(&self, parameters: Parameters, series: &SeriesPattern) -> Parameters {
        let seconds =
            (self.to.nanos().saturating_sub(self.from.nanos())).unsigned_abs() / 1_000_000_000;
        let interval = |seconds: u64| format!("INTERVAL '{seconds} seconds'");
        parameters
            .with("{from}", timestamp(self.from))
            .with("{to}", timestamp(self.to))
            .with("{range}", interval(seconds.max(1)))
            .with("{bin}", interval(bin(seconds)))
            .with("{devices}", series.devices_sql())
            .with("{series}", series.sql())
    }
}

/// The least length of a part of which a range has no more than enough.
fn bin(seconds: u64) -> u64 {
    let least = seconds.div_ceil(BINS_MAX);
    BINS.into_iter()
        .find(|bin| *bin >= least)
        .unwrap_or_else(|| least.next_multiple_of(604_800))
}

/// Seconds since 1970, as charts have them.
pub(crate) fn seconds(at: Timestamp) -> f64 {
    at.micros() as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_at_most_240_parts() {
        for (seconds, expected) in [
            (1, 1),
            (240, 1),
            (241, 2),
            (86_400, 600),
            (7 * 86_400, 3600),
            (31 * 86_400, 21_600),
            (3650 * 86_400, 1_814_400),
        ] {
            assert_eq!(bin(seconds), expected, "{seconds} s");
            assert!(seconds.div_ceil(bin(seconds)) <= BINS_MAX);
        }
    }
}
