//! Schedules: cron patterns in a time zone.
//!
//! A pattern that names its hour and minute runs once on every day that it names: in the first instant after the gap when
//! the clocks skip its time, and only the first time when they show it twice. A pattern with a wildcard in its hour or
//! minute follows the clock on the wall: it leaves a skipped hour out and runs in both halves of a doubled one.

use std::str::FromStr as _;

use croner::Cron;
use forebay_config::nearest;
use forebay_schemas::{ErrorKind, Timestamp};
use jiff::{Zoned, tz::TimeZone};
use thiserror::Error;

/// When a job runs by the clock.
#[derive(Debug, Clone)]
pub struct Schedule {
    cron: Cron,
    text: String,
    zone: TimeZone,
    zone_name: String,
}

/// Why a text is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ScheduleError {
    /// Not five or six fields.
    #[error(
        "{text:?} has {found} fields: minute, hour, day of month, month, day of week are expected, a second may stand before them"
    )]
    Fields {
        /// As configured.
        text: String,
        /// How many fields it has.
        found: usize,
    },
    /// A field that cron does not know.
    #[error("{text:?}, character {at}: {field:?} is no {what} ({allowed})")]
    Field {
        /// As configured.
        text: String,
        /// Where the field begins, in characters from 1.
        at: usize,
        /// The field.
        field: String,
        /// What it should have been.
        what: &'static str,
        /// What may stand there.
        allowed: &'static str,
    },
    /// Each field is right, and yet no day fits.
    #[error("{text:?} never comes")]
    Never {
        /// As configured.
        text: String,
    },
    /// Not in the time zone database.
    #[error("{zone:?} is no time zone{near}")]
    Zone {
        /// As configured.
        zone: String,
        /// The nearest name, as a question.
        near: String,
    },
}

impl ScheduleError {
    /// A schedule that is wrong stays wrong.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Reject
    }
}

const FIELDS: [(&str, &str); 6] = [
    ("second", "0 to 59"),
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day of month", "1 to 31 or L"),
    ("month", "1 to 12 or JAN to DEC"),
    ("day of week", "0 to 7 or SUN to SAT"),
];

impl Schedule {
    /// A cron pattern of five fields, or six with seconds, read in an IANA time zone.
    ///
    /// # Errors
    /// Which field is wrong and where, or the nearest zone.
    pub fn parse(text: &str, zone_name: &str) -> Result<Self, ScheduleError> {
        let zone = TimeZone::get(zone_name).map_err(|_| unknown_zone(zone_name))?;
        check_fields(text)?;
        let never = || ScheduleError::Never {
            text: text.to_owned(),
        };
        let cron = Cron::from_str(text).map_err(|_| never())?;
        let schedule = Self {
            cron,
            text: text.to_owned(),
            zone,
            zone_name: zone_name.to_owned(),
        };
        // 2000-01-01: eight years on, even a 29th of February that falls on a given weekday has come at least once in 28.
        schedule
            .next_after(Timestamp::from_nanos(946_684_800_000_000_000))
            .ok_or_else(never)?;
        Ok(schedule)
    }

    /// Its time zone.
    pub fn zone_name(&self) -> &str {
        &self.zone_name
    }

    /// The first time after `at`.
    pub fn next_after(&self, at: Timestamp) -> Option<Timestamp> {
        let next = self
            .cron
            .find_next_occurrence(&self.zoned(at)?, false)
            .ok()?;
        timestamp(&next)
    }

    /// The last time up to and including `at`.
    pub fn latest_at(&self, at: Timestamp) -> Option<Timestamp> {
        let latest = self
            .cron
            .find_previous_occurrence(&self.zoned(at)?, true)
            .ok()?;
        timestamp(&latest).filter(|latest| *latest <= at)
    }

    fn zoned(&self, at: Timestamp) -> Option<Zoned> {
        // Cron counts whole seconds: an instant within one belongs to the second that has begun.
        let seconds = at.nanos().div_euclid(1_000_000_000);
        Some(
            jiff::Timestamp::from_second(seconds)
                .ok()?
                .to_zoned(self.zone.clone()),
        )
    }
}

impl std::fmt::Display for Schedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.text, self.zone_name)
    }
}

fn timestamp(zoned: &Zoned) -> Option<Timestamp> {
    i64::try_from(zoned.timestamp().as_nanosecond())
        .ok()
        .map(Timestamp::from_nanos)
}

/// Each field by itself, so that an error names its place.
fn check_fields(text: &str) -> Result<(), ScheduleError> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    if fields.len() != 5 && fields.len() != 6 {
        return Err(ScheduleError::Fields {
            text: text.to_owned(),
            found: fields.len(),
        });
    }
    let skipped = 6 - fields.len();
    let mut from = 0;
    for (i, field) in fields.iter().enumerate() {
        let at = text[from..].find(field).map_or(from, |found| from + found);
        from = at + field.len();
        let mut alone = ["*"; 6];
        alone[skipped + i] = field;
        if Cron::from_str(&alone.join(" ")).is_err() {
            let (what, allowed) = FIELDS[skipped + i];
            let at = text[..at].chars().count() + 1;
            return Err(ScheduleError::Field {
                text: text.to_owned(),
                at,
                field: (*field).to_owned(),
                what,
                allowed,
            });
        }
    }
    Ok(())
}

