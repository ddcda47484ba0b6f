//! Every test that runs the `forebay` binary, against peers that are not ours.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what a test cannot set up ends it"
)]

mod alerts;
mod bad_input;
mod canaries;
mod chain;
mod demo;
mod deploy;
mod documents;
mod edge;
mod faults;
mod grafana;
mod lake;
mod query;
mod schema;
mod site;
mod tutorial;
mod verbs;
mod watchers;
mod windows;
