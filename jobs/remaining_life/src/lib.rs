//! Remaining useful life: how many steps of its life a unit has left, told from units that ran to failure.
//!
//! The job `remaining_life` trains on the runs whose last reading is the failure, predicts every other unit of `devices` at
//! its last reading with a conformal interval, warns below a limit, and writes how wrong it was in cross-validation over
//! units. The method is that of `forebay_statistics::remaining_life`; what it knows and where it fails stands in the model
//! card, docs/models/remaining-life.md. It needs failures: without runs to failure there is no prediction.

mod job;
mod keys;
#[cfg(test)]
mod tests;
mod training;
mod units;

pub use job::{RemainingLife, RemainingLifeKind};
