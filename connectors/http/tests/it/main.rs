//! The connector against Python's http.client, and against clients that break the protocol.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what a test cannot set up ends it"
)]

mod conforms;
mod hostile;
mod peer;
mod requests;
mod tls;
