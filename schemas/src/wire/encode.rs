//! Batch to bytes: readings are gathered into a block per (series, unit, value type), in order of first appearance.

use std::collections::HashMap;

use prost::Message as _;

use super::{RecordHead, WIRE_VERSION, proto};
use crate::{Reading, Series, Status, Value, ValueType};

/// What readings of one block share.
pub(super) type BlockKey<'a> = (&'a Series, Option<&'a str>, Option<ValueType>);

/// The block that a reading belongs to.
pub(super) fn block_key(reading: &Reading) -> BlockKey<'_> {
    let value_type = reading.value.as_ref().map(Value::value_type);
    (&reading.series, reading.unit.as_deref(), value_type)
}

/// Blocks whose memory is kept from one record to the next.
const SPARE_MAX: usize = 1024;
/// Blocks with more readings are not kept.
const SPARE_READINGS_MAX: usize = 256;

/// Encodes records one after another, and keeps memory from one to the next.
#[derive(Debug, Default)]
pub struct ReadingEncoder {
    spare: Vec<proto::SeriesBlock>,
}

impl ReadingEncoder {
    /// The bytes of a record of these readings, which are as many as its head counts.
    pub fn encode(&mut self, head: &RecordHead, readings: &[Reading]) -> Vec<u8> {
        let observed_base = readings.first().map_or(0, |r| r.observed_time.nanos());
        let mut blocks = Blocks::default();
        for (position, reading) in (0_u32..).zip(readings) {
            blocks
                .of(reading, observed_base, &mut self.spare)
                .push(position, reading);
        }
        let record = proto::ReadingBatch {
            version: WIRE_VERSION,
            gateway: head.lane.gateway.as_str().to_owned(),
            lane: head.lane.lane.0,
            epoch: head.epoch.0,
            first_seq: head.first_seq.0,
            count: readings.len() as u32,
            observed_base,
            blocks: blocks.all.into_iter().map(Block::finish).collect(),
            nonce: head.nonce.0,
        };
        let bytes = record.encode_to_vec();
        let room = SPARE_MAX.saturating_sub(self.spare.len());
        let small = |block: &proto::SeriesBlock| {
            block.position_delta.capacity() <= SPARE_READINGS_MAX
                && block.text.is_empty()
                && block.bytes.is_empty()
        };
        self.spare
            .extend(record.blocks.into_iter().filter(small).take(room));
        bytes
    }
}

/// The blocks of a batch. Devices send their series in turns, or many readings of one series: the block of the reading
/// before, or the one behind it, is nearly always the right one, and finding it by its hash costs more than all else.
#[derive(Default)]
struct Blocks<'a> {
    all: Vec<Block<'a>>,
    index: HashMap<BlockKey<'a>, usize>,
    last: usize,
}

impl<'a> Blocks<'a> {
    fn of(
        &mut self,
        reading: &'a Reading,
        observed_base: i64,
        spare: &mut Vec<proto::SeriesBlock>,
    ) -> &mut Block<'a> {
        let key = block_key(reading);
        let behind = if self.last + 1 < self.all.len() {
            self.last + 1
        } else {
            0
        };
        let guess = [behind, self.last]
            .into_iter()
            .find(|at| self.all.get(*at).is_some_and(|block| block.key == key));
        self.last = guess.unwrap_or_else(|| {
            *self.index.entry(key).or_insert_with(|| {
                let memory = spare.pop().unwrap_or_default();
                self.all.push(Block::new(key, observed_base, memory));
                self.all.len() - 1
            })
        });
        &mut self.all[self.last]
    }
}

/// A block while it is filled; the deltas wrap, and wrap back when decoded.
struct Block<'a> {
    key: BlockKey<'a>,
    out: proto::SeriesBlock,
    /// Filled once there is more than one.
    statuses: HashMap<&'a Status, u32>,
    last_status: Option<(&'a Status, u32)>,
    position: u32,
    event: i64,
    observed: i64,
}

impl<'a> Block<'a> {
    fn new(key: BlockKey<'a>, observed_base: i64, memory: proto::SeriesBlock) -> Self {
        let (series, unit, value_type) = key;
        let mut out = memory;
        out.clear();
        out.site.push_str(series.site.as_str());
        out.device.push_str(series.device.as_str());
        out.tag.push_str(series.tag.as_str());
        out.unit.push_str(unit.unwrap_or_default());
        out.value_type = wire_type(value_type).into();
        let statuses = HashMap::new();
        Self {
            key,
            out,
            statuses,
            last_status: None,
            position: 0,
            event: 0,
            observed: observed_base,
        }
    }

    fn push(&mut self, position: u32, reading: &'a Reading) {
        let (event, observed) = (reading.event_time.nanos(), reading.observed_time.nanos());
        self.out.position_delta.push(position - self.position);
        self.out
            .event_time_delta
            .push(event.wrapping_sub(self.event));
        self.out
            .observed_delta
            .push(observed.wrapping_sub(self.observed));
        (self.position, self.event, self.observed) = (position, event, observed);
        let status = self.status(&reading.status);
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

    /// The status's number in the block; mostly that of the reading before.
    fn status(&mut self, status: &'a Status) -> u32 {
        if let Some((last, number)) = self.last_status {
            if last == status {
                return number;
            }
            // Most blocks have one status, which needs no hash.
            self.statuses.entry(last).or_insert(number);
        }
        let next = self.out.statuses.len() as u32;
        let number = match self.last_status {
            None => next,
            Some(_) => *self.statuses.entry(status).or_insert(next),
        };
        if number == next {
            self.out.statuses.push(wire_status(status));
        }
        self.last_status = Some((status, number));
        number
    }

    fn finish(mut self) -> proto::SeriesBlock {
        if self.out.statuses.len() == 1 {
            self.out.status_index.clear();
        }
        self.out
    }
}

fn wire_status(status: &Status) -> proto::Status {
    proto::Status {
        quality: status.quality.code().into(),
        code: status.code,
        reason: status.reason.clone(),
    }
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
