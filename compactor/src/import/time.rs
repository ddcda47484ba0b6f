//! A row's event time, as it is written: an instant, or what a clock on the wall showed.

use forebay_schemas::Timestamp;
use jiff::{civil, fmt::temporal::Pieces};

use super::{TimeFormat, quarantine::Why};

/// No clock on earth is further from UTC, in seconds.
const OFFSET_SECONDS_MAX: i32 = 18 * 3600;

/// Digits behind the point that count: more than a nanosecond has of any unit.
const FRACTION_DIGITS_MAX: usize = 12;
/// Digits of which a number may consist so that nothing overflows on the way to nanoseconds.
const DIGITS_MAX: usize = 28;

const UNREADABLE: &str = "the time cannot be read";

/// A time before its zone is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Time {
    /// It names its offset, or is a number.
    Instant(Timestamp),
    /// It names no zone.
    Local(civil::DateTime),
}

/// Parses a time.
pub(super) fn parse(text: &str, format: &TimeFormat) -> Result<Time, Why> {
    let fail = |why: &dyn std::fmt::Display| Why::new(UNREADABLE, format!("time {text:?}: {why}"));
    match format {
        TimeFormat::Unix { nanos_per_unit } => unix(text, *nanos_per_unit)
            .map(Time::Instant)
            .ok_or_else(|| fail(&"not a number in range")),
        TimeFormat::Iso => iso(text).map_err(|why| fail(&why)),
        TimeFormat::Strptime(format) => {
            let broken_down = jiff::fmt::strtime::parse(format, text).map_err(|e| fail(&e))?;
            if let Some(offset) = broken_down.offset() {
                check_offset(offset).map_err(|why| fail(&why))?;
            }
            if broken_down.offset().is_some() || broken_down.iana_time_zone().is_some() {
                return instant(broken_down.to_timestamp().map_err(|e| fail(&e))?)
                    .map_err(|why| fail(&why));
            }
            broken_down
                .to_datetime()
                .map(Time::Local)
                .map_err(|e| fail(&e))
        }
    }
}

/// RFC 3339, with a blank for the T too, and with the zone left out.
fn iso(text: &str) -> Result<Time, String> {
    if let Ok(found) = text.parse::<jiff::Timestamp>() {
        // The parser takes any offset that has two digits.
        if let Some(offset) = Pieces::parse(text)
            .ok()
            .and_then(|pieces| pieces.to_numeric_offset())
        {
            check_offset(offset)?;
        }
        return instant(found);
    }
    match text.parse::<civil::DateTime>() {
        Ok(local) => {
            // The parser overlooks what it has no use for.
            let names_zone = Pieces::parse(text).map_or(true, |pieces| {
                pieces.offset().is_some() || pieces.time_zone_annotation().is_some()
            });
            match names_zone {
                true => Err(
                    "its zone cannot be read: an offset from UTC such as +02:00 is expected".into(),
                ),
                false => Ok(Time::Local(local)),
            }
        }
        Err(error) => Err(match text.parse::<f64>() {
            Ok(_) => {
                "a number where RFC 3339 is expected: --time-format s, ms, us or ns reads it".into()
            }
            Err(_) => format!(
                "{error}: RFC 3339 is expected unless --time-format gives another format, such as '%d/%m/%Y %H:%M' or '%m/%d/%Y'"
            ),
        }),
    }
}

fn check_offset(offset: jiff::tz::Offset) -> Result<(), String> {
    match offset.seconds().abs() <= OFFSET_SECONDS_MAX {
        true => Ok(()),
        false => Err(format!("{offset} is not a valid offset from UTC")),
    }
}

fn instant(found: jiff::Timestamp) -> Result<Time, String> {
    nanos(found)
        .map(Time::Instant)
        .ok_or_else(|| "outside the years 1677 to 2262".into())
}

/// `None` outside the years 1677 to 2262.
pub(super) fn nanos(instant: jiff::Timestamp) -> Option<Timestamp> {
    i64::try_from(instant.as_nanosecond())
        .ok()
        .map(Timestamp::from_nanos)
}

