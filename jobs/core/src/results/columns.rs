//! The one place where rows of results become columns.

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
    TagName, Timestamp,
    table::{ALERTS, Column, ColumnType, JOB_RUNS, PREDICTIONS, SCORES, Table},
};

use super::{AlertRow, Prediction, Score};

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
    OptionalTime(Option<Timestamp>),
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

/// Rows beside their table; `None` without rows.
pub(super) fn named<R: Row>(
    job: &str,
    run_id: &str,
    rows: &[R],
) -> Result<Option<(&'static Table, RecordBatch)>, ArrowError> {
    if rows.is_empty() {
        return Ok(None);
    }
    Ok(Some((R::TABLE, batch(job, run_id, rows)?)))
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
            let micros = of!(TimestampMicrosecondArray,
                Cell::Time(at) => Some(at.micros()),
                Cell::OptionalTime(at) => at.map(|at| at.micros()));
            Arc::new(micros.with_timezone("UTC"))
        }
        ColumnType::Binary | ColumnType::Short => return Err(unfit(&Cell::Unknown)),
    })
}

#[cfg(test)]
mod tests {
    use arrow::array::Array as _;
    use forebay_schemas::{DeviceId, SiteId, table::BACKTESTS};

    use super::*;
    use crate::{BacktestRow, EventRow, ModelRow, ModelState, Severity};

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
    fn what_is_not_known_of_an_event_or_a_model_is_null() {
        let at = Timestamp::from_nanos(1_000);
        let site = SiteId::new("s").unwrap();
        let event = EventRow {
            event_id: "e".into(),
            changed_at: at,
            site: site.clone(),
            device: DeviceId::new("d").unwrap(),
            tag: None,
            kind: "gap".into(),
            from_time: at,
            to_time: None,
            value: None,
            severity: Severity::Info,
            text: "silent".into(),
            attributes: None,
        };
        let rows = batch("j", "j-1", &[event]).unwrap();
        for (column, is_null) in [("to_time", true), ("from_time", false), ("tag", true)] {
            assert_eq!(
                rows.column_by_name(column).unwrap().is_null(0),
                is_null,
                "{column}"
            );
        }
        let model = ModelRow {
            version: "ridge/1".into(),
            site: Some(site),
            device: None,
            trained_at: at,
            train_from: at,
            train_to: at,
            data_cutoff: at,
            metrics: "{}".into(),
            state: ModelState::Challenger,
            changed_at: at,
            object: None,
        };
        let rows = batch("j", "j-1", &[model]).unwrap();
        assert!(rows.column_by_name("object").unwrap().is_null(0));
        let none = batch::<BacktestRow>("j", "j-1", &[]).unwrap();
        assert_eq!(none.num_columns(), BACKTESTS.columns.len());
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