fn unknown_zone(zone: &str) -> ScheduleError {
    let database = jiff::tz::db();
    let names: Vec<String> = database
        .available()
        .map(|name| name.as_str().to_owned())
        .collect();
    let near = nearest(zone, names.iter().map(String::as_str));
    ScheduleError::Zone {
        zone: zone.to_owned(),
        near,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::rfc3339;

    fn at(text: &str) -> Timestamp {
        let at: jiff::Timestamp = text.parse().unwrap();
        Timestamp::from_nanos(i64::try_from(at.as_nanosecond()).unwrap())
    }

    fn fires(pattern: &str, from: &str, count: usize) -> Vec<String> {
        let schedule = Schedule::parse(pattern, "Europe/Berlin").unwrap();
        let times = std::iter::successors(schedule.next_after(at(from)), |last| {
            schedule.next_after(*last)
        });
        let times: Vec<Timestamp> = times.take(count).collect();
        for time in &times {
            assert_eq!(
                schedule.latest_at(*time),
                Some(*time),
                "backwards and forwards agree"
            );
        }
        times.into_iter().map(rfc3339).collect()
    }

    #[test]
    fn a_skipped_hour_runs_once() {
        // 2026-03-29, 02:00 to 03:00 does not exist in Berlin.
        let times = fires("30 2 * * *", "2026-03-28T00:00:00Z", 3);
        assert_eq!(
            times,
            [
                "2026-03-28T01:30:00Z",
                "2026-03-29T01:00:00Z",
                "2026-03-30T00:30:00Z"
            ]
        );
    }

    #[test]
    fn a_doubled_hour_runs_once() {
        // 2026-10-25, 02:00 to 03:00 comes twice in Berlin.
        let times = fires("30 2 * * *", "2026-10-24T00:00:00Z", 3);
        assert_eq!(
            times,
            [
                "2026-10-24T00:30:00Z",
                "2026-10-25T00:30:00Z",
                "2026-10-26T01:30:00Z"
            ]
        );
    }

    #[test]
    fn every_hour_means_every_hour() {
        let spring = fires("0 * * * *", "2026-03-28T23:30:00Z", 3);
        assert_eq!(
            spring,
            [
                "2026-03-29T00:00:00Z",
                "2026-03-29T01:00:00Z",
                "2026-03-29T02:00:00Z"
            ]
        );
        let autumn = fires("0 * * * *", "2026-10-24T23:30:00Z", 3);
        assert_eq!(
            autumn,
            [
                "2026-10-25T00:00:00Z",
                "2026-10-25T01:00:00Z",
                "2026-10-25T02:00:00Z"
            ]
        );
    }

    #[test]
    fn the_latest_time_looks_back_over_a_change_of_clocks() {
        let schedule = Schedule::parse("30 2 * * *", "Europe/Berlin").unwrap();
        for (now, latest) in [
            ("2026-03-29T12:00:00Z", "2026-03-29T01:00:00Z"),
            ("2026-10-25T01:29:00Z", "2026-10-25T00:30:00Z"),
            ("2026-10-25T01:31:00Z", "2026-10-25T00:30:00Z"),
            ("2026-10-25T12:00:00Z", "2026-10-25T00:30:00Z"),
        ] {
            assert_eq!(
                schedule.latest_at(at(now)).map(rfc3339).as_deref(),
                Some(latest),
                "at {now}"
            );
        }
    }

    #[test]
    fn parts_of_a_second_belong_to_the_second_that_has_begun() {
        let schedule = Schedule::parse("*/10 * * * * *", "UTC").unwrap();
        let (before, within) = (
            at("2026-01-01T00:00:09.999Z"),
            at("2026-01-01T00:00:10.001Z"),
        );
        assert_eq!(
            schedule.latest_at(before).map(rfc3339).as_deref(),
            Some("2026-01-01T00:00:00Z")
        );
        assert_eq!(
            schedule.latest_at(within).map(rfc3339).as_deref(),
            Some("2026-01-01T00:00:10Z")
        );
        assert_eq!(
            schedule.next_after(within).map(rfc3339).as_deref(),
            Some("2026-01-01T00:00:20Z")
        );
    }

    #[test]
    fn errors_name_the_field_its_place_and_the_nearest_zone() {
        for (pattern, zone, message) in [
            (
                "0 25 * * *",
                "UTC",
                "\"0 25 * * *\", character 3: \"25\" is no hour (0 to 23)",
            ),
            (
                "0 6 * * FUNDAY",
                "UTC",
                "\"0 6 * * FUNDAY\", character 9: \"FUNDAY\" is no day of week (0 to 7 or SUN to SAT)",
            ),
            (
                "0 6 * *",
                "UTC",
                "\"0 6 * *\" has 4 fields: minute, hour, day of month, month, day of week are expected, a second may stand before them",
            ),
            ("0 0 30 2 *", "UTC", "\"0 0 30 2 *\" never comes"),
            (
                "0 6 * * *",
                "Europe/Berln",
                "\"Europe/Berln\" is no time zone; did you mean \"Europe/Berlin\"?",
            ),
        ] {
            assert_eq!(
                Schedule::parse(pattern, zone).unwrap_err().to_string(),
                message
            );
        }
    }
}
