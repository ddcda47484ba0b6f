//! A query's columns as rows of a table of results: by name, each of the type that the table has.

use arrow::{
    array::{Array as _, AsArray as _, RecordBatch},
    datatypes::{DataType, Float64Type, Int64Type, TimeUnit},
};
use datafusion::{
    dataframe::DataFrame,
    logical_expr::{Expr, cast, ident},
};
use forebay_jobs::{JobError, Prediction, Score};
use forebay_schemas::{
    DeviceId, InvalidName, SiteId, TagName, Timestamp,
    table::{Column, ColumnType, Table},
};

/// The columns that every run fills in by itself.
const FILLED_IN: [&str; 2] = ["job", "run_id"];

/// A query's rows with exactly the columns of a table, in its order, without those that are filled in.
pub(crate) struct Rows {
    table: &'static Table,
    batches: Vec<RecordBatch>,
    names: Vec<&'static str>,
}

/// Reads a query's rows, whose columns must fit a table's.
pub(crate) async fn select(
    query: DataFrame,
    table: &'static Table,
    rows_max: usize,
) -> Result<Rows, JobError> {
    let (columns, names) = fit(&query, table)?;
    let batches = query
        .select(columns)?
        .limit(0, Some(rows_max + 1))?
        .collect()
        .await?;
    let count: usize = batches.iter().map(RecordBatch::num_rows).sum();
    if count > rows_max {
        return Err(JobError::reject(format!(
            "the query gives more than {rows_max} rows: aggregate or limit them"
        )));
    }
    Ok(Rows {
        table,
        batches,
        names,
    })
}

/// A query's columns as a table has them, and their names.
pub(crate) fn fit(
    query: &DataFrame,
    table: &'static Table,
) -> Result<(Vec<Expr>, Vec<&'static str>), JobError> {
    let found: Vec<(String, DataType)> = query
        .schema()
        .fields()
        .iter()
        .map(|field| (field.name().clone(), field.data_type().clone()))
        .collect();
    let wanted: Vec<&'static Column> = table
        .columns
        .iter()
        .filter(|column| !FILLED_IN.contains(&column.name))
        .collect();
    let unknown = found
        .iter()
        .find(|(name, _)| !wanted.iter().any(|column| column.name == name));
    if let Some((name, _)) = unknown {
        let known: Vec<&str> = wanted.iter().map(|column| column.name).collect();
        let message = format!(
            "the query's column {name:?} is not one of {}'s: {}",
            table.name,
            known.join(", ")
        );
        return Err(JobError::reject(message));
    }
    let mut columns = Vec::new();
    let mut names = Vec::new();
    for column in wanted {
        match found.iter().find(|(name, _)| name == column.name) {
            Some((_, found)) => {
                columns.push(as_column(column, found, table)?);
                names.push(column.name);
            }
            None if column.nullable => {}
            None => {
                let message = format!(
                    "the query has no column {:?}, which {} needs ({})",
                    column.name,
                    table.name,
                    what(column)
                );
                return Err(JobError::reject(message));
            }
        }
    }
    Ok((columns, names))
}

/// The column in the one type in which it is read, if its own type says the same.
fn as_column(column: &Column, found: &DataType, table: &Table) -> Result<Expr, JobError> {
    let named = ident(column.name);
    let expression = match (column.column_type, found) {
        (ColumnType::String, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => {
            cast(named, DataType::Utf8)
        }
        (ColumnType::Double, found) if found.is_numeric() => cast(named, DataType::Float64),
        (ColumnType::Bool, DataType::Boolean) => named,
        (ColumnType::Timestamp, DataType::Timestamp(_, _)) => {
            let utc = cast(
                named,
                DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            );
            cast(utc, DataType::Int64)
        }
        // A NULL that was given no type.
        (_, DataType::Null) if column.nullable => match column.column_type {
            ColumnType::Double => cast(named, DataType::Float64),
            _ => cast(named, DataType::Utf8),
        },
        (_, found) => {
            let (name, table) = (column.name, table.name);
            let message = format!(
                "the query's column {name:?} is {found}, {table}.{name} is {}",
                what(column)
            );
            return Err(JobError::reject(message));
        }
    };
    Ok(expression.alias(column.name))
}

fn what(column: &Column) -> &'static str {
    match column.column_type {
        ColumnType::String => "a text",
        ColumnType::Double => "a number",
        ColumnType::Bool => "true or false",
        ColumnType::Timestamp => "a timestamp",
        ColumnType::Binary | ColumnType::Short | ColumnType::Int | ColumnType::Long => {
            "of another type"
        }
    }
}

/// One row, read by names.
struct Row<'a> {
    rows: &'a Rows,
    batch: &'a RecordBatch,
    at: usize,
    /// Rows of the batches before.
    rows_before: usize,
}

