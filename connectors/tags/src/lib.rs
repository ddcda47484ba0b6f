//! Tag lists that other tools export, as `[[connector.tag]]` tables for a person to review.
//!
//! Invariants: each row of a list becomes one tag or one [`Outcome::LeftOut`] that says why; nothing is guessed where a list does not
//! say it. It knows what the lists mean, and no connector: whether a tag is valid is for its connector's kind to say.

mod error;
mod ignition;
mod kepware;
mod nodeset;
mod plain;
mod row;
mod sparkplug;
mod tag;

pub use error::TagsError;
pub use row::{Outcome, Row};
pub use tag::{Tag, Value};

/// What a list was exported by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListFormat {
    /// A CSV file whose columns are the keys of `[[connector.tag]]`.
    Plain,
    /// KEPServerEX (PTC), *Export CSV* of a device's tags, with addresses of its Modbus drivers.
    Kepware,
    /// Ignition (Inductive Automation), *Export tags* as JSON.
    Ignition,
    /// An OPC UA information model, `NodeSet2.xml` (OPC 10000-6, Annex F).
    NodeSet2,
    /// The payload of a NBIRTH or DBIRTH of Sparkplug B, as it was captured.
    SparkplugBirth,
}

/// Reads a list.
///
/// # Errors
/// The list as a whole cannot be read.
pub fn read(format: ListFormat, list: &[u8]) -> Result<Vec<Row>, TagsError> {
    let parse = match format {
        ListFormat::Plain => plain::read,
        ListFormat::Kepware => kepware::read,
        ListFormat::Ignition => ignition::read,
        ListFormat::NodeSet2 => nodeset::read,
        ListFormat::SparkplugBirth => return sparkplug::read(list),
    };
    let text = std::str::from_utf8(list).map_err(|_| TagsError::Encoding)?;
    parse(text.trim_start_matches('\u{feff}'))
}

/// What a person has to look up once behind a list's rows, because the list does not say it.
pub fn reminder(format: ListFormat, rows: &[Row]) -> Option<&'static str> {
    match format {
        ListFormat::Kepware => kepware::reminder(rows),
        _ => None,
    }
}

/// The tags of some rows as text for forebay.toml, in order; with each tag, the line on which its table begins, from 1.
pub fn toml(rows: &[Row]) -> (String, Vec<usize>) {
    let (mut text, mut lines) = (String::new(), Vec::new());
    for row in rows {
        if let Outcome::Tag(tag) = &row.outcome {
            lines.push(text.matches('\n').count() + 1);
            text += &tag.toml();
            text.push('\n');
        }
    }
    (text, lines)
}
