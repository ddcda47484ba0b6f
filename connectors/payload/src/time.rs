//! Event times out of payloads, exact to the nanosecond.
//!
//! Numbers are read from their digits and never through a double, which has no room for nanoseconds since 1970.
//! Digits beyond the nanosecond are cut towards the past.

use forebay_schemas::Timestamp;
use jiff::{
    civil::DateTime,
    fmt::strtime,
    tz::{AmbiguousOffset, TimeZone},
};
use thiserror::Error;

/// The unit of a time that is a number since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeUnit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Millis,
    /// Microseconds.
    Micros,
    /// Nanoseconds.
    Nanos,
}

/// How a rule's times are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TimeForm {
    /// RFC 3339; with a zone, texts without an offset too.
    Text { zone: Option<TimeZone> },
    /// Numbers, or texts that are numbers; other texts are RFC 3339.
    Unit(TimeUnit),
    /// Texts in a format of strptime; without an offset they are of the zone.
    Format { format: String, zone: TimeZone },
}

/// Why a text or number is no time.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum TimeError {
    #[error("the time {0} is a number: set time_unit to \"s\", \"ms\", \"us\" or \"ns\"")]
    NoUnit(String),
    #[error("the time {0:?} is not RFC 3339 such as 2026-11-23T14:51:35.5Z")]
    Text(String),
    #[error(
        "the time {0:?} names no zone: set time_zone to the one that it is written in, such as \"Europe/Berlin\" or \"UTC\""
    )]
    NoZone(String),
    #[error("the time {text:?} does not have the format {format:?}")]
    Format { text: String, format: String },
    #[error("the time {text:?} did not exist in {zone}: the clock was set forward over it")]
    Skipped { text: String, zone: String },
    #[error("the time {0} is not a number")]
    Number(String),
    #[error("the time {0} is not in the years 1677 to 2262")]
    Range(String),
}

/// Texts in errors are cut: a payload can hold anything.
const SHOWN_CHARS_MAX: usize = 64;

pub(crate) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

impl TimeUnit {
    /// Power of ten of the nanoseconds in it.
    fn nanos_exponent(self) -> i32 {
        match self {
            Self::Seconds => 9,
            Self::Millis => 6,
            Self::Micros => 3,
            Self::Nanos => 0,
        }
    }
}

impl TimeForm {
    /// The time that a text tells.
    pub(crate) fn text(&self, text: &str) -> Result<Timestamp, TimeError> {
        match self {
            Self::Text { zone: Some(zone) } => local(text, zone),
            Self::Text { zone: None } => zoned(text),
            Self::Unit(unit) => match decimal(text, *unit) {
                Err(TimeError::Number(_)) => rfc3339(text),
                read => read,
            },
            Self::Format { format, zone } => formatted(text, format, zone),
        }
    }

    /// The time that a number tells, given as its digits.
    pub(crate) fn number(&self, digits: &str) -> Result<Timestamp, TimeError> {
        match self {
            Self::Text { .. } => Err(TimeError::NoUnit(shown(digits))),
            Self::Unit(unit) => decimal(digits, *unit),
            // A format such as %s or %Y%m%d fits numbers too.
            Self::Format { format, zone } => formatted(digits, format, zone),
        }
    }
}

/// Whether a format is one of strptime, as far as can be told without a text.
pub(crate) fn check_format(format: &str) -> Result<(), String> {
    let epoch = jiff::Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
    strtime::format(format, &epoch)
        .map(drop)
        .map_err(|error| error.to_string())
}

fn rfc3339(text: &str) -> Result<Timestamp, TimeError> {
    let time: jiff::Timestamp = text
        .trim()
        .parse()
        .map_err(|_| TimeError::Text(shown(text)))?;
    in_range(time, text)
}

/// RFC 3339, or the same without an offset in a zone.
fn local(text: &str, zone: &TimeZone) -> Result<Timestamp, TimeError> {
    let trimmed = text.trim();
    if let Ok(time) = trimmed.parse::<jiff::Timestamp>() {
        return in_range(time, text);
    }
    let civil: DateTime = trimmed.parse().map_err(|_| TimeError::Text(shown(text)))?;
    of_zone(civil, zone, text)
}

/// RFC 3339; where only the zone is missing, the error names the key that says it.
fn zoned(text: &str) -> Result<Timestamp, TimeError> {
    match rfc3339(text) {
        Err(TimeError::Text(_)) if text.trim().parse::<DateTime>().is_ok() => {
            Err(TimeError::NoZone(shown(text)))
        }
        read => read,
    }
}

fn formatted(text: &str, format: &str, zone: &TimeZone) -> Result<Timestamp, TimeError> {
    let wrong = |_: jiff::Error| TimeError::Format {
        text: shown(text),
        format: format.to_owned(),
    };
    let parts = strtime::parse(format, text).map_err(wrong)?;
    match parts.to_timestamp() {
        Ok(time) => in_range(time, text),
        Err(_) if parts.offset().is_none() => {
            of_zone(parts.to_datetime().map_err(wrong)?, zone, text)
        }
        Err(error) => Err(wrong(error)),
    }
}

