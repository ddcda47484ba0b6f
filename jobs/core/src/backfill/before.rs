//! Whether the jobs that a job comes `after` have succeeded for the same occasion as a fire of the past.
//!
//! The scheduler takes their latest run before a fire, which is the one for its occasion since it queues them in order. A
//! back-fill may meet a job before it that has run over a part of the range alone: there the run for the very window or
//! time of the schedule counts.

use std::time::Duration;

use tokio::time::Instant;

use super::Runner;
use crate::{
    Fire, JobName, RunState, SchedulerError, Trigger,
    clock::rfc3339,
    fire::Cause,
    store::{Run, Store},
};

/// How often a run that is under way is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(if cfg!(test) { 20 } else { 1000 });

/// How a job before it stands.
enum Before {
    Succeeded,
    UnderWay,
    Lacks(String),
}

impl Runner {
    /// Why a fire cannot run; `None` where all jobs before it have succeeded. Waits for runs of them that are under way, up
    /// to the time that one of their attempts may take.
    pub(super) async fn held_back(
        &self,
        store: &Store,
        fire: &Fire,
    ) -> Result<Option<String>, SchedulerError> {
        if fire.cause == Cause::Manual {
            return Ok(None);
        }
        for name in &self.job.after {
            let timeout = self.jobs.find(name.as_str()).map(|job| job.spec.timeout);
            let until = Instant::now() + timeout.unwrap_or_default();
            loop {
                match self.before(store, name, fire).await? {
                    Before::Succeeded => break,
                    Before::Lacks(why) => return Ok(Some(why)),
                    Before::UnderWay if Instant::now() < until => {
                        tokio::time::sleep(LOOK_EVERY).await;
                    }
                    Before::UnderWay => {
                        return Ok(Some(format!(
                            "job {name}, which comes before it, has not ended"
                        )));
                    }
                }
            }
        }
        Ok(None)
    }

    async fn before(
        &self,
        store: &Store,
        name: &JobName,
        fire: &Fire,
    ) -> Result<Before, SchedulerError> {
        let run = self.run_before(store, name, fire).await?;
        Ok(match run.map(|run| run.state) {
            Some(RunState::Succeeded) => Before::Succeeded,
            Some(state) if state.is_final() => {
                Before::Lacks(format!("job {name}, which comes before it, has {state}"))
            }
            Some(_) => Before::UnderWay,
            None => Before::Lacks(format!(
                "job {name}, which comes before it, has not run for it: back-fill {name} first"
            )),
        })
    }

    /// The run of a job before this one for the occasion of a fire.
    async fn run_before(
        &self,
        store: &Store,
        name: &JobName,
        fire: &Fire,
    ) -> Result<Option<Run>, SchedulerError> {
        let trigger = self.jobs.find(name.as_str()).map(|job| &job.spec.trigger);
        if let Some(Trigger::Cron(schedule)) = trigger {
            let Some(due) = schedule.latest_at(fire.due) else {
                return Ok(None);
            };
            return store.find(name, &rfc3339(due)).await;
        }
        if let Some(same) = store.find(name, fire.key.as_str()).await? {
            return Ok(Some(same));
        }
        match &fire.window {
            // It ignores late data: its run for the window as it was counts.
            Some(window) => store.of_window(name, &window.site, window.start).await,
            None => store.latest(name, fire.due).await,
        }
    }
}
