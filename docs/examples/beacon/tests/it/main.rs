//! A made-up device, the suite of all connectors, and the registry.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test cannot set up ends it, in its helpers too"
)]

mod conforms;
mod hostile;
mod registry;
