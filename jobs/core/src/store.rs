//! The scheduler's own state: which runs there are and where they stand, in SQLite.
//!
//! A run is queued at most once for a job and fire key, and gets its number then; both are one transaction. States move
//! by [`RunState::next`] alone, and only from the state that was read.

mod backfill;
mod cancel;
mod left_out;
mod register;
mod rows;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use forebay_schemas::{SiteId, Timestamp};
use sqlx::{
    Row as _, SqlitePool,
    sqlite::{
        SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
    },
};

use crate::{
    Fire, JobName, RunEvent, RunState, SchedulerError,
    fire::Cause,
    outbox::{RunNumber, Track},
};

pub use backfill::BackfillStatus;
pub(crate) use cancel::Cancel;
pub(crate) use left_out::LeftOut;
pub(crate) use rows::Run;
pub use rows::RunSummary;

/// Version of the database's layout.
const FORMAT: i64 = 3;

const SCHEMA: [&str; 7] = [
    "CREATE TABLE jobs (name TEXT PRIMARY KEY, registered INTEGER NOT NULL, counter INTEGER NOT NULL, cursor INTEGER) STRICT",
    "CREATE TABLE runs (
        job TEXT NOT NULL, number INTEGER NOT NULL, fire_key TEXT NOT NULL, kind TEXT NOT NULL, cause TEXT NOT NULL,
        due INTEGER NOT NULL, site TEXT, window_start INTEGER, window_end INTEGER, revision INTEGER,
        state TEXT NOT NULL, attempt INTEGER NOT NULL, not_before INTEGER NOT NULL, started INTEGER, finished INTEGER,
        row_count INTEGER, message TEXT, recorded INTEGER NOT NULL,
        PRIMARY KEY (job, number), UNIQUE (job, fire_key)) STRICT",
    "CREATE INDEX runs_by_due ON runs (job, cause, due)",
    LEFT_OUT_TABLE,
    TRACK_COLUMN,
    CANCEL_COLUMN,
    BACKFILLS_TABLE,
];

/// Whether a person has asked for a run's end.
const CANCEL_COLUMN: &str = "ALTER TABLE runs ADD COLUMN cancel INTEGER NOT NULL DEFAULT 0";

/// Whose order a run is in; only those of track `live` are the scheduler's.
const TRACK_COLUMN: &str = "ALTER TABLE runs ADD COLUMN track TEXT NOT NULL DEFAULT 'live'";

/// Back-fills that are under way or were cut short.
const BACKFILLS_TABLE: &str = "CREATE TABLE backfills (
    job TEXT PRIMARY KEY, total INTEGER NOT NULL, done INTEGER NOT NULL, started INTEGER NOT NULL, cancel INTEGER NOT NULL) STRICT";

/// The windows of a site that a job is not run over unless they are amended: those that begin at `until` or earlier and
/// were closed at `closed` or earlier.
const LEFT_OUT_TABLE: &str = "CREATE TABLE left_out (
    job TEXT NOT NULL, site TEXT NOT NULL, until INTEGER NOT NULL, closed INTEGER NOT NULL,
    PRIMARY KEY (job, site)) STRICT";

/// Format 1 ran over no window before a job's newest one.
const LEFT_OUT_BY_FORMAT_1: &str = "INSERT INTO left_out
    SELECT job, site, min(window_start) - 1, max(not_before) FROM runs WHERE cause = 'window' GROUP BY job, site";

/// The database of runs.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pool: SqlitePool,
    path: PathBuf,
}

/// Whether a fire was new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Enqueued {
    New(RunNumber),
    Known,
}

/// Why a job is read for the first time, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Registered {
    pub(crate) at: Timestamp,
    /// The latest `closed_at` of windows that have been looked at; `None` before the first look. It only spares reading
    /// what was closed long before: what a job has run over, its runs tell.
    pub(crate) cursor: Option<i64>,
}

/// What an attempt leaves behind.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trace {
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) rows: Option<u64>,
    pub(crate) message: Option<String>,
}

