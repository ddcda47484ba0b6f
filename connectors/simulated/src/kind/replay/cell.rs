//! Cells of text: times and values.

use forebay_connectors::finite;
use forebay_schemas::{Timestamp, Value};
use jiff::{civil, tz::TimeZone};

use super::{Cell, nothing};

/// RFC 3339, `2026-01-31 12:00:00` in UTC, or seconds since 1970.
pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    let read = match text.parse::<f64>() {
        Ok(_) => seconds(text),
        Err(_) => instant(text),
    };
    read.ok_or_else(|| format!("{text:?} is not a time"))
}

fn instant(text: &str) -> Option<Timestamp> {
    let with_zone = text.parse::<jiff::Timestamp>().ok();
    let in_utc = || {
        let civil: civil::DateTime = text.parse().ok()?;
        Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
    };
    let nanos = with_zone.or_else(in_utc)?.as_nanosecond();
    i64::try_from(nanos).ok().map(Timestamp::from_nanos)
}

/// Seconds since 1970, to the nanosecond where they are written with digits alone.
fn seconds(text: &str) -> Option<Timestamp> {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !digits(whole) || !digits(fraction) {
        return of_seconds(text.parse().ok()?);
    }
    let fraction: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    let nanos: i64 = fraction.parse().ok()?;
    let whole: i64 = whole.parse().ok()?;
    let nanos = whole.checked_mul(1_000_000_000)?.checked_add(nanos)?;
    Some(Timestamp::from_nanos(nanos))
}

/// None outside the years 1677 to 2262.
pub(super) fn of_seconds(seconds: f64) -> Option<Timestamp> {
    let nanos = seconds * 1e9;
    (nanos.abs() < 9.2e18).then(|| Timestamp::from_nanos(nanos.round() as i64))
}

/// Numbers are doubles, whatever they look like, so that a column is of one type.
pub(super) fn value(text: &str) -> Cell {
    match text {
        "" => Err(nothing()),
        "true" | "True" | "TRUE" => Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => Ok(Value::Bool(false)),
        _ => match text.parse::<f64>() {
            Ok(number) => finite(number, number.to_bits()),
            Err(_) => Ok(Value::Text(text.to_owned())),
        },
    }
}

#[cfg(test)]
mod tests {
    use forebay_schemas::Quality;

    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        let table = [
            ("2026-01-31T12:00:00Z", Some(1_769_860_800_000_000_000)),
            ("2026-01-31T13:00:00+01:00", Some(1_769_860_800_000_000_000)),
            ("2026-01-31 12:00:00.5", Some(1_769_860_800_500_000_000)),
            ("1769860800", Some(1_769_860_800_000_000_000)),
            ("1769860800.123456789", Some(1_769_860_800_123_456_789)),
            ("-1.5", Some(-1_500_000_000)),
            ("1e3", Some(1_000_000_000_000)),
            ("9999999999999", None),
            ("nan", None),
            (".", None),
            ("noon", None),
            ("", None),
        ];
        for (text, nanos) in table {
            let expected = nanos.map(Timestamp::from_nanos);
            assert_eq!(time(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn cells_are_numbers_truth_or_text() {
        assert_eq!(value("7"), Ok(Value::F64(7.0)));
        assert_eq!(value("-2.5e3"), Ok(Value::F64(-2500.0)));
        assert_eq!(value("True"), Ok(Value::Bool(true)));
        assert_eq!(value("on"), Ok(Value::Text("on".into())));
        for (text, reason) in [
            ("", "the recording has no value"),
            ("NaN", "not a number"),
            ("-inf", "infinite"),
        ] {
            let status = value(text).unwrap_err();
            assert_eq!(status.quality, Quality::Bad);
            assert_eq!(status.reason.as_deref(), Some(reason));
        }
    }
}
