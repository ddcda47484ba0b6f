//! From readings to blocks, laid out as their record would be: a block per series, unit and type of
//! value, in the order in which these first appear.

use std::{collections::HashMap, sync::Arc};

use super::{SeriesBatch, Shared};
use crate::{
    Reading, Status, Value,
    wire::{
        ReadingBatch,
        encode::{BlockKey, block_key},
    },
};

impl From<&ReadingBatch> for SeriesBatch {
    fn from(batch: &ReadingBatch) -> Self {
        let ReadingBatch {
            lane,
            epoch,
            nonce,
            first_seq,
            readings,
        } = batch;
        let mut gathered =
            Self::with_capacity(lane.clone(), *epoch, *nonce, *first_seq, readings.len());
        for (key, positions) in by_block(readings) {
            gathered.gather(key, positions, readings);
        }
        gathered
    }
}

/// The positions of each block's readings.
fn by_block(readings: &[Reading]) -> Vec<(BlockKey<'_>, Vec<u32>)> {
    let mut numbers: HashMap<BlockKey<'_>, usize> = HashMap::new();
    let mut blocks: Vec<(BlockKey<'_>, Vec<u32>)> = Vec::new();
    for (position, reading) in (0_u32..).zip(readings) {
        let key = block_key(reading);
        let number = *numbers.entry(key).or_insert_with(|| {
            blocks.push((key, Vec::new()));
            blocks.len() - 1
        });
        blocks[number].1.push(position);
    }
    blocks
}

impl SeriesBatch {
    fn gather(
        &mut self,
        (series, _, value_type): BlockKey<'_>,
        positions: Vec<u32>,
        readings: &[Reading],
    ) {
        let of_block = || {
            positions
                .iter()
                .map(|position| &readings[*position as usize])
        };
        let unit = of_block().next().and_then(|reading| reading.unit.clone());
        let mut statuses: HashMap<&Status, u32> = HashMap::new();
        for reading in of_block() {
            let known = statuses.entry(&reading.status);
            let status = *known.or_insert_with(|| self.status_number(reading.status.clone()));
            let value = self.value_bits(reading.value.as_ref());
            self.columns.event_times.push(reading.event_time.nanos());
            self.columns
                .observed_times
                .push(reading.observed_time.nanos());
            self.columns.values.push(value);
            self.columns.statuses.push(status);
        }
        self.columns.positions.extend(positions);
        self.end_block(Arc::new(Shared {
            series: series.clone(),
            unit,
            value_type,
        }));
    }

    /// A value's 64 bits; texts and bytes are put behind the others of the batch.
    fn value_bits(&mut self, value: Option<&Value>) -> u64 {
        match value {
            None => 0,
            Some(Value::F64(value)) => value.to_bits(),
            Some(Value::I64(value)) => value.cast_unsigned(),
            Some(Value::U64(value)) => *value,
            Some(Value::Bool(value)) => u64::from(*value),
            Some(Value::Text(text)) => {
                self.texts.push(text.clone());
                (self.texts.len() - 1) as u64
            }
            Some(Value::Bytes(bytes)) => {
                self.byte_strings.push(bytes.clone());
                (self.byte_strings.len() - 1) as u64
            }
        }
    }
}
