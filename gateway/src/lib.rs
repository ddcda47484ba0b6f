//! The edge runtime: connectors in, normalised readings into the spool.
//!
//! Invariants kept here: a connector hears of a receipt only when the readings that follow from its parcel are synced (E1), and
//! the message's receipt with them; a device stays in its lane; whatever a step leaves out is counted, and what was never read
//! because the gateway stood still is reported. It knows no protocol: the binary brings those.

mod complaints;
mod deadband;
mod device_report;
mod edge;
mod error;
mod filter;
mod keeper;
mod kept;
mod keys;
mod lanes;
mod memory;
mod outages;
mod pipeline;
mod rule;
mod series;
mod settings;
mod shared;
mod spool_append;
mod status;
mod steps;
mod tap;
#[cfg(test)]
mod tests;

pub use deadband::Deadband;
pub use device_report::{DeviceReport, TagReport};
pub use edge::{Changes, Edge, EdgeControl, Run};
pub use error::GatewayError;
pub use filter::Filter;
pub use kept::SeriesFolder;
pub use keys::{CONNECTOR, GATEWAY, SPOOL};
pub use lanes::Lanes;
pub use pipeline::Pipeline;
pub use rule::Rule;
pub use settings::{
    EdgeSettings, GatewaySettings, Source, SpoolSettings, connectors, gateway, spool,
};
pub use shared::shared_series;
pub use status::{EdgeStatus, SourceStatus};
pub use tap::{Stage, Tap, Tapped};
