//! Outages of the grid's feeders.
//!
//! The job `grid_outage` reads when each meter was heard and whether it sent a last gasp, and writes `events` of kind
//! `power_loss` or `communication_loss` with the feeder as device. The method is `forebay_signals::outage`'s. It judges
//! whole feeders and parts of them, never a single service, and estimates no cause.

mod job;
#[cfg(test)]
mod tests;

pub use job::{GridOutage, GridOutageKind};
