//! Times for people: ticks at whole minutes, hours, days and months of a time zone's own clock.
//!
//! Instants are seconds since 1970 UTC here. A day of 23 or 25 hours has its ticks where its clock shows them.

use jiff::{Span, Timestamp, ToSpan as _, Unit, Zoned, civil, tz::TimeZone};

/// A tick of a time axis.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TimeTick {
    /// Seconds since 1970 UTC.
    pub(crate) at: f64,
    /// The smaller part of the time: `06:00`, `Mon 24`, `Nov`.
    pub(crate) label: String,
    /// The larger part, where it is not that of the tick before: `Mon 24 Nov`, `Nov 2026`, `2026`.
    pub(crate) above: Option<String>,
}

/// The distance of ticks.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    Seconds(i64),
    Days(i64),
    Months(i64),
}

const DAY: f64 = 86_400.0;

const STEPS: [(f64, Step); 25] = [
    (1.0, Step::Seconds(1)),
    (2.0, Step::Seconds(2)),
    (5.0, Step::Seconds(5)),
    (10.0, Step::Seconds(10)),
    (15.0, Step::Seconds(15)),
    (30.0, Step::Seconds(30)),
    (60.0, Step::Seconds(60)),
    (120.0, Step::Seconds(120)),
    (300.0, Step::Seconds(300)),
    (600.0, Step::Seconds(600)),
    (900.0, Step::Seconds(900)),
    (1800.0, Step::Seconds(1800)),
    (3600.0, Step::Seconds(3600)),
    (7200.0, Step::Seconds(7200)),
    (10_800.0, Step::Seconds(10_800)),
    (21_600.0, Step::Seconds(21_600)),
    (43_200.0, Step::Seconds(43_200)),
    (DAY, Step::Days(1)),
    (2.0 * DAY, Step::Days(2)),
    (7.0 * DAY, Step::Days(7)),
    (30.0 * DAY, Step::Months(1)),
    (91.0 * DAY, Step::Months(3)),
    (365.0 * DAY, Step::Months(12)),
    (1826.0 * DAY, Step::Months(60)),
    (3652.0 * DAY, Step::Months(120)),
];

/// More ticks than this are never drawn.
const TICKS_MAX: usize = 60;

/// Ticks from `lo` to `hi`, `wanted` at most where the steps allow it.
pub(crate) fn time_ticks(lo: f64, hi: f64, wanted: usize, zone: &TimeZone) -> Vec<TimeTick> {
    let wide_enough = |(length, _): &&(f64, Step)| (hi - lo) / length <= wanted.max(1) as f64;
    let step = STEPS
        .iter()
        .find(wide_enough)
        .map_or(Step::Months(240), |(_, step)| *step);
    let Some(mut clock) = start(lo, step, zone) else {
        return Vec::new();
    };
    let mut ticks: Vec<TimeTick> = Vec::new();
    let mut last_above = String::new();
    // The first may lie before `lo`, and a skipped hour has no tick.
    for _ in 0..TICKS_MAX {
        let Some(at) = instant_of(clock, zone) else {
            break;
        };
        if at > hi {
            break;
        }
        if at >= lo && ticks.last().is_none_or(|before| at > before.at) {
            let (label, above) = labels(clock, step);
            let changed = above != last_above && !above.is_empty();
            last_above.clone_from(&above);
            ticks.push(TimeTick {
                at,
                label,
                above: changed.then_some(above),
            });
        }
        match clock.checked_add(step.span()) {
            Ok(next) => clock = next,
            Err(_) => break,
        }
    }
    ticks
}

impl Step {
    fn span(self) -> Span {
        match self {
            Self::Seconds(seconds) => seconds.seconds(),
            Self::Days(days) => days.days(),
            Self::Months(months) => months.months(),
        }
    }
}

