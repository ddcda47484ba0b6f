//! Failure warning: how far each device's signals have moved from their own level of the days before.
//!
//! The job `predictive_maintenance` judges each device when a window closes (or by the clock), writes one row to `scores`
//! and opens or updates warnings. The method is [`ChangeModel`]'s; what it knows and where it fails stands in the model card,
//! docs/models/predictive-maintenance.md. It tells of change, not of its cause, and foretells no remaining life.

#[cfg(test)]
mod backtest;
mod change;
mod job;
#[cfg(test)]
mod tests;
mod words;

pub use change::{Change, ChangeModel, Step};
pub use job::{PredictiveMaintenance, PredictiveMaintenanceKind};
