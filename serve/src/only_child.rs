//! What our own nodes of a physical plan have in common: they stand on one other.

use std::sync::Arc;

use datafusion::{common::Result, error::DataFusionError, physical_plan::ExecutionPlan};

/// The one child that a node has.
pub(crate) fn only_child(
    mut children: Vec<Arc<dyn ExecutionPlan>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let only = children.pop().filter(|_| children.is_empty());
    only.ok_or_else(|| DataFusionError::Internal("one child is expected".into()))
}
