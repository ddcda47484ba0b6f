//! The partitions of a stream as they come and go, a task for each.
//!
//! A partition's error ends that partition alone. A partition that is taken away is dropped at once: what it gathered is
//! read again by whoever has it now (E6).

use std::{collections::BTreeMap, sync::Arc};

use forebay_lake::LakeWriter;
use forebay_schemas::Clock;
use forebay_stream::{GroupEvent, LogGroup, LogSource, StreamError};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::{CompactorError, ConsumeSettings, Progress, budget::MemoryBudget, partition::Partition, progress::add};

/// Consumes a stream's partitions until the stop; then takes what is there already, commits and returns.
///
/// # Errors
/// When the group cannot go on, or when every partition that is assigned has stopped with an error: the first of these.
pub async fn run(
    lake: Arc<LakeWriter>,
    group: Box<dyn LogGroup>,
    settings: ConsumeSettings,
    clock: Clock,
    progress: Arc<Progress>,
    stop: CancellationToken,
) -> Result<(), CompactorError> {
    let budget = MemoryBudget::new(settings.memory_bytes_max);
    let settings = Arc::new(settings);
    let tasks = Tasks {
        lake,
        settings,
        clock,
        progress,
        budget,
        stop: stop.child_token(),
        running: JoinSet::new(),
        partitions: BTreeMap::new(),
    };
    tasks.run(group).await
}

type Outcome = Result<(), CompactorError>;

struct Tasks {
    lake: Arc<LakeWriter>,
    settings: Arc<ConsumeSettings>,
    clock: Clock,
    progress: Arc<Progress>,
    budget: MemoryBudget,
    stop: CancellationToken,
    running: JoinSet<Outcome>,
    /// What is ours, by its number.
    partitions: BTreeMap<u32, Assigned>,
}

/// A partition that is ours.
struct Assigned {
    place: String,
    task: AbortHandle,
}

enum Event {
    Group(Result<GroupEvent, StreamError>),
    Ended(Result<(Id, Outcome), JoinError>),
    Stop,
}

impl Tasks {
    async fn run(mut self, mut group: Box<dyn LogGroup>) -> Result<(), CompactorError> {
        let mut failed = None;
        loop {
            let event = tokio::select! {
                biased;
                () = self.stop.cancelled() => Event::Stop,
                event = group.next() => Event::Group(event),
                Some(ended) = self.running.join_next_with_id() => Event::Ended(ended),
            };
            match event {
                Event::Group(Ok(GroupEvent::Assigned(source))) => self.assign(source),
                Event::Group(Ok(GroupEvent::Revoked(partition))) => self.revoke(partition),
                Event::Group(Err(source)) => {
                    self.drain().await;
                    return Err(CompactorError::Stream { place: "stream".into(), source });
                }
                Event::Ended(ended) => {
                    if let Some(error) = self.ended(ended) {
                        let error = failed.get_or_insert(error);
                        error!(%error, "a partition is consumed no more");
                        if self.partitions.is_empty() {
                            return failed.map_or(Ok(()), Err);
                        }
                    }
                }
                Event::Stop => {
                    let last = self.drain().await;
                    return failed.or(last).map_or(Ok(()), Err);
                }
            }
        }
    }

    fn assign(&mut self, source: Arc<dyn LogSource>) {
        let number = source.partition();
        self.revoke(number);
        let partition = Partition {
            lake: self.lake.clone(),
            source,
            settings: self.settings.clone(),
            clock: self.clock.clone(),
            progress: self.progress.clone(),
            budget: self.budget.clone(),
            stop: self.stop.clone(),
        };
        let place = partition.place();
        let task = self.running.spawn(async move { partition.consume().await });
        self.partitions.insert(number, Assigned { place, task });
        add(&self.progress.partitions, 1);
    }

    fn revoke(&mut self, partition: u32) {
        if let Some(assigned) = self.partitions.remove(&partition) {
            info!(place = assigned.place, "the partition is taken away");
            assigned.task.abort();
            self.progress.partitions.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
        }
    }

    /// A task has ended: its error, if that is what ended it.
    fn ended(&mut self, ended: Result<(Id, Outcome), JoinError>) -> Option<CompactorError> {
        let (id, outcome) = match ended {
            // The reader may hear of it before the group does. It is another process's now: nothing has failed.
            Ok((id, Err(CompactorError::Stream { source: StreamError::Revoked { .. }, .. }))) => (id, None),
            Ok((id, outcome)) => (id, outcome.err()),
            Err(error) if error.is_cancelled() => return None,
            Err(error) => (error.id(), Some(CompactorError::Panicked { place: "a partition".into() })),
        };
        let number = self.partitions.iter().find(|(_, assigned)| assigned.task.id() == id).map(|(number, _)| *number);
        if let Some(assigned) = number.and_then(|number| self.partitions.remove(&number)) {
            info!(place = assigned.place, "the partition's task has ended");
            self.progress.partitions.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
        }
        if outcome.is_some() {
            add(&self.progress.failed, 1);
        }
        outcome
    }

    /// Has all partitions commit and end; each bounds its own wait. Answers the first error.
    async fn drain(&mut self) -> Option<CompactorError> {
        self.stop.cancel();
        let mut failed = None;
        while let Some(ended) = self.running.join_next_with_id().await {
            let error = self.ended(ended);
            failed = failed.or(error);
        }
        failed
    }
}
