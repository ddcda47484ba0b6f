//! From a lane's spool to Kafka (E2).
//!
//! Invariants: records go out in the order of the spool, each epoch into the one partition that was durably chosen before its
//! first record; the spool forgets a record only after the acknowledgement of it and of all before it; after any failure
//! the next producer begins with the oldest record that is not acknowledged, once the one before can send no more. At
//! most [`RECORDS_MAX`](super::window::RECORDS_MAX) records and `queue` bytes are under way. It never gives up on a broker
//! that is away; it returns an error only for what a person must mend, and what is in the spool stays there.

#[cfg(test)]
mod as_it_lies;
mod run;
mod traces;

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use forebay_runtime::Backoff;
use forebay_schemas::{Epoch, ErrorKind, LaneId};
use tokio::{select, task::spawn_blocking, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use self::run::{Run, Turn};
use super::{
    cluster::{Cluster, is_missing},
    places::Places,
    record::{key, overhead},
    settings::KafkaSettings,
    topic::missing,
    window::Passed,
};
use crate::{LogReader, Offset, StreamError};

const RETRY: Backoff = Backoff {
    first: Duration::from_millis(250),
    max: Duration::from_secs(15),
};
/// Records are not made smaller than this for a broker that finds them too large.
const LIMIT_MIN: u64 = 4096;

/// Opens a log from an offset on; from its oldest record if that is forgotten.
pub type LogFactory = Box<dyn Fn(Offset) -> Box<dyn LogReader> + Send + Sync>;

/// Publishes a lane's log until `stop`, or until the log is closed and everything in it is acknowledged; then waits for what
/// is under way for at most 5 s. `places` is a file of this lane alone, on the same disk as its spool. To be stopped before
/// the spool is closed, so that the spool can still forget. Dropping the future loses nothing either: what is not
/// forgotten is sent again. `published` counts the readings that Kafka has acknowledged.
///
/// # Errors
/// `Fatal` if Kafka refuses us before it has ever acknowledged anything, the settings do not work, or the log holds a record of a
/// later release; `Corrupt` if `places` is damaged; `Retry` if it cannot be written.
pub async fn publish(
    settings: KafkaSettings,
    log: LogFactory,
    lane: LaneId,
    places: PathBuf,
    published: Arc<AtomicU64>,
    stop: CancellationToken,
) -> Result<(), StreamError> {
    let topic = settings.topic.clone();
    let loading = spawn_blocking(move || Places::load(&places, &topic));
    let places = loading.await.map_err(|_| StreamError::Closed)??;
    let cluster = select! {
        () = stop.cancelled() => return Ok(()),
        cluster = Cluster::connect(Arc::new(settings)) => cluster?,
    };
    let limit = cluster.settings.max_record;
    let mut publisher = Publisher {
        cluster,
        log,
        key: key(&lane),
        lane,
        places,
        limit,
        passed: Passed::default(),
        forgotten: None,
        acknowledged: false,
        published,
        stop,
    };
    publisher.publish().await
}

/// What outlives a producer.
struct Publisher {
    cluster: Cluster,
    log: LogFactory,
    lane: LaneId,
    key: String,
    places: Places,
    /// Most bytes of a record; falls when the broker takes less than the settings say.
    limit: u64,
    /// Up to here everything is acknowledged.
    passed: Passed,
    /// The newest epoch whose end the spool has forgotten.
    forgotten: Option<Epoch>,
    /// Whether Kafka has ever taken a record: a refusal after that may be a passing one.
    acknowledged: bool,
    published: Arc<AtomicU64>,
    stop: CancellationToken,
}

impl Publisher {
    async fn publish(&mut self) -> Result<(), StreamError> {
        let mut failures: u32 = 0;
        loop {
            let before = self.passed;
            let turn = match self.turn().await {
                Err(error) if error.kind() == ErrorKind::Retry || self.may_pass(&error) => {
                    Turn::Failed(error)
                }
                turn => turn?,
            };
            failures = if self.passed == before {
                failures.saturating_add(1)
            } else {
                1
            };
            // The whole bound: one producer a lane, and librdkafka spreads its own reconnections.
            let back_off = RETRY.wait(failures, 1.0);
            let wait = match turn {
                Turn::Done => {
                    info!(lane = %self.key, "stopped publishing");
                    return Ok(());
                }
                Turn::TooLarge => self.lower_limit(back_off),
                Turn::Failed(refused @ StreamError::KafkaRefused { .. }) if !self.acknowledged => {
                    return Err(refused);
                }
                Turn::Failed(failure) => {
                    let why = self.why(&failure);
                    warn!(lane = %self.key, why, wait_ms = back_off.as_millis() as u64,
                        "publishing to kafka failed, retrying from the oldest record not acknowledged");
                    back_off
                }
            };
            select! {
                () = self.stop.cancelled() => return Ok(()),
                () = sleep(wait) => {}
            }
        }
    }

    /// One producer's life.
    async fn turn(&mut self) -> Result<Turn, StreamError> {
        let stop = self.stop.clone();
        let partitions = select! {
            () = stop.cancelled() => return Ok(Turn::Done),
            partitions = self.cluster.partitions() => partitions?,
        };
        let mut run = Run::begin(self, partitions)?;
        let turn = run.drive(self).await;
        run.end(self).await;
        turn
    }

    fn may_pass(&self, error: &StreamError) -> bool {
        self.acknowledged && matches!(error, StreamError::KafkaRefused { .. })
    }

    fn lower_limit(&mut self, back_off: Duration) -> Duration {
        let limit_min = LIMIT_MIN.max(4 * overhead(&self.lane));
        if self.limit <= limit_min {
            error!(lane = %self.key, limit = self.limit, topic = self.cluster.settings.topic,
                "kafka finds even small records too large: raise max.message.bytes of the topic");
            return back_off;
        }
        self.limit = (self.limit / 2).max(limit_min);
        warn!(lane = %self.key, limit = self.limit, "kafka found a record too large, sending smaller ones");
        Duration::ZERO
    }

    fn why(&self, error: &StreamError) -> String {
        match error {
            StreamError::Kafka { source, topic, .. } if is_missing(source) => {
                format!("{topic}: {}", missing(&self.cluster.settings))
            }
            StreamError::Kafka { source, .. } => format!("{error}: {source}"),
            error => error.to_string(),
        }
    }
}
