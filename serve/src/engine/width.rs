//! Bounds what an operator can repeat that makes of few rows many.
//!
//! A query's memory pool counts what a join keeps, not what it hands on: a text of 50 MB that stands in one row would be written
//! into each of the thousands of rows of a batch that it is joined with. So the rows that go into a join, a window or an unnesting
//! may only be so wide that a batch of the widest fits into the query's memory.

use std::{fmt, sync::Arc};

use arrow::{array::RecordBatch, datatypes::DataType};
use datafusion::{
    common::{Result, tree_node::TreeNodeRecursion},
    error::DataFusionError,
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::PhysicalExpr,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
        execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::StreamExt as _;

use crate::{functions::bounded::lengths, only_child::only_child};

/// As many rows as a batch has, twice: an operator may hold one while it hands on another.
const ROWS: usize = 2 * 8_192;
/// However little memory a query has, what one row of readings needs is let through.
const BYTES_MIN: usize = 4 << 10;

/// How wide a row may be that is repeated, where a query may take so much memory.
pub(super) fn width_max(memory_bytes_max: usize) -> usize {
    (memory_bytes_max / ROWS).max(BYTES_MIN)
}

/// What of a node's rows is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeats {
    Nothing,
    Rows,
    /// All of a row but its lists.
    AllButLists,
}

impl Repeats {
    fn of(node: &dyn ExecutionPlan) -> Self {
        match node.name() {
            "UnnestExec" => Self::AllButLists,
            name if name.ends_with("JoinExec") || name.ends_with("WindowAggExec") => Self::Rows,
            _ => Self::Nothing,
        }
    }
}

/// The node, with inputs whose rows are measured where it repeats them.
pub(super) fn with_measured_inputs(
    node: Arc<dyn ExecutionPlan>,
    width_max: usize,
) -> Result<Arc<dyn ExecutionPlan>> {
    let repeats = Repeats::of(node.as_ref());
    if repeats == Repeats::Nothing {
        return Ok(node);
    }
    let measured = |input: &Arc<dyn ExecutionPlan>| -> Arc<dyn ExecutionPlan> {
        Arc::new(WidthExec {
            input: input.clone(),
            repeats,
            width_max,
        })
    };
    let inputs = node.children().into_iter().map(measured).collect();
    node.replace_children(
        inputs,
        ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute),
    )
}

/// Hands on batches whose rows are not too wide.
#[derive(Debug)]
struct WidthExec {
    input: Arc<dyn ExecutionPlan>,
    repeats: Repeats,
    width_max: usize,
}

impl DisplayAs for WidthExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WidthExec: bytes_max={}", self.width_max)
    }
}

impl ExecutionPlan for WidthExec {
    fn name(&self) -> &str {
        "WidthExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = only_child(children)?;
        Ok(Arc::new(Self {
            input,
            repeats: self.repeats,
            width_max: self.width_max,
        }))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mode = ChildrenPropertiesMode::Recompute;
        self.replace_children(children, ReplaceChildrenOptions::new(mode))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let rows = self.input.execute(partition, context)?;
        let schema = rows.schema();
        let (repeats, width_max) = (self.repeats, self.width_max);
        let measured = rows.map(move |batch| {
            let batch = batch?;
            check(&batch, repeats, width_max)?;
            Ok(batch)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, measured)))
    }
}

fn check(batch: &RecordBatch, repeats: Repeats, width_max: usize) -> Result<()> {
    let columns = batch.columns().iter();
    let wide = columns.filter(|column| is_measured(column.data_type(), repeats));
    let lengths: Vec<Vec<usize>> = wide.map(lengths).collect();
    let widest = widest(&lengths, width_max);
    if widest > width_max {
        let why = format!("a row of {widest} bytes would be repeated, more than {width_max}");
        return Err(DataFusionError::ResourcesExhausted(why));
    }
    Ok(())
}

/// Numbers and times are few bytes, however many columns there are.
fn is_measured(data_type: &DataType, repeats: Repeats) -> bool {
    let is_small =
        data_type.is_primitive() || matches!(data_type, DataType::Boolean | DataType::Null);
    let is_unnested = repeats == Repeats::AllButLists && data_type.is_nested();
    !is_small && !is_unnested
}

/// The width of the widest row; an upper bound of it, if that is not too wide.
fn widest(columns: &[Vec<usize>], width_max: usize) -> usize {
    let largest = columns.iter().filter_map(|column| column.iter().max());
    let bound = largest.sum();
    if bound <= width_max {
        return bound;
    }
    let rows = columns.first().map_or(0, Vec::len);
    let width = |row: usize| columns.iter().map(|column| column[row]).sum();
    (0..rows).map(width).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{ArrayRef, Int64Array, ListArray, StringArray},
        datatypes::Int64Type,
    };

    use super::*;

    #[test]
    fn a_row_is_as_wide_as_its_texts() {
        let texts = |lengths: &[usize]| -> ArrayRef {
            let texts = lengths.iter().map(|length| "a".repeat(*length));
            Arc::new(StringArray::from_iter_values(texts))
        };
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let list = [Some(vec![Some(1); 100]), None];
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(list));
        let batch = |columns: Vec<ArrayRef>| {
            let named = columns.into_iter().enumerate();
            RecordBatch::try_from_iter(named.map(|(n, column)| (n.to_string(), column))).unwrap()
        };
        for (columns, repeats, fits) in [
            (vec![texts(&[10, 10]), numbers.clone()], Repeats::Rows, true),
            (vec![texts(&[11, 0])], Repeats::Rows, false),
            // The longest are not in one row.
            (vec![texts(&[8, 0]), texts(&[0, 8])], Repeats::Rows, true),
            (vec![texts(&[8, 0]), texts(&[8, 0])], Repeats::Rows, false),
            (vec![numbers; 40], Repeats::Rows, true),
            (vec![lists.clone()], Repeats::Rows, false),
            (vec![lists], Repeats::AllButLists, true),
        ] {
            let found = check(&batch(columns.clone()), repeats, 10);
            assert_eq!(found.is_ok(), fits, "{columns:?}: {found:?}");
        }
    }
}
