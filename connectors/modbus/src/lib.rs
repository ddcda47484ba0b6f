//! The Modbus connector: polls coils and registers over TCP, RTU or TLS, of one device or of several units.
//!
//! Invariants:
//! - A value is decoded from one reply that answers exactly the request it was asked with: length, unit, function and
//!   transaction are checked, and after anything else than an orderly reply a connection is dropped, because a late
//!   reply could be taken for the next one. RTU has no transactions: `rtu` says how late replies are told apart.
//! - Connectors with the same address share one connection; one request is under way at a time.
//! - A value is never put together from two requests: the device could change it in between.
//! - The samples of one poll are handed over in one delivery; the next poll waits for its receipt.
//! - A server that stops, or falls silent, is reported within `heartbeat` and two or three `timeout`s; a single lost reply is
//!   no lost link.
//! - A register that the device does not answer makes its own tag bad, and no other.
//!
//! It never writes to a device. It does not filter or time-stamp, and scales nothing but the values of templates: that is
//! the gateway's part.
//!
//! Terms are those of the Modbus Application Protocol V1.1b3, of Modbus Messaging on TCP/IP V1.0b, of Modbus over Serial Line
//! V1.02 and of Modbus/TCP Security (MB-TCP-Security-v36).

mod bus;
mod client;
mod config;
mod connector;
mod endpoint;
mod exception;
mod keys;
mod plan;
mod poller;
mod rtu;
mod schedule;
mod serial;
mod survey;
mod template;
mod transport;
mod unit;
mod value;

pub use connector::ModbusKind;
pub use survey::{Browsed, Survey, SurveyError, browse, probe};
pub use template::{TemplateInfo, templates};
