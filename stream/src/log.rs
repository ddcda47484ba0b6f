//! The traits of a log, and what passes through them.
//!
//! A log holds one lane. Its offsets ascend for ever and survive forgetting; they may jump.

use std::{fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use forebay_runtime::trace::TraceContext;
pub use forebay_schemas::wire::{Damage, GapWhy, LastSeq};
use forebay_schemas::{
    Epoch, EpochNonce, Reading, Seq,
    wire::{Outage, Outages, ReadingBatch},
};

use crate::{StreamError, raw::RawRecord};

/// Place of a record in its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Offset(pub u64);

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Proof that readings are durable, and their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Receipt {
    /// The epoch that numbered them.
    pub epoch: Epoch,
    /// Number of the first.
    pub first_seq: Seq,
    /// Number of the last.
    pub last_seq: Seq,
}

/// A message that is durable and that its device may send again (E1). The log knows neither owners nor messages.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpenReceipt {
    /// Whose it is: a digest of a session's identity.
    pub owner: [u8; 16],
    /// What tells the message from its owner's others; at most 65,535 bytes.
    pub token: Vec<u8>,
}

/// Receipts that end and open with an append; first those that end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReceiptChanges {
    /// Receipts whose messages cannot come again. One that is not open is none; it must have been opened by an earlier
    /// append that was answered.
    pub ended: Vec<OpenReceipt>,
    /// Receipts of the messages that the readings come from.
    pub opened: Vec<OpenReceipt>,
}

impl ReceiptChanges {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.ended.is_empty() && self.opened.is_empty()
    }
}

/// One place of the log; its readings by rows or, where they go on to the lake, by series.
#[derive(Debug, Clone, PartialEq)]
pub struct Record<B = ReadingBatch> {
    /// Where it is.
    pub offset: Offset,
    /// Where to go on after it; greater than `offset`.
    pub next: Offset,
    /// What is there.
    pub entry: Entry<B>,
}

/// What a place of the log holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry<B = ReadingBatch> {
    /// Readings.
    Batch(B),
    /// Times in which devices were not read, numbered like readings.
    Outages(Outages),
    /// No more readings of this epoch follow (E3).
    EpochEnd {
        /// The epoch.
        epoch: Epoch,
        /// Which opening began it.
        nonce: EpochNonce,
        /// Where it ended.
        last: LastSeq,
    },
    /// Readings that were here and were given up for want of room. A reader that starts in their midst gets the whole range.
    Dropped {
        /// Their epoch.
        epoch: Epoch,
        /// Which opening numbered them.
        nonce: EpochNonce,
        /// The first that is gone.
        first_seq: Seq,
        /// The last that is gone.
        last_seq: Seq,
    },
    /// Readings that their gateway could not send, for the reason it gave. A spool has none: there they are `Dropped` or `Damaged`.
    Gap {
        /// Their epoch.
        epoch: Epoch,
        /// Which opening numbered them.
        nonce: EpochNonce,
        /// The first that is missing.
        first_seq: Seq,
        /// The last that is missing.
        last_seq: Seq,
        /// Why.
        why: GapWhy,
    },
    /// Bytes that cannot be read as they were written; the places from `offset` to `next` are lost.
    Damaged {
        /// First offset of the segment; of the lost places where the stream has no segments.
        segment: Offset,
        /// Where in the segment's file; empty if the bytes are gone.
        bytes: Range<u64>,
        /// What is wrong.
        why: Damage,
    },
    /// Places of its gateway's spool that could not be read, and so were not sent. A spool has none: there they are `Damaged`.
    SpoolLoss {
        /// The first place in that spool.
        from: Offset,
        /// The one behind the last.
        to: Offset,
        /// What is wrong.
        why: Damage,
    },
    /// A record that is none of ours, or not as it was written; to be quarantined. A spool has none.
    Undecodable {
        /// Its bytes.
        bytes: Vec<u8>,
        /// What is wrong.
        why: String,
    },
}

impl<B> Record<B> {
    /// The same place, its readings in another form.
    pub fn map_batch<C>(self, form: impl FnOnce(B) -> C) -> Record<C> {
        Record {
            offset: self.offset,
            next: self.next,
            entry: self.entry.map_batch(form),
        }
    }
}

