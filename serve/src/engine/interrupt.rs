//! Ends queries whose operators do not come back for a while.
//!
//! A time-out and a cancel are seen between two polls of a query's stream. A join of two large inputs can take hours within one
//! poll: the engine yields where it reads, and a join that multiplies what it has read reads nothing. So what joins hand on, and
//! what nested loops compare, passes a check here that fails once nobody wants the rows any more.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, FieldRef, Schema},
};
use datafusion::{
    common::{
        Result,
        tree_node::{Transformed, TransformedResult as _, TreeNode as _, TreeNodeRecursion},
    },
    error::DataFusionError,
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::ColumnarValue,
    physical_expr::PhysicalExpr,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
        execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions},
        joins::{HashJoinExec, NestedLoopJoinExec, NestedLoopJoinExecBuilder, utils::JoinFilter},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::StreamExt as _;
use tokio::time::Instant;

use super::width::with_measured_inputs;
use crate::only_child::only_child;

/// Says that a query's rows are not wanted any more: at its deadline, or before.
#[derive(Debug, Clone)]
pub(super) struct Interrupt(Arc<State>);

#[derive(Debug)]
struct State {
    deadline: Instant,
    is_over: AtomicBool,
}

impl Interrupt {
    pub(super) fn at(deadline: Instant) -> Self {
        Self(Arc::new(State {
            deadline,
            is_over: AtomicBool::new(false),
        }))
    }

    /// Ends the query at its next check.
    pub(super) fn now(&self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }

    fn check(&self) -> Result<()> {
        if self.0.is_over.load(Ordering::Relaxed) || Instant::now() >= self.0.deadline {
            return Err(DataFusionError::Execution("the query was ended".into()));
        }
        Ok(())
    }
}

/// The same plan, with checks where it could go on for long without a pause, and where it repeats rows of more than `width_max`
/// bytes.
pub(super) fn interruptible(
    plan: Arc<dyn ExecutionPlan>,
    interrupt: &Interrupt,
    width_max: usize,
) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        let is_join = node.children().len() > 1;
        let node = with_measured_inputs(node, width_max)?;
        if !is_join {
            return Ok(Transformed::yes(node));
        }
        let checked = with_checked_filter(&node, interrupt)?.unwrap_or(node);
        let checked: Arc<dyn ExecutionPlan> = Arc::new(InterruptExec {
            input: checked,
            interrupt: interrupt.clone(),
        });
        Ok(Transformed::yes(checked))
    })
    .data()
}

/// A join whose filter is checked; none where it has no filter.
fn with_checked_filter(
    node: &Arc<dyn ExecutionPlan>,
    interrupt: &Interrupt,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let checked = |filter: &JoinFilter| {
        let expression = Arc::new(Checked {
            inner: filter.expression().clone(),
            interrupt: interrupt.clone(),
        });
        let columns = filter.column_indices().to_vec();
        Some(JoinFilter::new(
            expression,
            columns,
            filter.schema().clone(),
        ))
    };
    if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>()
        && let Some(filter) = join.filter()
    {
        let builder = NestedLoopJoinExecBuilder::from(join).with_filter(checked(filter));
        return Ok(Some(Arc::new(builder.build()?)));
    }
    if let Some(join) = node.downcast_ref::<HashJoinExec>()
        && let Some(filter) = join.filter()
    {
        let builder = join.builder().with_filter(checked(filter));
        return Ok(Some(Arc::new(builder.build()?)));
    }
    Ok(None)
}

/// Hands on the batches of its input until the query is over.
#[derive(Debug)]
struct InterruptExec {
    input: Arc<dyn ExecutionPlan>,
    interrupt: Interrupt,
}

impl DisplayAs for InterruptExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InterruptExec")
    }
}

impl ExecutionPlan for InterruptExec {
    fn name(&self) -> &str {
        "InterruptExec"
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
            interrupt: self.interrupt.clone(),
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
        let interrupt = self.interrupt.clone();
        let checked = rows.map(move |batch| {
            interrupt.check()?;
            batch
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, checked)))
    }
}

/// An expression that fails once the query is over.
#[derive(Debug)]
struct Checked {
    inner: Arc<dyn PhysicalExpr>,
    interrupt: Interrupt,
}

impl PartialEq for Checked {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner)
    }
}

impl Eq for Checked {}

impl Hash for Checked {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl PhysicalExpr for Checked {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.inner.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.inner.nullable(schema)
    }

    fn return_field(&self, schema: &Schema) -> Result<FieldRef> {
        self.inner.return_field(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        self.interrupt.check()?;
        self.inner.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let inner = children.pop().filter(|_| children.is_empty());
        let Some(inner) = inner else {
            return Err(DataFusionError::Internal("one child is expected".into()));
        };
        Ok(Arc::new(Self {
            inner,
            interrupt: self.interrupt.clone(),
        }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}
