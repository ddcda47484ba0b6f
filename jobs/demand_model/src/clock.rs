//! Local clock time of steps: which day, and which slot of it.
//!
//! Days are cut at the clock time of the fire, not at midnight, so that the days before the fire are whole and the first
//! step to come is slot 0. A slot is a clock time: on the night when clocks go back two steps share one, on the night
//! when they go forward some slots have none. So a day has 46, 48 or 50 half-hours, and none of them moves another.

use jiff::{Timestamp, tz::TimeZone};

/// Seconds of a day by the clock.
pub(crate) const DAY_SECONDS: i64 = 86_400;

/// Maps steps to days and slots.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    step_seconds: i64,
    zone: TimeZone,
    /// The clock time at which days begin, in seconds.
    day_begins: i64,
}

/// Where a step lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) day: i64,
    pub(crate) slot: usize,
}

impl Clock {
    /// Days that begin when the step `now` does; `None` where a day is not a whole number of steps.
    pub(crate) fn new(step_seconds: i64, zone: TimeZone, now: i64) -> Option<Self> {
        if step_seconds <= 0 || DAY_SECONDS % step_seconds != 0 {
            return None;
        }
        let begins_now = Self {
            step_seconds,
            zone,
            day_begins: 0,
        };
        let day_begins = begins_now.local(now).rem_euclid(DAY_SECONDS);
        Some(Self {
            day_begins,
            ..begins_now
        })
    }

    pub(crate) fn slots(&self) -> usize {
        usize::try_from(DAY_SECONDS / self.step_seconds).unwrap_or(0)
    }

    pub(crate) fn place(&self, index: i64) -> Place {
        let local = self.local(index) - self.day_begins;
        let slot = local.rem_euclid(DAY_SECONDS) / self.step_seconds;
        Place {
            day: local.div_euclid(DAY_SECONDS),
            slot: usize::try_from(slot).unwrap_or(0),
        }
    }

    /// The calendar's day of a slot, counted from 1970-01-01.
    pub(crate) fn date(&self, day: i64, slot: usize) -> i64 {
        self.seconds(day, slot).div_euclid(DAY_SECONDS)
    }

    /// The step with which a day begins; of a clock time that is skipped, the first after it.
    pub(crate) fn first_step(&self, day: i64) -> i64 {
        let seconds = self.seconds(day, 0);
        let local = Timestamp::from_second(seconds).map(|at| TimeZone::UTC.to_datetime(at));
        let at = local.and_then(|local| self.zone.to_timestamp(local));
        let seconds = at.map_or(seconds, Timestamp::as_second);
        seconds.div_euclid(self.step_seconds)
    }

    /// The clock time of a slot in hours.
    pub(crate) fn hour(&self, slot: usize) -> f64 {
        self.seconds(0, slot).rem_euclid(DAY_SECONDS) as f64 / 3600.0
    }

    fn seconds(&self, day: i64, slot: usize) -> i64 {
        let slot = i64::try_from(slot).unwrap_or(0);
        day * DAY_SECONDS + self.day_begins + slot * self.step_seconds
    }

    /// Seconds of local time since 1970-01-01T00:00 by the local clock.
    fn local(&self, index: i64) -> i64 {
        let seconds = index.saturating_mul(self.step_seconds);
        let offset = Timestamp::from_second(seconds).map(|at| self.zone.to_offset(at).seconds());
        seconds.saturating_add(offset.map_or(0, i64::from))
    }
}

/// 0 is Monday.
pub(crate) fn weekday(date: i64) -> i64 {
    (date + 3).rem_euclid(7)
}

/// The part of a year that is over, 0 to 1; to the day, whatever leap years there are.
pub(crate) fn year_share(date: i64) -> f64 {
    (date as f64 / 365.2425).rem_euclid(1.0)
}
