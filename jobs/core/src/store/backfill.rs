//! The runs of a back-fill: computed in memory, noted before their results are written, settled after.
//!
//! Invariant: a run is noted here in the same transaction as all others of its batch, before the first of their rows is in
//! the lake. So what a kill leaves unsettled is one whole batch, which is computed again under its own numbers; a run that is
//! noted with its end has failed, and is not.

use std::collections::BTreeMap;

use forebay_schemas::Timestamp;
use sqlx::Row as _;

use super::{Run, Store, state};
use crate::{JobName, RunState, SchedulerError, clock::from_micros};

/// A back-fill under way, or one that was cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackfillStatus {
    /// Fires that it was to run.
    pub total: u64,
    /// Fires that have run, whether they succeeded or not.
    pub done: u64,
    /// When it began.
    pub started_at: Timestamp,
}

const NOTE: &str = "INSERT INTO runs (job, number, fire_key, kind, cause, due, site, window_start, window_end, revision,
        state, attempt, not_before, started, finished, row_count, message, recorded, track)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'running', ?, ?, ?, ?, NULL, ?, 0, 'backfill')
    ON CONFLICT (job, fire_key) DO UPDATE SET number = excluded.number, state = 'running', attempt = excluded.attempt,
        not_before = excluded.not_before, started = excluded.started, finished = excluded.finished, row_count = NULL, message = excluded.message,
        recorded = 0, track = 'backfill'
    WHERE runs.recorded = 1 AND runs.state IN ('failed', 'timed_out', 'cancelled')";

impl Store {
    /// Where each fire of a job stands.
    pub(crate) async fn fire_states(
        &self,
        job: &JobName,
    ) -> Result<BTreeMap<String, RunState>, SchedulerError> {
        let rows = sqlx::query("SELECT fire_key, state FROM runs WHERE job = ?")
            .bind(job.as_str())
            .fetch_all(&self.pool)
            .await
            .map_err(|e| self.failed(e))?;
        rows.iter()
            .map(|row| {
                let found = state(&row.get::<String, _>(1)).map_err(|what| self.damaged(what))?;
                Ok((row.get(0), found))
            })
            .collect()
    }

    /// Takes `count` numbers for runs of a job and answers the first; those that are not used stay unused.
    pub(crate) async fn reserve(&self, job: &JobName, count: i64) -> Result<i64, SchedulerError> {
        let last: i64 = sqlx::query_scalar(
            "UPDATE jobs SET counter = counter + ? WHERE name = ? RETURNING counter",
        )
        .bind(count)
        .bind(job.as_str())
        .fetch_one(&self.pool)
        .await
        .map_err(|e| self.failed(e))?;
        Ok(last - count + 1)
    }

    /// Notes a batch as running, and answers those whose fire nobody else has taken meanwhile.
    pub(crate) async fn note_batch(&self, runs: Vec<Run>) -> Result<Vec<Run>, SchedulerError> {
        let mut transaction = self
            .pool
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(|e| self.failed(e))?;
        let mut noted = Vec::with_capacity(runs.len());
        for run in runs {
            let window = run.fire.window.as_ref();
            let failed = (run.state != RunState::Succeeded).then_some(());
            let done = sqlx::query(NOTE)
                .bind(run.job.as_str())
                .bind(run.number.0)
                .bind(run.fire.key.as_str())
                .bind(run.kind.as_str())
                .bind(run.fire.cause.name())
                .bind(run.fire.due.micros())
                .bind(window.map(|w| w.site.as_str()))
                .bind(window.map(|w| w.start.micros()))
                .bind(window.map(|w| w.end.micros()))
                .bind(window.map(|w| w.revision))
                .bind(run.attempt)
                .bind(run.not_before.micros())
                .bind(run.started.map(Timestamp::micros))
                .bind(failed.and(run.finished).map(Timestamp::micros))
                .bind(failed.and(run.message.as_deref()))
                .execute(&mut *transaction)
                .await
                .map_err(|e| self.failed(e))?;
            if done.rows_affected() == 1 {
                noted.push(run);
            }
        }
        transaction.commit().await.map_err(|e| self.failed(e))?;
        Ok(noted)
    }

