//! Condition of rotating machines from their vibration.
//!
//! The job `vibration` takes the waveform of each tag of a device, measures levels, velocity and the lines of the bearing in the
//! envelope spectrum, and writes one row to `scores` for each device: its worst tag. The pure methods are in
//! `forebay-signals`; here is what they are applied to and what is made of them. It knows the machine's past only from its
//! own rows in `scores`, and keeps nothing else.

mod job;
mod judge;
mod measure;
mod settings;
#[cfg(test)]
mod tests;
mod words;

pub use settings::{Vibration, VibrationKind};
