//! What to import, and how to read it.

use std::path::PathBuf;

use encoding_rs::Encoding;
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

/// Which cells become readings, and of which tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagSource {
    /// The wide form: each of these columns is a tag; `None` for all but those that are named otherwise.
    Columns(Option<Vec<String>>),
    /// The long form: a row is one reading. Other columns are left alone.
    Rows {
        /// The column with the tag's name.
        tag: String,
        /// The column with the value.
        value: String,
    },
}

/// What numbers in a quality column mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QualityCodes {
    /// OPC DA (OPC Data Access 3.00, 6.8): bits 6 and 7; 192 is good, 0 bad. What most historians export.
    OpcDa,
    /// OPC UA's StatusCode (Part 4, 7.39): bits 30 and 31; 0 is good.
    OpcUa,
    /// Forebay's own: 0 good, 1 uncertain, 2 bad.
    Forebay,
}

/// Where a row's quality comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QualityColumn {
    /// The column.
    pub column: String,
    /// What numbers in it mean; `None`: they are not expected.
    pub codes: Option<QualityCodes>,
}

/// One import.
#[derive(Debug, Clone)]
pub struct ImportSpec {
    /// The file: Parquet (name ends in `.parquet`), or CSV, also compressed with gzip (`.gz`).
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
    /// Which cells become readings.
    pub tags: TagSource,
    /// The column with the unit of a row's values, as a UCUM code.
    pub unit_column: Option<String>,
    /// The column with the quality of a row's values.
    pub quality: Option<QualityColumn>,
    /// Cells that stand for "no value": readings of bad quality.
    pub nulls: Vec<String>,
    /// The encoding of a CSV file; UTF-8 unless it begins with a byte order mark that says otherwise.
    pub encoding: Option<&'static Encoding>,
    /// How numbers are written.
    pub decimal: Decimal,
    /// Rows below the header that are no readings, such as one of units.
    pub skip_rows: u64,
    /// What becomes of readings that are there already.
    pub on_existing: OnExisting,
}

impl ImportSpec {
    /// The arguments that decide which readings come of the bytes: with them, part of the import's identity. What becomes of
    /// readings that are there already is not: the same file adds nothing either way. Arguments that came later count only where
    /// they are given, so that an import by an older release keeps its identity.
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
        let tags = match tags {
            TagSource::Columns(columns) => format!("{columns:?}"),
            TagSource::Rows { tag, value } => format!("rows {tag:?} {value:?}"),
        };
        let mut identity = format!(
            "{site:?}\0{device:?}\0{time_column:?}\0{time_format:?}\0{time_zone:?}\0{separator:?}\0{tags}\0{decimal:?}\0{skip_rows}"
        );
        let Self {
            unit_column,
            quality,
            nulls,
            encoding,
            ..
        } = self;
        if let Some(column) = unit_column {
            identity += &format!("\0unit {column:?}");
        }
        if let Some(quality) = quality {
            identity += &format!("\0{quality:?}");
        }
        if !nulls.is_empty() {
            identity += &format!("\0nulls {nulls:?}");
        }
        if let Some(encoding) = encoding {
            identity += &format!("\0{}", encoding.name());
        }
        identity
    }

    /// Whether the file is Parquet, by its name.
    pub(super) fn is_parquet(&self) -> bool {
        self.file
            .extension()
            .is_some_and(|extension| extension == "parquet")
    }
}
