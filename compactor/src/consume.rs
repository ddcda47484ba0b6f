//! Streams into `readings`: partitions come and go, each is taken in order, each of its readings once (E4 to E9).
//!
//! [`run`] is the whole of it. What a record means is decided in `contiguity`, without I/O; `partition` reads, gathers and
//! commits; `side` writes to the other tables. Nothing here asks whether a commit landed: after any doubt the state in the
//! table is read again and counts.

mod arrivals;
mod budget;
mod contiguity;
mod elsewhere;
mod epoch;
mod events;
mod group;
mod links;
mod moment;
mod partition;
mod progress;
mod repair;
mod seq_gaps;
mod side;
mod size;
#[cfg(test)]
mod tests;
mod times;

use std::time::Duration;

use datafusion::error::DataFusionError;
use forebay_lake::LakeError;
use forebay_schemas::{ErrorKind, InvalidName};
use forebay_stream::StreamError;
use thiserror::Error;

use crate::event_time::MAX_SKEW;

pub(crate) use arrivals::Arrival;
#[cfg(test)]
pub(crate) use arrivals::Passed;
pub use group::run;
pub use progress::Progress;
pub use repair::{RepairError, RepairMode, Repaired, repair_states};

/// How long a jump in a spool waits: its one writer writes in order, so that another look is all that can help.
pub const SPOOL_GAP_WAIT: Duration = Duration::from_secs(2);

/// How streams are consumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumeSettings {
    /// Readings are in the table at most so long after they were read.
    pub commit_interval: Duration,
    /// A commit holds at most about so many readings.
    pub commit_readings_max: u64,
    /// A commit holds at most about so many bytes of readings in memory.
    pub commit_bytes_max: usize,
    /// All partitions together hold at most about so many bytes of readings that wait for a commit.
    pub memory_bytes_max: usize,
    /// Readings behind a jump take at most so many bytes in memory, for each partition.
    pub held_bytes_max: usize,
    /// How long a jump waits for what is missing before it becomes a gap.
    pub gap_wait: Duration,
    /// How far ahead of its gateway's clock a device's may be.
    pub max_skew: Duration,
    /// How long, after the stop, what is in the stream is still taken.
    pub drain_max: Duration,
}

/// So many full commits fit into the memory. A partition that finds none left commits an eighth of a full commit at a time.
pub(crate) const COMMITS_IN_MEMORY: usize = 5;

impl Default for ConsumeSettings {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl ConsumeSettings {
    /// What holds where the configuration says nothing.
    pub const DEFAULT: Self = Self {
        commit_interval: Duration::from_secs(10),
        commit_readings_max: 500_000,
        commit_bytes_max: (160 << 20) / COMMITS_IN_MEMORY,
        memory_bytes_max: 160 << 20,
        held_bytes_max: 16 << 20,
        gap_wait: Duration::from_secs(600),
        max_skew: MAX_SKEW,
        drain_max: Duration::from_secs(10),
    };
}

/// Why consuming ended.
#[derive(Debug, Error)]
pub enum CompactorError {
    /// The tables.
    #[error("{place}: {source}")]
    Lake {
        /// Stream and partition, or what else was being done.
        place: String,
        /// Why.
        #[source]
        source: LakeError,
    },
    /// The stream.
    #[error("{place}: {source}")]
    Stream {
        /// Stream and partition; empty for the group.
        place: String,
        /// Why.
        #[source]
        source: StreamError,
    },
    /// A state in the table names a gateway that cannot be.
    #[error("{place}: its state in the table is wrong: {source}")]
    State {
        /// Stream and partition.
        place: String,
        /// Why.
        #[source]
        source: InvalidName,
    },
    /// What the tables hold could not be counted.
    #[error("windows: {source}")]
    Query {
        /// Why.
        #[source]
        source: Box<DataFusionError>,
    },
    /// A task panicked, which is a defect of this program.
    #[error("{place}: stopped by a defect of this program; its log has the panic's message")]
    Panicked {
        /// Stream and partition.
        place: String,
    },
}

impl CompactorError {
    /// What a caller may do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Lake { source, .. } => source.kind(),
            Self::Stream { source, .. } => source.kind(),
            Self::State { .. } => ErrorKind::Corrupt,
            // A file that a merge replaced meanwhile, a store that failed: the next query may succeed.
            Self::Query { .. } => ErrorKind::Retry,
            Self::Panicked { .. } => ErrorKind::Fatal,
        }
    }
}
