//! The Modbus TCP connector: polls coils and registers, of one device or of several units behind a gateway.
//!
//! Invariants:
//! - A value is decoded from one reply that answers exactly the request it was asked with: length, unit, function and
//!   transaction are checked, and after anything else than an orderly reply the connection is dropped, because a late
//!   reply could be taken for the next one.
//! - A value is never put together from two requests: the device could change it in between.
//! - The samples of one poll are handed over in one delivery; the next poll waits for its receipt.
//! - A server that stops, or falls silent, is reported within `heartbeat` and two or three `timeout`s; a single lost reply is
//!   no lost link.
//! - A register that the device does not answer makes its own tag bad, and no other.
//!
//! It never writes to a device. It does not scale, filter or time-stamp: that is the gateway's part.
//!
//! Terms are those of the Modbus Application Protocol V1.1b3 and of Modbus Messaging on TCP/IP V1.0b.

mod client;
mod config;
mod connector;
mod exception;
mod keys;
mod plan;
mod poller;
mod schedule;
mod transport;
mod unit;
mod value;

pub use connector::ModbusKind;
