//! Which devices a record's readings are of, and of when, without reading their values.

use prost::Message;

use super::{Resolution, Tally};
use crate::{
    Epoch, Seq,
    wire::{BATCH_READINGS_MAX, DecodeError, ReadingBatch, check_version},
};

const NANOS_PER_HOUR: i64 = 3_600_000_000_000;

/// The part of a `ReadingBatch` (proto/forebay/v1/reading.proto) that is needed here; the rest is skipped.
#[derive(Clone, PartialEq, Message)]
struct Batch {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(uint64, tag = "4")]
    epoch: u64,
    #[prost(uint64, tag = "5")]
    first_seq: u64,
    #[prost(uint32, tag = "6")]
    count: u32,
    #[prost(message, repeated, tag = "8")]
    blocks: Vec<Block>,
}

/// The part of a `SeriesBlock` that is needed here.
#[derive(Clone, PartialEq, Message)]
struct Block {
    #[prost(string, tag = "2")]
    device: String,
    #[prost(sint64, repeated, tag = "7")]
    event_time_delta: Vec<i64>,
}

/// How many readings of a record each device has in each hour of event time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Census {
    /// The readings' epoch.
    pub epoch: Epoch,
    /// Seq of the first one.
    pub first_seq: Seq,
    /// How many there are, at least one.
    count: u64,
    devices: Vec<(String, i32, u64)>,
}

impl Census {
    /// Of an encoded batch. As strict as decoding it only in what is counted.
    ///
    /// # Errors
    /// [`DecodeError`] where the bytes are no batch of this release, or one without readings.
    pub fn of_record(bytes: &[u8]) -> Result<Self, DecodeError> {
        let Batch {
            version,
            epoch,
            first_seq,
            count,
            blocks,
        } = Batch::decode(bytes)?;
        check_version(version)?;
        if count as usize > BATCH_READINGS_MAX {
            return Err(DecodeError::TooMany(count));
        }
        let claimed: usize = blocks
            .iter()
            .map(|block| block.event_time_delta.len())
            .sum();
        if claimed != count as usize {
            return Err(DecodeError::Position {
                position: claimed as u64,
                fault: "unclaimed",
                count,
            });
        }
        let mut found = Self {
            epoch: Epoch(epoch),
            first_seq: Seq(first_seq),
            count: count.into(),
            devices: Vec::new(),
        };
        let in_range =
            count > 0 && first_seq > 0 && found.first_seq.checked_add(count.into()).is_some();
        if !in_range {
            return Err(DecodeError::SeqRange { first_seq, count });
        }
        for Block {
            device,
            event_time_delta,
        } in blocks
        {
            let mut event_time = 0_i64;
            for delta in event_time_delta {
                event_time = event_time.wrapping_add(delta);
                found.add(&device, event_time);
            }
        }
        Ok(found)
    }

    /// Of a batch; `None` where it has no readings.
    pub fn of_batch(batch: &ReadingBatch) -> Option<Self> {
        batch.last_seq()?;
        let count = batch.readings.len() as u64;
        let mut found = Self {
            epoch: batch.epoch,
            first_seq: batch.first_seq,
            count,
            devices: Vec::new(),
        };
        batch.readings.iter().for_each(|reading| {
            found.add(reading.series.device.as_str(), reading.event_time.nanos())
        });
        Some(found)
    }

    /// Seq of the last reading.
    pub fn last_seq(&self) -> Seq {
        Seq(self.first_seq.0 + (self.count - 1))
    }

    /// Adds the readings to counts.
    pub fn add_to(&self, tally: &mut Tally, resolution: Resolution) {
        for (device, hour, count) in &self.devices {
            tally.add(device, resolution.span(*hour), *count);
        }
    }

    fn add(&mut self, device: &str, event_time_nanos: i64) {
        // The years 1677 to 2262 are about ±2.6 million hours.
        let hour = event_time_nanos.div_euclid(NANOS_PER_HOUR) as i32;
        match self.devices.last_mut() {
            Some((last, at, count)) if *at == hour && last == device => *count += 1,
            _ => self.devices.push((device.to_owned(), hour, 1)),
        }
    }
}
