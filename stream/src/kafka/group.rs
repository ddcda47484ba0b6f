//! The consumer group: which partitions are this process's.
//!
//! One member of the group, which never fetches a record: its partitions are paused as they come, and whoever reads one does
//! so with a client of its own. Partitions move cooperatively, so that those that stay are read on while others move.
//! A partition that is taken away is taken from its readers before the group hears that we let go of it (E6). Nothing is looked
//! up in the rebalance: the consumer's places are in the lake (E5).

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use rdkafka::{
    ClientContext, Offset as At, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    types::RDKafkaRespErr,
};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    cluster::{Cluster, is_denied, is_missing, pass_on},
    settings::KafkaSettings,
    source::KafkaSource,
    topic::missing,
};
use crate::{GroupEvent, LogGroup, StreamError};

/// Changes that may wait to be taken.
const CHANGES_MAX: usize = 4096;
const POLL: Duration = Duration::from_millis(100);

/// A change as the rebalance saw it.
enum Change {
    Assigned(u32, CancellationToken),
    Revoked(u32),
    Failed(StreamError),
}

/// Offsets to be noted for dashboards, by partition.
#[derive(Default)]
pub(super) struct Noted(Mutex<BTreeMap<u32, u64>>);

impl Noted {
    pub(super) fn note(&self, partition: u32, offset: u64) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(partition, offset);
    }

    fn take(&self) -> BTreeMap<u32, u64> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The partitions of a topic that this process shall consume. Dropping it leaves the group soon; [`KafkaGroup::leave`] waits.
pub struct KafkaGroup {
    cluster: Cluster,
    noted: Arc<Noted>,
    stream: Arc<str>,
    changes: mpsc::Receiver<Change>,
    stop: CancellationToken,
    member: JoinSet<()>,
}

impl KafkaGroup {
    /// Waits until Kafka answers, then joins. Runs within a tokio runtime; drop the future to give up.
    ///
    /// # Errors
    /// `Fatal` if Kafka refuses us, or the settings do not work.
    pub async fn join(settings: KafkaSettings) -> Result<Self, StreamError> {
        let cluster = Cluster::connect(Arc::new(settings)).await?;
        let settings = &cluster.settings;
        let (to, changes) = mpsc::channel(CHANGES_MAX);
        let mut config = settings.member();
        config.set("partition.assignment.strategy", "cooperative-sticky");
        config
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false");
        config
            .set("allow.auto.create.topics", "false")
            .set("queued.max.messages.kbytes", "1024");
        let context = Member {
            changes: to,
            leases: Mutex::default(),
        };
        let consumer: BaseConsumer<Member> = config
            .create_with_context(context)
            .map_err(KafkaSettings::refused)?;
        consumer
            .subscribe(&[&settings.topic])
            .map_err(|source| cluster.error("subscribe to", source))?;
        let (stop, noted) = (CancellationToken::new(), Arc::new(Noted::default()));
        let mut member = JoinSet::new();
        member.spawn_blocking({
            let (stop, noted, cluster) = (stop.clone(), noted.clone(), cluster.clone());
            move || serve(&consumer, &cluster, &noted, &stop)
        });
        let stream = format!("kafka/{}/{}", cluster.id, settings.topic).into();
        Ok(Self {
            cluster,
            noted,
            stream,
            changes,
            stop,
            member,
        })
    }

    /// Leaves the group, so that others get its partitions at once; all its readers fail from then on.
    pub async fn leave(mut self) {
        self.stop.cancel();
        while self.member.join_next().await.is_some() {}
    }
}