    /// Notes how the runs of a batch ended, once their rows and their records are in the lake.
    pub(crate) async fn settle_batch(&self, runs: &[Run]) -> Result<(), SchedulerError> {
        let mut transaction = self
            .pool
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(|e| self.failed(e))?;
        for run in runs {
            sqlx::query(
                "UPDATE runs SET state = ?, finished = ?, row_count = ?, message = ?, recorded = 1
                 WHERE job = ? AND number = ? AND state = 'running'",
            )
            .bind(run.state.name())
            .bind(run.finished.map(Timestamp::micros))
            .bind(run.rows.map(u64::cast_signed))
            .bind(run.message.as_deref())
            .bind(run.job.as_str())
            .bind(run.number.0)
            .execute(&mut *transaction)
            .await
            .map_err(|e| self.failed(e))?;
        }
        transaction.commit().await.map_err(|e| self.failed(e))
    }

    /// The batch that a kill has left noted and not settled, in the order of its numbers.
    pub(crate) async fn unsettled(&self, job: &JobName) -> Result<Vec<Run>, SchedulerError> {
        let query = sqlx::query(
            "SELECT * FROM runs WHERE job = ? AND track = 'backfill' AND state = 'running' ORDER BY number",
        );
        self.many(query.bind(job.as_str())).await
    }

    /// Notes that a back-fill begins.
    pub(crate) async fn begin_backfill(
        &self,
        job: &JobName,
        total: u64,
        now: Timestamp,
    ) -> Result<(), SchedulerError> {
        let query = sqlx::query(
            "INSERT OR REPLACE INTO backfills (job, total, done, started, cancel) VALUES (?, ?, 0, ?, 0)",
        );
        let query = query
            .bind(job.as_str())
            .bind(total.cast_signed())
            .bind(now.micros());
        self.done(query).await
    }

    /// Notes how far a back-fill has come; answers whether somebody has cancelled it.
    pub(crate) async fn step_backfill(
        &self,
        job: &JobName,
        done: u64,
    ) -> Result<bool, SchedulerError> {
        let cancel: Option<i64> =
            sqlx::query_scalar("UPDATE backfills SET done = ? WHERE job = ? RETURNING cancel")
                .bind(done.cast_signed())
                .bind(job.as_str())
                .fetch_optional(&self.pool)
                .await
                .map_err(|e| self.failed(e))?;
        Ok(cancel.is_some_and(|cancel| cancel != 0))
    }

    /// Forgets a back-fill that has ended.
    pub(crate) async fn end_backfill(&self, job: &JobName) -> Result<(), SchedulerError> {
        self.done(sqlx::query("DELETE FROM backfills WHERE job = ?").bind(job.as_str()))
            .await
    }

    /// Asks a back-fill to end; answers whether there is one.
    pub(crate) async fn cancel_backfill(&self, job: &JobName) -> Result<bool, SchedulerError> {
        let done = sqlx::query("UPDATE backfills SET cancel = 1 WHERE job = ?")
            .bind(job.as_str())
            .execute(&self.pool)
            .await
            .map_err(|e| self.failed(e))?;
        Ok(done.rows_affected() > 0)
    }

    /// The back-fill of a job that is under way or was cut short.
    pub(crate) async fn backfill(
        &self,
        job: &JobName,
    ) -> Result<Option<BackfillStatus>, SchedulerError> {
        let row = sqlx::query("SELECT total, done, started FROM backfills WHERE job = ?")
            .bind(job.as_str())
            .fetch_optional(&self.pool)
            .await
            .map_err(|e| self.failed(e))?;
        Ok(row.map(|row| BackfillStatus {
            total: row.get::<i64, _>(0).unsigned_abs(),
            done: row.get::<i64, _>(1).unsigned_abs(),
            started_at: from_micros(row.get(2)),
        }))
    }
}
