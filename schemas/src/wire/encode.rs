//! Batch to bytes: readings are gathered into a block per (series, unit, value type), in order of first appearance.

use std::collections::HashMap;

use prost::Message as _;

use super::{ReadingBatch, WIRE_VERSION, proto};
use crate::{Reading, Series, Status, Value, ValueType};

/// What readings of one block share.
pub(super) type BlockKey<'a> = (&'a Series, Option<&'a str>, Option<ValueType>);

/// The block that a reading belongs to.
pub(super) fn block_key(reading: &Reading) -> BlockKey<'_> {
    let value_type = reading.value.as_ref().map(Value::value_type);
    (&reading.series, reading.unit.as_deref(), value_type)
}

pub(super) fn encode(batch: &ReadingBatch) -> Vec<u8> {
    let observed_base = batch.readings.first().map_or(0, |r| r.observed_time.nanos());
    let mut index: HashMap<BlockKey<'_>, usize> = HashMap::new();
    let mut blocks: Vec<Block<'_>> = Vec::new();
    for (position, reading) in (0_u32..).zip(&batch.readings) {
        let key = block_key(reading);
        let at = *index.entry(key).or_insert_with(|| {
            blocks.push(Block::new(key, observed_base));
            blocks.len() - 1
        });
        blocks[at].push(position, reading);
    }
    proto::ReadingBatch {
        version: WIRE_VERSION,
        gateway: batch.lane.gateway.as_str().to_owned(),
        lane: batch.lane.lane.0,
        epoch: batch.epoch.0,
        first_seq: batch.first_seq.0,
        count: batch.readings.len() as u32,
        observed_base,
        blocks: blocks.into_iter().map(Block::finish).collect(),
        nonce: batch.nonce.0,
    }
    .encode_to_vec()
}

/// A block while it is filled; the deltas wrap, and wrap back when decoded.
struct Block<'a> {
    out: proto::SeriesBlock,
    statuses: HashMap<&'a Status, u32>,
    position: u32,
    event: i64,
    observed: i64,
}

impl<'a> Block<'a> {
    fn new((series, unit, value_type): BlockKey<'a>, observed_base: i64) -> Self {
        let out = proto::SeriesBlock {
            site: series.site.as_str().to_owned(),
            device: series.device.as_str().to_owned(),
            tag: series.tag.as_str().to_owned(),
            unit: unit.unwrap_or_default().to_owned(),
            value_type: wire_type(value_type).into(),
            ..Default::default()
        };
        Self { out, statuses: HashMap::new(), position: 0, event: 0, observed: observed_base }
    }

    fn push(&mut self, position: u32, reading: &'a Reading) {
        let (event, observed) = (reading.event_time.nanos(), reading.observed_time.nanos());
        self.out.position_delta.push(position - self.position);
        self.out.event_time_delta.push(event.wrapping_sub(self.event));
        self.out.observed_delta.push(observed.wrapping_sub(self.observed));
        (self.position, self.event, self.observed) = (position, event, observed);
        let next = self.statuses.len() as u32;
        let status = *self.statuses.entry(&reading.status).or_insert(next);
        if status == next {
            self.out.statuses.push(wire_status(&reading.status));
        }
        self.out.status_index.push(status);
        match &reading.value {
            None => {}
            Some(Value::F64(v)) => self.out.f64.push(*v),
            Some(Value::I64(v)) => self.out.i64.push(*v),
            Some(Value::U64(v)) => self.out.u64.push(*v),
            Some(Value::Bool(v)) => self.out.bool.push(*v),
            Some(Value::Text(v)) => self.out.text.push(v.clone()),
            Some(Value::Bytes(v)) => self.out.bytes.push(v.clone()),
        }
    }

    fn finish(mut self) -> proto::SeriesBlock {
        if self.out.statuses.len() == 1 {
            self.out.status_index.clear();
        }
        self.out
    }
}

fn wire_status(status: &Status) -> proto::Status {
    proto::Status { quality: status.quality.code().into(), code: status.code, reason: status.reason.clone() }
}

fn wire_type(value_type: Option<ValueType>) -> proto::ValueType {
    match value_type {
        None => proto::ValueType::None,
        Some(ValueType::F64) => proto::ValueType::F64,
        Some(ValueType::I64) => proto::ValueType::I64,
        Some(ValueType::U64) => proto::ValueType::U64,
        Some(ValueType::Bool) => proto::ValueType::Bool,
        Some(ValueType::Text) => proto::ValueType::Text,
        Some(ValueType::Bytes) => proto::ValueType::Bytes,
    }
}
