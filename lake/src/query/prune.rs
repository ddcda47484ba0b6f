//! Which files a query can leave unopened: by site and the days of their event times, and then, of what is left, by the
//! first and last event time that a file's sealed tag names.

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
use forebay_schemas::table::{TIME_COLUMNS, Table};

use super::partition_values;
use crate::file::stats::{TagSeal, day_bounds, event_times};

/// The files that may hold a row which passes all filters.
pub(super) fn files<'a>(
    session: &dyn Session,
    schema: &SchemaRef,
    table: &Table,
    files: &'a [Add],
    filters: &[Expr],
    seal: &TagSeal,
) -> Result<Vec<&'a Add>> {
    let all = files.iter().collect();
    let Some(filter) = conjunction(filters.iter().cloned()) else {
        return Ok(all);
    };
    let filter = session.create_physical_expr(filter, &schema.clone().to_dfschema()?)?;
    let Some(predicate) = PruningPredicateBuilder::new()
        .with_file_schema(schema.clone())
        .build(filter)
    else {
        return Ok(all);
    };
    let mut known = Known {
        names: table.partition_columns().iter().map(|c| c.name).collect(),
        values: files
            .iter()
            .map(|add| partition_values(table.partition_columns(), add))
            .collect::<Result<_>>()?,
        times: files.iter().map(day_bounds).collect(),
        time_column: table.time_column(),
    };
    let keep = predicate.prune(&known)?;
    let kept = keep_marked(all, &keep);
    if !filters.iter().any(|filter| {
        filter
            .column_refs()
            .iter()
            .any(|column| TIME_COLUMNS.contains(&column.name.as_str()))
    }) {
        return Ok(kept);
    }
    known.values = keep_marked(known.values, &keep);
    known.times = kept
        .iter()
        .map(|add| event_times(table, add, seal))
        .collect();
    Ok(keep_marked(kept, &predicate.prune(&known)?))
}

fn keep_marked<T>(all: Vec<T>, marks: &[bool]) -> Vec<T> {
    all.into_iter()
        .zip(marks)
        .filter_map(|(item, keep)| keep.then_some(item))
        .collect()
}

/// What is known of each file without opening it.
struct Known {
    names: Vec<&'static str>,
    values: Vec<Vec<ScalarValue>>,
    /// First and last event times: at first the bounds of their days, then those in the tags.
    times: Vec<Option<(i64, i64)>>,
    /// The column that has them.
    time_column: Option<&'static str>,
}

/// The two ends of a range.
#[derive(Clone, Copy)]
enum End {
    Least,
    Greatest,
}

impl Known {
    fn bound(&self, column: &Column, end: End) -> Option<ArrayRef> {
        if let Some(at) = self.names.iter().position(|name| *name == column.name) {
            return ScalarValue::iter_to_array(self.values.iter().map(|v| v[at].clone())).ok();
        }
        if self.time_column != Some(column.name.as_str()) {
            return None;
        }
        let bounds = self.times.iter().map(|times| {
            let bound = times.map(|(first, last)| match end {
                End::Least => first,
                End::Greatest => last,
            });
            ScalarValue::TimestampMicrosecond(bound, Some(Arc::from("UTC")))
        });
        ScalarValue::iter_to_array(bounds).ok()
    }
}

impl PruningStatistics for Known {
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
