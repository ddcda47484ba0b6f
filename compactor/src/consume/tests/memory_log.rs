//! A stream in memory: a boundary that is simulated, so that it can misbehave. One that does not passes the suite of
//! every partition.

mod conforms;

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use async_trait::async_trait;
use forebay_schemas::wire::SeriesBatch;
use forebay_stream::{
    Delivered, Entry, GroupEvent, LogGroup, LogSource, Offset, PartitionReader, Record,
    StreamError, Transit,
};
use tokio::sync::{mpsc, watch};

use super::lane;

type Failure = fn() -> StreamError;

/// A partition that holds these records, one an offset, whose jumps may be filled. At its end it waits or fails.
pub(super) struct MemoryLog {
    partition: u32,
    records: watch::Sender<Vec<Entry>>,
    at_end: Option<Failure>,
    /// How many of its readers fail.
    failures: AtomicU32,
    stream: &'static str,
    /// Everything below is forgotten, as in a spool, whose readers begin at its oldest record; none in a log that keeps all.
    forgotten: Option<Arc<AtomicU64>>,
}

impl MemoryLog {
    pub(super) fn new(partition: u32, records: Vec<Entry>) -> Self {
        let failures = AtomicU32::new(0);
        Self {
            partition,
            records: watch::Sender::new(records),
            at_end: None,
            failures,
            stream: "memory",
            forgotten: None,
        }
    }

    pub(super) fn named(stream: &'static str, records: Vec<Entry>) -> Self {
        Self {
            stream,
            ..Self::new(0, records)
        }
    }

    pub(super) fn spool(stream: &'static str, records: Vec<Entry>) -> Self {
        Self {
            forgotten: Some(Arc::default()),
            ..Self::named(stream, records)
        }
    }

    /// As one that was opened before and has forgotten since.
    pub(super) fn spool_that_forgot(
        stream: &'static str,
        records: Vec<Entry>,
        forgotten: &Arc<AtomicU64>,
    ) -> Self {
        Self {
            forgotten: Some(forgotten.clone()),
            ..Self::named(stream, records)
        }
    }

    /// One more record, which waiting readers see.
    fn append(&self, record: Entry) {
        self.records.send_modify(|records| records.push(record));
    }

    /// Up to where it has forgotten.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
            .as_ref()
            .map_or(0, |forgotten| forgotten.load(Ordering::SeqCst))
    }

    pub(super) fn failing(partition: u32, records: Vec<Entry>, at_end: Failure) -> Self {
        Self::failing_times(u32::MAX, partition, records, at_end)
    }

    pub(super) fn failing_times(
        failures: u32,
        partition: u32,
        records: Vec<Entry>,
        at_end: Failure,
    ) -> Self {
        Self {
            at_end: Some(at_end),
            failures: AtomicU32::new(failures),
            ..Self::new(partition, records)
        }
    }
}

#[async_trait]
impl LogSource for MemoryLog {
    fn stream(&self) -> &str {
        self.stream
    }

    fn partition(&self) -> u32 {
        self.partition
    }

    async fn open(&self, from: Offset) -> Result<Box<dyn PartitionReader>, StreamError> {
        let left = self
            .failures
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
        let at_end = self.at_end.filter(|_| left.is_ok());
        let end = self.records.borrow().len() as u64;
        let at = match &self.forgotten {
            Some(_) => self.forgotten(),
            None if from.0 > end => 0,
            None => from.0,
        };
        let forgotten = self.forgotten.clone();
        Ok(Box::new(MemoryReader {
            records: self.records.subscribe(),
            at,
            at_end,
            forgotten,
        }))
    }
}

struct MemoryReader {
    records: watch::Receiver<Vec<Entry>>,
    at: u64,
    at_end: Option<Failure>,
    forgotten: Option<Arc<AtomicU64>>,
}

#[async_trait]
impl PartitionReader for MemoryReader {
    async fn next(&mut self) -> Result<Delivered, StreamError> {
        loop {
            if let Some(delivered) = self.try_next().await? {
                return Ok(delivered);
            }
            if self.records.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    async fn try_next(&mut self) -> Result<Option<Delivered>, StreamError> {
        let found = self
            .records
            .borrow_and_update()
            .get(self.at as usize)
            .cloned();
        let Some(entry) = found else {
            return self.at_end.map_or(Ok(None), |failure| Err(failure()));
        };
        let record = Record {
            offset: Offset(self.at),
            next: Offset(self.at + 1),
            entry,
        };
        let record = record.map_batch(|batch| SeriesBatch::from(&batch));
        self.at += 1;
        Ok(Some(Delivered {
            lane: Some(lane()),
            record,
            transit: Transit::default(),
        }))
    }

    async fn committed(&self, up_to: Offset) -> Result<(), StreamError> {
        if let Some(forgotten) = &self.forgotten {
            forgotten.fetch_max(up_to.0, Ordering::SeqCst);
        }
        Ok(())
    }
}

/// A group whose changes a test makes.
pub(super) struct MemoryGroup(mpsc::UnboundedReceiver<GroupEvent>);

impl MemoryGroup {
    pub(super) fn new(events: Vec<GroupEvent>) -> Self {
        let (group, sender) = Self::channel();
        for event in events {
            assert!(sender.send(event).is_ok(), "the group is there");
        }
        group
    }

    pub(super) fn channel() -> (Self, mpsc::UnboundedSender<GroupEvent>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(receiver), sender)
    }
}

#[async_trait]
impl LogGroup for MemoryGroup {
    async fn next(&mut self) -> Result<GroupEvent, StreamError> {
        match self.0.recv().await {
            Some(event) => Ok(event),
            None => std::future::pending().await,
        }
    }
}