impl Store {
    /// Opens the database, making it where it is missing.
    pub(crate) async fn open(path: &Path) -> Result<Self, SchedulerError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(std::time::Duration::from_secs(5));
        let failed = |source| SchedulerError::Store {
            path: path.to_owned(),
            source,
        };
        // One connection: SQLite has one writer anyhow, and a second would only wait for it.
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options)
            .await
            .map_err(failed)?;
        let store = Self {
            pool,
            path: path.to_owned(),
        };
        store.migrate().await?;
        Ok(store)
    }

    async fn migrate(&self) -> Result<(), SchedulerError> {
        let mut transaction = self
            .pool
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(|e| self.failed(e))?;
        let found: i64 = sqlx::query_scalar("PRAGMA user_version")
            .fetch_one(&mut *transaction)
            .await
            .map_err(|e| self.failed(e))?;
        let statements: &[&str] = match found {
            0 => &SCHEMA,
            1 => &[
                LEFT_OUT_TABLE,
                LEFT_OUT_BY_FORMAT_1,
                TRACK_COLUMN,
                CANCEL_COLUMN,
                BACKFILLS_TABLE,
            ],
            2 => &[TRACK_COLUMN, CANCEL_COLUMN, BACKFILLS_TABLE],
            FORMAT => return Ok(()),
            found => {
                return Err(SchedulerError::NewerFormat {
                    path: self.path.clone(),
                    found,
                    known: FORMAT,
                });
            }
        };
        for statement in statements {
            sqlx::query(*statement)
                .execute(&mut *transaction)
                .await
                .map_err(|e| self.failed(e))?;
        }
        // A pragma takes no parameters; the text is FORMAT.
        sqlx::query("PRAGMA user_version = 3")
            .execute(&mut *transaction)
            .await
            .map_err(|e| self.failed(e))?;
        transaction.commit().await.map_err(|e| self.failed(e))
    }

    /// What is known of a job; `None` before it is registered.
    pub(crate) async fn registered(
        &self,
        job: &JobName,
    ) -> Result<Option<Registered>, SchedulerError> {
        let row = sqlx::query("SELECT registered, cursor FROM jobs WHERE name = ?")
            .bind(job.as_str())
            .fetch_optional(&self.pool)
            .await
            .map_err(|e| self.failed(e))?;
        Ok(row.map(|row| Registered {
            at: crate::clock::from_micros(row.get(0)),
            cursor: row.get(1),
        }))
    }

    /// Notes up to which `closed_at` windows have been looked at.
    pub(crate) async fn set_cursor(
        &self,
        job: &JobName,
        closed_at: i64,
    ) -> Result<(), SchedulerError> {
        sqlx::query("UPDATE jobs SET cursor = ? WHERE name = ?")
            .bind(closed_at)
            .bind(job.as_str())
            .execute(&self.pool)
            .await
            .map(drop)
            .map_err(|e| self.failed(e))
    }

    /// Queues a run, unless the job has one for this fire key.
    pub(crate) async fn enqueue(
        &self,
        job: &JobName,
        kind: &str,
        fire: &Fire,
        now: Timestamp,
    ) -> Result<Enqueued, SchedulerError> {
        let mut transaction = self
            .pool
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(|e| self.failed(e))?;
        let window = fire.window.as_ref();
        let inserted = sqlx::query(
            "INSERT INTO runs (job, number, fire_key, kind, cause, due, site, window_start, window_end, revision,
                state, attempt, not_before, recorded)
             SELECT name, counter + 1, ?, ?, ?, ?, ?, ?, ?, ?, 'queued', 0, ?, 0 FROM jobs WHERE name = ?
             ON CONFLICT (job, fire_key) DO NOTHING RETURNING number",
        )
        .bind(fire.key.as_str())
        .bind(kind)
        .bind(fire.cause.name())
        .bind(fire.due.micros())
        .bind(window.map(|w| w.site.as_str()))
        .bind(window.map(|w| w.start.micros()))
        .bind(window.map(|w| w.end.micros()))
        .bind(window.map(|w| w.revision))
        .bind(now.micros())
        .bind(job.as_str())
        .fetch_optional(&mut *transaction)
        .await
        .map_err(|e| self.failed(e))?;
        let Some(row) = inserted else {
            return Ok(Enqueued::Known);
        };
        sqlx::query("UPDATE jobs SET counter = counter + 1 WHERE name = ?")
            .bind(job.as_str())
            .execute(&mut *transaction)
            .await
            .map_err(|e| self.failed(e))?;
        transaction.commit().await.map_err(|e| self.failed(e))?;
        Ok(Enqueued::New(RunNumber(row.get(0))))
    }

    /// The oldest run of a job that is not yet finished and recorded: the only one that may go on.
    pub(crate) async fn head(&self, job: &JobName) -> Result<Option<Run>, SchedulerError> {
        let query = sqlx::query(
            "SELECT * FROM runs WHERE job = ? AND recorded = 0 AND track = 'live' ORDER BY number LIMIT 1",
        );
        self.one(query.bind(job.as_str())).await
    }

    /// The run of a job for a fire key.
    pub(crate) async fn find(
        &self,
        job: &JobName,
        fire_key: &str,
    ) -> Result<Option<Run>, SchedulerError> {
        let query = sqlx::query("SELECT * FROM runs WHERE job = ? AND fire_key = ?");
        self.one(query.bind(job.as_str()).bind(fire_key)).await
    }

    /// The latest run of a job that its own trigger made and that was due at or before `due`.
    pub(crate) async fn latest(
        &self,
        job: &JobName,
        due: Timestamp,
    ) -> Result<Option<Run>, SchedulerError> {
        let query = sqlx::query(
            "SELECT * FROM runs WHERE job = ? AND cause <> 'manual' AND due <= ? ORDER BY due DESC, number DESC LIMIT 1",
        );
        self.one(query.bind(job.as_str()).bind(due.micros())).await
    }

    /// When the first run of a job was due that its own trigger made.
    pub(crate) async fn first_due(
        &self,
        job: &JobName,
    ) -> Result<Option<Timestamp>, SchedulerError> {
        let due: Option<i64> =
            sqlx::query_scalar("SELECT min(due) FROM runs WHERE job = ? AND cause <> 'manual'")
                .bind(job.as_str())
                .fetch_one(&self.pool)
                .await
                .map_err(|e| self.failed(e))?;
        Ok(due.map(crate::clock::from_micros))
    }

    /// The run of a job over this window, whatever its revision, that was queued last.
    pub(crate) async fn of_window(
        &self,
        job: &JobName,
        site: &SiteId,
        start: Timestamp,
    ) -> Result<Option<Run>, SchedulerError> {
        let query = sqlx::query(
            "SELECT * FROM runs WHERE job = ? AND cause = 'window' AND site = ? AND window_start = ?
             ORDER BY revision DESC LIMIT 1",
        );
        self.one(
            query
                .bind(job.as_str())
                .bind(site.as_str())
                .bind(start.micros()),
        )
        .await
    }

    /// The highest revision that a job has a run for, of each window that ends at or after `since`.
    pub(crate) async fn revisions(
        &self,
        job: &JobName,
        since: Timestamp,
    ) -> Result<BTreeMap<(String, i64), i64>, SchedulerError> {
        let rows = sqlx::query(
            "SELECT site, window_start, max(revision) FROM runs
             WHERE job = ? AND cause = 'window' AND due >= ? GROUP BY site, window_start",
        )
        .bind(job.as_str())
        .bind(since.micros())
        .fetch_all(&self.pool)
        .await
        .map_err(|e| self.failed(e))?;
        Ok(rows
            .iter()
            .map(|row| ((row.get(0), row.get(1)), row.get(2)))
            .collect())
    }

    /// Runs that were under way when the program last ended.
    pub(crate) async fn running(&self) -> Result<Vec<Run>, SchedulerError> {
        let query = sqlx::query("SELECT * FROM runs WHERE state = 'running' AND track = 'live'");
        self.many(query).await
    }

    /// The newest runs of a job.
    pub(crate) async fn newest(
        &self,
        job: &JobName,
        count: u32,
    ) -> Result<Vec<Run>, SchedulerError> {
        let query = sqlx::query("SELECT * FROM runs WHERE job = ? ORDER BY number DESC LIMIT ?");
        self.many(query.bind(job.as_str()).bind(count)).await
    }

    /// Moves a run on, and answers it as it stands then.
    ///
    /// # Errors
    /// [`SchedulerError::Moved`] when it does not stand where it was read.
    pub(crate) async fn step(
        &self,
        run: &Run,
        event: RunEvent,
        trace: Trace,
        now: Timestamp,
    ) -> Result<Run, SchedulerError> {
        let state = run.state.next(event)?;
        let attempt = if event == RunEvent::Claimed {
            run.attempt + 1
        } else {
            run.attempt
        };
        let started = if event == RunEvent::Claimed {
            Some(now)
        } else {
            run.started
        };
        let finished = state.is_final().then_some(now);
        let moved = sqlx::query(
            "UPDATE runs SET state = ?, attempt = ?, not_before = ?, started = ?, finished = ?, row_count = ?, message = ?
             WHERE job = ? AND number = ? AND state = ?",
        )
        .bind(state.name())
        .bind(attempt)
        .bind(trace.not_before.unwrap_or(run.not_before).micros())
        .bind(started.map(Timestamp::micros))
        .bind(finished.map(Timestamp::micros))
        .bind(trace.rows.map(u64::cast_signed))
        .bind(trace.message.as_deref())
        .bind(run.job.as_str())
        .bind(run.number.0)
        .bind(run.state.name())
        .execute(&self.pool)
        .await
        .map_err(|e| self.failed(e))?;
        if moved.rows_affected() != 1 {
            return Err(SchedulerError::Damaged {
                path: self.path.clone(),
                what: format!(
                    "run {} of job {} is no longer {}: another process runs these jobs",
                    run.number.0, run.job, run.state
                ),
            });
        }
        let not_before = trace.not_before.unwrap_or(run.not_before);
        Ok(Run {
            state,
            attempt,
            started,
            finished,
            not_before,
            rows: trace.rows,
            message: trace.message,
            ..run.clone()
        })
    }

    /// Notes that a finished run stands in `job_runs`.
    pub(crate) async fn set_recorded(&self, run: &Run) -> Result<(), SchedulerError> {
        sqlx::query("UPDATE runs SET recorded = 1 WHERE job = ? AND number = ?")
            .bind(run.job.as_str())
            .bind(run.number.0)
            .execute(&self.pool)
            .await
            .map(drop)
            .map_err(|e| self.failed(e))
    }

    async fn one(
        &self,
        query: sqlx::query::Query<'_, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>,
    ) -> Result<Option<Run>, SchedulerError> {
        let row = query
            .fetch_optional(&self.pool)
            .await
            .map_err(|e| self.failed(e))?;
        row.map(|row| self.read(&row)).transpose()
    }

    async fn many(
        &self,
        query: sqlx::query::Query<'_, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>,
    ) -> Result<Vec<Run>, SchedulerError> {
        let rows = query
            .fetch_all(&self.pool)
            .await
            .map_err(|e| self.failed(e))?;
        rows.iter().map(|row| self.read(row)).collect()
    }

    fn read(&self, row: &SqliteRow) -> Result<Run, SchedulerError> {
        Run::read(row).map_err(|what| self.damaged(what))
    }

    fn damaged(&self, what: String) -> SchedulerError {
        SchedulerError::Damaged {
            path: self.path.clone(),
            what,
        }
    }

    async fn done(
        &self,
        query: sqlx::query::Query<'_, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>,
    ) -> Result<(), SchedulerError> {
        let done = query.execute(&self.pool).await;
        done.map(drop).map_err(|e| self.failed(e))
    }

    fn failed(&self, source: sqlx::Error) -> SchedulerError {
        SchedulerError::Store {
            path: self.path.clone(),
            source,
        }
    }
}

/// The state and cause of a stored text.
fn known<T>(what: &str, text: &str, found: Option<T>) -> Result<T, String> {
    found.ok_or_else(|| format!("{text:?} is no {what} of a run"))
}

fn state(text: &str) -> Result<RunState, String> {
    known("state", text, RunState::from_name(text))
}

fn cause(text: &str) -> Result<Cause, String> {
    known("cause", text, Cause::from_name(text))
}

fn track(text: &str) -> Result<Track, String> {
    known("track", text, Track::from_name(text))
}
