//! Instants: how one is moved, stored and written.
//!
//! Days are turned into dates by Hinnant's algorithm ("chrono-Compatible Low-Level Date Algorithms", 2014), so that a build for
//! the edge needs no time-zone database for a time in UTC.

use std::time::Duration;

use forebay_schemas::Timestamp;

const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// `at` moved on by `by`; the end of time holds.
pub(crate) fn plus(at: Timestamp, by: Duration) -> Timestamp {
    let by = i64::try_from(by.as_nanos()).unwrap_or(i64::MAX);
    Timestamp::from_nanos(at.nanos().saturating_add(by))
}

/// The time from `since` to `now`; zero where the clock went back.
pub(crate) fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    let nanos = now.nanos().saturating_sub(since.nanos());
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

/// RFC 3339 in UTC, to the second.
pub fn rfc3339(at: Timestamp) -> String {
    let Civil {
        year,
        month,
        day,
        second_of_day,
        ..
    } = Civil::of(at);
    let (hour, minute, second) = clock_face(second_of_day);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// RFC 5322, section 3.3, in UTC.
pub(crate) fn rfc5322(at: Timestamp) -> String {
    let Civil {
        year,
        month,
        day,
        second_of_day,
        days,
    } = Civil::of(at);
    let (hour, minute, second) = clock_face(second_of_day);
    let weekday = WEEKDAYS[days.rem_euclid(7) as usize];
    let month = MONTHS[(month - 1) as usize];
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} +0000")
}

/// A duration for people, in its two largest units, such as `5m 12s`.
pub fn in_words(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
    ];
    let Some(first) = parts.iter().position(|(count, _)| *count > 0) else {
        return "0s".to_owned();
    };
    let shown = parts[first..].iter().take(2);
    let shown: Vec<String> = shown
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    shown.join(" ")
}

/// A date and the second of its day, UTC.
struct Civil {
    year: i64,
    month: i64,
    day: i64,
    second_of_day: i64,
    /// Since 1970-01-01, a Thursday.
    days: i64,
}

impl Civil {
    fn of(at: Timestamp) -> Self {
        let seconds = at.nanos().div_euclid(1_000_000_000);
        let days = seconds.div_euclid(86_400);
        let second_of_day = seconds.rem_euclid(86_400);
        // Years begin in March here, so that the leap day comes last; an era has 400 of them.
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = (month_from_march + 2) % 12 + 1;
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Self {
            year,
            month,
            day,
            second_of_day,
            days,
        }
    }
}

fn clock_face(second_of_day: i64) -> (i64, i64, i64) {
    (
        second_of_day / 3600,
        second_of_day / 60 % 60,
        second_of_day % 60,
    )
}

/// Stored as µs since 1970 UTC.
pub(crate) mod micros {
    use forebay_schemas::Timestamp;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(crate) fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i64(at.micros())
    }

    pub(crate) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Timestamp, D::Error> {
        let micros = i64::deserialize(from)?;
        Timestamp::from_micros(micros).ok_or_else(|| D::Error::custom("time out of range"))
    }
}

/// The same, where there may be none.
pub(crate) mod maybe_micros {
    use forebay_schemas::Timestamp;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

    pub(crate) fn serialize<S: Serializer>(
        at: &Option<Timestamp>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        at.map(Timestamp::micros).serialize(to)
    }

    pub(crate) fn deserialize<'d, D: Deserializer<'d>>(
        from: D,
    ) -> Result<Option<Timestamp>, D::Error> {
        let Some(micros) = Option::<i64>::deserialize(from)? else {
            return Ok(None);
        };
        Timestamp::from_micros(micros)
            .map(Some)
            .ok_or_else(|| D::Error::custom("time out of range"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_two_standards_have_it() {
        for (seconds, iso, mail) in [
            (0, "1970-01-01T00:00:00Z", "Thu, 01 Jan 1970 00:00:00 +0000"),
            (
                -1,
                "1969-12-31T23:59:59Z",
                "Wed, 31 Dec 1969 23:59:59 +0000",
            ),
            (
                951_782_399,
                "2000-02-28T23:59:59Z",
                "Mon, 28 Feb 2000 23:59:59 +0000",
            ),
            (
                951_868_799,
                "2000-02-29T23:59:59Z",
                "Tue, 29 Feb 2000 23:59:59 +0000",
            ),
            (
                4_107_542_400,
                "2100-03-01T00:00:00Z",
                "Mon, 01 Mar 2100 00:00:00 +0000",
            ),
            (
                1_796_013_030,
                "2026-11-30T04:30:30Z",
                "Mon, 30 Nov 2026 04:30:30 +0000",
            ),
        ] {
            let at = Timestamp::from_nanos(seconds * 1_000_000_000);
            assert_eq!(rfc3339(at), iso);
            assert_eq!(rfc5322(at), mail);
        }
    }

    #[test]
    fn durations_are_said_in_their_two_largest_units() {
        for (seconds, words) in [
            (0, "0s"),
            (59, "59s"),
            (312, "5m 12s"),
            (3600, "1h"),
            (3605, "1h"),
            (90_061, "1d 1h"),
        ] {
            assert_eq!(in_words(Duration::from_secs(seconds)), words);
        }
    }
}
