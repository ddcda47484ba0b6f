//! A run as a row of the database.

use forebay_schemas::{SiteId, Timestamp};
use sqlx::{Row as _, sqlite::SqliteRow};

use super::{cause, state, track};
use crate::{
    Fire, FireKey, JobName, RunState, Window,
    clock::from_micros,
    outbox::{RunNumber, Track},
    results::FinishedRun,
};

/// A run and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Run {
    pub(crate) job: JobName,
    pub(crate) number: RunNumber,
    pub(crate) track: Track,
    pub(crate) kind: String,
    pub(crate) fire: Fire,
    pub(crate) state: RunState,
    pub(crate) attempt: u32,
    pub(crate) not_before: Timestamp,
    pub(crate) started: Option<Timestamp>,
    pub(crate) finished: Option<Timestamp>,
    pub(crate) rows: Option<u64>,
    pub(crate) message: Option<String>,
    /// Whether a person has asked for its end.
    pub(crate) is_cancelled: bool,
}

/// A run, for showing.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSummary {
    /// As results carry it.
    pub run_id: String,
    /// The occasion.
    pub fire_key: FireKey,
    /// Where it stands.
    pub state: RunState,
    /// Attempts so far.
    pub attempts: u32,
    /// When the last attempt began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Rows that it wrote.
    pub rows: Option<u64>,
    /// Its error, or a note.
    pub message: Option<String>,
}

impl Run {
    pub(super) fn read(row: &SqliteRow) -> Result<Self, String> {
        let text = |name: &str| row.try_get::<String, _>(name).map_err(|e| e.to_string());
        let number = |name: &str| row.try_get::<i64, _>(name).map_err(|e| e.to_string());
        let optional = |name: &str| {
            row.try_get::<Option<i64>, _>(name)
                .map_err(|e| e.to_string())
        };
        let site: Option<String> = row.try_get("site").map_err(|e| e.to_string())?;
        let window = match (
            site,
            optional("window_start")?,
            optional("window_end")?,
            optional("revision")?,
        ) {
            (Some(site), Some(start), Some(end), Some(revision)) => Some(Window {
                site: SiteId::new(&site).map_err(|e| e.to_string())?,
                start: from_micros(start),
                end: from_micros(end),
                revision: i32::try_from(revision).map_err(|e| e.to_string())?,
            }),
            _ => None,
        };
        let fire = Fire {
            key: FireKey::stored(text("fire_key")?),
            due: from_micros(number("due")?),
            window,
            cause: cause(&text("cause")?)?,
        };
        Ok(Self {
            job: JobName::new(&text("job")?)?,
            number: RunNumber(number("number")?),
            track: track(&text("track")?)?,
            kind: text("kind")?,
            fire,
            state: state(&text("state")?)?,
            attempt: u32::try_from(number("attempt")?).map_err(|e| e.to_string())?,
            not_before: from_micros(number("not_before")?),
            started: optional("started")?.map(from_micros),
            finished: optional("finished")?.map(from_micros),
            rows: optional("row_count")?.map(i64::cast_unsigned),
            message: row.try_get("message").map_err(|e| e.to_string())?,
            is_cancelled: number("cancel")? != 0,
        })
    }

    /// As results carry it.
    pub(crate) fn id(&self) -> String {
        self.number.run_id(&self.job, self.track)
    }

    /// The run as `job_runs` has it; a run that never began, began when it ended.
    pub(crate) fn as_finished(&self, now: Timestamp) -> FinishedRun {
        let finished_at = self.finished.unwrap_or(now);
        FinishedRun {
            fire_key: self.fire.key.as_str().to_owned(),
            kind: self.kind.clone(),
            attempt: i32::try_from(self.attempt).unwrap_or(i32::MAX),
            state: self.state.name(),
            started_at: self.started.unwrap_or(finished_at),
            finished_at,
            rows_written: self.rows.map(u64::cast_signed),
            error: self.message.clone(),
        }
    }

    pub(crate) fn summary(&self) -> RunSummary {
        RunSummary {
            run_id: self.id(),
            fire_key: self.fire.key.clone(),
            state: self.state,
            attempts: self.attempt,
            started_at: self.started,
            finished_at: self.finished,
            rows: self.rows,
            message: self.message.clone(),
        }
    }
}
