//! What is due: times of schedules that have come, and windows that have closed.
//!
//! Invariants: of the times of a schedule that were missed, `catch_up` says which are run; what has a run never gets another. What
//! has been done is told by the runs and by what is left out, never by how far a clock had come: after a clock that was
//! ahead all goes on at once, and a clock that is set back repeats nothing.

mod happenings;

use std::{collections::BTreeMap, sync::atomic::Ordering, time::Duration};

use forebay_schemas::{Timestamp, table::WINDOWS};

use super::Scheduler;
use crate::{
    CatchUp, Fire, OnLate, Schedule, ScheduledJob, SchedulerError, Trigger, Window,
    clock::{plus, rfc3339},
    store::{Enqueued, LeftOut},
    windows::{CAUGHT_UP_MAX, ClosedWindow, closed_since, newest},
};

/// How often runs that ended long ago are forgotten, µs.
const PRUNE_EVERY: i64 = 86_400_000_000;

/// A time of a schedule that was not queued for this long was missed.
const MISSED_AFTER: Duration = Duration::from_secs(60);

/// Times of a schedule that are queued at one look; the next look goes on behind them.
const CAUGHT_UP_AT_ONCE: usize = 1_000;

/// What a look at `windows` found.
struct Look {
    version: u64,
    closed: Vec<ClosedWindow>,
}

/// What a job has done about windows.
struct Done {
    /// The highest revision that it has a run for, by site and start.
    revisions: BTreeMap<(String, i64), i64>,
    left_out: BTreeMap<String, LeftOut>,
}

impl Done {
    /// Whether a window, as it was closed last, is still to be run over.
    fn lacks(&self, closed: &ClosedWindow, on_late: OnLate) -> bool {
        let Window {
            site,
            start,
            revision,
            ..
        } = &closed.window;
        let reruns = on_late == OnLate::Rerun;
        let left_out = self.left_out.get(site.as_str());
        let is_left_out = left_out.is_some_and(|left_out| start.micros() <= left_out.until);
        // What was left out stays so until it is amended.
        let is_amended = left_out.is_some_and(|left_out| closed.closed_at > left_out.closed);
        match self
            .revisions
            .get(&(site.as_str().to_owned(), start.micros()))
        {
            Some(run) => reruns && i64::from(*revision) > *run && (!is_left_out || is_amended),
            None => !is_left_out || (reruns && is_amended),
        }
    }
}

impl Scheduler {
    /// Queues a run for each fire that is due and has none. Answers how many.
    pub(crate) async fn enqueue_due(&self) -> Result<usize, SchedulerError> {
        let now = self.now();
        self.prune(now).await?;
        let windows = self.windows(now).await?;
        let mut queued = 0;
        // In the order of `after`, so that a job never finds those before it without a run for its own fire.
        for job in self.jobs.iter() {
            queued += match &job.spec.trigger {
                Trigger::Cron(schedule) => self.enqueue_cron(job, schedule, now).await?,
                Trigger::WindowClosed => match &windows {
                    Some(windows) => self.enqueue_windows(job, &windows.closed, now).await?,
                    None => 0,
                },
                // Below; and what only people ask for is never due.
                Trigger::Alert(_) | Trigger::Event(_) | Trigger::Manual => 0,
            };
        }
        queued += self.enqueue_happenings(now).await?;
        if let Some(windows) = windows {
            self.looked_at.store(windows.version, Ordering::Relaxed);
        }
        Ok(queued)
    }

    /// Forgets runs that ended long ago, once a day.
    async fn prune(&self, now: Timestamp) -> Result<(), SchedulerError> {
        let wait = self
            .prune_at
            .load(Ordering::Relaxed)
            .saturating_sub(now.micros());
        // Nobody waits longer than a day but after a clock that was ahead.
        if (1..=PRUNE_EVERY).contains(&wait) {
            return Ok(());
        }
        self.store.prune(now).await?;
        self.prune_at
            .store(now.micros().saturating_add(PRUNE_EVERY), Ordering::Relaxed);
        Ok(())
    }

    /// The windows that may have to be queued; `None` where the lake's `windows` is as it was when last looked at.
    async fn windows(&self, now: Timestamp) -> Result<Option<Look>, SchedulerError> {
        let mut cursors = Vec::new();
        for job in self
            .jobs
            .iter()
            .filter(|job| matches!(job.spec.trigger, Trigger::WindowClosed))
        {
            let cursor = self
                .store
                .registered(&job.spec.name)
                .await?
                .and_then(|known| known.cursor);
            cursors.push(believed(cursor, now));
        }
        // `None`, a job that has not looked yet, sorts before every cursor.
        let Some(earliest) = cursors.into_iter().min() else {
            return Ok(None);
        };
        let version = self.lake.table(&WINDOWS)?.snapshot().await?.version();
        // One more than the version, so that 0 is "never".
        let version = version + 1;
        if self.looked_at.load(Ordering::Relaxed) == version {
            return Ok(None);
        }
        Ok(Some(Look {
            version,
            closed: closed_since(&self.lake, earliest).await?,
        }))
    }

