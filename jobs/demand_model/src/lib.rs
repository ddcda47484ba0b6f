//! Forecasts of a load series as pure functions: steps in, steps with bounds out.
//!
//! [`DemandModel`] forecasts each slot of the local day from lags, calendar and weather by ridge regression, by boosted trees
//! and by their mean; over the last weeks it makes the forecasts that it would have made, and answers with the one that was
//! least wrong: with the seasonal naive one ([`SeasonalNaive`]) wherever nothing beats that. Nothing here reads a lake or a
//! clock, and the same steps give the same bits.

mod clock;
mod features;
mod fit;
mod frame;
mod grid;
mod model;
mod seasonal;
#[cfg(test)]
mod tests;
mod trial;

pub use fit::Tuning;
pub use model::{Answer, DemandModel, Inputs, Known, Method, Target};
pub use seasonal::{Forecast, SeasonalNaive, Step, TooLittle};
pub use trial::{Backtest, Measure};