impl Drop for KafkaGroup {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[async_trait]
impl LogGroup for KafkaGroup {
    async fn next(&mut self) -> Result<GroupEvent, StreamError> {
        match self.changes.recv().await {
            Some(Change::Assigned(partition, lease)) => {
                let (cluster, noted, stream) = (
                    self.cluster.clone(),
                    self.noted.clone(),
                    self.stream.clone(),
                );
                Ok(GroupEvent::Assigned(Arc::new(KafkaSource {
                    cluster,
                    noted,
                    stream,
                    partition,
                    lease,
                })))
            }
            Some(Change::Revoked(partition)) => Ok(GroupEvent::Revoked(partition)),
            Some(Change::Failed(error)) => Err(error),
            None => Err(StreamError::Closed),
        }
    }
}

/// Serves the group until stopped. Polling is what keeps us a member.
fn serve(
    consumer: &BaseConsumer<Member>,
    cluster: &Cluster,
    noted: &Noted,
    stop: &CancellationToken,
) {
    while !stop.is_cancelled() {
        match consumer.poll(POLL) {
            // Fetched before the pause took hold; whoever reads the partition gets it again.
            Some(Ok(_)) | None => {}
            Some(Err(error)) => {
                if is_missing(&error) {
                    let settings = &cluster.settings;
                    warn!(
                        topic = settings.topic,
                        mend = missing(settings),
                        "waiting for the kafka topic"
                    );
                }
                debug!(%error, "kafka group");
                if is_denied(&error) || matches!(error, KafkaError::MessageConsumptionFatal(_)) {
                    consumer
                        .context()
                        .change(Change::Failed(cluster.error("join the group of", error)));
                }
            }
        }
        let offsets = noted.take();
        if !offsets.is_empty() {
            note(consumer, &cluster.settings.topic, offsets);
        }
    }
    consumer.context().revoke_all();
    info!(group = cluster.settings.group, "leaving the kafka group");
}

fn note(consumer: &BaseConsumer<Member>, topic: &str, offsets: BTreeMap<u32, u64>) {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in offsets {
        let added = list.add_partition_offset(topic, partition as i32, At::Offset(offset as i64));
        if let Err(error) = added {
            debug!(partition, offset, %error, "cannot note this offset");
        }
    }
    if let Err(error) = consumer.commit(&list, CommitMode::Async) {
        debug!(%error, "could not note offsets for dashboards");
    }
}

/// What the rebalance touches.
struct Member {
    changes: mpsc::Sender<Change>,
    leases: Mutex<HashMap<u32, CancellationToken>>,
}

impl Member {
    fn change(&self, change: Change) {
        if let Err(lost) = self.changes.try_send(change) {
            // Either the group was dropped, or thousands of changes were not taken: then all readers must fail.
            debug!(%lost, "dropped a change in the kafka group");
            self.revoke_all();
        }
    }

    fn assigned(&self, partitions: &[u32]) {
        for partition in partitions {
            let lease = CancellationToken::new();
            let before = self
                .leases
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(*partition, lease.clone());
            if let Some(before) = before {
                before.cancel();
            }
            self.change(Change::Assigned(*partition, lease));
        }
    }

    fn revoked(&self, partitions: &[u32]) {
        for partition in partitions {
            let lease = self
                .leases
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(partition);
            if let Some(lease) = lease {
                lease.cancel();
                self.change(Change::Revoked(*partition));
            }
        }
    }

    fn revoke_all(&self) {
        for (_, lease) in self
            .leases
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .drain()
        {
            lease.cancel();
        }
    }
}

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        pass_on(level, facility, message);
    }
}

impl ConsumerContext for Member {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let partitions: Vec<u32> = list
            .elements()
            .iter()
            .map(|element| element.partition().max(0) as u32)
            .collect();
        let cooperative = matches!(
            consumer.rebalance_protocol(),
            RebalanceProtocol::Cooperative
        );
        let done = if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            assign(consumer, list, cooperative).inspect(|()| self.assigned(&partitions))
        } else {
            self.revoked(&partitions);
            if cooperative {
                consumer.incremental_unassign(list)
            } else {
                consumer.unassign()
            }
        };
        match done {
            Ok(()) => info!(?event, ?partitions, "kafka partitions moved"),
            Err(error) => {
                warn!(?event, ?partitions, %error, "a move of kafka partitions failed, leaving all of them");
                self.revoke_all();
                self.change(Change::Failed(KafkaSettings::refused(error)));
            }
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        match result {
            Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
            Err(error) => debug!(%error, "could not note offsets for dashboards"),
        }
    }
}

/// From the end, so that no committed offset is asked for, and paused.
fn assign(
    consumer: &BaseConsumer<Member>,
    list: &mut TopicPartitionList,
    cooperative: bool,
) -> KafkaResult<()> {
    list.set_all_offsets(At::End)?;
    if cooperative {
        consumer.incremental_assign(list)?
    } else {
        consumer.assign(list)?
    }
    if list.count() == 0 {
        Ok(())
    } else {
        consumer.pause(list)
    }
}