/// The clock's time of the last tick at or before an instant.
fn start(at: f64, step: Step, zone: &TimeZone) -> Option<civil::DateTime> {
    let clock = zoned(at, zone)?.datetime();
    let midnight = clock.date().to_datetime(civil::Time::midnight());
    match step {
        Step::Seconds(step) => {
            let since = clock.duration_since(midnight).as_secs();
            midnight.checked_add((since / step * step).seconds()).ok()
        }
        Step::Days(1) => Some(midnight),
        // Every second day counts from the month's first, so that neighbouring charts agree; weeks begin on Monday.
        Step::Days(2) => midnight
            .checked_sub((i64::from(clock.day() - 1) % 2).days())
            .ok(),
        Step::Days(_) => midnight
            .checked_sub(i64::from(clock.weekday().to_monday_zero_offset()).days())
            .ok(),
        Step::Months(step) => {
            let months = i64::from(clock.year()) * 12 + i64::from(clock.month()) - 1;
            let floored = months.div_euclid(step) * step;
            let year = i16::try_from(floored.div_euclid(12)).ok()?;
            let month = i8::try_from(floored.rem_euclid(12) + 1).ok()?;
            let date = civil::Date::new(year, month, 1).ok()?;
            Some(date.to_datetime(civil::Time::midnight()))
        }
    }
}

fn labels(clock: civil::DateTime, step: Step) -> (String, String) {
    let (small, large) = match step {
        Step::Seconds(step) if step < 60 => ("%H:%M:%S", "%a %-d %b"),
        Step::Seconds(_) => ("%H:%M", "%a %-d %b"),
        Step::Days(7) => ("%-d %b", "%Y"),
        Step::Days(_) => ("%a %-d", "%b %Y"),
        Step::Months(months) if months < 12 => ("%b", "%Y"),
        Step::Months(_) => ("%Y", ""),
    };
    let text = |format: &str| clock.strftime(format).to_string();
    (text(small), text(large))
}

fn instant_of(clock: civil::DateTime, zone: &TimeZone) -> Option<f64> {
    let zoned = zone.to_ambiguous_zoned(clock).compatible().ok()?;
    Some(zoned.timestamp().as_nanosecond() as f64 / 1e9)
}

fn zoned(at: f64, zone: &TimeZone) -> Option<Zoned> {
    let micros = (at * 1e6).round();
    // The year 1 to 9999; a float beyond saturates, and jiff refuses it then.
    let at = Timestamp::from_microsecond(micros as i64).ok()?;
    Some(at.to_zoned(zone.clone()))
}

/// An instant on the clock of a time zone, to the minute, or to the second where it is not a whole minute:
/// `Mon 24 Nov 2026 06:00`.
pub fn date_time(at: f64, zone: &TimeZone) -> String {
    let Some(zoned) = zoned(at, zone) else {
        return "–".to_owned();
    };
    let rounded = zoned.round(Unit::Second).unwrap_or(zoned);
    let format = if rounded.second() == 0 {
        "%a %-d %b %Y %H:%M"
    } else {
        "%a %-d %b %Y %H:%M:%S"
    };
    rounded.strftime(format).to_string()
}

/// An instant in a table: `2026-11-24 06:00`, with seconds where it is not a whole minute.
pub fn short_time(at: f64, zone: &TimeZone) -> String {
    let Some(zoned) = zoned(at, zone) else {
        return "–".to_owned();
    };
    let rounded = zoned.round(Unit::Second).unwrap_or(zoned);
    let format = if rounded.second() == 0 {
        "%Y-%m-%d %H:%M"
    } else {
        "%Y-%m-%d %H:%M:%S"
    };
    rounded.strftime(format).to_string()
}