impl Rows {
    fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        let starts = self.batches.iter().scan(0, |start, batch| {
            let before = *start;
            *start += batch.num_rows();
            Some((before, batch))
        });
        starts.flat_map(move |(rows_before, batch)| {
            (0..batch.num_rows()).map(move |at| Row {
                rows: self,
                batch,
                at,
                rows_before,
            })
        })
    }
}

impl Row<'_> {
    fn column(&self, name: &str) -> Option<usize> {
        self.rows
            .names
            .iter()
            .position(|n| *n == name)
            .filter(|i| self.batch.column(*i).is_valid(self.at))
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.batch
            .column(self.column(name)?)
            .as_string_opt::<i32>()
            .map(|values| values.value(self.at))
    }

    fn double(&self, name: &str) -> Option<f64> {
        let values = self
            .batch
            .column(self.column(name)?)
            .as_primitive_opt::<Float64Type>()?;
        Some(values.value(self.at))
    }

    fn number(&self, name: &str) -> Option<f64> {
        // A result that is not a number is no result.
        self.double(name).filter(|value| value.is_finite())
    }

    fn truth(&self, name: &str) -> Option<bool> {
        self.batch
            .column(self.column(name)?)
            .as_boolean_opt()
            .map(|values| values.value(self.at))
    }

    fn time(&self, name: &str) -> Option<Timestamp> {
        let values = self
            .batch
            .column(self.column(name)?)
            .as_primitive_opt::<Int64Type>()?;
        Timestamp::from_micros(values.value(self.at))
    }

    fn needed<T>(&self, name: &str, found: Option<T>) -> Result<T, JobError> {
        found.ok_or_else(|| {
            let (table, row, of) = (self.rows.table.name, self.number_of_row(), self.of());
            JobError::reject(match self.double(name) {
                Some(value) => {
                    format!("row {row} of the query{of} has {value} as {name}: {table} needs a finite number")
                }
                None => format!("row {row} of the query{of} has no {name}, which {table} needs"),
            })
        })
    }

    /// Its number in the query, from 1.
    fn number_of_row(&self) -> usize {
        self.rows_before + self.at + 1
    }

    /// Which row it is, by the columns that tell rows of results apart: people know devices, not numbers of rows.
    fn of(&self) -> String {
        let texts = ["site", "device", "tag"]
            .into_iter()
            .filter_map(|name| Some(format!("{name} {:?}", self.text(name)?)));
        let times = ["event_time", "target_time"]
            .into_iter()
            .filter_map(|name| {
                let micros = self.time(name)?.micros();
                Some(format!(
                    "{name} {}",
                    jiff::Timestamp::from_microsecond(micros).ok()?
                ))
            });
        let keys: Vec<String> = texts.chain(times).collect();
        match keys.is_empty() {
            true => String::new(),
            false => format!(" ({})", keys.join(", ")),
        }
    }

    fn name<T>(
        &self,
        column: &str,
        make: impl Fn(&str) -> Result<T, InvalidName>,
    ) -> Result<T, JobError> {
        let text = self.needed(column, self.text(column))?;
        let (row, of) = (self.number_of_row(), self.of());
        make(text).map_err(|error| JobError::reject(format!("row {row} of the query{of}: {error}")))
    }
}

/// Rows as scores.
pub(crate) fn scores(rows: Rows) -> Result<Vec<Score>, JobError> {
    let score = |row: Row<'_>| {
        Ok(Score {
            site: row.name("site", SiteId::new)?,
            device: row.name("device", DeviceId::new)?,
            event_time: row.needed("event_time", row.time("event_time"))?,
            score: row.needed("score", row.number("score"))?,
            limit: row.needed("limit", row.number("limit"))?,
            anomalous: row.needed("anomalous", row.truth("anomalous"))?,
            contributions: row.text("contributions").map(str::to_owned),
        })
    };
    rows.iter().map(score).collect()
}

/// Rows as predictions.
pub(crate) fn predictions(rows: Rows) -> Result<Vec<Prediction>, JobError> {
    let prediction = |row: Row<'_>| {
        Ok(Prediction {
            site: row.name("site", SiteId::new)?,
            device: row.name("device", DeviceId::new)?,
            tag: row.name("tag", TagName::new)?,
            issued_at: row.needed("issued_at", row.time("issued_at"))?,
            target_time: row.needed("target_time", row.time("target_time"))?,
            value: row.needed("value", row.number("value"))?,
            lo: row.number("lo"),
            hi: row.number("hi"),
            level: row.number("level"),
            model_version: row
                .needed("model_version", row.text("model_version"))?
                .to_owned(),
            data_cutoff: row.needed("data_cutoff", row.time("data_cutoff"))?,
        })
    };
    rows.iter().map(prediction).collect()
}
