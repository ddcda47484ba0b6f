//! What jobs find, as typed rows of the tables of results.
//!
//! How rows become columns stands in `columns`; what a job may say of models and events in `models` and `events`.

mod columns;
mod events;
mod models;

use arrow::{array::RecordBatch, error::ArrowError};
use forebay_schemas::{DeviceId, SiteId, TagName, Timestamp, table::Table};

pub(crate) use columns::{FinishedRun, batch};
pub use events::EventRow;
pub use models::{BacktestRow, ModelRow, ModelState};

/// The rows of one run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Results {
    /// For the table `predictions`.
    pub predictions: Vec<Prediction>,
    /// For the table `scores`.
    pub scores: Vec<Score>,
    /// For the table `alerts`.
    pub alerts: Vec<AlertRow>,
    /// For the table `events`.
    pub events: Vec<EventRow>,
    /// For the table `backtests`.
    pub backtests: Vec<BacktestRow>,
    /// For the table `models`.
    pub models: Vec<ModelRow>,
}

impl Results {
    /// How many rows there are, over all tables.
    pub fn rows(&self) -> usize {
        self.predictions.len()
            + self.scores.len()
            + self.alerts.len()
            + self.events.len()
            + self.backtests.len()
            + self.models.len()
    }

    /// The rows as columns of their tables, with the job and the run filled in; tables without rows are left out.
    ///
    /// # Errors
    /// When a column grows beyond 2 GiB of text.
    pub fn batches(
        &self,
        job: &str,
        run_id: &str,
    ) -> Result<Vec<(&'static Table, RecordBatch)>, ArrowError> {
        let batches = [
            columns::named(job, run_id, &self.scores)?,
            columns::named(job, run_id, &self.predictions)?,
            columns::named(job, run_id, &self.alerts)?,
            columns::named(job, run_id, &self.events)?,
            columns::named(job, run_id, &self.backtests)?,
            columns::named(job, run_id, &self.models)?,
        ];
        Ok(batches.into_iter().flatten().collect())
    }
}

/// A forecast of one value.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// The site.
    pub site: SiteId,
    /// The device.
    pub device: DeviceId,
    /// The tag whose value is foretold, in its unit.
    pub tag: TagName,
    /// When the forecast was due.
    pub issued_at: Timestamp,
    /// The instant, or the start of the step, that it is for.
    pub target_time: Timestamp,
    /// The value foretold.
    pub value: f64,
    /// Lower bound at `level`.
    pub lo: Option<f64>,
    /// Upper bound at `level`.
    pub hi: Option<f64>,
    /// The share of true values that the bounds should hold, 0 to 1.
    pub level: Option<f64>,
    /// Which model made it.
    pub model_version: String,
    /// No reading from this instant on was used.
    pub data_cutoff: Timestamp,
}

/// How far from normal a device was.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// The site.
    pub site: SiteId,
    /// The device.
    pub device: DeviceId,
    /// The instant that was judged.
    pub event_time: Timestamp,
    /// The score, in the job's own measure.
    pub score: f64,
    /// Beyond it the device is anomalous.
    pub limit: f64,
    /// Whether it is.
    pub anomalous: bool,
    /// What made the score, as JSON.
    pub contributions: Option<String>,
}

/// How much a warning matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Worth a look.
    Warning,
    /// Act now.
    Critical,
}

impl Severity {
    const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Critical];

    /// As tables have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// The severity of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|severity| severity.name() == name)
    }
}

/// Where a warning stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AlertState {
    /// Its condition holds, and nobody has taken it up.
    Open,
    /// Its condition holds, and somebody has.
    Acknowledged,
    /// Its condition is gone.
    Resolved,
}

impl AlertState {
    const ALL: [Self; 3] = [Self::Open, Self::Acknowledged, Self::Resolved];

    /// As tables have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// One change of a warning; of rows with one id the latest counts.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertRow {
    /// Names the warning for ever.
    pub alert_id: String,
    /// When this row was made.
    pub changed_at: Timestamp,
    /// The site.
    pub site: SiteId,
    /// The device.
    pub device: DeviceId,
    /// The tag, if it is about one.
    pub tag: Option<TagName>,
    /// How much it matters.
    pub severity: Severity,
    /// Where it stands.
    pub state: AlertState,
    /// When its condition was first seen to hold.
    pub first_seen: Timestamp,
    /// When it was last seen to hold.
    pub last_seen: Timestamp,
    /// The score when last seen.
    pub score: Option<f64>,
    /// What made the score, as JSON.
    pub contributions: Option<String>,
    /// In plain words.
    pub reason: String,
    /// Two warnings of a job with one key are about the same condition.
    pub dedupe_key: String,
    /// Who has taken it up.
    pub acknowledged_by: Option<String>,
}
