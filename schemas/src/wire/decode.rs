//! Bytes to batch. Every count is checked before it is believed.
//!
//! Blocks are read one by one into the same message and from there into the batch's columns, so
//! that a block takes no memory of its own. They are looked into only once the version is known to
//! be one that this release reads (E13).

use prost::{
    Message as _,
    encoding::{
        DecodeContext, WireType, check_wire_type, decode_key, fixed64, message, sint64, skip_field,
        string, uint32, uint64,
    },
};

use super::{
    BATCH_READINGS_MAX, DecodeError, SeriesBatch, WIRE_VERSION, proto, series_batch::KnownSeries,
};
use crate::{Epoch, EpochNonce, GatewayId, Lane, LaneId, Quality, Seq, Status, ValueType};

/// A record's head, and its blocks, into which nobody has looked yet: each with its length before
/// it.
#[derive(Default)]
struct Outline<'a> {
    version: u32,
    gateway: String,
    lane: u32,
    epoch: u64,
    first_seq: u64,
    count: u32,
    observed_base: i64,
    blocks: Vec<&'a [u8]>,
    nonce: u64,
}

/// Decodes the records of a stream one after another, and keeps the names that they have in common.
#[derive(Debug, Default)]
pub struct SeriesDecoder {
    /// The block that is being read.
    block: proto::SeriesBlock,
    known: KnownSeries,
}

impl SeriesDecoder {
    /// The batch in a record's bytes.
    ///
    /// # Errors
    /// As [`ReadingBatch::decode`](super::ReadingBatch::decode).
    pub fn decode(&mut self, bytes: &[u8]) -> Result<SeriesBatch, DecodeError> {
        let outline = outline(bytes)?;
        check_head(&outline)?;
        let count = outline.count;
        // Each reading takes a byte of position at least: a small record cannot claim a large
        // batch.
        if count as usize > bytes.len() {
            return Err(DecodeError::Position {
                position: bytes.len() as u64,
                fault: "unclaimed",
                count,
            });
        }
        let lane = LaneId {
            gateway: GatewayId::new(&outline.gateway)?,
            lane: Lane(outline.lane),
        };
        let (epoch, nonce, first_seq) = (
            Epoch(outline.epoch),
            EpochNonce(outline.nonce),
            Seq(outline.first_seq),
        );
        let mut batch = SeriesBatch::with_capacity(lane, epoch, nonce, first_seq, count as usize);
        let mut claimed = vec![false; count as usize];
        for mut bytes in outline.blocks {
            self.block.clear();
            let context = DecodeContext::default();
            message::merge(
                WireType::LengthDelimited,
                &mut self.block,
                &mut bytes,
                context,
            )?;
            self.lay_out(outline.observed_base, &mut batch, &mut claimed)?;
        }
        match claimed.iter().position(|is_claimed| !is_claimed) {
            None => Ok(batch),
            Some(place) => Err(DecodeError::Position {
                position: place as u64,
                fault: "unclaimed",
                count,
            }),
        }
    }

    /// Puts the block behind those that the batch has. Its texts and bytes are taken out of it.
    fn lay_out(
        &mut self,
        observed_base: i64,
        batch: &mut SeriesBatch,
        claimed: &mut [bool],
    ) -> Result<(), DecodeError> {
        let block = &mut self.block;
        let expected = block.position_delta.len();
        check_length(
            block,
            "event_time_delta",
            block.event_time_delta.len(),
            expected,
        )?;
        check_length(
            block,
            "observed_delta",
            block.observed_delta.len(),
            expected,
        )?;
        if !block.status_index.is_empty() {
            check_length(block, "status_index", block.status_index.len(), expected)?;
        }
        let value_type = check_values(block, expected)?;
        let shared = self.known.shared(block, value_type)?;
        lay_out_statuses(block, batch)?;
        lay_out_positions(&block.position_delta, batch, claimed)?;
        let columns = &mut batch.columns;
        columns.event_times.extend(sums(0, &block.event_time_delta));
        columns
            .observed_times
            .extend(sums(observed_base, &block.observed_delta));
        lay_out_values(block, value_type, batch);
        batch.end_block(shared);
        Ok(())
    }
}

/// Every record's first check.
pub(crate) fn check_version(version: u32) -> Result<(), DecodeError> {
    match version {
        0 => Err(DecodeError::NoVersion),
        WIRE_VERSION => Ok(()),
        found => Err(DecodeError::NewerVersion { found }),
    }
}

/// The fields of a `ReadingBatch` (proto/forebay/v1/reading.proto).
fn outline(mut rest: &[u8]) -> Result<Outline<'_>, prost::DecodeError> {
    let mut found = Outline::default();
    while !rest.is_empty() {
        let (tag, wire_type) = decode_key(&mut rest)?;
        let context = DecodeContext::default();
        match tag {
            1 => uint32::merge(wire_type, &mut found.version, &mut rest, context)?,
            2 => string::merge(wire_type, &mut found.gateway, &mut rest, context)?,
            3 => uint32::merge(wire_type, &mut found.lane, &mut rest, context)?,
            4 => uint64::merge(wire_type, &mut found.epoch, &mut rest, context)?,
            5 => uint64::merge(wire_type, &mut found.first_seq, &mut rest, context)?,
            6 => uint32::merge(wire_type, &mut found.count, &mut rest, context)?,
            7 => sint64::merge(wire_type, &mut found.observed_base, &mut rest, context)?,
            8 => {
                check_wire_type(WireType::LengthDelimited, wire_type)?;
                let block = rest;
                skip_field(wire_type, tag, &mut rest, context)?;
                found.blocks.push(&block[..block.len() - rest.len()]);
            }
            9 => fixed64::merge(wire_type, &mut found.nonce, &mut rest, context)?,
            _ => skip_field(wire_type, tag, &mut rest, context)?,
        }
    }
    Ok(found)
}

