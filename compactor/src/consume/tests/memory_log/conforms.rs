//! The stand-in passes the suite that every partition passes, as a log that keeps all and as a spool.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use forebay_schemas::{
    Epoch, EpochNonce, Reading, Seq,
    wire::{Outage, ReadingBatch},
};
use forebay_stream::{
    Entry, LastSeq, LogSource, LogWriter, OpenReceipt, Receipt, ReceiptChanges, StreamError,
    conformance::{SourceSubject, check_source},
};

use super::{MemoryLog, lane};

struct Subject {
    log: Arc<MemoryLog>,
    epoch: u64,
}

#[async_trait]
impl SourceSubject for Subject {
    async fn open(&mut self) -> Result<Box<dyn LogWriter>, StreamError> {
        self.epoch += 1;
        Ok(Box::new(MemoryWriter {
            log: self.log.clone(),
            epoch: Epoch(self.epoch),
            last: Mutex::new(0),
        }))
    }

    async fn source(&mut self) -> Result<Arc<dyn LogSource>, StreamError> {
        Ok(self.log.clone())
    }

    fn believes_offsets(&self) -> bool {
        self.log.forgotten.is_none()
    }
}

/// Numbers what is appended, as a spool would.
struct MemoryWriter {
    log: Arc<MemoryLog>,
    epoch: Epoch,
    last: Mutex<u64>,
}

impl MemoryWriter {
    fn nonce(&self) -> EpochNonce {
        EpochNonce(self.epoch.0)
    }
}

#[async_trait]
impl LogWriter for MemoryWriter {
    async fn append_with(
        &self,
        readings: Vec<Reading>,
        _receipts: ReceiptChanges,
    ) -> Result<Receipt, StreamError> {
        let mut last = self.last.lock().unwrap();
        let first_seq = Seq(*last + 1);
        *last += readings.len() as u64;
        self.log.append(Entry::Batch(ReadingBatch {
            lane: lane(),
            epoch: self.epoch,
            nonce: self.nonce(),
            first_seq,
            readings,
        }));
        Ok(Receipt {
            epoch: self.epoch,
            first_seq,
            last_seq: Seq(*last),
        })
    }

    async fn append_outages(&self, _outages: Vec<Outage>) -> Result<Receipt, StreamError> {
        unimplemented!("the suite of partitions appends none")
    }

    async fn end_receipts(&self, _ended: Vec<OpenReceipt>) -> Result<(), StreamError> {
        unimplemented!("the suite of partitions ends none")
    }

    async fn close(&self) -> Result<(), StreamError> {
        let last = *self.last.lock().unwrap();
        self.log.append(Entry::EpochEnd {
            epoch: self.epoch,
            nonce: self.nonce(),
            last: LastSeq::Known((last > 0).then_some(Seq(last))),
        });
        Ok(())
    }
}

#[tokio::test]
async fn the_log_in_memory_conforms_as_a_partition() {
    type Empty = fn() -> MemoryLog;
    let kinds: [Empty; 2] = [
        || MemoryLog::named("memory", Vec::new()),
        || MemoryLog::spool("memory", Vec::new()),
    ];
    for empty in kinds {
        let subject = || async move {
            Subject {
                log: Arc::new(empty()),
                epoch: 0,
            }
        };
        check_source(subject).await.unwrap();
    }
}
