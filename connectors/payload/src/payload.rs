//! A payload that could be read as its format says.

use thiserror::Error;

use crate::json::Document;

/// How payloads are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON text (RFC 8259).
    Json,
    /// A number, true, false, or any other text.
    Raw,
}

/// Why a payload, or a part of it, cannot be decoded; for people.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Fault(pub String);

/// A payload that was read once and that any number of selections decode.
#[derive(Debug)]
pub struct Payload<'p>(pub(crate) Content<'p>);

#[derive(Debug)]
pub(crate) enum Content<'p> {
    Json(Document<'p>),
    Raw(&'p str),
}

impl<'p> Payload<'p> {
    /// Reads a whole payload.
    ///
    /// # Errors
    /// It is not UTF-8, or not JSON where that is its format.
    pub fn parse(format: Format, bytes: &'p [u8]) -> Result<Self, Fault> {
        let content = match format {
            Format::Json => Document::parse(bytes).map(Content::Json),
            Format::Raw => std::str::from_utf8(bytes)
                .map(Content::Raw)
                .map_err(|error| format!("the payload is not UTF-8: {error}")),
        };
        content.map(Self).map_err(Fault)
    }
}
