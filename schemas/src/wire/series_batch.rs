//! Readings by series, as a record holds them: columns of positions, times, values and statuses,
//! and what the readings of a block share once a block.
//!
//! Invariants: all columns are equally long; each block is a stretch of them and is not empty; the
//! positions of a block ascend, and those of all blocks together are 0 to the batch's length, each
//! once.

mod gather;
mod known;
mod split;

use std::{ops::Range, sync::Arc};

use super::{DecodeError, ReadingBatch, SeriesDecoder};
use crate::{Epoch, EpochNonce, LaneId, Reading, Seq, Series, Status, Timestamp, Value, ValueType};

pub(super) use known::KnownSeries;

/// So many statuses of a batch are compared with a new one: what most readings share is found among
/// the first.
const STATUSES_COMPARED: usize = 8;

/// Consecutive readings of one lane's epoch, by series.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesBatch {
    /// Where they were numbered.
    pub lane: LaneId,
    /// In which opening of the spool.
    pub epoch: Epoch,
    /// Which opening that was, among copies of one spool.
    pub nonce: EpochNonce,
    /// Number of the reading at position 0; the others follow without a hole.
    pub first_seq: Seq,
    blocks: Vec<BlockHead>,
    pub(super) columns: Columns,
    statuses: Vec<Status>,
    pub(super) texts: Vec<String>,
    pub(super) byte_strings: Vec<Vec<u8>>,
}

/// What the readings of one block share, and where the next block begins in the columns.
#[derive(Debug, Clone, PartialEq)]
struct BlockHead {
    shared: Arc<Shared>,
    end: usize,
}

/// What the readings of one block share.
#[derive(Debug, PartialEq)]
pub(super) struct Shared {
    pub(super) series: Series,
    pub(super) unit: Option<Arc<str>>,
    pub(super) value_type: Option<ValueType>,
}

/// The columns of all blocks, one block behind the other.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Columns {
    pub(super) positions: Vec<u32>,
    pub(super) event_times: Vec<i64>,
    pub(super) observed_times: Vec<i64>,
    pub(super) values: Vec<u64>,
    pub(super) statuses: Vec<u32>,
}

/// The readings of a batch that share their series, their unit and the type of their values, in the
/// order of their seqs. Each column has an entry for each of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SeriesBlock<'a> {
    /// What was observed.
    pub series: &'a Series,
    /// UCUM code of the values' unit.
    pub unit: Option<&'a Arc<str>>,
    /// The type of the values; `None` where the source gave none.
    pub value_type: Option<ValueType>,
    /// Where each reading stands in its batch, ascending: so many seqs behind the batch's first.
    pub positions: &'a [u32],
    /// When, by the device's clock: ns since 1970 UTC.
    pub event_times: &'a [i64],
    /// When the gateway received it, by the gateway's clock: ns since 1970 UTC.
    pub observed_times: &'a [i64],
    /// Each value in 64 bits: those of a double, a number in two's complement, 0 or 1 for a truth
    /// value, the place in [`SeriesBatch::texts`] or [`SeriesBatch::byte_strings`]; 0 where there
    /// is no value.
    pub values: &'a [u64],
    /// Each reading's place in [`SeriesBatch::statuses`].
    pub statuses: &'a [u32],
}

impl SeriesBatch {
    /// A batch without readings, with room for so many.
    pub(super) fn with_capacity(
        lane: LaneId,
        epoch: Epoch,
        nonce: EpochNonce,
        first_seq: Seq,
        readings: usize,
    ) -> Self {
        let columns = Columns {
            positions: Vec::with_capacity(readings),
            event_times: Vec::with_capacity(readings),
            observed_times: Vec::with_capacity(readings),
            values: Vec::with_capacity(readings),
            statuses: Vec::with_capacity(readings),
        };
        Self {
            lane,
            epoch,
            nonce,
            first_seq,
            blocks: Vec::new(),
            columns,
            statuses: Vec::new(),
            texts: Vec::new(),
            byte_strings: Vec::new(),
        }
    }

