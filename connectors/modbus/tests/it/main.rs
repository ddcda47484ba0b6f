//! The connector against pymodbus, and against servers that break the protocol.

mod faults;
mod harness;
mod hostile;
mod links;
mod types;
