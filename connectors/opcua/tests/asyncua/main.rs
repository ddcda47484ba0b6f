//! The connector against servers that we did not write: asyncua's, and some that are none.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends by panicking, its helpers too"
)]

mod alarms;
mod browse;
mod conforms;
mod history;
mod link;
mod peer;
mod relay;
mod security;
mod servers;
mod shapes;
mod values;
