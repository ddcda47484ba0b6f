//! Records as they are stored, for whoever sends them on (E2): readings and outages keep their bytes, and only what headers and
//! control records need is read of them.

use bytes::Bytes;
use forebay_schemas::wire::{Outages, ReadingBatch, RecordHead};

use crate::{Entry, Offset, Record};

/// One place of the log, as [`LogReader::next_raw`](crate::LogReader::next_raw) yields it: made of a [`Record`], or by a log that
/// stores readings as they are sent.
#[derive(Debug, Clone, PartialEq)]
pub struct RawRecord {
    pub(crate) offset: Offset,
    pub(crate) next: Offset,
    pub(crate) entry: RawEntry,
}

/// What a place of the log holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum RawEntry {
    /// The bytes of a [`ReadingBatch`].
    Readings(RawBatch),
    /// The bytes of [`Outages`].
    Outages(RawBatch),
    /// What is not stored as it is sent; everything, where a log stores nothing so.
    Decoded(Entry),
}

/// Readings or outages in the bytes in which they are stored and sent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RawBatch {
    /// What the bytes say of themselves.
    pub(crate) head: RecordHead,
    /// The whole record; its body has not been looked at.
    pub(crate) bytes: Bytes,
}

impl From<Record> for RawRecord {
    fn from(
        Record {
            offset,
            next,
            entry,
        }: Record,
    ) -> Self {
        Self {
            offset,
            next,
            entry: RawEntry::Decoded(entry),
        }
    }
}

impl From<&ReadingBatch> for RawBatch {
    fn from(batch: &ReadingBatch) -> Self {
        Self {
            head: batch.into(),
            bytes: batch.encode().into(),
        }
    }
}

impl From<&Outages> for RawBatch {
    fn from(outages: &Outages) -> Self {
        Self {
            head: outages.into(),
            bytes: outages.encode().into(),
        }
    }
}
