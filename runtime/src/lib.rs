//! What every long task needs, whichever part of Forebay it belongs to.
//!
//! It depends on no other crate of ours and knows nothing of readings, streams or tables.

mod backoff;
mod failpoint;
mod lock_file;
mod rate_limit;
mod report;
pub mod trace;

pub use backoff::Backoff;
pub use failpoint::{Failpoint, failpoint};
pub use lock_file::{LockError, LockFile};
pub use rate_limit::RateLimit;
pub use report::report;
