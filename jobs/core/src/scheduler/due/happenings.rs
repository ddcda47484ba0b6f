//! Runs for warnings of other jobs and for events.
//!
//! A job's first look begins when it was registered: what happened before is for a back-fill.

use std::sync::PoisonError;

use forebay_schemas::Timestamp;

use super::{Scheduler, believed};
use crate::{
    SchedulerError,
    happened::{happened, table_of},
};

/// Rows are looked at again this long after they were made, in case two were stored out of order, µs.
const OVERLAP: i64 = 3_600_000_000;

impl Scheduler {
    /// Queues a run for each warning or event that jobs wait for and that has none.
    pub(super) async fn enqueue_happenings(&self, now: Timestamp) -> Result<usize, SchedulerError> {
        let mut queued = 0;
        for job in self.jobs.iter() {
            let Some(table) = table_of(&job.spec.trigger) else {
                continue;
            };
            let name = &job.spec.name;
            let version = self.lake.table(table)?.snapshot().await?.version();
            if self.seen_version(name.as_str()) == Some(version) {
                continue;
            }
            let Some(known) = self.store.registered(name).await? else {
                continue;
            };
            let begins = known.at.micros().min(now.micros());
            let cursor = believed(known.cursor, now).unwrap_or(begins);
            let since = cursor.saturating_sub(OVERLAP).max(begins);
            let found = happened(&self.lake, &job.spec.trigger, since).await?;
            for happening in &found {
                queued += self.enqueue(job, &happening.fire, now).await?;
            }
            let latest = found.iter().map(|happening| happening.changed_at).max();
            let latest = latest.unwrap_or(cursor).max(cursor).min(now.micros());
            if known.cursor != Some(latest) {
                self.store.set_cursor(name, latest).await?;
            }
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.insert(name.to_string(), version);
        }
        Ok(queued)
    }

    /// The version of its table at a job's last look.
    fn seen_version(&self, job: &str) -> Option<u64> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(job).copied()
    }
}
