//! Quality of data, series by series.
//!
//! The job `quality` looks at the readings of each series in a window and writes what is wrong with them to `events`, one
//! row in `scores` for each device, and an alert for each device or tag that has fallen silent. The checks are those of
//! `forebay-signals`; what is usual for a series is taken from the series. It changes no reading and its quality.

mod check;
mod job;
mod settings;
#[cfg(test)]
mod tests;

pub use settings::{Quality, QualityKind};