/// The instant of a zone's clock. The hour that comes twice in autumn is taken for the first, that of summer time; a time that
/// the clock jumps over in spring is none.
fn of_zone(civil: DateTime, zone: &TimeZone, text: &str) -> Result<Timestamp, TimeError> {
    let ambiguous = zone.to_ambiguous_zoned(civil);
    if matches!(ambiguous.offset(), AmbiguousOffset::Gap { .. }) {
        let zone = zone.iana_name().unwrap_or("its zone").to_owned();
        return Err(TimeError::Skipped {
            text: shown(text),
            zone,
        });
    }
    let instant = ambiguous
        .earlier()
        .map_err(|_| TimeError::Range(shown(text)))?;
    in_range(instant.timestamp(), text)
}

fn in_range(time: jiff::Timestamp, text: &str) -> Result<Timestamp, TimeError> {
    i64::try_from(time.as_nanosecond())
        .map(Timestamp::from_nanos)
        .map_err(|_| TimeError::Range(shown(text)))
}

/// A decimal number such as `-1700000000.000000001` or `1.7e9`.
fn decimal(digits: &str, unit: TimeUnit) -> Result<Timestamp, TimeError> {
    let digits = digits.trim();
    let number = || TimeError::Number(shown(digits));
    let range = || TimeError::Range(shown(digits));
    // Most times are whole numbers.
    if let Some(whole) = digits
        .parse::<i64>()
        .ok()
        .filter(|_| !digits.starts_with('+'))
    {
        let nanos = whole.checked_mul(10_i64.pow(unit.nanos_exponent().unsigned_abs()));
        return nanos.map(Timestamp::from_nanos).ok_or_else(range);
    }
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| number())?),
        None => (digits, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let unsigned = whole.strip_prefix('-').unwrap_or(whole);
    if unsigned.is_empty()
        || !unsigned
            .chars()
            .chain(fraction.chars())
            .all(|c| c.is_ascii_digit())
    {
        return Err(number());
    }
    let fraction = fraction.trim_end_matches('0');
    let joined: i128 = format!("{whole}{fraction}").parse().map_err(|_| range())?;
    let places = i32::try_from(fraction.len()).map_err(|_| range())?;
    let scale = exponent
        .saturating_sub(places)
        .saturating_add(unit.nanos_exponent());
    let power = 10i128.checked_pow(scale.unsigned_abs());
    let nanos = match (joined, power) {
        (0, _) => Some(0),
        (_, Some(power)) if scale >= 0 => joined.checked_mul(power),
        (_, Some(power)) => Some(joined.div_euclid(power)),
        (_, None) if scale < 0 => Some(if joined < 0 { -1 } else { 0 }),
        (_, None) => None,
    };
    nanos
        .and_then(|nanos| i64::try_from(nanos).ok())
        .map(Timestamp::from_nanos)
        .ok_or_else(range)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nanos(read: Result<Timestamp, TimeError>) -> Option<i64> {
        read.ok().map(Timestamp::nanos)
    }

    #[test]
    fn numbers_are_exact_to_the_nanosecond() {
        use TimeUnit::*;
        let table = [
            (
                "1700000000.123456789",
                Seconds,
                Some(1_700_000_000_123_456_789),
            ),
            (
                "1700000000.1234567899",
                Seconds,
                Some(1_700_000_000_123_456_789),
            ),
            ("-0.0000000001", Seconds, Some(-1)),
            ("-1.5", Seconds, Some(-1_500_000_000)),
            ("1.7e9", Seconds, Some(1_700_000_000_000_000_000)),
            ("17E8", Seconds, Some(1_700_000_000_000_000_000)),
            ("1700000000123.456", Millis, Some(1_700_000_000_123_456_000)),
            ("9007199254740993", Micros, Some(9_007_199_254_740_993_000)),
            ("9223372036854775807", Nanos, Some(i64::MAX)),
            ("9223372036854775808", Nanos, None),
            ("1e300", Nanos, None),
            ("1e-300", Nanos, Some(0)),
            ("-1e-300", Nanos, Some(-1)),
            ("0e999999999", Seconds, Some(0)),
            ("1e99999999999", Seconds, None),
            ("NaN", Seconds, None),
            ("", Seconds, None),
            ("-", Seconds, None),
            ("1.2.3", Seconds, None),
            ("--1", Seconds, None),
            ("999999999999999999999999999999999999999999", Nanos, None),
        ];
        for (digits, unit, expected) in table {
            assert_eq!(
                nanos(TimeForm::Unit(unit).number(digits)),
                expected,
                "{digits} {unit:?}"
            );
        }
    }

    #[test]
    fn texts_are_rfc_3339_or_of_the_format() {
        let format = |format: &str| TimeForm::Format {
            format: format.to_owned(),
            zone: TimeZone::UTC,
        };
        let table = [
            (
                TimeForm::Text { zone: None },
                "1970-01-01T00:00:01Z",
                Some(1_000_000_000),
            ),
            (
                TimeForm::Text { zone: None },
                "1970-01-01T01:00:00.000000001+01:00",
                Some(1),
            ),
            (
                TimeForm::Text { zone: None },
                "1970-01-01 00:00:01Z",
                Some(1_000_000_000),
            ),
            (TimeForm::Text { zone: None }, "1970-01-01T00:00:01", None),
            (TimeForm::Text { zone: None }, "1", None),
            (TimeForm::Text { zone: None }, "9999-01-01T00:00:00Z", None),
            (TimeForm::Text { zone: None }, "", None),
            (
                TimeForm::Unit(TimeUnit::Seconds),
                "1.5",
                Some(1_500_000_000),
            ),
            (
                TimeForm::Unit(TimeUnit::Seconds),
                "1970-01-01T00:00:01Z",
                Some(1_000_000_000),
            ),
            (
                format("%d.%m.%Y %H:%M:%S"),
                "01.01.1970 00:00:02",
                Some(2_000_000_000),
            ),
            (format("%d.%m.%Y %H:%M:%S"), "1970-01-01", None),
            (
                format("%Y-%m-%d %H:%M %z"),
                "1970-01-01 01:00 +0100",
                Some(0),
            ),
        ];
        for (form, text, expected) in table {
            assert_eq!(nanos(form.text(text)), expected, "{text:?} as {form:?}");
        }
        assert!(
            nanos(TimeForm::Text { zone: None }.number("1")).is_none(),
            "a number without a unit is no time"
        );
        assert_eq!(
            (check_format("%Y-%m-%d").is_ok(), check_format("%Ö").is_ok()),
            (true, false)
        );
    }

    #[test]
    fn a_time_without_an_offset_and_a_zone_names_the_key_that_mends_it() {
        let names_key = |text: &str| {
            let error = TimeForm::Text { zone: None }.text(text).unwrap_err();
            error.to_string().contains("time_zone")
        };
        for text in [
            "2025-07-01T12:00:00",
            " 2025-07-01 12:00:00.5 ",
            "2025-07-01",
        ] {
            assert!(names_key(text), "{text:?}");
        }
        for text in [
            "",
            "noon",
            "2025-07-01T25:00:00Z",
            "2025-13-01T12:00:00",
            "1751364000",
        ] {
            assert!(!names_key(text), "{text:?}");
        }
    }

    #[test]
    fn a_time_without_an_offset_is_of_the_zone() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let text = TimeForm::Text {
            zone: Some(zone.clone()),
        };
        let format = TimeForm::Format {
            format: "%d.%m.%Y %H:%M".into(),
            zone,
        };
        // 2025-10-26T00:30:00Z is 02:30 in summer time, which comes again an hour later in winter time.
        let fold = Some(1_761_438_600_000_000_000);
        let table = [
            (
                &text,
                "2025-07-01T12:00:00",
                Some(1_751_364_000_000_000_000),
            ),
            (
                &text,
                "2025-07-01T12:00:00Z",
                Some(1_751_371_200_000_000_000),
            ),
            (&format, "01.01.2025 12:00", Some(1_735_729_200_000_000_000)),
            (&text, "2025-10-26 02:30", fold),
            (&format, "26.10.2025 02:30", fold),
            (&format, "30.03.2025 02:30", None),
        ];
        for (form, text, expected) in table {
            assert_eq!(nanos(form.text(text)), expected, "{text:?}");
        }
        let skipped = format.text("30.03.2025 02:30").unwrap_err().to_string();
        let expected = "the time \"30.03.2025 02:30\" did not exist in Europe/Berlin: the clock was set forward over it";
        assert_eq!(skipped, expected);
    }

    proptest! {
        #[test]
        fn every_instant_survives_as_fractional_seconds(expected in i64::MIN + 1..i64::MAX) {
            let (whole, part) = (expected.unsigned_abs() / 1_000_000_000, expected.unsigned_abs() % 1_000_000_000);
            let sign = if expected < 0 { "-" } else { "" };
            let text = format!("{sign}{whole}.{part:09}");
            prop_assert_eq!(nanos(TimeForm::Unit(TimeUnit::Seconds).number(&text)), Some(expected));
        }

        #[test]
        fn any_text_is_a_time_or_an_error(text in ".{0,60}") {
            for form in [
                TimeForm::Text { zone: Some(TimeZone::UTC) },
                TimeForm::Unit(TimeUnit::Millis),
                TimeForm::Format { format: "%Y-%j".into(), zone: TimeZone::UTC },
            ] {
                let (a, b) = (form.text(&text), form.number(&text));
                prop_assert!(a.is_ok() || a.unwrap_err().to_string().len() < 600);
                prop_assert!(b.is_ok() || b.unwrap_err().to_string().len() < 600);
            }
        }
    }
}