fn check_head(outline: &Outline<'_>) -> Result<(), DecodeError> {
    check_version(outline.version)?;
    let Outline {
        first_seq, count, ..
    } = *outline;
    if count as usize > BATCH_READINGS_MAX {
        return Err(DecodeError::TooMany(count));
    }
    if first_seq == 0 || Seq(first_seq).checked_add(count.into()).is_none() {
        return Err(DecodeError::SeqRange { first_seq, count });
    }
    Ok(())
}

/// Each number's sum with all before it; deltas wrap as they did when they were taken.
fn sums(base: i64, deltas: &[i64]) -> impl Iterator<Item = i64> {
    deltas.iter().scan(base, |sum, delta| {
        *sum = sum.wrapping_add(*delta);
        Some(*sum)
    })
}

fn check_length(
    block: &proto::SeriesBlock,
    column: &'static str,
    found: usize,
    expected: usize,
) -> Result<(), DecodeError> {
    if found == expected {
        return Ok(());
    }
    Err(DecodeError::ColumnLength {
        column,
        tag: block.tag.clone(),
        found,
        expected,
    })
}

/// The type of the block's values; fails unless the one right column has a value for each position
/// and the others are empty.
fn check_values(
    block: &proto::SeriesBlock,
    expected: usize,
) -> Result<Option<ValueType>, DecodeError> {
    use proto::ValueType as T;
    let wire_type =
        T::try_from(block.value_type).map_err(|_| DecodeError::ValueType(block.value_type))?;
    let columns = [
        (T::F64, "f64", block.f64.len()),
        (T::I64, "i64", block.i64.len()),
        (T::U64, "u64", block.u64.len()),
        (T::Bool, "bool", block.bool.len()),
        (T::Text, "text", block.text.len()),
        (T::Bytes, "bytes", block.bytes.len()),
    ];
    for (of, column, found) in columns {
        let expected = if of == wire_type { expected } else { 0 };
        check_length(block, column, found, expected)?;
    }
    Ok(match wire_type {
        T::None => None,
        T::F64 => Some(ValueType::F64),
        T::I64 => Some(ValueType::I64),
        T::U64 => Some(ValueType::U64),
        T::Bool => Some(ValueType::Bool),
        T::Text => Some(ValueType::Text),
        T::Bytes => Some(ValueType::Bytes),
    })
}

fn lay_out_statuses(
    block: &proto::SeriesBlock,
    batch: &mut SeriesBatch,
) -> Result<(), DecodeError> {
    let (rows, expected) = (batch.columns.statuses.len(), block.position_delta.len());
    // What nearly every block has: one status for all its readings.
    if let ([status], []) = (&block.statuses[..], &block.status_index[..]) {
        let number = batch.status_number(read_status(status)?);
        batch.columns.statuses.resize(rows + expected, number);
        return Ok(());
    }
    let mut numbers = Vec::with_capacity(block.statuses.len());
    for status in &block.statuses {
        numbers.push(batch.status_number(read_status(status)?));
    }
    for row in 0..expected {
        let index = block.status_index.get(row).copied().unwrap_or(0);
        let Some(number) = numbers.get(index as usize) else {
            let (tag, statuses) = (block.tag.clone(), block.statuses.len());
            return Err(DecodeError::StatusIndex {
                index,
                tag,
                statuses,
            });
        };
        batch.columns.statuses.push(*number);
    }
    Ok(())
}

/// Each position must lie in the batch and belong to no other reading.
fn lay_out_positions(
    deltas: &[u32],
    batch: &mut SeriesBatch,
    claimed: &mut [bool],
) -> Result<(), DecodeError> {
    let count = claimed.len() as u32;
    let mut position = 0_u64;
    for delta in deltas {
        position += u64::from(*delta);
        let at = |fault| DecodeError::Position {
            position,
            fault,
            count,
        };
        let place = usize::try_from(position)
            .ok()
            .and_then(|place| claimed.get_mut(place));
        let is_claimed = place.ok_or_else(|| at("past the end"))?;
        if std::mem::replace(is_claimed, true) {
            return Err(at("claimed twice"));
        }
        batch.columns.positions.push(position as u32);
    }
    Ok(())
}

fn lay_out_values(
    block: &mut proto::SeriesBlock,
    value_type: Option<ValueType>,
    batch: &mut SeriesBatch,
) {
    let values = &mut batch.columns.values;
    match value_type {
        None => values.resize(values.len() + block.position_delta.len(), 0),
        Some(ValueType::F64) => values.extend(block.f64.iter().map(|value| value.to_bits())),
        Some(ValueType::I64) => values.extend(block.i64.iter().map(|value| value.cast_unsigned())),
        Some(ValueType::U64) => values.extend_from_slice(&block.u64),
        Some(ValueType::Bool) => values.extend(block.bool.iter().map(|value| u64::from(*value))),
        Some(ValueType::Text) => {
            values.extend((batch.texts.len() as u64..).take(block.text.len()));
            batch.texts.append(&mut block.text);
        }
        Some(ValueType::Bytes) => {
            values.extend((batch.byte_strings.len() as u64..).take(block.bytes.len()));
            batch.byte_strings.append(&mut block.bytes);
        }
    }
}

fn read_status(wire: &proto::Status) -> Result<Status, DecodeError> {
    Ok(Status {
        quality: Quality::try_from(wire.quality)?,
        code: wire.code,
        reason: wire.reason.clone(),
    })
}
