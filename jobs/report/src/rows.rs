//! A query's rows as values that charts and tables take.

use std::sync::Arc;

use arrow::{
    array::{Array as _, AsArray as _, RecordBatch},
    datatypes::{DataType, Float64Type, Int64Type, TimeUnit},
};
use datafusion::{
    dataframe::DataFrame,
    logical_expr::{Expr, cast},
};
use forebay_jobs::JobError;

use crate::columns::{ColumnKind, Field};

/// One cell.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// Seconds since 1970 UTC.
    Time(f64),
    Number(f64),
    Bool(bool),
    Text(String),
    Missing,
}

/// Rows, and whether there were more.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(crate) rows: Vec<Vec<Value>>,
    pub(crate) more: bool,
}

impl Value {
    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Self::Number(value) | Self::Time(value) => Some(*value),
            _ => None,
        }
    }

    /// As a name; nothing for a missing value.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) | Self::Time(number) => forebay_charts::plain(*number),
            Self::Bool(true) => "yes".to_owned(),
            Self::Bool(false) => "no".to_owned(),
            Self::Missing => String::new(),
        }
    }
}

/// Reads a query's rows, `most` at most.
pub(crate) async fn rows(
    query: DataFrame,
    fields: &[Field],
    most: usize,
) -> Result<Rows, JobError> {
    let columns: Vec<Expr> = fields
        .iter()
        .enumerate()
        .map(|(i, field)| expression(field).alias(format!("c{i}")))
        .collect();
    let batches = query
        .select(columns)?
        .limit(0, Some(most + 1))?
        .collect()
        .await?;
    let mut rows: Vec<Vec<Value>> = Vec::new();
    for batch in &batches {
        for row in 0..batch.num_rows() {
            let cells = fields.iter().enumerate();
            rows.push(
                cells
                    .map(|(i, field)| value(batch, i, row, field.kind))
                    .collect(),
            );
        }
    }
    let more = rows.len() > most;
    rows.truncate(most);
    Ok(Rows { rows, more })
}

/// A column as one of four types. Times without a zone are UTC, as everywhere in the lake.
fn expression(field: &Field) -> Expr {
    let column = field.column.clone();
    match field.kind {
        ColumnKind::Time => {
            let utc = DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC")));
            cast(cast(column, utc), DataType::Int64)
        }
        ColumnKind::Number => cast(column, DataType::Float64),
        ColumnKind::Bool => column,
        ColumnKind::Text => cast(column, DataType::Utf8),
    }
}

fn value(batch: &RecordBatch, column: usize, row: usize, kind: ColumnKind) -> Value {
    let array = batch.column(column);
    if array.is_null(row) {
        return Value::Missing;
    }
    let found = match kind {
        ColumnKind::Time => array
            .as_primitive_opt::<Int64Type>()
            .map(|times| Value::Time(times.value(row) as f64 / 1e6)),
        ColumnKind::Number => array
            .as_primitive_opt::<Float64Type>()
            .map(|numbers| Value::Number(numbers.value(row))),
        ColumnKind::Bool => array
            .as_boolean_opt()
            .map(|truths| Value::Bool(truths.value(row))),
        ColumnKind::Text => array
            .as_string_opt::<i32>()
            .map(|texts| Value::Text(texts.value(row).to_owned())),
    };
    found.unwrap_or(Value::Missing)
}
