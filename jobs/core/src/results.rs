//! What jobs find, as typed rows, and the one place where rows become columns.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
        TimestampMicrosecondArray,
    },
    error::ArrowError,
};
use forebay_lake::file_schema;
use forebay_schemas::{
    DeviceId, SiteId, TagName, Timestamp,
    table::{ALERTS, Column, ColumnType, JOB_RUNS, PREDICTIONS, SCORES, Table},
};

/// The rows of one run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Results {
    /// For the table `predictions`.
    pub predictions: Vec<Prediction>,
    /// For the table `scores`.
    pub scores: Vec<Score>,
    /// For the table `alerts`.
    pub alerts: Vec<AlertRow>,
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

/// A finished run, for the table `job_runs`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FinishedRun {
    pub(crate) fire_key: String,
    pub(crate) kind: String,
    pub(crate) attempt: i32,
    pub(crate) state: &'static str,
    pub(crate) started_at: Timestamp,
    pub(crate) finished_at: Timestamp,
    pub(crate) rows_written: Option<i64>,
    pub(crate) error: Option<String>,
}

/// One value of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Cell<'a> {
    Text(Option<&'a str>),
    Double(Option<f64>),
    Bool(bool),
    Time(Timestamp),
    Int(i32),
    Long(Option<i64>),
    /// The row has no such column.
    Unknown,
}

/// A row of a table of results: a cell for each of its columns but `job` and `run_id`.
pub(crate) trait Row {
    const TABLE: &'static Table;
    fn cell(&self, column: &str) -> Cell<'_>;
}

impl Row for Prediction {
    const TABLE: &'static Table = &PREDICTIONS;

    fn cell(&self, column: &str) -> Cell<'_> {
        match column {
            "site" => Cell::Text(Some(self.site.as_str())),
            "device" => Cell::Text(Some(self.device.as_str())),
            "tag" => Cell::Text(Some(self.tag.as_str())),
            "issued_at" => Cell::Time(self.issued_at),
            "target_time" => Cell::Time(self.target_time),
            "value" => Cell::Double(Some(self.value)),
            "lo" => Cell::Double(self.lo),
            "hi" => Cell::Double(self.hi),
            "level" => Cell::Double(self.level),
            "model_version" => Cell::Text(Some(&self.model_version)),
            "data_cutoff" => Cell::Time(self.data_cutoff),
            _ => Cell::Unknown,
        }
    }
}

impl Row for Score {
    const TABLE: &'static Table = &SCORES;

    fn cell(&self, column: &str) -> Cell<'_> {
        match column {
            "site" => Cell::Text(Some(self.site.as_str())),
            "device" => Cell::Text(Some(self.device.as_str())),
            "event_time" => Cell::Time(self.event_time),
            "score" => Cell::Double(Some(self.score)),
            "limit" => Cell::Double(Some(self.limit)),
            "anomalous" => Cell::Bool(self.anomalous),
            "contributions" => Cell::Text(self.contributions.as_deref()),
            _ => Cell::Unknown,
        }
    }
}

impl Row for AlertRow {
    const TABLE: &'static Table = &ALERTS;

    fn cell(&self, column: &str) -> Cell<'_> {
        match column {
            "alert_id" => Cell::Text(Some(&self.alert_id)),
            "changed_at" => Cell::Time(self.changed_at),
            "site" => Cell::Text(Some(self.site.as_str())),
            "device" => Cell::Text(Some(self.device.as_str())),
            "tag" => Cell::Text(self.tag.as_ref().map(TagName::as_str)),
            "severity" => Cell::Text(Some(self.severity.name())),
            "state" => Cell::Text(Some(self.state.name())),
            "first_seen" => Cell::Time(self.first_seen),
            "last_seen" => Cell::Time(self.last_seen),
            "score" => Cell::Double(self.score),
            "contributions" => Cell::Text(self.contributions.as_deref()),
            "reason" => Cell::Text(Some(&self.reason)),
            "dedupe_key" => Cell::Text(Some(&self.dedupe_key)),
            "acknowledged_by" => Cell::Text(self.acknowledged_by.as_deref()),
            _ => Cell::Unknown,
        }
    }
}

impl Row for FinishedRun {
    const TABLE: &'static Table = &JOB_RUNS;

    fn cell(&self, column: &str) -> Cell<'_> {
        match column {
            "fire_key" => Cell::Text(Some(&self.fire_key)),
            "kind" => Cell::Text(Some(&self.kind)),
            "attempt" => Cell::Int(self.attempt),
            "state" => Cell::Text(Some(self.state)),
            "started_at" => Cell::Time(self.started_at),
            "finished_at" => Cell::Time(self.finished_at),
            "rows_written" => Cell::Long(self.rows_written),
            "error" => Cell::Text(self.error.as_deref()),
            _ => Cell::Unknown,
        }
    }
}

