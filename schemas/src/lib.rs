//! Forebay's contract: what a reading is, how it travels and how it lies in a table.
//!
//! Pure data and pure functions: no I/O, no clock, no runtime, so that every other crate can depend on it.
//! It deliberately knows nothing of Arrow, Delta or Kafka; the crates that do turn these types into theirs.

mod error;
mod event;
mod identity;
pub mod ledger;
mod name;
mod quality;
mod reading;
pub mod table;
mod time;
mod value;
pub mod wire;

pub use error::ErrorKind;
pub use event::{EVENTS_TAG, EventForm, EventStates, SourceEvent};
pub use identity::{Epoch, EpochNonce, Lane, LaneId, ReadingId, Seq};
pub use name::{DeviceId, GatewayId, InvalidName, SiteId, TagName, path_segment};
pub use quality::{Quality, Status, UnknownQuality};
pub use reading::{Reading, Series};
pub use time::{Clock, Timestamp};
pub use value::{Value, ValueType};
