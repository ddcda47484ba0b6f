//! The connector against a second foreign peer, node-opcua: what differs there, and what asyncua does not do. Chains of certificates,
//! twenty thousand items, and a server that connects to us.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends by panicking, its helpers too"
)]

mod alarms;
mod chains;
mod link;
mod peer;
#[path = "../asyncua/relay.rs"]
mod relay;
mod reverse;
mod scale;
mod security;
mod values;
