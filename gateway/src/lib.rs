//! The edge runtime: connectors in, normalised readings into the spool.
//!
//! Invariants kept here: a connector hears of a receipt only when the readings that follow from its parcel are synced (E1), and
//! the message's receipt with them; a device stays in its lane; whatever a step leaves out is counted, and what was never read
//! because the gateway stood still is reported. It knows no protocol: the binary brings those.

mod arrivals;
mod clock_skew;
mod complaints;
mod deadband;
mod device_report;
mod edge;
mod error;
mod expression;
mod filter;
mod gate;
mod held;
mod held_back;
mod keeper;
mod kept;
mod keys;
mod lanes;
mod memory;
mod outages;
mod pipeline;
mod pseudonym;
mod rule;
mod sealed;
mod series;
mod settings;
mod shared;
mod spool_append;
mod status;
mod step_settings;
mod steps;
mod tap;
#[cfg(test)]
mod tests;
mod ucum;

pub use clock_skew::ClockSkew;
pub use deadband::Deadband;
pub use device_report::{DeviceReport, TagReport};
pub use edge::{Changes, Edge, EdgeControl, Run};
pub use error::GatewayError;
pub use expression::Expression;
pub use filter::Filter;
pub use kept::SeriesFolder;
pub use keys::{CONNECTOR, GATEWAY, SPOOL, STEP};
pub use lanes::Lanes;
pub use pipeline::Pipeline;
pub use rule::{Invalid, KnownConversion, RatePer, Rule, ToUnit};
pub use settings::{
    EdgeSettings, GatewaySettings, Source, SpoolSettings, connectors, gateway, spool,
};
pub use shared::shared_series;
pub use status::{EdgeStatus, SourceStatus};
pub use steps::{Aggregate, DoorRule, StepSettings, WindowRule};
pub use tap::{
    Closeness, Fate, Onlooker, STEPS, Stage, StepPlace, Tap, Tapped, TappedRaw, TappedValue, Unseen,
};
pub use ucum::as_ucum;
