//! The connector of docs/how-to/add-a-connector.md, for a made-up protocol: a device that answers each TCP connection with
//! one line, such as `21.5`. It is built and tested as any connector, and never shipped.
//!
//! Invariants: a device that is gone or silent is reported within 5 s; an answer takes no more memory than the longest
//! number. It keeps no connection open and writes nothing to the device.

mod connector;

pub use connector::BeaconKind;
