//! The partitions of a stream as they come and go, a task for each.
//!
//! A partition's error ends that partition's task alone; while others go on, it is tried again at growing intervals. A
//! partition that is taken away is dropped at once: what it gathered is read again by whoever has it now (E6).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use forebay_lake::LakeWriter;
use forebay_runtime::Backoff;
use forebay_schemas::Clock;
use forebay_stream::{GroupEvent, LogGroup, LogSource, StreamError};
use tokio::{
    task::{AbortHandle, Id, JoinError, JoinSet},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{
    CompactorError, ConsumeSettings, Progress, budget::MemoryBudget, elsewhere::Elsewhere,
    events::EventNames, partition::Partition, progress::add,
};

/// How long a partition that failed waits for its next try.
const AGAIN: Backoff = Backoff {
    first: Duration::from_secs(1),
    max: Duration::from_secs(300),
};

/// Consumes a stream's partitions until the stop; then takes what is there already, commits and returns.
///
/// # Errors
/// When the group cannot go on, or when every partition that is assigned has stopped with an error: the last of these. At
/// the stop, that of a partition which has not recovered.
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
        elsewhere: Elsewhere::default(),
        event_names: EventNames::default(),
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
    elsewhere: Elsewhere,
    event_names: EventNames,
    stop: CancellationToken,
    running: JoinSet<Outcome>,
    /// What is ours, by its number.
    partitions: BTreeMap<u32, Assigned>,
}

/// A partition that is ours.
struct Assigned {
    place: String,
    source: Arc<dyn LogSource>,
    at: At,
    begun: Instant,
    /// How often it failed in a row.
    failures: u32,
}

/// Where a partition's task stands.
enum At {
    Work(AbortHandle),
    Rest {
        until: Instant,
        error: CompactorError,
    },
}

enum Event {
    Group(Result<GroupEvent, StreamError>),
    Ended(Result<(Id, Outcome), JoinError>),
    Again(u32),
    Stop,
}

impl Tasks {
    async fn run(mut self, mut group: Box<dyn LogGroup>) -> Result<(), CompactorError> {
        loop {
            let next = self.next_again();
            let (number, until) = next.unwrap_or((0, Instant::now()));
            let event = tokio::select! {
                biased;
                () = self.stop.cancelled() => Event::Stop,
                event = group.next() => Event::Group(event),
                Some(ended) = self.running.join_next_with_id() => Event::Ended(ended),
                () = sleep_until(until), if next.is_some() => Event::Again(number),
            };
            match event {
                Event::Group(Ok(GroupEvent::Assigned(source))) => self.assign(source),
                Event::Group(Ok(GroupEvent::Revoked(partition))) => self.revoke(partition),
                Event::Group(Err(source)) => {
                    self.drain().await;
                    return Err(CompactorError::Stream {
                        place: "stream".into(),
                        source,
                    });
                }
                Event::Ended(ended) => {
                    if let Err(error) = self.ended(ended) {
                        self.drain().await;
                        return Err(error);
                    }
                }
                Event::Again(number) => self.work(number),
                Event::Stop => return self.drain().await.map_or(Ok(()), Err),
            }
        }
    }

    fn assign(&mut self, source: Arc<dyn LogSource>) {
        let number = source.partition();
        self.revoke(number);
        self.begin(source, 0);
    }

    /// The partition whose rest ends first, and when.
    fn next_again(&self) -> Option<(u32, Instant)> {
        let resting = self
            .partitions
            .iter()
            .filter_map(|(number, assigned)| match assigned.at {
                At::Rest { until, .. } => Some((*number, until)),
                At::Work(_) => None,
            });
        resting.min_by_key(|(_, until)| *until)
    }

    /// Has a partition go on after its rest.
    fn work(&mut self, number: u32) {
        if let Some(Assigned {
            source, failures, ..
        }) = self.partitions.remove(&number)
        {
            self.begin(source, failures);
        }
    }