/// A decimal number of units, exactly; what is below a nanosecond is rounded.
fn unix(text: &str, nanos_per_unit: i64) -> Option<Timestamp> {
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let magnitude = number.strip_prefix(['-', '+']).unwrap_or(number);
    let (whole, fraction) = magnitude.split_once('.').unwrap_or((magnitude, ""));
    let digits_only = [whole, fraction]
        .iter()
        .all(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    if !digits_only || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let kept = FRACTION_DIGITS_MAX + usize::try_from(exponent.max(0)).ok()?.min(DIGITS_MAX);
    let fraction = &fraction[..fraction.len().min(kept)];
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some(Timestamp::from_nanos(0));
    }
    if digits.len() > DIGITS_MAX + 3 {
        return None;
    }
    let mantissa = digits
        .parse::<i128>()
        .ok()?
        .checked_mul(nanos_per_unit.into())?;
    let power = exponent - i32::try_from(fraction.len()).ok()?;
    let scale = 10_i128.checked_pow(power.unsigned_abs());
    let nanos = match (power < 0, scale) {
        (false, scale) => mantissa.checked_mul(scale?)?,
        (true, Some(scale)) => (mantissa + scale / 2) / scale,
        // Far below a nanosecond.
        (true, None) => 0,
    };
    let nanos = if number.starts_with('-') {
        -nanos
    } else {
        nanos
    };
    i64::try_from(nanos).ok().map(Timestamp::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, format: &str, expected: Result<&str, &str>) {
        let format = if format.is_empty() {
            TimeFormat::Iso
        } else {
            TimeFormat::parse(format)
        };
        let parsed = parse(text, &format).map(|time| match time {
            Time::Instant(at) => jiff::Timestamp::from_nanosecond(at.nanos().into())
                .unwrap()
                .to_string(),
            Time::Local(local) => local.to_string(),
        });
        match (parsed, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text}"),
            (Err(why), Err(part)) => {
                assert!(why.to_string().contains(part), "{why} does not say {part}")
            }
            (found, expected) => panic!("{text}: {found:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn times_are_read_as_they_are_written() {
        check("2014-01-02 03:04:05", "", Ok("2014-01-02T03:04:05"));
        check("2014-01-02T03:04:05Z", "", Ok("2014-01-02T03:04:05Z"));
        check("2014-01-02T03:04:05+02:00", "", Ok("2014-01-02T01:04:05Z"));
        check("2014-01-02 03:04:05-09:30", "", Ok("2014-01-02T12:34:05Z"));
        check(
            "02/01/2014 03:04",
            "%d/%m/%Y %H:%M",
            Ok("2014-01-02T03:04:00"),
        );
        check("03/09/2025", "%d/%m/%Y", Ok("2025-09-03T00:00:00"));
        check(
            "02/01/2014 03:04 +0100",
            "%d/%m/%Y %H:%M %z",
            Ok("2014-01-02T02:04:00Z"),
        );
        check("20140102", "", Ok("2014-01-02T00:00:00"));
        check(
            "1388631845",
            "",
            Err("a number where RFC 3339 is expected: --time-format s, ms, us or ns"),
        );
        check("yesterday", "", Err("time \"yesterday\""));
        check("", "", Err("time \"\""));
    }

    #[test]
    fn another_form_is_refused_with_the_option_that_reads_it() {
        for text in ["03/09/2025", "03/09/2025 10:00", "3.9.2025 10:00"] {
            check(text, "", Err("--time-format"));
        }
    }

    #[test]
    fn an_offset_that_no_clock_has_is_refused() {
        check(
            "2025-01-01T00:00:00+25:00",
            "",
            Err("+25 is not a valid offset from UTC"),
        );
        check(
            "2025-01-01T00:00:00-18:30",
            "",
            Err("-18:30 is not a valid offset from UTC"),
        );
        check("2025-01-01T00:00:00+14:00", "", Ok("2024-12-31T10:00:00Z"));
        check("2025-01-01T00:00:00+26:00", "", Err("time"));
        check(
            "2025-01-01T00:00:00[Europe/Berlin]",
            "",
            Err("its zone cannot be read"),
        );
        check(
            "01.01.2025 00:00 +2500",
            "%d.%m.%Y %H:%M %z",
            Err("+25 is not a valid offset from UTC"),
        );
    }

    #[test]
    fn numbers_since_1970_are_exact() {
        check("1388631845", "s", Ok("2014-01-02T03:04:05Z"));
        check("1744243201.25", "s", Ok("2025-04-10T00:00:01.25Z"));
        check(
            "1744243201.249999999",
            "s",
            Ok("2025-04-10T00:00:01.249999999Z"),
        );
        check(
            "1744243201.2499999999999999",
            "s",
            Ok("2025-04-10T00:00:01.25Z"),
        );
        check("1744243201250.5", "ms", Ok("2025-04-10T00:00:01.2505Z"));
        check("1744243201250001", "us", Ok("2025-04-10T00:00:01.250001Z"));
        check(
            "1744243201250001002",
            "ns",
            Ok("2025-04-10T00:00:01.250001002Z"),
        );
        check("1.74424320125e9", "s", Ok("2025-04-10T00:00:01.25Z"));
        check("1.74424320125E+12", "ms", Ok("2025-04-10T00:00:01.25Z"));
        check("-0.000000001", "s", Ok("1969-12-31T23:59:59.999999999Z"));
        check("0.0", "s", Ok("1970-01-01T00:00:00Z"));
        check("9223372036854775807", "s", Err("not a number in range"));
        check("1e400", "s", Err("not a number in range"));
        for text in ["nan", "", ".", "-", "1.2.3", "0x10", "inf", "1e"] {
            check(text, "s", Err("not a number in range"));
        }
    }
}
