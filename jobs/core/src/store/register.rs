//! A job's first row, and the runs that the lake says it had before this database was made.

use forebay_schemas::Timestamp;

use super::Store;
use crate::{JobName, SchedulerError, restore::History};

impl Store {
    /// Registers a job with what is known of its past, in one transaction; its runs get numbers above `floor`.
    pub(crate) async fn register(
        &self,
        job: &JobName,
        now: Timestamp,
        floor: i64,
        past: &History,
    ) -> Result<(), SchedulerError> {
        let mut transaction = self
            .pool
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(|e| self.failed(e))?;
        // A job that has run over a window is not new: it has looked at windows before.
        let cursor = (!past.left_out.is_empty()).then_some(0_i64);
        sqlx::query(
            "INSERT OR IGNORE INTO jobs (name, registered, counter, cursor) VALUES (?, ?, ?, ?)",
        )
        .bind(job.as_str())
        .bind(
            past.listened_since
                .map_or(now, |since| since.min(now))
                .micros(),
        )
        .bind(floor)
        .bind(cursor)
        .execute(&mut *transaction)
        .await
        .map_err(|e| self.failed(e))?;
        for run in &past.runs {
            let window = run.fire.window.as_ref();
            sqlx::query(
                "INSERT OR IGNORE INTO runs (job, number, fire_key, kind, cause, due, site, window_start, window_end,
                    revision, state, attempt, not_before, started, finished, row_count, message, track, recorded)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)",
            )
            .bind(job.as_str())
            .bind(run.number.0)
            .bind(run.fire.key.as_str())
            .bind(run.kind.as_str())
            .bind(run.fire.cause.name())
            .bind(run.fire.due.micros())
            .bind(window.map(|w| w.site.as_str()))
            .bind(window.map(|w| w.start.micros()))
            .bind(window.map(|w| w.end.micros()))
            .bind(window.map(|w| w.revision))
            .bind(run.state.name())
            .bind(run.attempt)
            .bind(run.not_before.micros())
            .bind(run.started.map(Timestamp::micros))
            .bind(run.finished.map(Timestamp::micros))
            .bind(run.rows.map(u64::cast_signed))
            .bind(run.message.as_deref())
            .bind(run.track.name())
            .execute(&mut *transaction)
            .await
            .map_err(|e| self.failed(e))?;
        }
        for (site, left_out) in &past.left_out {
            sqlx::query(
                "INSERT OR IGNORE INTO left_out (job, site, until, closed) VALUES (?, ?, ?, ?)",
            )
            .bind(job.as_str())
            .bind(site.as_str())
            .bind(left_out.until)
            .bind(left_out.closed)
            .execute(&mut *transaction)
            .await
            .map_err(|e| self.failed(e))?;
        }
        transaction.commit().await.map_err(|e| self.failed(e))
    }

    /// Registers a job anew that a clock ahead of this one has registered.
    pub(crate) async fn register_again(
        &self,
        job: &JobName,
        now: Timestamp,
    ) -> Result<(), SchedulerError> {
        let query = sqlx::query("UPDATE jobs SET registered = ? WHERE name = ?")
            .bind(now.micros())
            .bind(job.as_str());
        query
            .execute(&self.pool)
            .await
            .map(drop)
            .map_err(|e| self.failed(e))
    }
}
