//! Failure warning: how far each device's signals have left what they were before, or in training.
//!
//! The job `predictive_maintenance` judges each device when a window closes (or by the clock), writes rows to `scores` and
//! opens or updates warnings. The methods are [`ChangeModel`]'s and that of `forebay_statistics::hotelling`; what they know
//! and where they fail stands in the model card, docs/models/predictive-maintenance.md. It tells of change,
//! not of its cause, and predicts no remaining life.

#[cfg(test)]
mod backtest;
mod by_change;
mod change;
mod job;
mod kept;
mod keys;
mod multivariate;
#[cfg(test)]
mod tests;
mod train;
mod words;

pub use change::{Change, ChangeModel, Spread, Step};
pub use job::{PredictiveMaintenance, PredictiveMaintenanceKind};
pub use keys::Method;
pub use train::Train;
