//! The connector against pymodbus, and against servers that break the protocol.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what a test cannot set up ends it"
)]

mod bus;
mod conforms;
mod faults;
mod hostile;
mod lines;
mod links;
mod page;
mod peer;
mod server;
mod silence;
mod survey;
mod transports;
mod types;
