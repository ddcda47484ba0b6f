//! Forebay's tables: keys, encrypted Parquet files, commits to the Delta log, scans.
//!
//! Invariants kept here: a file of an encrypted table has no column in clear; a commit is known by its id, never by
//! the absence of an error (E7); a local lake is synced before it is visible (E10). It never decides what to
//! commit: that is the compactor's.

mod commit;
mod erase;
mod error;
mod file_stats;
mod hex;
mod imports;
pub mod keys;
mod lake_writer;
mod local_store;
mod log_entry;
mod maintain;
mod merge;
pub mod parquet_file;
mod rebuild;
mod rows;
mod s3;
mod scan;
mod schema;
pub mod settings;
mod site_keys;
mod state;
mod table;
#[cfg(test)]
mod testing;
mod time_block;
mod verify;
mod writer;

pub use commit::Attempt;
pub use deltalake_core::kernel::Add;
pub use erase::{EraseSpec, Erased, erase};
pub use error::LakeError;
pub use file_stats::FileStats;
pub use imports::{
    ImportInfo, Imported, Imports, LostImport, import_info, imported_app_id, imports, note_import,
};
pub use lake_writer::{LakeWriter, Sealed, Transaction};
pub use local_store::SyncedLocalStore;
pub use maintain::{MaintainPolicy, Maintained, RETENTION_MIN, maintain};
pub use merge::{MergeOutcome, MergePolicy, MergeSpec, merge, plan};
pub use rebuild::{ROW_UNKNOWN, RebuiltState, Retells, rebuild_states};
pub use rows::{GatheredRows, PartitionRows, partition_rows};
pub use s3::{S3Credentials, S3Link, S3Settings};
pub use scan::{ScanCost, empty_session, session};
pub use schema::file_schema;
pub use settings::LakeSettings;
pub use site_keys::ensure_site_keys;
pub use state::{
    DeviceTimes, EpochMark, Forgotten, FoundState, Gap, GapExtent, GapState, SEQ_UNKNOWN,
    SideState, SiteTimes, StateKeeper, StreamState, TakenOver, taken_elsewhere,
};
pub use table::{Lake, LakeTable, Location, Snapshot};
pub use verify::{Fault, LedgerLine, LedgerSums, Report, verify, verify_lake, verify_received};
pub use writer::readings_partition;
