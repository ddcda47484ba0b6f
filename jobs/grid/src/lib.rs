//! Smart grid: demand forecasts with intervals.
//!
//! The job `grid_demand` forecasts each series for a horizon and writes `predictions` and `backtests`. How it forecasts is
//! `forebay-demand-model`'s; what it knows and where it fails stands in the model card, docs/models/grid-demand.md. Where
//! there is too little history it forecasts nothing and says so in `job_runs`; it never makes a number up.

#[cfg(test)]
mod backtest;
mod demand;
#[cfg(test)]
mod tests;

pub use demand::{GridDemand, GridDemandKind};
pub use forebay_demand_model::{Forecast, SeasonalNaive, Step, TooLittle};
