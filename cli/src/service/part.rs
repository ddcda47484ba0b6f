//! One long task of the service, and what becomes of it when it fails.
//!
//! Invariants: a failure of what lies behind the spool never ends a process that reads devices: the spool keeps what they
//! send while the part is restarted, at growing intervals. A process without devices ends where a person has to mend
//! something, so that whoever watches over it hears of it. Also a panic is a failure of its part alone.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::anyhow;
use forebay_alerts::AlertError;
#[cfg(feature = "lake")]
use forebay_compactor::CompactorError;
#[cfg(feature = "lake")]
use forebay_jobs::SchedulerError;
#[cfg(feature = "lake")]
use forebay_lake::LakeError;
use forebay_runtime::Backoff;
use forebay_schemas::ErrorKind;
#[cfg(feature = "lake")]
use forebay_serve::ServeError;
use forebay_stream::StreamError;
use tokio::{
    select,
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

/// Waits before a part is restarted.
const AGAIN: Backoff = Backoff {
    first: Duration::from_secs(1),
    max: Duration::from_secs(60),
};
/// A part that went so long has recovered from its failures before.
const LONG: Duration = Duration::from_secs(300);

pub(super) type Task = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

/// Begins a part's task; a part that can be begun only once gives none the second time.
type Begin = Box<dyn FnMut(CancellationToken) -> Option<Task> + Send>;

/// What a failure of a part means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnFailure {
    /// The part is restarted, whatever it was.
    Restart,
    /// The part is restarted if the failure may pass; else it is the end of the process.
    RestartIfPassing,
}

/// One long task, and how to have it stop.
pub(super) struct Part {
    pub(super) name: &'static str,
    pub(super) stop: CancellationToken,
    pub(super) on_failure: OnFailure,
    pub(super) begin: Begin,
    /// How often it failed.
    pub(super) failures: Arc<AtomicU64>,
}

impl Part {
    /// Runs until the stop; restarts the task after its failures as far as they allow it.
    ///
    /// # Errors
    /// The failure that ends the process.
    pub(super) async fn run(mut self) -> anyhow::Result<()> {
        let mut in_a_row = 0;
        loop {
            let begun = Instant::now();
            let Some(task) = (self.begin)(self.stop.clone()) else {
                return Err(anyhow!("the {} ended", self.name));
            };
            let Err(failure) = once(task, &self.stop).await else {
                return Ok(());
            };
            self.failures.fetch_add(1, Ordering::Relaxed);
            let failure = failure.context(format!("the {} failed", self.name));
            let passing = may_pass(&failure);
            if self.stop.is_cancelled()
                || (!passing && self.on_failure == OnFailure::RestartIfPassing)
            {
                return Err(failure);
            }
            in_a_row = if begun.elapsed() >= LONG {
                1
            } else {
                in_a_row + 1
            };
            let wait = AGAIN.wait(in_a_row, 1.0);
            let (part, wait_ms, reason) = (self.name, wait.as_millis(), format!("{failure:#}"));
            if passing {
                warn!(part, wait_ms, reason, "a part failed, restarting it");
            } else {
                error!(
                    part,
                    wait_ms, reason, "a part failed, a person must fix the cause, retrying"
                );
            }
            select! {
                () = sleep(wait) => {}
                () = self.stop.cancelled() => return Ok(()),
            }
        }
    }
}

/// In a task of its own, so that a panic ends it alone; it ends with this future.
async fn once(task: Task, stop: &CancellationToken) -> anyhow::Result<()> {
    let mut alone = JoinSet::new();
    alone.spawn(task);
    match alone.join_next().await {
        Some(Ok(Ok(()))) if stop.is_cancelled() => Ok(()),
        Some(Ok(Ok(()))) | None => Err(anyhow!("it stopped unexpectedly")),
        Some(Ok(Err(error))) => Err(error),
        Some(Err(_)) => Err(anyhow!(
            "it panicked, which is a defect of this program: the log has the message"
        )),
    }
}

/// Whether the same may succeed later without a person.
fn may_pass(failure: &anyhow::Error) -> bool {
    let kinds = [
        failure.downcast_ref::<StreamError>().map(StreamError::kind),
        failure.downcast_ref::<AlertError>().map(AlertError::kind),
        #[cfg(feature = "lake")]
        failure
            .downcast_ref::<CompactorError>()
            .map(CompactorError::kind),
        #[cfg(feature = "lake")]
        failure.downcast_ref::<LakeError>().map(LakeError::kind),
        #[cfg(feature = "lake")]
        failure
            .downcast_ref::<SchedulerError>()
            .map(SchedulerError::kind),
        #[cfg(feature = "lake")]
        failure.downcast_ref::<ServeError>().map(ServeError::kind),
    ];
    kinds
        .into_iter()
        .flatten()
        .any(|kind| kind == ErrorKind::Retry)
}

#[cfg(test)]
#[cfg(feature = "lake")]
mod tests {
    use super::*;

    /// A part that fails as `failures` say, one after another, and then runs until its stop.
    fn part(
        on_failure: OnFailure,
        failures: Vec<Box<dyn FnOnce() -> anyhow::Result<()> + Send>>,
    ) -> Part {
        let mut failures = failures.into_iter();
        let begin: Begin = Box::new(move |stop| {
            let failure = failures.next();
            Some(Box::pin(async move {
                match failure {
                    Some(fail) => fail(),
                    None => {
                        stop.cancelled().await;
                        Ok(())
                    }
                }
            }))
        });
        Part {
            name: "compactor",
            stop: CancellationToken::new(),
            on_failure,
            begin,
            failures: Arc::default(),
        }
    }

    fn passing() -> anyhow::Result<()> {
        Err(LakeError::Unreachable {
            location: "s3://b".into(),
            why: "no link".into(),
        }
        .into())
    }

    fn for_a_person() -> anyhow::Result<()> {
        Err(LakeError::Location {
            location: "x".into(),
            why: "wrong".into(),
        }
        .into())
    }

    fn panics() -> anyhow::Result<()> {
        panic!("a defect")
    }

    #[tokio::test(start_paused = true)]
    async fn beside_devices_every_failure_is_tried_again_and_counted() {
        let part = part(
            OnFailure::Restart,
            vec![Box::new(passing), Box::new(for_a_person), Box::new(panics)],
        );
        let (stop, failures) = (part.stop.clone(), part.failures.clone());
        let running = tokio::spawn(part.run());
        while failures.load(Ordering::Relaxed) < 3 {
            sleep(Duration::from_millis(100)).await;
        }
        stop.cancel();
        running.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn without_devices_what_a_person_must_mend_is_the_end() {
        let part = part(
            OnFailure::RestartIfPassing,
            vec![Box::new(passing), Box::new(for_a_person)],
        );
        let failures = part.failures.clone();
        let ended = part.run().await.unwrap_err();
        assert_eq!(
            format!("{ended:#}"),
            "the compactor failed: cannot open the lake at x: wrong"
        );
        assert_eq!(failures.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_the_wait_for_the_next_try() {
        let part = part(OnFailure::Restart, vec![Box::new(passing)]);
        let (stop, failures) = (part.stop.clone(), part.failures.clone());
        let running = tokio::spawn(part.run());
        while failures.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        stop.cancel();
        running.await.unwrap().unwrap();
    }
}
