//! How much room the spool may take, and what happens when it is used up.

use crate::StreamError;

const SEGMENT_BYTES_MIN: u64 = 1024;
const SEGMENT_BYTES_MAX: u64 = 1 << 30;
const SEGMENTS_MIN: u64 = 3;

/// What to do when there is no more room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFull {
    /// Appends wait until something is forgotten.
    Block,
    /// The oldest segments are given up; the reader finds `Dropped` in their place.
    DropOldest,
}

/// The spool's room. The mark, the reserve (64 KiB) and the ledger (see `forebay_schemas::ledger::Bounds`) come on top.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub(super) bytes_max: u64,
    pub(super) segment_bytes: u64,
    pub(super) on_full: OnFull,
}

impl Limits {
    /// At most `bytes_max` bytes in segments of at most `segment_bytes`.
    ///
    /// # Errors
    /// If a segment is smaller than 1 KiB or larger than 1 GiB, or there is no room for three of them.
    pub fn new(bytes_max: u64, segment_bytes: u64, on_full: OnFull) -> Result<Self, StreamError> {
        let wrong = |field, found, rule| Err(StreamError::Limits { field, found, rule });
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&segment_bytes) {
            return wrong("segment_bytes", segment_bytes, "between 1 KiB and 1 GiB");
        }
        if bytes_max / SEGMENTS_MIN < segment_bytes {
            return wrong("bytes_max", bytes_max, "at least three times segment_bytes");
        }
        Ok(Self {
            bytes_max,
            segment_bytes,
            on_full,
        })
    }

    /// Bytes that the segments may take together.
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }
}
