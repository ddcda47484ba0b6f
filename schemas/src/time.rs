//! An instant: nanoseconds since 1970-01-01T00:00:00 UTC, without leap seconds.

use std::sync::Arc;

/// A clock as an argument: whoever needs the time of day is given one, and a test sets it.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Nanoseconds since the Unix epoch, UTC; from the year 1677 to 2262.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

const NANOS_PER_MICRO: i64 = 1_000;
const MICROS_PER_DAY: i64 = 86_400_000_000;

impl Timestamp {
    /// From nanoseconds since 1970 UTC.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// From microseconds since 1970 UTC; `None` beyond the years 1677 to 2262.
    pub fn from_micros(micros: i64) -> Option<Self> {
        micros.checked_mul(NANOS_PER_MICRO).map(Self)
    }

    /// Nanoseconds since 1970 UTC.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Microseconds since 1970 UTC, rounded towards the past: the tables' unit.
    pub const fn micros(self) -> i64 {
        self.0.div_euclid(NANOS_PER_MICRO)
    }

    /// UTC day, counted from 1970-01-01.
    pub fn day(self) -> i32 {
        // The years 1677 to 2262 are about ±107,000 days.
        self.micros().div_euclid(MICROS_PER_DAY) as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_goes_towards_the_past() {
        assert_eq!(Timestamp::from_nanos(-1).micros(), -1);
        assert_eq!(Timestamp::from_nanos(-1).day(), -1);
        assert_eq!(Timestamp::from_nanos(1_999).micros(), 1);
        assert_eq!(Timestamp::from_nanos(86_400_000_000_000).day(), 1);
        assert_eq!(Timestamp::from_micros(i64::MAX), None);
    }
}
