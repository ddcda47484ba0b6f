//! What every kind of job must do, and the lake on which its tests run.
//!
//! A kind's tests describe a [`Case`] (its keys, readings, fires) and call [`suite()`]. For what is the kind's own they use
//! [`TestLake`]: readings and closed windows go in, a run's context comes out.
//!
//! Whether what a kind finds is right stays with the kind's own tests; when jobs run is the scheduler's.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the crate is a test: a broken promise ends it"
)]

mod case;
mod lake;
mod page;
mod rows;
mod suite;

pub use case::{Case, SeriesReadings, configured};
pub use lake::{SITE, TestLake, window};
pub use page::examples_are_sound;
pub use rows::rows_of;
pub use suite::suite;