    fn begin(&mut self, source: Arc<dyn LogSource>, failures: u32) {
        let partition = Partition {
            lake: self.lake.clone(),
            source: source.clone(),
            settings: self.settings.clone(),
            clock: self.clock.clone(),
            progress: self.progress.clone(),
            budget: self.budget.clone(),
            elsewhere: self.elsewhere.clone(),
            event_names: self.event_names.clone(),
            begun: Instant::now(),
            stop: self.stop.clone(),
        };
        let (number, place) = (source.partition(), partition.place());
        let at = At::Work(self.running.spawn(async move { partition.consume().await }));
        self.partitions.insert(
            number,
            Assigned {
                place,
                source,
                at,
                begun: Instant::now(),
                failures,
            },
        );
        add(&self.progress.partitions, 1);
    }

    fn revoke(&mut self, partition: u32) {
        if let Some(assigned) = self.partitions.remove(&partition) {
            info!(place = assigned.place, "the partition is taken away");
            if let At::Work(task) = assigned.at {
                task.abort();
                self.works_no_more();
            }
        }
    }

    /// A task has ended.
    ///
    /// # Errors
    /// What ended it, if no other partition is at work.
    fn ended(&mut self, ended: Result<(Id, Outcome), JoinError>) -> Outcome {
        let (id, outcome) = match ended {
            // The reader may hear of it before the group does. It is another process's now: nothing has failed.
            Ok((
                id,
                Err(CompactorError::Stream {
                    source: StreamError::Revoked { .. },
                    ..
                }),
            )) => (id, Ok(())),
            Ok(ended) => ended,
            Err(error) if error.is_cancelled() => return Ok(()),
            Err(error) => (
                error.id(),
                Err(CompactorError::Panicked {
                    place: "a partition".into(),
                }),
            ),
        };
        let is_it = |assigned: &Assigned| matches!(&assigned.at, At::Work(task) if task.id() == id);
        let number = self
            .partitions
            .iter()
            .find(|(_, assigned)| is_it(assigned))
            .map(|(number, _)| *number);
        let Some((number, mut assigned)) =
            number.and_then(|number| self.partitions.remove_entry(&number))
        else {
            // It was taken away meanwhile: whoever has it now meets the same error.
            if let Err(error) = outcome {
                warn!(%error, "a partition that was taken away had stopped");
            }
            return Ok(());
        };
        self.works_no_more();
        let Err(error) = outcome else {
            info!(place = assigned.place, "the partition's task has ended");
            return Ok(());
        };
        add(&self.progress.failed, 1);
        if self.stop.is_cancelled()
            || !self
                .partitions
                .values()
                .any(|other| matches!(other.at, At::Work(_)))
        {
            return Err(error);
        }
        if assigned.begun.elapsed() > AGAIN.max {
            assigned.failures = 0;
        }
        assigned.failures = assigned.failures.saturating_add(1);
        let wait = AGAIN.wait(assigned.failures, 1.0);
        error!(%error, wait_ms = wait.as_millis(), "a partition has stopped, it is tried again");
        assigned.at = At::Rest {
            until: Instant::now() + wait,
            error,
        };
        self.partitions.insert(number, assigned);
        Ok(())
    }

    fn works_no_more(&self) {
        self.progress
            .partitions
            .fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
    }

    /// Has all partitions commit and end; each bounds its own wait. Answers an error of one that did not, or has not
    /// recovered.
    async fn drain(&mut self) -> Option<CompactorError> {
        self.stop.cancel();
        let mut failed = None;
        while let Some(ended) = self.running.join_next_with_id().await {
            failed = failed.or(self.ended(ended).err());
        }
        let resting = std::mem::take(&mut self.partitions)
            .into_values()
            .find_map(|assigned| match assigned.at {
                At::Rest { error, .. } => Some(error),
                At::Work(_) => None,
            });
        failed.or(resting)
    }
}
