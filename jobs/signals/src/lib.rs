//! What a signal says, as pure functions over numbers: spectra and bearings, faults of data, outages, sun and wind.
//!
//! No engine, no clock, no randomness: the same samples give the same answer on every machine. The kinds of jobs that use
//! it (`vibration` and others) read the lake and write results; this crate does neither.

pub mod bearing;
pub mod envelope;
pub mod fourier;
pub mod order;
pub mod outage;
pub mod power_curve;
pub mod quality;
pub mod renewable;
pub mod sun;
pub mod trend;
pub mod velocity;
pub mod waveform;