impl<B> Entry<B> {
    /// The same, its readings in another form.
    pub fn map_batch<C>(self, form: impl FnOnce(B) -> C) -> Entry<C> {
        match self {
            Self::Batch(batch) => Entry::Batch(form(batch)),
            Self::Outages(outages) => Entry::Outages(outages),
            Self::EpochEnd { epoch, nonce, last } => Entry::EpochEnd { epoch, nonce, last },
            Self::Dropped {
                epoch,
                nonce,
                first_seq,
                last_seq,
            } => Entry::Dropped {
                epoch,
                nonce,
                first_seq,
                last_seq,
            },
            Self::Gap {
                epoch,
                nonce,
                first_seq,
                last_seq,
                why,
            } => Entry::Gap {
                epoch,
                nonce,
                first_seq,
                last_seq,
                why,
            },
            Self::Damaged {
                segment,
                bytes,
                why,
            } => Entry::Damaged {
                segment,
                bytes,
                why,
            },
            Self::SpoolLoss { from, to, why } => Entry::SpoolLoss { from, to, why },
            Self::Undecodable { bytes, why } => Entry::Undecodable { bytes, why },
        }
    }
}

/// Appends to one lane's log.
#[async_trait]
pub trait LogWriter: Send + Sync {
    /// Appends readings as one batch, numbered in the order of the calls. Returns once data and directory entry are
    /// synced (E1). After an error, or if the future is dropped, the readings may be in the log or not, without a receipt.
    ///
    /// # Errors
    /// `Reject` for an append that no log could hold; `Retry` if it was not written; `Fatal` once the log is closed.
    async fn append(&self, readings: Vec<Reading>) -> Result<Receipt, StreamError> {
        self.append_with(readings, ReceiptChanges::default()).await
    }

    /// As [`LogWriter::append`]; the changes of receipts become durable with the readings, or not at all. The next opening
    /// knows what is open then. Readers do not see them.
    ///
    /// # Errors
    /// As [`LogWriter::append`].
    async fn append_with(
        &self,
        readings: Vec<Reading>,
        receipts: ReceiptChanges,
    ) -> Result<Receipt, StreamError>;

    /// As [`LogWriter::append_with`], for readings that the caller keeps for another try.
    ///
    /// # Errors
    /// As [`LogWriter::append`].
    async fn append_shared(
        &self,
        readings: Arc<Vec<Reading>>,
        receipts: ReceiptChanges,
    ) -> Result<Receipt, StreamError> {
        self.append_with(Arc::unwrap_or_clone(readings), receipts)
            .await
    }

    /// Appends outages as one record, numbered like readings; for the rest as [`LogWriter::append`].
    ///
    /// # Errors
    /// As [`LogWriter::append`].
    async fn append_outages(&self, outages: Vec<Outage>) -> Result<Receipt, StreamError>;

    /// Durably ends receipts without readings; does nothing where none of them is open. Overtakes appends that wait.
    ///
    /// # Errors
    /// `Retry` if they may still be open; `Fatal` once the log is closed.
    async fn end_receipts(&self, ended: Vec<OpenReceipt>) -> Result<(), StreamError>;

    /// Ends the epoch with its end record and releases the log. Appends that still wait for room fail.
    ///
    /// # Errors
    /// `Retry` kinds mean that the end record is missing; the next opening writes it.
    async fn close(&self) -> Result<(), StreamError>;
}

/// Reads one lane's log in order. Sees only what is synced.
#[async_trait]
pub trait LogReader: Send {
    /// The next record; waits for it. Cancel-safe.
    ///
    /// # Errors
    /// `Fatal` at the end of a log that is closed, or before a record of a later release (E13).
    async fn next(&mut self) -> Result<Record, StreamError>;

    /// The next record, its readings in the bytes in which they are stored where the log stores them as they are sent; waits
    /// for it. A body that cannot be decoded is not damage here if the bytes are those that were written. Cancel-safe.
    ///
    /// # Errors
    /// As [`LogReader::next`].
    async fn next_raw(&mut self) -> Result<RawRecord, StreamError> {
        self.next().await.map(RawRecord::from)
    }

    /// The next record, or `None` at the end of what is synced. Cancel-safe.
    ///
    /// # Errors
    /// As [`LogReader::next`], but the end is none.
    async fn try_next(&mut self) -> Result<Option<Record>, StreamError>;

    /// The trace that readings which one append brought belong to, where the log has them from this process.
    fn trace_of(&self, readings: &Receipt) -> Option<TraceContext> {
        let _untraced = readings;
        None
    }

    /// Durably forgets everything below `up_to`; a reader that starts lower starts at `up_to`.
    ///
    /// # Errors
    /// `Retry` if it may not have been forgotten.
    async fn forget(&self, up_to: Offset) -> Result<(), StreamError>;
}
