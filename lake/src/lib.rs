//! Forebay's tables: keys, encrypted Parquet files, commits to the Delta log, scans.
//!
//! Invariants kept here: a file of an encrypted table has no column in clear; a commit is known by its id, never by
//! the absence of an error (E7); a local lake is synced before it is visible (E10). It never decides what to
//! commit: that is the compactor's.

mod error;
pub mod file;
pub mod keys;
mod operate;
mod query;
pub mod settings;
mod store;
mod table;
#[cfg(test)]
mod testing;

pub use deltalake_core::kernel::Add;
pub use error::LakeError;
pub use file::rows::{GatheredRows, PartitionRows, partition_rows};
pub use file::schema::file_schema;
pub use file::stats::FileStats;
pub use operate::erase::{EraseSpec, Erased, erase};
pub use operate::expire::{
    Deletion, EventExpiry, EventFiles, ExpireSpec, Expired, ExpiredBySite, ExpiryRule, FitsSeries,
    HeldEvents, Swept, expire, expire_events, expired_before, would_expire, would_expire_events,
    write_expired_events,
};
pub use operate::imports::{
    ImportInfo, Imported, Imports, LostImport, import_info, imported_app_id, imports, note_import,
};
pub use operate::maintain::{MaintainPolicy, Maintained, RETENTION_MIN, maintain};
pub use operate::merge::{MergeOutcome, MergePolicy, MergeSpec, merge, plan};
pub use operate::rebuild::{ROW_UNKNOWN, RebuiltState, Retells, rebuild_states};
pub use operate::replace::{ReplaceSpec, Replaced, replace};
pub use operate::verify::{
    Fault, LedgerLine, LedgerSums, Report, verify, verify_lake, verify_received,
};
pub use query::{
    CoveredView, LakeView, RollupCover, ScanCost, UnreadNotes, ViewedTable, empty_session,
    quoting_hint, session,
};
pub use settings::LakeSettings;
pub use store::bucket_folder::BucketFolder;
pub use store::local::SyncedLocalStore;
pub use store::s3::{S3Credentials, S3Link, S3Settings};
pub use table::change::{Attempt, Transaction};
pub use table::lake_writer::{LakeWriter, Sealed};
pub use table::site_keys::ensure_site_keys;
pub use table::state::{
    DeviceTimes, EpochMark, Forgotten, FoundState, Gap, GapExtent, GapState, SEQ_UNKNOWN,
    SideState, SiteTimes, StateKeeper, StreamState, TakenOver, taken_elsewhere,
};
pub use table::stored::readings_partition;
pub use table::{Lake, LakeTable, Location, Snapshot};
