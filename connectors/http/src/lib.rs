//! The HTTP connector: it listens, devices POST.
//!
//! - A request is answered with 204 only after its samples are durable (E1). Requests that wait are handed over together,
//!   and a client that goes away takes nothing back.
//! - A request is taken as a whole or refused as a whole, with a status and a reason that names line and column.
//! - Everything is bounded: connections, the time for a head and for a body, the size of a body before and after gzip, and the
//!   bodies in memory.
//! - Without a token or client certificates it listens on loopback alone.
//!
//! HTTP knows no message ids: a client that sends again because it did not see its answer stores its readings twice. It does
//! not do HTTP/2, and it reads nothing from devices: who is silent is known by `silent_after` alone.

mod auth;
mod body;
mod config;
mod connector;
mod csv_table;
mod documents;
#[cfg(test)]
mod fuzzed;
mod intake;
mod keys;
mod line;
mod refusal;
mod request;
mod route;
mod server;
mod weight;

pub use config::HttpKind;
