//! The spool as a stream of one partition, which holds one lane.

use std::sync::Arc;

use async_trait::async_trait;
use forebay_schemas::{LaneId, wire::SeriesBatch};

use super::{Spool, SpoolReader};
use crate::{
    Delivered, Entry, LogReader as _, LogSource, Offset, PartitionReader, Receipt, Record,
    StreamError, Transit,
};

/// A spool as a partition.
pub struct SpoolSource {
    spool: Arc<Spool>,
    lane: LaneId,
    stream: String,
}

impl SpoolSource {
    /// The partition that a lane's spool is; `lane` is the one that it was opened with.
    pub fn new(spool: Arc<Spool>, lane: LaneId) -> Self {
        let id: String = spool
            .opened()
            .spool
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self {
            stream: format!("spool/{}/{id}", lane.gateway),
            spool,
            lane,
        }
    }
}

#[async_trait]
impl LogSource for SpoolSource {
    fn stream(&self) -> &str {
        &self.stream
    }

    fn partition(&self) -> u32 {
        self.lane.lane.0
    }

    /// From its oldest record, wherever the caller has been: an offset may be of another life of this spool, of an image that was
    /// restored or of a copy that writes into the same lake. What was taken before is short, and the marks deduplicate it.
    async fn open(&self, _from: Offset) -> Result<Box<dyn PartitionReader>, StreamError> {
        Ok(Box::new(LaneReader {
            reader: self.spool.reader(Offset::default()),
            lane: self.lane.clone(),
        }))
    }
}

struct LaneReader {
    reader: SpoolReader,
    lane: LaneId,
}

impl LaneReader {
    fn delivered(&self, record: Record<SeriesBatch>) -> Delivered {
        let trace = match &record.entry {
            Entry::Batch(batch) => batch.last_seq().and_then(|last_seq| {
                self.reader.trace_of(&Receipt {
                    epoch: batch.epoch,
                    first_seq: batch.first_seq,
                    last_seq,
                })
            }),
            _ => None,
        };
        Delivered {
            lane: Some(self.lane.clone()),
            record,
            transit: Transit {
                published: None,
                trace,
            },
        }
    }
}

#[async_trait]
impl PartitionReader for LaneReader {
    async fn next(&mut self) -> Result<Delivered, StreamError> {
        let record = self.reader.next_series().await?;
        Ok(self.delivered(record))
    }

    async fn try_next(&mut self) -> Result<Option<Delivered>, StreamError> {
        let record = self.reader.try_next_series().await?;
        Ok(record.map(|record| self.delivered(record)))
    }

    async fn committed(&self, up_to: Offset) -> Result<(), StreamError> {
        self.reader.forget(up_to).await
    }
}
