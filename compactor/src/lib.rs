//! Forebay's way into the lake: readings become files become commits, each reading exactly once.
//!
//! Invariants kept here: a commit carries files and the state that says what they hold, together (E5); a chunk is
//! committed whole or not at all, so a restart goes on behind the last one. Not here yet: consuming a stream (E4, E6)
//! and closing windows (E11).

mod import;
mod ingest;

pub use import::{DeviceSource, ImportError, ImportOutcome, ImportSpec, TimeFormat, import};
pub use ingest::{Step, commit};
