//! Runs that people cancel, and runs that wait or are under way.

use std::collections::BTreeMap;

use forebay_schemas::{SiteId, Timestamp};
use sqlx::Row as _;

use super::Store;
use crate::{JobName, SchedulerError, clock::from_micros, needs::Unfinished, outbox::RunNumber};

/// What is cancelled of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cancel {
    /// All that waits or runs.
    All,
    /// One run.
    Run(RunNumber),
}

impl Store {
    /// Asks for the end of runs that wait or run; answers how many. Whoever runs the jobs ends them.
    pub(crate) async fn cancel(&self, job: &JobName, what: Cancel) -> Result<u64, SchedulerError> {
        let number = match what {
            Cancel::All => None,
            Cancel::Run(number) => Some(number.0),
        };
        let done = sqlx::query(
            "UPDATE runs SET cancel = 1 WHERE job = ? AND track = 'live' AND state IN ('queued', 'running')
             AND number = coalesce(?, number)",
        )
        .bind(job.as_str())
        .bind(number)
        .execute(&self.pool)
        .await
        .map_err(|e| self.failed(e))?;
        Ok(done.rows_affected())
    }

    /// What the runs of a job that have not ended are about, by site.
    pub(crate) async fn unfinished(
        &self,
        job: &JobName,
    ) -> Result<Vec<Unfinished>, SchedulerError> {
        let rows = sqlx::query(
            "SELECT site, min(coalesce(window_start, due)), max(due), count(*) FROM runs
             WHERE job = ? AND track = 'live' AND state IN ('queued', 'running') GROUP BY site",
        )
        .bind(job.as_str())
        .fetch_all(&self.pool)
        .await
        .map_err(|e| self.failed(e))?;
        let of_site = |row: &sqlx::sqlite::SqliteRow| {
            let site: Option<String> = row.get(0);
            let site = site.map(|site| SiteId::new(&site)).transpose();
            Ok(Unfinished {
                site: site.map_err(|error| self.damaged(error.to_string()))?,
                first: from_micros(row.get(1)),
                last: from_micros(row.get(2)),
                runs: row.get::<i64, _>(3).unsigned_abs(),
            })
        };
        rows.iter().map(of_site).collect()
    }

    /// Since when the runs of each job wait that have not begun: the due time of a schedule, when it was queued for others.
    pub(crate) async fn waiting(&self) -> Result<BTreeMap<String, Timestamp>, SchedulerError> {
        let rows = sqlx::query(
            "SELECT job, min(CASE cause WHEN 'cron' THEN due ELSE not_before END) FROM runs
             WHERE state = 'queued' AND attempt = 0 AND track = 'live' AND recorded = 0 GROUP BY job",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(|e| self.failed(e))?;
        Ok(rows
            .iter()
            .map(|row| (row.get(0), from_micros(row.get(1))))
            .collect())
    }
}