    /// The batch in a record's bytes.
    ///
    /// # Errors
    /// As [`ReadingBatch::decode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        SeriesDecoder::default().decode(bytes)
    }

    /// The record's bytes, as [`ReadingBatch::encode`] has them.
    pub fn encode(&self) -> Vec<u8> {
        ReadingBatch::from(self).encode()
    }

    /// How many readings there are.
    pub fn len(&self) -> usize {
        self.columns.positions.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.columns.positions.is_empty()
    }

    /// Number of the last reading; `None` for an empty batch.
    pub fn last_seq(&self) -> Option<Seq> {
        let distance = (self.len() as u64).checked_sub(1)?;
        self.first_seq.checked_add(distance)
    }

    /// When the gateway received the last reading; `None` for an empty batch.
    pub fn last_observed(&self) -> Option<Timestamp> {
        let last = self.len().checked_sub(1)? as u32;
        let block = self
            .blocks()
            .find(|block| block.positions.last() == Some(&last))?;
        block
            .observed_times
            .last()
            .copied()
            .map(Timestamp::from_nanos)
    }

    /// The readings by series, unit and type of value.
    pub fn blocks(&self) -> impl ExactSizeIterator<Item = SeriesBlock<'_>> {
        let mut start = 0;
        self.blocks.iter().map(move |head| {
            let rows = start..head.end;
            start = head.end;
            self.block(head, rows)
        })
    }

    /// The statuses that blocks name.
    pub fn statuses(&self) -> &[Status] {
        &self.statuses
    }

    /// The texts that blocks name.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// The values of type bytes that blocks name.
    pub fn byte_strings(&self) -> &[Vec<u8>] {
        &self.byte_strings
    }

    /// Gives its texts and its values of type bytes away.
    pub fn into_payloads(self) -> (Vec<String>, Vec<Vec<u8>>) {
        (self.texts, self.byte_strings)
    }

    /// Each reading by itself, in the order of the seqs.
    pub fn readings(&self) -> impl ExactSizeIterator<Item = Reading> {
        // By position: the block and the row in the columns.
        let mut places = vec![(0, 0); self.len()];
        let mut row = 0;
        for (number, head) in self.blocks.iter().enumerate() {
            for position in &self.columns.positions[row..head.end] {
                places[*position as usize] = (number, row);
                row += 1;
            }
        }
        places
            .into_iter()
            .map(|(number, row)| self.reading(&self.blocks[number], row))
    }

    fn block<'a>(&'a self, head: &'a BlockHead, rows: Range<usize>) -> SeriesBlock<'a> {
        let Columns {
            positions,
            event_times,
            observed_times,
            values,
            statuses,
        } = &self.columns;
        SeriesBlock {
            series: &head.shared.series,
            unit: head.shared.unit.as_ref(),
            value_type: head.shared.value_type,
            positions: &positions[rows.clone()],
            event_times: &event_times[rows.clone()],
            observed_times: &observed_times[rows.clone()],
            values: &values[rows.clone()],
            statuses: &statuses[rows],
        }
    }

    fn reading(&self, head: &BlockHead, row: usize) -> Reading {
        let bits = self.columns.values[row];
        let Shared {
            series,
            unit,
            value_type,
        } = &*head.shared;
        let value = value_type.map(|value_type| match value_type {
            ValueType::F64 => Value::F64(f64::from_bits(bits)),
            ValueType::I64 => Value::I64(bits.cast_signed()),
            ValueType::U64 => Value::U64(bits),
            ValueType::Bool => Value::Bool(bits != 0),
            ValueType::Text => Value::Text(self.texts[bits as usize].clone()),
            ValueType::Bytes => Value::Bytes(self.byte_strings[bits as usize].clone()),
        });
        Reading {
            series: series.clone(),
            event_time: Timestamp::from_nanos(self.columns.event_times[row]),
            observed_time: Timestamp::from_nanos(self.columns.observed_times[row]),
            value,
            unit: unit.clone(),
            status: self.statuses[self.columns.statuses[row] as usize].clone(),
        }
    }

    /// The place of a status among the batch's. A rare one may stand there twice.
    pub(super) fn status_number(&mut self, status: Status) -> u32 {
        if let Some(known) = self
            .statuses
            .iter()
            .take(STATUSES_COMPARED)
            .position(|known| *known == status)
        {
            return known as u32;
        }
        self.statuses.push(status);
        (self.statuses.len() - 1) as u32
    }

    /// Ends a block whose readings stand in the columns; nothing where there are none.
    pub(super) fn end_block(&mut self, shared: Arc<Shared>) {
        let end = self.len();
        if self.blocks.last().map_or(0, |last| last.end) < end {
            self.blocks.push(BlockHead { shared, end });
        }
    }
}

impl From<&SeriesBatch> for ReadingBatch {
    fn from(batch: &SeriesBatch) -> Self {
        Self {
            lane: batch.lane.clone(),
            epoch: batch.epoch,
            nonce: batch.nonce,
            first_seq: batch.first_seq,
            readings: batch.readings().collect(),
        }
    }
}