/// Rows as the columns of their table.
///
/// # Errors
/// When a row does not fit its table, which is a fault of this crate, or when a column grows beyond 2 GiB of text.
pub(crate) fn batch<R: Row>(
    job: &str,
    run_id: &str,
    rows: &[R],
) -> Result<RecordBatch, ArrowError> {
    let columns: Result<Vec<ArrayRef>, ArrowError> = R::TABLE
        .columns
        .iter()
        .map(|column| {
            let cells: Vec<Cell<'_>> = rows
                .iter()
                .map(|row| match column.name {
                    "job" => Cell::Text(Some(job)),
                    "run_id" => Cell::Text(Some(run_id)),
                    name => row.cell(name),
                })
                .collect();
            array(R::TABLE, column, &cells)
        })
        .collect();
    RecordBatch::try_new(file_schema(R::TABLE), columns?)
}

fn array(table: &Table, column: &Column, cells: &[Cell<'_>]) -> Result<ArrayRef, ArrowError> {
    let unfit = |cell: &Cell<'_>| {
        ArrowError::SchemaError(format!(
            "{}.{}: {cell:?} is no {:?}",
            table.name, column.name, column.column_type
        ))
    };
    macro_rules! of {
        ($array:ty, $($pattern:pat => $value:expr),+) => {
            cells.iter().map(|cell| match cell { $($pattern => Ok($value),)+ other => Err(unfit(other)) })
                .collect::<Result<$array, ArrowError>>()?
        };
    }
    Ok(match column.column_type {
        ColumnType::String => Arc::new(of!(StringArray, Cell::Text(text) => *text)),
        ColumnType::Double => Arc::new(of!(Float64Array, Cell::Double(value) => *value)),
        ColumnType::Int => Arc::new(of!(Int32Array, Cell::Int(value) => Some(*value))),
        ColumnType::Long => Arc::new(of!(Int64Array, Cell::Long(value) => *value)),
        ColumnType::Bool => Arc::new(of!(BooleanArray, Cell::Bool(value) => Some(*value))),
        ColumnType::Timestamp => {
            let micros = of!(TimestampMicrosecondArray, Cell::Time(at) => Some(at.micros()));
            Arc::new(micros.with_timezone("UTC"))
        }
        ColumnType::Binary | ColumnType::Short => return Err(unfit(&Cell::Unknown)),
    })
}

#[cfg(test)]
mod tests {
    use arrow::array::Array as _;

    use super::*;

    fn prediction() -> Prediction {
        Prediction {
            site: SiteId::new("s").unwrap(),
            device: DeviceId::new("d").unwrap(),
            tag: TagName::new("t").unwrap(),
            issued_at: Timestamp::from_nanos(1_000),
            target_time: Timestamp::from_nanos(2_000),
            value: 1.5,
            lo: Some(1.0),
            hi: None,
            level: Some(0.9),
            model_version: "m/1".into(),
            data_cutoff: Timestamp::from_nanos(1_000),
        }
    }

    #[test]
    fn every_table_gets_all_its_columns() {
        let score = Score {
            site: SiteId::new("s").unwrap(),
            device: DeviceId::new("d").unwrap(),
            event_time: Timestamp::from_nanos(0),
            score: 4.0,
            limit: 3.5,
            anomalous: true,
            contributions: None,
        };
        let run = FinishedRun {
            fire_key: "k".into(),
            kind: "sql".into(),
            attempt: 1,
            state: "succeeded",
            started_at: Timestamp::from_nanos(0),
            finished_at: Timestamp::from_nanos(0),
            rows_written: Some(1),
            error: None,
        };
        let rows = batch("j", "j-1", &[prediction()]).unwrap();
        assert_eq!((rows.num_rows(), rows.column(0).len()), (1, 1));
        assert!(
            rows.column_by_name("hi").unwrap().is_null(0)
                && !rows.column_by_name("lo").unwrap().is_null(0)
        );
        assert_eq!(batch("j", "j-1", &[score]).unwrap().num_rows(), 1);
        assert_eq!(batch("j", "j-1", &[run]).unwrap().num_rows(), 1);
        assert_eq!(
            batch::<AlertRow>("j", "j-1", &[]).unwrap().num_columns(),
            ALERTS.columns.len()
        );
    }

    #[test]
    fn a_row_that_does_not_fit_is_named() {
        struct Wrong;
        impl Row for Wrong {
            const TABLE: &'static Table = &SCORES;
            fn cell(&self, column: &str) -> Cell<'_> {
                if column == "score" {
                    Cell::Bool(true)
                } else {
                    Cell::Text(Some("x"))
                }
            }
        }
        let error = batch("j", "r", &[Wrong]).unwrap_err();
        assert!(error.to_string().contains("scores.event_time"), "{error}");
    }
}
