//! A row's event time.

use forebay_schemas::Timestamp;
use jiff::{civil, tz::TimeZone};

use super::TimeFormat;

/// Parses a time; one that names no zone is in `zone`. In the hour that a change of clocks skips, the later reading
/// of the clock counts; in the one that it repeats, the earlier.
pub(super) fn parse(text: &str, format: &TimeFormat, zone: &TimeZone) -> Result<Timestamp, String> {
    let fail = |why: &dyn std::fmt::Display| format!("time {text:?}: {why}");
    match format {
        TimeFormat::Unix { nanos_per_unit } => {
            unix(text, *nanos_per_unit).ok_or_else(|| fail(&"not a number in range"))
        }
        TimeFormat::Iso => match text.parse::<jiff::Timestamp>() {
            Ok(instant) => nanos(instant).ok_or_else(|| fail(&"outside the years 1677 to 2262")),
            Err(_) => local(text.parse::<civil::DateTime>(), zone).map_err(|e| match text.parse::<f64>() {
                Ok(_) => fail(&"a number where RFC 3339 is expected: --time-format s, ms, us or ns reads it"),
                Err(_) => fail(&e),
            }),
        },
        TimeFormat::Strptime(format) => {
            let broken_down = jiff::fmt::strtime::parse(format, text).map_err(|e| fail(&e))?;
            if broken_down.offset().is_some() || broken_down.iana_time_zone().is_some() {
                let instant = broken_down.to_timestamp().map_err(|e| fail(&e))?;
                return nanos(instant).ok_or_else(|| fail(&"outside the years 1677 to 2262"));
            }
            local(broken_down.to_datetime(), zone).map_err(|e| fail(&e))
        }
    }
}

fn local(time: Result<civil::DateTime, jiff::Error>, zone: &TimeZone) -> Result<Timestamp, String> {
    let instant = time.and_then(|time| zone.to_ambiguous_timestamp(time).compatible()).map_err(|e| e.to_string())?;
    nanos(instant).ok_or_else(|| "outside the years 1677 to 2262".to_owned())
}

fn nanos(instant: jiff::Timestamp) -> Option<Timestamp> {
    i64::try_from(instant.as_nanosecond()).ok().map(Timestamp::from_nanos)
}

/// Whole numbers exactly; fractions to the nearest nanosecond that a double tells apart.
fn unix(text: &str, nanos_per_unit: i64) -> Option<Timestamp> {
    if let Ok(whole) = text.parse::<i64>() {
        return whole.checked_mul(nanos_per_unit).map(Timestamp::from_nanos);
    }
    let nanos = text.parse::<f64>().ok()? * nanos_per_unit as f64;
    (nanos.is_finite() && nanos.abs() < i64::MAX as f64).then(|| Timestamp::from_nanos(nanos.round() as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, format: &str, zone: &str, expected: Result<&str, &str>) {
        let format = if format.is_empty() { TimeFormat::Iso } else { TimeFormat::parse(format) };
        let zone = TimeZone::get(zone).unwrap();
        let parsed = parse(text, &format, &zone)
            .map(|t| jiff::Timestamp::from_nanosecond(t.nanos().into()).unwrap().to_string());
        match (parsed, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(found), Err(part)) => assert!(found.contains(part), "{found} does not say {part}"),
            (found, expected) => panic!("{found:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn times_are_read_as_they_are_written() {
        check("2014-01-02 03:04:05", "", "UTC", Ok("2014-01-02T03:04:05Z"));
        check("2014-01-02T03:04:05+02:00", "", "UTC", Ok("2014-01-02T01:04:05Z"));
        check("2014-07-02 03:04:05", "", "Europe/Amsterdam", Ok("2014-07-02T01:04:05Z"));
        check("2014-03-30 02:30:00", "", "Europe/Amsterdam", Ok("2014-03-30T01:30:00Z"));
        check("2014-10-26 02:30:00", "", "Europe/Amsterdam", Ok("2014-10-26T00:30:00Z"));
        check("1388631845", "s", "UTC", Ok("2014-01-02T03:04:05Z"));
        check("1388631845.5", "s", "UTC", Ok("2014-01-02T03:04:05.5Z"));
        check("1388631845123", "ms", "UTC", Ok("2014-01-02T03:04:05.123Z"));
        check("02/01/2014 03:04", "%d/%m/%Y %H:%M", "UTC", Ok("2014-01-02T03:04:00Z"));
        check("02/01/2014 03:04 +0100", "%d/%m/%Y %H:%M %z", "UTC", Ok("2014-01-02T02:04:00Z"));
        check("20140102", "", "UTC", Ok("2014-01-02T00:00:00Z"));
        check("1388631845", "", "UTC", Err("a number where RFC 3339 is expected: --time-format s, ms, us or ns"));
        check("yesterday", "", "UTC", Err("time \"yesterday\""));
        check("", "", "UTC", Err("time \"\""));
        check("9223372036854775807", "s", "UTC", Err("not a number in range"));
        check("nan", "s", "UTC", Err("not a number in range"));
    }
}
