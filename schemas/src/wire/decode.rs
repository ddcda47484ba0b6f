//! Bytes to batch. Every count is checked before it is believed.

use std::sync::Arc;

use prost::Message as _;

use super::{BATCH_READINGS_MAX, DecodeError, ReadingBatch, WIRE_VERSION, proto};
use crate::{
    DeviceId, Epoch, EpochNonce, GatewayId, Lane, LaneId, Quality, Reading, Seq, Series, SiteId,
    Status, TagName, Timestamp, Value,
};

pub(super) fn decode(bytes: &[u8]) -> Result<ReadingBatch, DecodeError> {
    let wire = proto::ReadingBatch::decode(bytes)?;
    check_head(&wire)?;
    let mut slots: Vec<Option<Reading>> = vec![None; wire.count as usize];
    let mut before = None;
    for block in wire.blocks {
        let series = read_series(&block, before.as_ref())?;
        place_block(block, &series, wire.observed_base, &mut slots)?;
        before = Some(series);
    }
    let count = wire.count;
    // In the place of the slots: `enumerate`, unlike `zip`, lets `collect` keep their memory.
    let readings = slots
        .into_iter()
        .enumerate()
        .map(|(place, slot)| {
            slot.ok_or(DecodeError::Position {
                position: place as u64,
                fault: "unclaimed",
                count,
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let lane = LaneId {
        gateway: GatewayId::new(&wire.gateway)?,
        lane: Lane(wire.lane),
    };
    let (epoch, nonce) = (Epoch(wire.epoch), EpochNonce(wire.nonce));
    Ok(ReadingBatch {
        lane,
        epoch,
        nonce,
        first_seq: Seq(wire.first_seq),
        readings,
    })
}

/// Every record's first check.
pub(crate) fn check_version(version: u32) -> Result<(), DecodeError> {
    match version {
        0 => Err(DecodeError::NoVersion),
        WIRE_VERSION => Ok(()),
        found => Err(DecodeError::NewerVersion { found }),
    }
}

fn check_head(wire: &proto::ReadingBatch) -> Result<(), DecodeError> {
    check_version(wire.version)?;
    if wire.count as usize > BATCH_READINGS_MAX {
        return Err(DecodeError::TooMany(wire.count));
    }
    // Each reading takes a byte of position at least: a small record cannot claim a large batch.
    let claimed: usize = wire
        .blocks
        .iter()
        .map(|block| block.position_delta.len())
        .sum();
    if claimed != wire.count as usize {
        let fault = if claimed < wire.count as usize {
            "unclaimed"
        } else {
            "too many"
        };
        return Err(DecodeError::Position {
            position: claimed as u64,
            fault,
            count: wire.count,
        });
    }
    let in_range =
        wire.first_seq > 0 && Seq(wire.first_seq).checked_add(wire.count.into()).is_some();
    if !in_range {
        return Err(DecodeError::SeqRange {
            first_seq: wire.first_seq,
            count: wire.count,
        });
    }
    Ok(())
}

/// The block's series, which shares the names that are those of the block before.
fn read_series(block: &proto::SeriesBlock, before: Option<&Series>) -> Result<Series, DecodeError> {
    let site = before
        .map(|before| &before.site)
        .filter(|site| site.as_str() == block.site);
    let device = before
        .map(|before| &before.device)
        .filter(|device| device.as_str() == block.device);
    Ok(Series {
        site: site.cloned().map_or_else(|| SiteId::new(&block.site), Ok)?,
        device: device
            .cloned()
            .map_or_else(|| DeviceId::new(&block.device), Ok)?,
        tag: TagName::new(&block.tag)?,
    })
}

fn place_block(
    block: proto::SeriesBlock,
    series: &Series,
    observed_base: i64,
    slots: &mut [Option<Reading>],
) -> Result<(), DecodeError> {
    let expected = block.position_delta.len();
    let length = |column: &'static str, found: usize| match found == expected {
        true => Ok(()),
        false => Err(DecodeError::ColumnLength {
            column,
            tag: block.tag.clone(),
            found,
            expected,
        }),
    };
    length("event_time_delta", block.event_time_delta.len())?;
    length("observed_delta", block.observed_delta.len())?;
    if !block.status_index.is_empty() {
        length("status_index", block.status_index.len())?;
    }
    let statuses = block
        .statuses
        .iter()
        .map(read_status)
        .collect::<Result<Vec<_>, _>>()?;
    let unit = (!block.unit.is_empty()).then(|| Arc::<str>::from(block.unit.as_str()));
    let values = read_values(&block, expected)?;
    let (mut position, mut event, mut observed) = (0_u64, 0_i64, observed_base);
    for (i, value) in values.into_iter().enumerate() {
        position += u64::from(block.position_delta[i]);
        event = event.wrapping_add(block.event_time_delta[i]);
        observed = observed.wrapping_add(block.observed_delta[i]);
        let index = block.status_index.get(i).copied().unwrap_or(0);
        let status =
            statuses
                .get(index as usize)
                .cloned()
                .ok_or_else(|| DecodeError::StatusIndex {
                    index,
                    tag: block.tag.clone(),
                    statuses: statuses.len(),
                })?;
        let count = slots.len() as u32;
        let at = |fault| DecodeError::Position {
            position,
            fault,
            count,
        };
        let slot = slots
            .get_mut(position as usize)
            .ok_or_else(|| at("past the end"))?;
        if slot.is_some() {
            return Err(at("claimed twice"));
        }
        *slot = Some(Reading {
            series: series.clone(),
            event_time: Timestamp::from_nanos(event),
            observed_time: Timestamp::from_nanos(observed),
            value,
            unit: unit.clone(),
            status,
        });
    }
    Ok(())
}

/// The block's values, one for each position; fails unless the one right column has that length and the others are empty.
fn read_values(
    block: &proto::SeriesBlock,
    expected: usize,
) -> Result<Vec<Option<Value>>, DecodeError> {
    use proto::ValueType as T;
    let value_type =
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
        let expected = if of == value_type { expected } else { 0 };
        if found != expected {
            return Err(DecodeError::ColumnLength {
                column,
                tag: block.tag.clone(),
                found,
                expected,
            });
        }
    }
    Ok(match value_type {
        T::None => vec![None; expected],
        T::F64 => block.f64.iter().map(|v| Some(Value::F64(*v))).collect(),
        T::I64 => block.i64.iter().map(|v| Some(Value::I64(*v))).collect(),
        T::U64 => block.u64.iter().map(|v| Some(Value::U64(*v))).collect(),
        T::Bool => block.bool.iter().map(|v| Some(Value::Bool(*v))).collect(),
        T::Text => block
            .text
            .iter()
            .map(|v| Some(Value::Text(v.clone())))
            .collect(),
        T::Bytes => block
            .bytes
            .iter()
            .map(|v| Some(Value::Bytes(v.clone())))
            .collect(),
    })
}

fn read_status(wire: &proto::Status) -> Result<Status, DecodeError> {
    Ok(Status {
        quality: Quality::try_from(wire.quality)?,
        code: wire.code,
        reason: wire.reason.clone(),
    })
}
