//! The durable log between edge and lake.
//!
//! [`LogWriter`] and [`LogReader`] are the seam: the gateway appends readings, the compactor takes them and says
//! what may be forgotten. [`local`] is the spool, a log in files of one gateway; [`kafka`] carries many spools' records to
//! whoever consumes them. Whatever implements the traits passes the suites in `conformance`.
//!
//! Invariants: a receipt means synced data and directory (E1); what was written is read in order, and what cannot
//! be read any more is named in its place and never skipped in silence (E4). The crate interprets no reading.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod error;
pub mod kafka;
pub mod local;
mod log;
mod partition;
mod raw;

pub use error::StreamError;
pub use local::SpoolSource;
pub use log::{
    Damage, Entry, GapWhy, LastSeq, LogReader, LogWriter, Offset, OpenReceipt, Receipt,
    ReceiptChanges, Record,
};
pub use partition::{
    Delivered, FixedGroup, GroupEvent, LogGroup, LogSource, PartitionReader, Transit,
};
pub use raw::RawRecord;
