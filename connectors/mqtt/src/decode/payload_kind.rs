//! How the payloads of a rule's topics are written.

use forebay_payload::{Fault, Format, Layout, MessageType, Payload};

/// A format, and what is needed to read it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum PayloadKind {
    /// One that says itself what it holds.
    Plain(Format),
    /// Protobuf messages of one type.
    Protobuf(MessageType),
}

impl PayloadKind {
    pub(super) fn parse<'p>(&self, bytes: &'p [u8]) -> Result<Payload<'p>, Fault> {
        match self {
            Self::Plain(format) => Payload::parse(*format, bytes),
            Self::Protobuf(message_type) => Payload::parse_message(message_type, bytes),
        }
    }
}

impl From<&PayloadKind> for Layout {
    fn from(kind: &PayloadKind) -> Self {
        match kind {
            PayloadKind::Plain(format) => (*format).into(),
            PayloadKind::Protobuf(message_type) => message_type.into(),
        }
    }
}
