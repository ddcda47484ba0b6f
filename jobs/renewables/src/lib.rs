//! Forecasts of solar and wind power.
//!
//! The job `renewables` forecasts each series of a plant's power for a horizon and writes `predictions` with bounds, and one row
//! of `backtests` that holds the chosen method against yesterday's values. The methods are `forebay_signals::renewable`'s;
//! what they know and where they fail stands in the model card, docs/models/renewables.md. It reads nothing after its fire
//! but what `known_ahead` names.

mod job;
mod settings;
#[cfg(test)]
mod tests;

pub use settings::{Renewables, RenewablesKind};
