//! Instants: how one is moved and written.

use std::time::Duration;

use forebay_schemas::Timestamp;

/// `at` moved on by `by`; the ends of time hold.
pub(crate) fn plus(at: Timestamp, by: Duration) -> Timestamp {
    Timestamp::from_nanos(at.nanos().saturating_add(nanos(by)))
}

/// `at` moved back by `by`; the ends of time hold.
pub(crate) fn minus(at: Timestamp, by: Duration) -> Timestamp {
    Timestamp::from_nanos(at.nanos().saturating_sub(nanos(by)))
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// RFC 3339, UTC, with as many decimals as it takes.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    match jiff::Timestamp::from_nanosecond(i128::from(at.nanos())) {
        Ok(at) => at.to_string(),
        // Cannot happen: jiff's range holds every i64 of nanoseconds.
        Err(_) => format!("{} ns since 1970", at.nanos()),
    }
}

/// The instant that [`rfc3339`] has written so; `None` for any other text.
pub(crate) fn instant(text: &str) -> Option<Timestamp> {
    let at: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(at.as_nanosecond())
        .ok()
        .map(Timestamp::from_nanos)
}

/// An instant from a column of µs.
pub(crate) fn from_micros(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
        .unwrap_or_else(|| Timestamp::from_nanos(if micros < 0 { i64::MIN } else { i64::MAX }))
}
