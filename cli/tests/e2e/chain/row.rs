//! Rows of `readings` as a test expects them.

use crate::site::Site;

/// What a device sent, as it has to stand in the table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    /// The column `value`: numbers and truths.
    pub(crate) number: Option<f64>,
    /// `value_int`, `value_text` and `value_type`; empty for null.
    pub(crate) exact: [String; 3],
    pub(crate) unit: String,
    pub(crate) quality: u8,
    /// The source's time in µs.
    pub(crate) event_time: i64,
}

impl Row {
    pub(crate) fn new(
        number: Option<f64>,
        exact: [&str; 3],
        unit: &str,
        quality: u8,
        event_time: i64,
    ) -> Self {
        Self {
            number,
            exact: exact.map(str::to_owned),
            unit: unit.to_owned(),
            quality,
            event_time,
        }
    }

    pub(crate) fn integer(value: i64, unit: &str, event_time: i64) -> Self {
        Self::new(
            Some(value as f64),
            [&value.to_string(), "", "i64"],
            unit,
            0,
            event_time,
        )
    }

    /// All readings of a tag, in the order in which they were taken.
    pub(crate) fn of(site: &Site, device: &str, tag: &str) -> Vec<Self> {
        let sql = format!(
            "select value, value_int, value_text, value_type, unit, quality, cast(event_time as bigint) from readings \
             where device = '{device}' and tag = '{tag}' order by epoch, seq"
        );
        site.rows(&sql).iter().map(|row| Self::parse(row)).collect()
    }

    fn parse(row: &str) -> Self {
        let fields: Vec<&str> = row.split(',').collect();
        let [number, integer, text, kind, unit, quality, event_time] = fields[..] else {
            panic!("a row is {row}")
        };
        let number = (!number.is_empty()).then(|| number.parse().unwrap());
        Self::new(
            number,
            [integer, text, kind],
            unit,
            quality.parse().unwrap(),
            event_time.parse().unwrap(),
        )
    }
}
