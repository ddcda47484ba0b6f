//! What a device sends as JSON, CBOR, MessagePack, Protobuf or plain text, and what of it is the value, the event time, the quality and
//! the unit.
//!
//! A [`Selection`] is one `[[connector.tag]]`'s share of that: [`Selection::configure`] reads its [`keys`], and
//! [`Selection::decode`] turns a [`Payload`] into [`Decoded`] values.
//!
//! - Numbers keep the digits that the device wrote: integers of 64 bits and times of nanoseconds are never rounded through
//!   a double.
//! - A payload, or a part of it, that cannot be decoded is a [`Fault`] with a reason for people, and never a panic.
//! - No decoder allocates by a length that the payload claims before it has seen so many bytes: what a payload costs in memory is
//!   bounded by its own length.
//! - Names out of a payload are data: whether one is a valid name of a tag is decided by whoever builds the sample.
//!
//! It does no I/O, and it does not know devices, topics or tags: a connector names the series.

mod binary;
mod cbor;
mod config;
mod convert;
mod document;
mod flat;
pub mod keys;
mod message_pack;
mod path;
mod payload;
mod protobuf;
mod raw;
mod scalar;
mod segments;
mod selection;
#[cfg(test)]
mod tests;
mod time;

pub use payload::{Fault, Format, Layout, Payload};
pub use protobuf::MessageType;
pub use selection::{Arrays, Decoded, Outcome, Selection};
pub use time::TimeUnit;
