//! Windows that a job is not run over: those before its first one, those that were too many, and those whose runs are
//! forgotten.
//!
//! Invariant: a window that was looked at has a run or is left out. So what a job has still to run over is told without a
//! look at any clock.

use std::collections::BTreeMap;

use forebay_schemas::{SiteId, Timestamp};
use sqlx::Row as _;

use super::Store;
use crate::{JobName, SchedulerError};

/// Runs that ended longer ago than this are forgotten here; `job_runs` keeps them.
const KEPT_MICROS: i64 = 400 * 86_400_000_000;

/// Windows of one site that are left out, unless they are amended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LeftOut {
    /// The start of the last of them, µs since 1970 UTC.
    pub(crate) until: i64,
    /// When the last of them was closed, µs since 1970 UTC.
    pub(crate) closed: i64,
}

/// What forgetting runs takes; each statement's parameter is the time before which they ended.
const FORGET: [&str; 3] = [
    "INSERT INTO left_out (job, site, until, closed)
     SELECT job, site, max(window_start), max(finished) FROM runs
     WHERE cause = 'window' AND recorded = 1 AND finished < ?
     AND number < (SELECT max(number) FROM runs AS newer WHERE newer.job = runs.job) GROUP BY job, site
     ON CONFLICT (job, site) DO UPDATE SET until = max(until, excluded.until), closed = max(closed, excluded.closed)",
    "UPDATE jobs SET registered = max(registered, coalesce((SELECT max(due) FROM runs
     WHERE runs.job = jobs.name AND cause = 'cron' AND recorded = 1 AND finished < ?
     AND number < (SELECT max(number) FROM runs AS newer WHERE newer.job = runs.job)), registered))",
    "DELETE FROM runs WHERE recorded = 1 AND finished < ?
     AND number < (SELECT max(number) FROM runs AS newer WHERE newer.job = runs.job)",
];

impl Store {
    /// What a job leaves out, by site.
    pub(crate) async fn left_out(
        &self,
        job: &JobName,
    ) -> Result<BTreeMap<String, LeftOut>, SchedulerError> {
        let query = sqlx::query("SELECT site, until, closed FROM left_out WHERE job = ?")
            .bind(job.as_str());
        let rows = query
            .fetch_all(&self.pool)
            .await
            .map_err(|e| self.failed(e))?;
        Ok(rows
            .iter()
            .map(|row| {
                (
                    row.get(0),
                    LeftOut {
                        until: row.get(1),
                        closed: row.get(2),
                    },
                )
            })
            .collect())
    }

    /// Leaves out windows of a site, besides those that are left out already.
    pub(crate) async fn leave_out(
        &self,
        job: &JobName,
        site: &SiteId,
        more: LeftOut,
    ) -> Result<(), SchedulerError> {
        let query = sqlx::query(
            "INSERT INTO left_out (job, site, until, closed) VALUES (?, ?, ?, ?) ON CONFLICT (job, site)
             DO UPDATE SET until = max(until, excluded.until), closed = max(closed, excluded.closed)",
        );
        let query = query
            .bind(job.as_str())
            .bind(site.as_str())
            .bind(more.until)
            .bind(more.closed);
        query
            .execute(&self.pool)
            .await
            .map(drop)
            .map_err(|e| self.failed(e))
    }

    /// Forgets runs that ended long ago, but not a job's last. What they were for is left out from then on, whatever the
    /// clock showed when they were forgotten.
    pub(crate) async fn prune(&self, now: Timestamp) -> Result<(), SchedulerError> {
        let since = now.micros().saturating_sub(KEPT_MICROS);
        let mut transaction = self
            .pool
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(|e| self.failed(e))?;
        for statement in FORGET {
            sqlx::query(statement)
                .bind(since)
                .execute(&mut *transaction)
                .await
                .map_err(|e| self.failed(e))?;
        }
        transaction.commit().await.map_err(|e| self.failed(e))
    }
}
