//! From a request to samples.

use axum::http::{HeaderMap, StatusCode, Uri, header};
use forebay_connectors::Sample;
use forebay_schemas::Timestamp;

use crate::{
    csv_table, documents, line,
    refusal::Refusal,
    route::{Captured, Format, Rule},
    weight,
};

/// More digits of a fraction say nothing: an hour has 3.6e12 ns.
const FRACTION_DIGITS_MAX: usize = 18;

/// What a time in a body counts, from 1970 on: the parameter `precision` of InfluxDB's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Precision {
    Nanos,
    Micros,
    Millis,
    Seconds,
    Minutes,
    Hours,
}

impl Precision {
    fn of(uri: &Uri) -> Result<Option<Self>, Refusal> {
        let parameters = uri.query().unwrap_or_default().split('&');
        let named = parameters
            .filter_map(|one| one.strip_prefix("precision="))
            .next_back();
        let Some(named) = named else { return Ok(None) };
        match named {
            "ns" | "n" => Ok(Some(Self::Nanos)),
            "us" | "u" => Ok(Some(Self::Micros)),
            "ms" => Ok(Some(Self::Millis)),
            "s" => Ok(Some(Self::Seconds)),
            "m" => Ok(Some(Self::Minutes)),
            "h" => Ok(Some(Self::Hours)),
            other => {
                let shown: String = other.chars().take(20).collect();
                let reason = format!("precision={shown} is not ns, us, ms, s, m or h");
                Err(Refusal::bad(reason))
            }
        }
    }

    /// As it is written.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nanos => "ns",
            Self::Micros => "us",
            Self::Millis => "ms",
            Self::Seconds => "s",
            Self::Minutes => "m",
            Self::Hours => "h",
        }
    }

    fn nanos(self) -> i64 {
        match self {
            Self::Nanos => 1,
            Self::Micros => 1_000,
            Self::Millis => 1_000_000,
            Self::Seconds => 1_000_000_000,
            Self::Minutes => 60_000_000_000,
            Self::Hours => 3_600_000_000_000,
        }
    }

    /// The time of a count.
    pub(crate) fn time(self, count: i64) -> Option<Timestamp> {
        count.checked_mul(self.nanos()).map(Timestamp::from_nanos)
    }

    /// The time of a number such as `1700000000.25`, exact to the nanosecond; only one with an exponent goes through a double. None
    /// where it is no number, or beyond the years 1677 to 2262.
    pub(crate) fn time_of(self, number: &str) -> Option<Timestamp> {
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let unsigned = whole.strip_prefix(['-', '+']).unwrap_or(whole);
        if !unsigned.is_empty() && is_digits(unsigned) && is_digits(fraction) {
            return self.exact(whole, fraction);
        }
        let nanos = number.parse::<f64>().ok()? * self.nanos() as f64;
        (nanos.abs() < 9.2e18).then(|| Timestamp::from_nanos(nanos as i64))
    }

    /// Digits beyond the nanosecond are cut towards the past.
    fn exact(self, whole: &str, fraction: &str) -> Option<Timestamp> {
        let unit = i128::from(self.nanos());
        let fraction = &fraction[..fraction.len().min(FRACTION_DIGITS_MAX)];
        let places = 10_i128.pow(fraction.len() as u32);
        let part = fraction.parse().unwrap_or(0) * unit;
        let part = if whole.starts_with('-') { -part } else { part };
        let whole = whole.parse::<i128>().ok()?.checked_mul(unit)?;
        let nanos = whole.checked_add(part.div_euclid(places))?;
        i64::try_from(nanos).ok().map(Timestamp::from_nanos)
    }
}

/// The rules that a path fits, with the names that it gives.
pub(crate) fn routes<'r>(
    rules: &'r [Rule],
    path: &str,
) -> Result<Vec<(&'r Rule, Captured)>, Refusal> {
    let mut fitting = Vec::new();
    for rule in rules {
        if let Some(captured) = rule.template.captures(path)? {
            fitting.push((rule, captured));
        }
    }
    if fitting.is_empty() {
        let reason = "no [[connector.tag]] has this path";
        return Err(Refusal::new(StatusCode::NOT_FOUND, reason));
    }
    Ok(fitting)
}

/// Whether the body is said to be what a rule reads; one that is not said to be anything is believed.
pub(crate) fn check_type(headers: &HeaderMap, format: Format) -> Result<(), Refusal> {
    let Some(named) = headers.get(header::CONTENT_TYPE) else {
        return Ok(());
    };
    let named = named.to_str().unwrap_or("?").to_ascii_lowercase();
    let media = named.split(';').next().unwrap_or_default().trim();
    let is_text = matches!(media, "text/plain" | "application/octet-stream");
    let (is_it, expected) = match format {
        Format::Json => {
            let is_json =
                media == "application/json" || media == "text/json" || media.ends_with("+json");
            (is_json, "application/json")
        }
        Format::Csv => (is_text || media == "text/csv", "text/csv"),
        Format::Line => (
            is_text || media == "application/x-influxdb-line-protocol",
            "text/plain",
        ),
        Format::Raw => (is_text, "text/plain"),
    };
    // curl says so unless it is told otherwise.
    if is_it || media == "application/x-www-form-urlencoded" || media.is_empty() {
        return Ok(());
    }
    let reason = format!("content type {media:?} is not known here: {expected:?} is expected");
    Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason))
}

/// The samples of a body by all rules of its path.
pub(crate) fn samples(
    uri: &Uri,
    routes: &[(&Rule, Captured)],
    body: &[u8],
) -> Result<Vec<Sample>, Refusal> {
    let precision = Precision::of(uri)?;
    let mut samples = Vec::new();
    for (rule, captured) in routes {
        let made = match rule.format {
            Format::Json | Format::Raw => documents::samples(body, rule, captured)?,
            Format::Csv => csv_table::samples(body, rule, captured, precision)?,
            Format::Line => {
                let text = std::str::from_utf8(body);
                let text = text.map_err(|error| Refusal::bad(format!("not UTF-8: {error}")))?;
                line::samples(text, rule, captured, precision)?
            }
        };
        samples.extend(made);
        weight::check(&samples)?;
    }
    Ok(samples)
}
