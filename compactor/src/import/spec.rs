//! What to import, and how to read it.

use std::path::PathBuf;

use forebay_schemas::{DeviceId, SiteId};
use jiff::tz::TimeZone;

/// Where a row's device comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceSource {
    /// All rows are of one device.
    Fixed(DeviceId),
    /// This column names it.
    Column(String),
}

/// How a time is written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TimeFormat {
    /// RFC 3339, with a blank for the T too, and with the zone left out.
    #[default]
    Iso,
    /// A number of these since 1970 UTC, as nanoseconds for each.
    Unix {
        /// How many nanoseconds one is.
        nanos_per_unit: i64,
    },
    /// In the letters of strptime.
    Strptime(String),
}

impl TimeFormat {
    /// `s`, `ms`, `us` and `ns` stand for numbers since 1970 UTC; anything else is in the letters of strptime.
    pub fn parse(text: &str) -> Self {
        let unix = |nanos_per_unit| Self::Unix { nanos_per_unit };
        match text {
            "s" => unix(1_000_000_000),
            "ms" => unix(1_000_000),
            "us" => unix(1_000),
            "ns" => unix(1),
            format => Self::Strptime(format.to_owned()),
        }
    }
}

/// What separates a number's whole part from its fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Decimal {
    /// `987.5`.
    #[default]
    Point,
    /// `987,5`; a point or a blank then parts thousands: `1.234,5`.
    Comma,
}

/// What becomes of a reading whose series and time are there already from another import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnExisting {
    /// Both are kept: an import leaves out nothing that it was given, unless told to.
    #[default]
    Keep,
    /// The one that is there is kept, this one is left out.
    Skip,
}

/// One import.
#[derive(Debug, Clone)]
pub struct ImportSpec {
    /// The file: CSV, also compressed with gzip (name ends in `.gz`).
    pub file: PathBuf,
    /// The site of all its readings.
    pub site: SiteId,
    /// Where a row's device comes from.
    pub device: DeviceSource,
    /// The column with the event time.
    pub time_column: String,
    /// How it is written.
    pub time_format: TimeFormat,
    /// The zone of times that name none.
    pub time_zone: TimeZone,
    /// Between fields.
    pub separator: u8,
    /// Only these columns become tags; `None` for all but the time's and the device's.
    pub tags: Option<Vec<String>>,
    /// How numbers are written.
    pub decimal: Decimal,
    /// Rows below the header that are no readings, such as one of units.
    pub skip_rows: u64,
    /// What becomes of readings that are there already.
    pub on_existing: OnExisting,
}

impl ImportSpec {
    /// The arguments that decide which readings come of the bytes: with them, part of the import's identity. What becomes of
    /// readings that are there already is not: the same file adds nothing either way.
    pub(super) fn identity(&self) -> String {
        let Self {
            file: _,
            on_existing: _,
            site,
            device,
            time_column,
            time_format,
            time_zone,
            ..
        } = self;
        let Self {
            separator,
            tags,
            decimal,
            skip_rows,
            ..
        } = self;
        format!(
            "{site:?}\0{device:?}\0{time_column:?}\0{time_format:?}\0{time_zone:?}\0{separator:?}\0{tags:?}\0{decimal:?}\0{skip_rows}"
        )
    }
}
