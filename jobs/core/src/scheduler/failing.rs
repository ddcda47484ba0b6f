//! A failed run is a warning: opened by the first run of a job that fails, resolved by the next that succeeds.
//!
//! The warning is about a device of the site of the run's window, or of the site `jobs`, that is called like the job.

use std::{collections::BTreeMap, sync::PoisonError};

use forebay_schemas::{DeviceId, SiteId};

use super::Scheduler;
use crate::{
    AlertRow, AlertState, Condition, JobName, Lifecycle, RunState, SchedulerError, Severity,
    Verdict,
    context::latest_alerts,
    outbox::{Outbox, Track},
    store::Run,
};

/// The site of a job that runs for all sites.
const NO_SITE: &str = "jobs";

const LIFE: Lifecycle = Lifecycle {
    refractory: std::time::Duration::ZERO,
    resolve_after: std::time::Duration::ZERO,
};

impl Scheduler {
    /// Opens, goes on with, or resolves the warning that the runs of a job fail.
    pub(super) async fn warn_of_failure(&self, run: &Run) -> Result<(), SchedulerError> {
        let failed = matches!(run.state, RunState::Failed | RunState::TimedOut);
        let never_began = run.attempt == 0 || run.state == RunState::Cancelled;
        if never_began {
            return Ok(());
        }
        let known = self.known_failure(&run.job).await?;
        let is_open = known
            .as_ref()
            .is_some_and(|known| known.state != AlertState::Resolved);
        if !failed && !is_open {
            return Ok(());
        }
        let verdict = if failed {
            condition(run).map(Verdict::Wrong)
        } else {
            Some(Verdict::Healthy)
        };
        let Some(verdict) = verdict else {
            return Ok(());
        };
        // A run over an amended window is due long ago; it is the newest that counts.
        let seen = known.as_ref().map(|known| known.last_seen);
        let at = seen.map_or(run.fire.due, |seen| {
            let later = crate::clock::plus(seen, std::time::Duration::from_micros(1));
            run.fire.due.max(later)
        });
        let key = format!("run/{}", run.job);
        let id = |key: &str, first: forebay_schemas::Timestamp| {
            let name = format!("alert/{}/{key}/{}", run.job, first.micros());
            self.lake.keeper().app_id(&name, 0)
        };
        let history: Vec<AlertRow> = known.into_iter().collect();
        let verdicts = BTreeMap::from([(key, verdict)]);
        let rows = LIFE.advance(&history, verdicts, at, self.now(), id);
        let Some(row) = rows.into_iter().next() else {
            return Ok(());
        };
        Outbox::new(&self.lake, &run.job, Track::Live)
            .warn(run.number, &run.id(), row.clone(), self.now())
            .await?;
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        failing.insert(run.job.clone(), Some(row));
        Ok(())
    }

    /// The latest warning that runs of a job fail.
    async fn known_failure(&self, job: &JobName) -> Result<Option<AlertRow>, SchedulerError> {
        {
            let failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = failing.get(job) {
                return Ok(known.clone());
            }
        }
        let key = format!("run/{job}");
        let alerts = latest_alerts(&self.lake, job).await?;
        let known = alerts
            .into_iter()
            .filter(|alert| alert.dedupe_key == key)
            .max_by_key(|alert| (alert.first_seen, alert.changed_at));
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        failing.insert(job.clone(), known.clone());
        Ok(known)
    }
}

fn condition(run: &Run) -> Option<Condition> {
    let site = match &run.fire.window {
        Some(window) => window.site.clone(),
        None => SiteId::new(NO_SITE).ok()?,
    };
    let why = run.message.as_deref().unwrap_or("no reason is known");
    Some(Condition {
        site,
        device: DeviceId::new(run.job.as_str()).ok()?,
        tag: None,
        severity: Severity::Warning,
        score: f64::from(run.attempt),
        contributions: None,
        reason: format!("job {} {} for {}: {why}", run.job, run.state, run.fire.key),
    })
}
