//! Why a list cannot be read as a whole.

use thiserror::Error;

/// Why a list cannot be read as a whole.
#[derive(Debug, Error)]
pub enum TagsError {
    /// Not UTF-8.
    #[error("the list is not UTF-8: save it again in that encoding")]
    Encoding,
    /// No CSV.
    #[error("the list cannot be read as CSV")]
    Csv(#[from] csv::Error),
    /// A column that must be there is not.
    #[error("the list has no column {column:?}; it has: {columns}")]
    Column {
        /// Which.
        column: &'static str,
        /// Those that are there.
        columns: String,
    },
    /// No JSON, or not an export of tags.
    #[error("the list cannot be read as an export of tags: {0}")]
    Json(String),
    /// No payload of Sparkplug B, or no birth.
    #[error("the file cannot be read as a Sparkplug B birth: {0}")]
    Sparkplug(String),
    /// No XML.
    #[error("the list cannot be read as XML at byte {at}: {what}")]
    Xml {
        /// Where.
        at: u64,
        /// What is wrong.
        what: String,
    },
}