/// A range of time as a heading has it: `23 – 30 Nov 2026`; of less than two days with its hours.
pub fn span(from: f64, to: f64, zone: &TimeZone) -> String {
    let (Some(first), Some(last)) = (zoned(from, zone), zoned(to, zone)) else {
        return "–".to_owned();
    };
    let text = |at: &Zoned, format: &str| at.strftime(format).to_string();
    if to - from < 2.0 * DAY {
        let fine = if to - from < 3600.0 {
            "%H:%M:%S"
        } else {
            "%H:%M"
        };
        let begin = text(&first, "%a %-d %b %Y ") + &text(&first, fine);
        let end = if first.date() == last.date() {
            text(&last, fine)
        } else {
            text(&last, "%a %-d %b ") + &text(&last, fine)
        };
        return format!("{begin} – {end}");
    }
    let same_year = first.year() == last.year();
    let same_month = same_year && first.month() == last.month();
    let begin = match (same_month, same_year) {
        (true, _) => text(&first, "%-d"),
        (false, true) => text(&first, "%-d %b"),
        (false, false) => text(&first, "%-d %b %Y"),
    };
    format!("{begin} – {}", text(&last, "%-d %b %Y"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> f64 {
        let at: Timestamp = text.parse().unwrap();
        at.as_nanosecond() as f64 / 1e9
    }

    #[test]
    fn ticks_stand_at_whole_times_of_the_zone() {
        for (zone, from, to, wanted, expected) in [
            (
                "Europe/Amsterdam",
                "2026-11-23T05:00:00Z",
                "2026-11-24T05:00:00Z",
                6,
                "06:00/Mon 23 Nov 12:00 18:00 00:00/Tue 24 Nov 06:00",
            ),
            // The night in which the clock goes back has 25 hours, and midnight is midnight before and after it.
            (
                "Europe/Amsterdam",
                "2026-10-24T00:00:00Z",
                "2026-10-27T00:00:00Z",
                4,
                "Sun 25/Oct 2026 Mon 26 Tue 27",
            ),
            // 02:00 does not exist on this day: the clock shows 03:00 there.
            (
                "Europe/Amsterdam",
                "2026-03-29T00:00:00Z",
                "2026-03-29T03:00:00Z",
                5,
                "01:00/Sun 29 Mar 02:00 04:00 05:00",
            ),
            (
                "Asia/Kolkata",
                "2026-01-01T00:00:00Z",
                "2026-01-01T00:01:00Z",
                4,
                "05:30:00/Thu 1 Jan 05:30:15 05:30:30 05:30:45 05:31:00",
            ),
            (
                "UTC",
                "2025-11-20T00:00:00Z",
                "2026-04-01T00:00:00Z",
                6,
                "Dec/2025 Jan/2026 Feb Mar Apr",
            ),
        ] {
            let zone = TimeZone::get(zone).unwrap();
            let ticks = time_ticks(at(from), at(to), wanted, &zone);
            let text = |tick: &TimeTick| match &tick.above {
                Some(above) => format!("{}/{above}", tick.label),
                None => tick.label.clone(),
            };
            let found: Vec<String> = ticks.iter().map(text).collect();
            assert_eq!(found.join(" "), expected);
        }
        assert!(time_ticks(f64::NAN, f64::NAN, 5, &TimeZone::UTC).len() < 2);
        assert!(time_ticks(-1e30, 1e30, 5, &TimeZone::UTC).is_empty());
    }

    #[test]
    fn a_range_says_its_months_and_years_once() {
        let zone = TimeZone::get("Europe/Amsterdam").unwrap();
        for (from, to, expected) in [
            (
                "2026-11-22T23:00:00Z",
                "2026-11-29T23:00:00Z",
                "23 – 30 Nov 2026",
            ),
            (
                "2026-10-25T23:00:00Z",
                "2026-11-01T23:00:00Z",
                "26 Oct – 2 Nov 2026",
            ),
            (
                "2025-12-28T23:00:00Z",
                "2026-01-04T23:00:00Z",
                "29 Dec 2025 – 5 Jan 2026",
            ),
            (
                "2026-11-23T05:00:00Z",
                "2026-11-23T05:45:30Z",
                "Mon 23 Nov 2026 06:00:00 – 06:45:30",
            ),
            (
                "2026-11-23T05:00:00Z",
                "2026-11-24T05:00:00Z",
                "Mon 23 Nov 2026 06:00 – Tue 24 Nov 06:00",
            ),
        ] {
            assert_eq!(span(at(from), at(to), &zone), expected);
        }
    }
}
