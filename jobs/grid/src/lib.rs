//! Smart grid: demand forecasts with intervals.
//!
//! The job `grid_demand` forecasts each series for a horizon and writes `predictions`. The method is the seasonal naive one; what it
//! knows and where it fails stands in the model card, docs/models/grid-demand.md. Where there is too little history it
//! forecasts nothing and says so in `job_runs`; it never makes a number up.

#[cfg(test)]
mod backtest;
mod demand;
mod seasonal;
#[cfg(test)]
mod tests;

pub use demand::{GridDemand, GridDemandKind};
pub use seasonal::{Forecast, SeasonalNaive, Step, TooLittle};
