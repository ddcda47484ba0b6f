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
}

impl ImportSpec {
    /// The arguments that decide which readings come of the bytes: with them, part of the import's identity.
    pub(super) fn identity(&self) -> String {
        let Self { file: _, site, device, time_column, time_format, time_zone, separator, tags } = self;
        format!("{site:?}\0{device:?}\0{time_column:?}\0{time_format:?}\0{time_zone:?}\0{separator:?}\0{tags:?}")
    }
}
