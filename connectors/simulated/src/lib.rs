//! The connector of kind "simulated", which makes signals up or replays a file; and, behind the feature `plant`, a small plant on
//! loopback for `forebay demo`: a Modbus, an OPC UA and an MQTT server that replay recorded data.
//!
//! Kept here: the plant's servers are real ones that know nothing of Forebay, on ports that the system chooses, on 127.0.0.1
//! alone; what they offer is recorded data shipped with the crate (`data/`, each folder with its licence), faster than it was
//! recorded. A scenario never invents a value: it selects, moves or scales what was recorded.
//!
//! The plant is no connector: the gateway meets it over the network, as it meets any other.

#[cfg(feature = "plant")]
mod broker;
#[cfg(feature = "plant")]
mod configuration;
#[cfg(feature = "plant")]
mod demand;
#[cfg(feature = "plant")]
mod error;
mod kind;
#[cfg(feature = "plant")]
mod modbus;
#[cfg(feature = "plant")]
mod mqtt;
#[cfg(feature = "plant")]
mod opcua;
#[cfg(feature = "plant")]
mod plant;
#[cfg(feature = "plant")]
mod recording;
#[cfg(feature = "plant")]
mod scenario;

#[cfg(feature = "plant")]
pub use configuration::configuration;
#[cfg(feature = "plant")]
pub use demand::demand_history;
#[cfg(feature = "plant")]
pub use error::PlantError;
pub use kind::SimulatedKind;
#[cfg(feature = "plant")]
pub use mqtt::{FEEDER, LOAD};
#[cfg(feature = "plant")]
pub use plant::{Plant, Served};
#[cfg(feature = "plant")]
pub use recording::{Signal, signals};
#[cfg(feature = "plant")]
pub use scenario::{Pace, Scenario};

/// Directives for a filter of `tracing`: what the servers' libraries would otherwise say about every connection.
#[cfg(feature = "plant")]
pub const QUIET: &str = "rumqttd=off,opcua_server=error,opcua_core=error,opcua_crypto=off";
