//! A payload that could be read as its format says.

use thiserror::Error;

use crate::{cbor, document::Document, message_pack, protobuf::MessageType};

/// How payloads are written that say themselves what they hold; Protobuf needs a [`MessageType`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON text (RFC 8259).
    Json,
    /// One CBOR data item (RFC 8949).
    Cbor,
    /// One MessagePack object.
    MessagePack,
    /// A number, true, false, or any other text.
    Raw,
}

/// Whether a payload has parts that a path can select.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Objects, arrays and values.
    Tree,
    /// One value.
    Text,
}

impl From<Format> for Layout {
    fn from(format: Format) -> Self {
        match format {
            Format::Json | Format::Cbor | Format::MessagePack => Self::Tree,
            Format::Raw => Self::Text,
        }
    }
}

/// Why a payload, or a part of it, cannot be decoded; for people.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Fault(pub String);

/// A payload that was read once and that any number of selections decode.
#[derive(Debug)]
pub struct Payload<'p>(pub(crate) Content<'p>);

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one lives at a time, and none is allocated for each message"
)]
pub(crate) enum Content<'p> {
    Tree(Document<'p>),
    Raw(&'p str),
}

impl<'p> Payload<'p> {
    /// Reads a whole payload.
    ///
    /// # Errors
    /// It is not what its format says; text that is not UTF-8.
    pub fn parse(format: Format, bytes: &'p [u8]) -> Result<Self, Fault> {
        let content = match format {
            Format::Json => Document::parse(bytes).map(Content::Tree),
            Format::Cbor => cbor::parse(bytes).map(Content::Tree),
            Format::MessagePack => message_pack::parse(bytes).map(Content::Tree),
            Format::Raw => std::str::from_utf8(bytes)
                .map(Content::Raw)
                .map_err(|error| format!("the payload is not UTF-8: {error}")),
        };
        content.map(Self).map_err(Fault)
    }

    /// Reads a whole payload as a Protobuf message.
    ///
    /// # Errors
    /// It is no message of that type.
    pub fn parse_message(message_type: &MessageType, bytes: &'p [u8]) -> Result<Self, Fault> {
        let document = message_type.parse(bytes);
        document.map(Content::Tree).map(Self).map_err(Fault)
    }
}
