//! Forebay's way into the lake: readings become files become commits, each reading exactly once.
//!
//! Invariants kept here: a commit carries files and the state that says what they hold, together (E5); a chunk is
//! committed whole or not at all, so a restart goes on behind the last one; a stream's readings are taken only
//! contiguously, and what is missing is told (E4); a window is closed by watermark, once a revision (E11).

mod consume;
mod event_time;
mod housekeeping;
mod import;
mod ingest;
mod keys;
mod retention;
mod rollups;
mod settings;
mod traced;
mod windows;

pub use consume::{
    CompactorError, ConsumeSettings, Progress, RepairError, RepairMode, Repaired, SPOOL_GAP_WAIT,
    repair_states, run,
};
pub use event_time::MAX_SKEW;
pub use housekeeping::{MergeSettings, run_housekeeping};
pub use import::{
    Decimal, DeviceSource, Encoding, ImportError, ImportOutcome, ImportProgress, ImportSpec,
    OnExisting, QualityCodes, QualityColumn, TagSource, TextNote, TimeFormat, UndoError, Undone,
    import, import_watched, undo_import,
};
pub use ingest::{Step, commit};
pub use keys::LAKE;
pub use retention::{
    Held, Hold, Holds, RETENTION, RetentionMemory, RetentionRule, RetentionSettings, SiteExpired,
    delete_old, no_holds, run_retention, would_delete,
};
pub use rollups::{RollupLevel, RollupLevels};
pub use settings::CompactorSettings;
pub use windows::{
    AgeParts, DeviceFreshness, HeldBy, PassedStream, PathParts, TableFreshness, WaitingWindow,
    WindowProgress, WindowSettings, by_table, close_windows, fresh_devices, oldest_devices,
    run_windows,
};
