//! The consuming side of a stream: partitions that come and go, each read in order.
//!
//! A spool is a stream of one partition that holds one lane; a Kafka partition holds many lanes. Whoever consumes keeps
//! its own place (E5): offsets that a stream remembers are for dashboards alone.

use std::sync::Arc;

use async_trait::async_trait;
use forebay_runtime::trace::TraceContext;
use forebay_schemas::{LaneId, Timestamp, wire::SeriesBatch};

use crate::{Offset, Record, StreamError};

/// One record of a partition, its readings by series.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivered {
    /// The lane that the record belongs to; none where the record's bytes do not tell.
    pub lane: Option<LaneId>,
    /// The record.
    pub record: Record<SeriesBatch>,
    /// How it came here.
    pub transit: Transit,
}

/// What is known of a record's way beside its bytes. Nothing rests on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Transit {
    /// When it was published; none where nothing lies between its log and the reader.
    pub published: Option<Timestamp>,
    /// The span of its publishing, or of its way into its log where that is read here.
    pub trace: Option<TraceContext>,
}

/// A change in what this process shall consume.
pub enum GroupEvent {
    /// This partition is now ours.
    Assigned(Arc<dyn LogSource>),
    /// This partition is no longer ours: what was built from it must not be committed (E6).
    Revoked(u32),
}

/// The partitions of a stream that this process shall consume, as they come and go.
#[async_trait]
pub trait LogGroup: Send {
    /// The next change; waits for it. Cancel-safe.
    ///
    /// # Errors
    /// `Fatal` if the group cannot go on.
    async fn next(&mut self) -> Result<GroupEvent, StreamError>;
}

/// One partition of a stream.
#[async_trait]
pub trait LogSource: Send + Sync {
    /// The stream's id, for ever (E5): the Kafka cluster's and topic's id, or the spool's random id.
    fn stream(&self) -> &str;

    /// Which of its partitions.
    fn partition(&self) -> u32;

    /// A reader from an offset on. An offset past the end starts at the oldest record, and the marks deduplicate (E5); a spool
    /// always starts there. Where
    /// the stream has deleted what was there, the reader first gets one damaged place over those offsets; whoever reads
    /// again from the start gets it for what it had taken before, too.
    ///
    /// # Errors
    /// `Retry` if the stream cannot be reached now.
    async fn open(&self, from: Offset) -> Result<Box<dyn PartitionReader>, StreamError>;
}

/// Reads one partition in order.
#[async_trait]
pub trait PartitionReader: Send {
    /// The next record; waits for it. Cancel-safe.
    ///
    /// # Errors
    /// `Fatal` at the end of a stream that is closed, before a record of a later release (E13), or once the partition is
    /// revoked.
    async fn next(&mut self) -> Result<Delivered, StreamError>;

    /// The next record, or `None` at the end of what is readable now. Cancel-safe.
    ///
    /// # Errors
    /// As [`PartitionReader::next`], but the end is none.
    async fn try_next(&mut self) -> Result<Option<Delivered>, StreamError>;

    /// Everything below `up_to` has been committed to the lake: a spool forgets it, Kafka notes it for dashboards.
    ///
    /// # Errors
    /// `Retry` if it may not have been noted; nothing is lost by that.
    async fn committed(&self, up_to: Offset) -> Result<(), StreamError>;
}

/// A group whose partitions never change: all of them are this process's from the start.
pub struct FixedGroup {
    assigned: Vec<Arc<dyn LogSource>>,
}

impl FixedGroup {
    /// The group of these partitions.
    pub fn new(partitions: Vec<Arc<dyn LogSource>>) -> Self {
        Self {
            assigned: partitions,
        }
    }
}

#[async_trait]
impl LogGroup for FixedGroup {
    async fn next(&mut self) -> Result<GroupEvent, StreamError> {
        match self.assigned.pop() {
            Some(source) => Ok(GroupEvent::Assigned(source)),
            None => std::future::pending().await,
        }
    }
}
