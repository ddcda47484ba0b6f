//! One partition as a [`LogSource`], and its readers, each with a client of its own.
//!
//! A reader knows where it is and never asks the group: offsets are set, `auto.offset.reset` is `error`. What the broker has
//! deleted below its place is yielded as a damaged place over those offsets; a place past the end starts at the oldest
//! record (E5). Once the partition is revoked each call fails (E6); before a record of a later release too (E13).

use std::{future::ready, sync::Arc, time::Duration};

use async_trait::async_trait;
use forebay_schemas::wire::SeriesDecoder;
use rdkafka::{
    Offset as At, TopicPartitionList,
    consumer::{Consumer as _, StreamConsumer},
    error::{KafkaError, RDKafkaErrorCode},
};
use tokio::{
    runtime::Handle,
    select,
    task::{JoinHandle, spawn_blocking},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{
    cluster::{Cluster, Quiet, is_denied},
    group::Noted,
    record::Incoming,
    settings::KafkaSettings,
};
use crate::{
    Damage, Delivered, Entry, LogSource, Offset, PartitionReader, Record, StreamError, Transit,
};

/// Larger records are decoded outside the reactor.
const DECODE_HERE_BYTES_MAX: usize = 64 << 10;
/// What a reader may fetch ahead.
const AHEAD_KBYTES_MAX: &str = "4096";
/// How long [`PartitionReader::try_next`] waits for what must be there.
const READABLE_MAX: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_millis(500);

/// One partition, for as long as it is this process's.
pub(super) struct KafkaSource {
    pub(super) cluster: Cluster,
    pub(super) noted: Arc<Noted>,
    pub(super) stream: Arc<str>,
    pub(super) partition: u32,
    /// Cancelled when the partition is taken away.
    pub(super) lease: CancellationToken,
}

#[async_trait]
impl LogSource for KafkaSource {
    fn stream(&self) -> &str {
        &self.stream
    }

    fn partition(&self) -> u32 {
        self.partition
    }

    async fn open(&self, from: Offset) -> Result<Box<dyn PartitionReader>, StreamError> {
        if self.lease.is_cancelled() {
            return Err(StreamError::Revoked {
                partition: self.partition,
            });
        }
        let mut reader = KafkaReader {
            cluster: self.cluster.clone(),
            noted: self.noted.clone(),
            partition: self.partition,
            lease: self.lease.clone(),
            consumer: Some(Arc::new(consumer(&self.cluster.settings)?)),
            position: from.0,
            lost: None,
            decoder: SeriesDecoder::default(),
            decoding: None,
            astray: false,
            at_end: false,
            failed: None,
        };
        reader.find_position().await?;
        Ok(Box::new(reader))
    }
}

fn consumer(settings: &KafkaSettings) -> Result<StreamConsumer<Quiet>, StreamError> {
    let mut config = settings.client();
    // The client library wants a group even of a consumer that joins none; it neither subscribes nor commits.
    config.set("group.id", &settings.group);
    config
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false");
    config
        .set("auto.offset.reset", "error")
        .set("enable.partition.eof", "true")
        .set("check.crcs", "true");
    // Our producers use no transactions; waiting for the end of a stranger's would hold up the partition.
    config
        .set("isolation.level", "read_uncommitted")
        .set("allow.auto.create.topics", "false");
    config
        .set("queued.max.messages.kbytes", AHEAD_KBYTES_MAX)
        .set("queued.min.messages", "1000");
    config
        .set("fetch.queue.backoff.ms", "20")
        .set("fetch.error.backoff.ms", "200");
    config
        .create_with_context(Quiet)
        .map_err(KafkaSettings::refused)
}

struct KafkaReader {
    cluster: Cluster,
    noted: Arc<Noted>,
    partition: u32,
    lease: CancellationToken,
    /// Always there until the reader is dropped.
    consumer: Option<Arc<StreamConsumer<Quiet>>>,
    /// Offset of the next record.
    position: u64,
    /// Offsets that are deleted, to be yielded.
    lost: Option<Delivered>,
    /// Decodes records that are not large, which bounds what it keeps.
    decoder: SeriesDecoder,
    decoding: Option<JoinHandle<Result<Delivered, StreamError>>>,
    /// The position is outside the log and must be found anew.
    astray: bool,
    /// The end of the log has been seen and nothing since.
    at_end: bool,
    failed: Option<StreamError>,
}

impl KafkaReader {
    /// Goes to the position, or to where the log now begins.
    async fn find_position(&mut self) -> Result<(), StreamError> {
        let (low, high) = self.cluster.bounds(self.partition).await?;
        if self.position > high {
            warn!(
                partition = self.partition,
                position = self.position,
                high,
                "the place is past the end of the kafka partition, reading again from its oldest record"
            );
            self.position = low;
        } else if self.position < low {
            warn!(
                partition = self.partition,
                position = self.position,
                low,
                "kafka has deleted records before they were read"
            );
            self.lost = Some(lost(self.position, low));
            self.position = low;
        }
        let mut list = TopicPartitionList::new();
        let added = list.add_partition_offset(
            &self.cluster.settings.topic,
            self.partition as i32,
            At::Offset(self.position as i64),
        );
        let consumer = self.consumer.clone().ok_or(StreamError::Closed)?;
        let assigned = added.and_then(|()| consumer.assign(&list));
        assigned.map_err(|source| self.cluster.error("read", source))?;
        (self.astray, self.at_end) = (false, false);
        Ok(())
    }

    /// The next record; `None` at the end. Cancel-safe: whatever is under way is kept in `self`.
    async fn step(&mut self) -> Result<Option<Delivered>, StreamError> {
        loop {
            if let Some(error) = &self.failed {
                return Err(error.clone());
            }
            if self.lease.is_cancelled() {
                return Err(StreamError::Revoked {
                    partition: self.partition,
                });
            }
            if self.astray {
                self.find_again().await;
                continue;
            }
            if let Some(lost) = self.lost.take() {
                return Ok(Some(lost));
            }
            if let Some(decoding) = &mut self.decoding {
                let decoded = decoding.await.map_err(|_| StreamError::Closed);
                self.decoding = None;
                return self.deliver(decoded.flatten());
            }
            let consumer = self.consumer.clone().ok_or(StreamError::Closed)?;
            let received = select! {
                biased;
                () = self.lease.cancelled() => continue,
                received = consumer.recv() => received.map(|message| Incoming::new(&message)),
            };
            match received {
                Ok(incoming) if incoming.offset < self.position => {}
                Ok(incoming) if incoming.payload.len() > DECODE_HERE_BYTES_MAX => {
                    self.decoding = Some(spawn_blocking(move || {
                        incoming.decode(&mut SeriesDecoder::default())
                    }));
                }
                Ok(incoming) => {
                    let decoded = incoming.decode(&mut self.decoder);
                    return self.deliver(decoded);
                }
                Err(KafkaError::PartitionEOF(_)) => {
                    self.at_end = true;
                    return Ok(None);
                }
                Err(error) => self.received_error(error)?,
            }
        }
    }

    fn deliver(
        &mut self,
        decoded: Result<Delivered, StreamError>,
    ) -> Result<Option<Delivered>, StreamError> {
        if self.lease.is_cancelled() {
            return Err(StreamError::Revoked {
                partition: self.partition,
            });
        }
        match decoded {
            Ok(delivered) => {
                self.position = delivered.record.next.0;
                self.at_end = false;
                Ok(Some(delivered))
            }
            Err(error) => {
                self.failed = Some(error.clone());
                Err(error)
            }
        }
    }

    /// The client library goes on by itself after most errors.
    fn received_error(&mut self, error: KafkaError) -> Result<(), StreamError> {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                self.astray = true;
                Ok(())
            }
            _ if is_denied(&error) => Err(self.cluster.error("read", error)),
            _ => {
                debug!(partition = self.partition, %error, "reading from kafka was interrupted");
                Ok(())
            }
        }
    }

    async fn find_again(&mut self) {
        if let Err(error) = self.find_position().await {
            debug!(partition = self.partition, %error, "cannot find the place in the kafka partition, trying again");
            select! {
                () = self.lease.cancelled() => {}
                () = sleep(AGAIN) => {}
            }
        }
    }

    /// Waits for what is known to be there.
    async fn readable(&mut self) -> Result<Option<Delivered>, StreamError> {
        match timeout(READABLE_MAX, self.step()).await {
            Ok(found) => found,
            Err(_) => {
                let timed_out = KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut);
                Err(self.cluster.error("read", timed_out))
            }
        }
    }
}

