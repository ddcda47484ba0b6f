//! Which files a query can leave unopened: by site, by date, and by the event times that a date can hold.

use std::{collections::HashSet, sync::Arc};

use arrow::{
    array::{ArrayRef, BooleanArray},
    datatypes::SchemaRef,
};
use datafusion::{
    catalog::Session,
    common::{Column, Result, ScalarValue, ToDFSchema as _, pruning::PruningStatistics},
    logical_expr::{Expr, utils::conjunction},
    physical_optimizer::pruning::PruningPredicateBuilder,
};
use deltalake_core::kernel::Add;
use forebay_schemas::table::Table;

use super::partition_values;

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// The files that may hold a row which passes all filters.
pub(super) fn files<'a>(
    session: &dyn Session,
    schema: &SchemaRef,
    table: &Table,
    files: &'a [Add],
    filters: &[Expr],
) -> Result<Vec<&'a Add>> {
    let Some(filter) = conjunction(filters.iter().cloned()) else {
        return Ok(files.iter().collect());
    };
    let filter = session.create_physical_expr(filter, &schema.clone().to_dfschema()?)?;
    let Some(predicate) = PruningPredicateBuilder::new().with_file_schema(schema.clone()).build(filter) else {
        return Ok(files.iter().collect());
    };
    let names = table.partition_columns().iter().map(|c| c.name).collect();
    let values = files.iter().map(|add| partition_values(table.partition_columns(), add)).collect::<Result<_>>()?;
    let keep = predicate.prune(&Partitions { names, values })?;
    Ok(files.iter().zip(keep).filter_map(|(file, keep)| keep.then_some(file)).collect())
}

/// What the partition columns tell of each file.
struct Partitions {
    names: Vec<&'static str>,
    values: Vec<Vec<ScalarValue>>,
}

/// The two ends of a range.
#[derive(Clone, Copy)]
enum End {
    Least,
    Greatest,
}

impl Partitions {
    fn bound(&self, column: &Column, end: End) -> Option<ArrayRef> {
        let of_column = |name: &str| self.names.iter().position(|n| *n == name);
        if let Some(at) = of_column(&column.name) {
            return ScalarValue::iter_to_array(self.values.iter().map(|v| v[at].clone())).ok();
        }
        let date = of_column("date").filter(|_| column.name == "event_time")?;
        let bounds = self.values.iter().map(|v| day_bound(&v[date], end));
        ScalarValue::iter_to_array(bounds).ok()
    }
}

/// The first or last µs of a day.
fn day_bound(date: &ScalarValue, end: End) -> ScalarValue {
    let start = match date {
        ScalarValue::Date32(Some(day)) => Some(i64::from(*day) * MICROS_PER_DAY),
        _ => None,
    };
    let bound = start.map(|start| match end {
        End::Least => start,
        End::Greatest => start + MICROS_PER_DAY - 1,
    });
    ScalarValue::TimestampMicrosecond(bound, Some(Arc::from("UTC")))
}

impl PruningStatistics for Partitions {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bound(column, End::Least)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bound(column, End::Greatest)
    }

    fn num_containers(&self) -> usize {
        self.values.len()
    }

    fn null_counts(&self, _: &Column) -> Option<ArrayRef> {
        None
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        None
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
