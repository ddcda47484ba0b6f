//! How large a plan may be.
//!
//! A `WITH` that names another one twice, which names another one twice, is short to write and shared while it is planned;
//! the optimizer walks through it as the tree that it stands for. And where a column is computed from two mentions of
//! one that is computed from two mentions, the optimizer writes the formula out. Both double with each step, and no
//! time-out interrupts planning, so both are bounded before the optimizer begins.

use datafusion::{
    common::tree_node::TreeNodeRecursion,
    error::{DataFusionError, Result},
    logical_expr::{Expr, LogicalPlan},
};

use crate::error::QueryError;

/// The steps of a plan, each counted as often as it is mentioned.
const STEPS_MAX: usize = 4_000;
/// The mentions of columns in a formula that is written out to the tables' own columns.
const MENTIONS_MAX: usize = 100_000;

/// Whether the optimizer's work is bounded.
pub(crate) fn check_size(plan: &LogicalPlan) -> std::result::Result<(), QueryError> {
    let mut steps = 0;
    let counted = plan.apply_with_subqueries(|_| {
        steps += 1;
        Ok(if steps > STEPS_MAX {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    });
    if steps > STEPS_MAX {
        let why = format!("a plan of more than {STEPS_MAX} steps");
        return Err(QueryError::TooComplex(why));
    }
    let mut widest = 1;
    let written_out = mentions(plan, &mut widest);
    let failed = |_: DataFusionError| QueryError::Internal;
    counted.map_err(failed)?;
    written_out.map_err(failed)?;
    if widest > MENTIONS_MAX {
        let why = format!("a formula of more than {MENTIONS_MAX} columns when it is written out");
        return Err(QueryError::TooComplex(why));
    }
    Ok(())
}

/// The most mentions of columns in one formula of this step, written out to the tables' own; `widest` has the most of
/// any step, subqueries included.
fn mentions(step: &LogicalPlan, widest: &mut usize) -> Result<usize> {
    step.apply_subqueries(|subquery| {
        mentions(subquery, widest)?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    let mut below = 1;
    for input in step.inputs() {
        below = below.max(mentions(input, widest)?);
    }
    let formulas: &[Expr] = match step {
        LogicalPlan::Projection(projection) => &projection.expr,
        LogicalPlan::Aggregate(aggregate) => &aggregate.group_expr,
        _ => &[],
    };
    let own = formulas.iter().map(mentioned).max().unwrap_or(1);
    let written_out = below.saturating_mul(own.max(1));
    *widest = written_out.max(*widest);
    Ok(written_out)
}

fn mentioned(formula: &Expr) -> usize {
    formula.column_refs_counts().values().sum()
}