#[async_trait]
impl PartitionReader for KafkaReader {
    async fn next(&mut self) -> Result<Delivered, StreamError> {
        loop {
            if let Some(delivered) = self.step().await? {
                return Ok(delivered);
            }
        }
    }

    async fn try_next(&mut self) -> Result<Option<Delivered>, StreamError> {
        if !self.at_end {
            return self.readable().await;
        }
        let fetched = select! {
            biased;
            found = self.step() => found?,
            () = ready(()) => None,
        };
        if fetched.is_some() {
            return Ok(fetched);
        }
        let (_, high) = self.cluster.bounds(self.partition).await?;
        if high <= self.position {
            Ok(None)
        } else {
            self.readable().await
        }
    }

    async fn committed(&self, up_to: Offset) -> Result<(), StreamError> {
        if !self.lease.is_cancelled() {
            self.noted.note(self.partition, up_to.0);
        }
        Ok(())
    }
}

impl Drop for KafkaReader {
    fn drop(&mut self) {
        if let (Some(consumer), Ok(runtime)) = (self.consumer.take(), Handle::try_current()) {
            // Closing talks to the broker: outside the reactor, and nobody waits for it.
            drop(runtime.spawn_blocking(move || drop(consumer)));
        }
    }
}

/// The place of records that the broker has deleted.
fn lost(from: u64, to: u64) -> Delivered {
    let entry = Entry::Damaged {
        segment: Offset(from),
        bytes: 0..0,
        why: Damage::Missing,
    };
    Delivered {
        lane: None,
        record: Record {
            offset: Offset(from),
            next: Offset(to),
            entry,
        },
        transit: Transit::default(),
    }
}
