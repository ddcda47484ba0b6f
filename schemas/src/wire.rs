//! The wire codec: one `ReadingBatch` is one record of the stream, spool and Kafka alike. A record
//! is decoded into a [`SeriesBatch`], which lays the same readings out by series, as the wire does.
//! Beside it stand the control records [`EpochEnd`], [`Gap`], [`Outages`] and [`SpoolLoss`],
//! versioned like it; which of them a record is, the stream says outside its bytes.
//!
//! Invariants: a batch's readings have consecutive seqs; decoding what was encoded gives the same readings in
//! the same order, bit for bit; bytes that are not exactly one valid batch are an error, never a guess. A batch of
//! a newer version is told apart from a damaged one (E13), since it must stop its reader and not be quarantined.

mod control;
mod decode;
mod encode;
mod head;
mod outages;
mod series_batch;
mod spool_loss;
#[cfg(test)]
mod tests;

use thiserror::Error;

pub(crate) use self::decode::check_version;
pub use self::{
    control::{EpochEnd, Gap, GapWhy, LastSeq},
    decode::SeriesDecoder,
    encode::ReadingEncoder,
    head::RecordHead,
    outages::{OUTAGES_MAX, Outage, OutageWhy, Outages},
    series_batch::{SeriesBatch, SeriesBlock},
    spool_loss::{Damage, SpoolLoss},
};
use crate::{Epoch, EpochNonce, ErrorKind, InvalidName, LaneId, Reading, Seq, UnknownQuality};

#[expect(
    unreachable_pub,
    reason = "generated from proto/forebay/v1/, documented there"
)]
pub(crate) mod proto {
    include!(concat!(env!("OUT_DIR"), "/forebay.v1.rs"));
}

/// The version that this release writes, and the newest that it reads.
pub const WIRE_VERSION: u32 = 1;

/// Most readings in one batch: bounds what a hostile record can make a reader allocate.
pub const BATCH_READINGS_MAX: usize = 1 << 20;

/// Consecutive readings of one lane's epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadingBatch {
    /// Where they were numbered.
    pub lane: LaneId,
    /// In which opening of the spool.
    pub epoch: Epoch,
    /// Which opening that was, among copies of one spool.
    pub nonce: EpochNonce,
    /// Number of the first; the others follow without a hole.
    pub first_seq: Seq,
    /// The readings, in the order of their seqs.
    pub readings: Vec<Reading>,
}

impl ReadingBatch {
    /// Number of the last reading; `None` for an empty batch.
    pub fn last_seq(&self) -> Option<Seq> {
        let distance = (self.readings.len() as u64).checked_sub(1)?;
        self.first_seq.checked_add(distance)
    }

    /// The record's bytes.
    pub fn encode(&self) -> Vec<u8> {
        ReadingEncoder::default().encode(&RecordHead::from(self), &self.readings)
    }

    /// The batch in a record's bytes.
    ///
    /// # Errors
    /// [`DecodeError::NewerVersion`] for a record of a later release (`Fatal`); anything else means that the
    /// bytes are no batch (`Corrupt`).
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        SeriesBatch::decode(bytes).map(|batch| Self::from(&batch))
    }
}

/// Why bytes are not the record that they should be.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum DecodeError {
    /// Not Protobuf.
    #[error("not a protobuf message")]
    Protobuf(#[from] prost::DecodeError),
    /// Written by a later release.
    #[error(
        "wire version {found} is newer than {WIRE_VERSION}, the newest this release reads: update this program"
    )]
    NewerVersion {
        /// The version that the record states.
        found: u32,
    },
    /// A record without a version, so not ours.
    #[error("the record states no wire version")]
    NoVersion,
    /// A name that is none.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// A quality that is none.
    #[error(transparent)]
    Quality(#[from] UnknownQuality),
    /// A value type that this version does not have.
    #[error("value type {0} is unknown")]
    ValueType(i32),
    /// More readings than a batch may hold.
    #[error("{0} readings in one batch, more than {BATCH_READINGS_MAX}")]
    TooMany(u32),
    /// More outages than a record may hold.
    #[error("{0} outages in one record, more than {OUTAGES_MAX}")]
    TooManyOutages(u32),
    /// Seq 0, or seqs past the end of the numbers.
    #[error("{count} readings from seq {first_seq} are outside the numbers of an epoch")]
    SeqRange {
        /// The first number.
        first_seq: u64,
        /// How many.
        count: u32,
    },
    /// A gap without seqs, or of seq 0.
    #[error("a gap from seq {first_seq} to {last_seq} is none")]
    GapRange {
        /// The first number.
        first_seq: u64,
        /// The last number.
        last_seq: u64,
    },
    /// A gap's reason that this version does not have.
    #[error("reason {0} for a gap is unknown")]
    GapWhy(i32),
    /// An outage's reason that this version does not have.
    #[error("reason {0} for an outage is unknown")]
    OutageWhy(i32),
    /// An outage that ends before it begins.
    #[error("an outage from {from} to {to} ns is none")]
    OutageRange {
        /// Its begin, ns since 1970 UTC.
        from: i64,
        /// Its end.
        to: i64,
    },
    /// A reason for lost places that this version does not have.
    #[error("reason {0} for lost places is unknown")]
    LossWhy(i32),
    /// Lost places that are none.
    #[error("lost places from {from} to {to} are none")]
    LossRange {
        /// The first place.
        from: u64,
        /// The one behind the last.
        to: u64,
    },
    /// Columns of one block differ in length.
    #[error("column {column} of {tag} has {found} entries instead of {expected}")]
    ColumnLength {
        /// The column.
        column: &'static str,
        /// The block's tag.
        tag: String,
        /// Its entries.
        found: usize,
        /// The entries of the block's positions.
        expected: usize,
    },
    /// A position outside the batch, or one that two blocks claim, or one that none claims.
    #[error("position {position} is {fault} in a batch of {count}")]
    Position {
        /// The position.
        position: u64,
        /// What is wrong with it.
        fault: &'static str,
        /// The batch's length.
        count: u32,
    },
    /// A status index without its status.
    #[error("status {index} of {tag} is not among the block's {statuses}")]
    StatusIndex {
        /// The index.
        index: u32,
        /// The block's tag.
        tag: String,
        /// How many there are.
        statuses: usize,
    },
}

impl DecodeError {
    /// `Fatal` for a newer version, which must stop its reader; `Corrupt` otherwise.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NewerVersion { .. } => ErrorKind::Fatal,
            _ => ErrorKind::Corrupt,
        }
    }
}
