//! What every connector must do, whatever its protocol, and the rig that shows whether it does.
//!
//! A connector's tests implement [`Subject`] with a peer that is not ours and call [`suite()`]. For what is their protocol's own they
//! use the [`Rig`]: a connector that is made from `forebay.toml` as the gateway makes it, and the gateway's end of its outlet.
//!
//! The rig has neither spool nor steps nor series: a test sees what the connector has handed over, and nothing else. Peers and
//! their processes stay with their connector.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the crate is a test: a broken promise ends it"
)]

mod configure;
mod rig;
mod subject;
mod suite;

use std::time::Duration;

pub use configure::{configure, configure_in};
pub use rig::{Kept, PATIENCE, Receipts, Rig, events_of, samples_of};
pub use subject::{BadPoint, Link, Loss, Memory, Point, Subject};
pub use suite::suite;

/// The time in which a connector reports a lost link.
pub const LOSS_REPORTED_WITHIN: Duration = Duration::from_secs(5);

/// The time in which a connector ends after a stop or a closed outlet, if the gateway gives the receipts.
pub const ENDED_WITHIN: Duration = Duration::from_secs(10);