    async fn enqueue_cron(
        &self,
        job: &ScheduledJob,
        schedule: &Schedule,
        now: Timestamp,
    ) -> Result<usize, SchedulerError> {
        let name = &job.spec.name;
        let Some(latest) = schedule.latest_at(now) else {
            return Ok(0);
        };
        let Some(known) = self.store.registered(name).await? else {
            return Ok(0);
        };
        if known.at > now {
            tracing::warn!(job = %name, registered = rfc3339(known.at), "registered by a clock that was ahead, corrected");
            self.store.register_again(name, now).await?;
            return Ok(0);
        }
        // Times that a clock ahead of this one has fired hold up none before them, and have a run once they come.
        let last = self.store.latest(name, now).await?.map(|run| run.fire.due);
        let since = last.unwrap_or(known.at);
        if latest <= since {
            return Ok(0);
        }
        let mut queued = 0;
        for due in caught_up(job.spec.catch_up, schedule, since, latest, now) {
            queued += self.enqueue(job, &Fire::cron(due), now).await?;
        }
        Ok(queued)
    }

    async fn enqueue_windows(
        &self,
        job: &ScheduledJob,
        windows: &[ClosedWindow],
        now: Timestamp,
    ) -> Result<usize, SchedulerError> {
        let name = &job.spec.name;
        let Some(known) = self.store.registered(name).await? else {
            return Ok(0);
        };
        let earliest = windows
            .iter()
            .map(|closed| closed.window.end)
            .min()
            .unwrap_or(now);
        let done = Done {
            revisions: self.store.revisions(name, earliest).await?,
            left_out: self.store.left_out(name).await?,
        };
        let due = windows
            .iter()
            .filter(|closed| closed.has(job.spec.completeness_min))
            .filter(|closed| done.lacks(closed, job.spec.on_late))
            .cloned()
            .collect();
        // A new job begins with the newest window of each site; what lies before it is for a back-fill.
        let is_new = known.cursor.is_none();
        let most = match job.spec.catch_up {
            _ if is_new => 1,
            CatchUp::None => 1,
            CatchUp::Latest => CAUGHT_UP_MAX,
            CatchUp::All => usize::MAX,
        };
        let (due, skipped) = newest(due, most);
        for skipped in skipped {
            self.store
                .leave_out(name, &skipped.site, skipped.left_out)
                .await?;
            if !is_new {
                let (from, to) = (rfc3339(skipped.from), rfc3339(skipped.to));
                tracing::warn!(job = %name, site = %skipped.site, from, to, windows = skipped.count,
                    "windows were skipped: more wait for the job than are caught up on");
                self.progress.skipped(name, skipped.count);
            }
        }
        let mut queued = 0;
        for window in due {
            queued += self.enqueue(job, &Fire::window(window), now).await?;
        }
        let closed = windows
            .iter()
            .map(|closed| closed.closed_at)
            .filter(|at| *at <= now.micros())
            .max();
        let cursor = closed.max(believed(known.cursor, now)).unwrap_or(0);
        if known.cursor != Some(cursor) {
            self.store.set_cursor(name, cursor).await?;
        }
        Ok(queued)
    }

    /// Queues a run of a job for a fire, unless it has one.
    async fn enqueue(
        &self,
        job: &ScheduledJob,
        fire: &Fire,
        now: Timestamp,
    ) -> Result<usize, SchedulerError> {
        match self
            .store
            .enqueue(&job.spec.name, job.spec.kind, fire, now)
            .await?
        {
            Enqueued::New(_) => Ok(1),
            Enqueued::Known => Ok(0),
        }
    }
}

/// The times of a schedule after `since` and up to `latest`, its last one, that are run.
fn caught_up(
    catch_up: CatchUp,
    schedule: &Schedule,
    since: Timestamp,
    latest: Timestamp,
    now: Timestamp,
) -> Vec<Timestamp> {
    match catch_up {
        CatchUp::Latest => vec![latest],
        CatchUp::None if plus(latest, MISSED_AFTER) < now => Vec::new(),
        CatchUp::None => vec![latest],
        CatchUp::All => {
            let times =
                std::iter::successors(schedule.next_after(since), |at| schedule.next_after(*at));
            times
                .take_while(|at| *at <= latest)
                .take(CAUGHT_UP_AT_ONCE)
                .collect()
        }
    }
}

/// A cursor that is ahead was noted by a clock that was: without it all windows are looked at.
fn believed(cursor: Option<i64>, now: Timestamp) -> Option<i64> {
    cursor.filter(|cursor| *cursor <= now.micros())
}
