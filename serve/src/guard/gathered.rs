//! What is gathered of many rows must not stand in each of them: over a window `string_agg` would write all that it has gathered
//! into every row, and nothing counts that.

use datafusion::{
    common::tree_node::{TreeNode as _, TreeNodeRecursion},
    error::{DataFusionError, Result},
    logical_expr::{Expr, LogicalPlan, WindowFunctionDefinition},
};

use crate::error::QueryError;

/// Aggregates whose values grow with their rows.
const GATHER: [&str; 2] = ["string_agg", "array_agg"];

/// Whether no such aggregate is asked for over a window.
pub(super) fn check_gathered(plan: &LogicalPlan) -> std::result::Result<(), QueryError> {
    let mut found: Option<String> = None;
    let walked = plan.apply_with_subqueries(|step| {
        let LogicalPlan::Window(window) = step else {
            return Ok(TreeNodeRecursion::Continue);
        };
        for expr in &window.window_expr {
            found = found.take().or(gathering(expr)?);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    walked.map_err(|_: DataFusionError| QueryError::Internal)?;
    match found {
        Some(name) => Err(QueryError::NotSupported(format!(
            "{name} over a window is not possible: it would stand in every row"
        ))),
        None => Ok(()),
    }
}

fn gathering(expr: &Expr) -> Result<Option<String>> {
    let mut found = None;
    expr.apply(|expr| {
        if let Expr::WindowFunction(call) = expr
            && let WindowFunctionDefinition::AggregateUDF(function) = &call.fun
            && GATHER.contains(&function.name())
        {
            found = Some(function.name().to_owned());
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}
