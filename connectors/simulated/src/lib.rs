//! A small plant on loopback: a Modbus, an OPC UA and an MQTT server that replay recorded data, for `forebay demo`.
//!
//! Kept here: the servers are real ones that know nothing of Forebay, on ports that the system chooses, on 127.0.0.1 alone;
//! what they offer is recorded data shipped with the crate (`data/`, each folder with its licence), faster than it was
//! recorded. A scenario never invents a value: it selects, moves or scales what was recorded.
//!
//! Not here: a connector. The gateway meets this plant over the network, as it meets any other.

mod broker;
mod configuration;
mod demand;
mod error;
mod modbus;
mod mqtt;
mod opcua;
mod plant;
mod recording;
mod scenario;

pub use configuration::configuration;
pub use demand::demand_history;
pub use error::PlantError;
pub use mqtt::{FEEDER, LOAD};
pub use plant::{Plant, Served};
pub use recording::{Signal, signals};
pub use scenario::{Pace, Scenario};

/// Directives for a filter of `tracing`: what the servers' libraries would otherwise say about every connection.
pub const QUIET: &str = "rumqttd=off,opcua_server=error,opcua_core=error,opcua_crypto=off";
