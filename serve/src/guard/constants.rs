//! How much a statement's constants may be.
//!
//! A constant is written into each row that has it: a text of a megabyte makes gigabytes of a batch of rows, and nobody
//! counts them. Nothing of that is so in a list after `IN`, and in `VALUES`, which are rows themselves. The columns of an
//! answer are bounded for the same reason, and the calls of functions whose values grow
//! ([`crate::functions::bounded`]).

use datafusion::{
    common::tree_node::{TreeNode as _, TreeNodeRecursion},
    error::{DataFusionError, Result},
    logical_expr::{Expr, LogicalPlan, Operator},
    scalar::ScalarValue,
};

use crate::{
    error::QueryError,
    functions::bounded::{CONSTANT_BYTES_MAX, grows},
};

/// All constants together, each counted as often as it is mentioned.
const BYTES_MAX: usize = 32 << 10;
/// What a constant counts for that is no text.
const FIXED_BYTES: usize = 8;
/// The columns of a step, as in PostgreSQL.
const COLUMNS_MAX: usize = 1_664;
/// The arguments of a call, constants not counted; PostgreSQL has 100.
const ARGUMENTS_MAX: usize = 100;
/// The calls of functions whose values grow.
const CALLS_MAX: usize = 128;

/// Whether what a statement writes into each row is bounded.
pub(crate) fn check_constants(plan: &LogicalPlan) -> std::result::Result<(), QueryError> {
    let mut found = Found::default();
    let walked = plan.apply_with_subqueries(|step| found.step(step));
    if let Some(why) = found.refused {
        return Err(QueryError::TooComplex(why));
    }
    walked
        .map(|_| ())
        .map_err(|_: DataFusionError| QueryError::Internal)
}

#[derive(Default)]
struct Found {
    bytes: usize,
    calls: usize,
    /// Whether the constants of this step are rows themselves.
    are_rows: bool,
    refused: Option<String>,
}

impl Found {
    fn step(&mut self, step: &LogicalPlan) -> Result<TreeNodeRecursion> {
        let columns = match step {
            LogicalPlan::Projection(projection) => projection.expr.len(),
            LogicalPlan::Aggregate(aggregate) => {
                aggregate.group_expr.len() + aggregate.aggr_expr.len()
            }
            LogicalPlan::Window(window) => window.window_expr.len(),
            _ => 0,
        };
        if columns > COLUMNS_MAX {
            return Ok(self.refuse(format!("{columns} columns, more than {COLUMNS_MAX}")));
        }
        self.are_rows = matches!(step, LogicalPlan::Values(_));
        step.apply_expressions(|expr| self.expression(expr))?;
        Ok(self.on())
    }

    fn expression(&mut self, expr: &Expr) -> Result<TreeNodeRecursion> {
        expr.apply(|expr| match expr {
            Expr::Literal(value, _) => Ok(self.constant(value)),
            Expr::InList(list) => {
                self.expression(&list.expr)?;
                if self.refused.is_some() {
                    return Ok(TreeNodeRecursion::Stop);
                }
                let is_constant = |item: &&Expr| matches!(item, Expr::Literal(_, _));
                for item in list.list.iter().filter(|item| !is_constant(item)) {
                    self.expression(item)?;
                }
                Ok(TreeNodeRecursion::Jump)
            }
            Expr::ScalarFunction(call) => {
                let is_constant = |argument: &&Expr| matches!(argument, Expr::Literal(_, _));
                let own = call.args.iter().filter(|own| !is_constant(own)).count();
                if own > ARGUMENTS_MAX {
                    let name = call.name();
                    let why = format!("{name} of {own} arguments, more than {ARGUMENTS_MAX}");
                    return Ok(self.refuse(why));
                }
                Ok(self.calls(usize::from(grows(call.name()))))
            }
            Expr::BinaryExpr(binary) if binary.op == Operator::StringConcat => {
                // What is joined in a row is one call.
                let goes_on =
                    matches!(&*binary.left, Expr::BinaryExpr(left) if left.op == binary.op);
                Ok(self.calls(usize::from(!goes_on)))
            }
            _ => Ok(TreeNodeRecursion::Continue),
        })
    }

    fn constant(&mut self, value: &ScalarValue) -> TreeNodeRecursion {
        let bytes = match value.try_as_str() {
            Some(text) => text.map_or(0, str::len),
            None => value.size().saturating_sub(size_of::<ScalarValue>()),
        };
        if bytes > CONSTANT_BYTES_MAX {
            let why = format!("a constant of {bytes} bytes, more than {CONSTANT_BYTES_MAX}");
            return self.refuse(why);
        }
        if self.are_rows {
            return self.on();
        }
        self.bytes += bytes.max(FIXED_BYTES);
        if self.bytes > BYTES_MAX {
            let why = format!("constants of more than {BYTES_MAX} bytes together");
            return self.refuse(why);
        }
        self.on()
    }

    fn calls(&mut self, calls: usize) -> TreeNodeRecursion {
        self.calls += calls;
        if self.calls > CALLS_MAX {
            let why = format!("more than {CALLS_MAX} calls of functions that make texts or lists");
            return self.refuse(why);
        }
        self.on()
    }

    fn on(&self) -> TreeNodeRecursion {
        if self.refused.is_some() {
            return TreeNodeRecursion::Stop;
        }
        TreeNodeRecursion::Continue
    }

    fn refuse(&mut self, why: String) -> TreeNodeRecursion {
        self.refused.get_or_insert(why);
        TreeNodeRecursion::Stop
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionContext;

    use super::*;

    async fn checked(sql: &str) -> std::result::Result<(), String> {
        let context = SessionContext::new();
        let plan = context.state().create_logical_plan(sql).await.unwrap();
        check_constants(&plan).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn what_each_row_would_repeat_is_bounded() {
        let text = |bytes: usize| format!("'{}'", "a".repeat(bytes));
        let times = |text: &str, count: usize| vec![text; count].join(", ");
        let columns = |text: &str, count: usize| {
            let column = |n| format!("{text} AS c{n}");
            (0..count).map(column).collect::<Vec<_>>().join(", ")
        };
        let half = text(4_000);
        let one = "FROM (SELECT 'x' AS a)";
        for (sql, expected) in [
            (
                format!("SELECT {}", text(8_193)),
                "a constant of 8193 bytes",
            ),
            (format!("SELECT {}", columns(&half, 9)), "32768"),
            // Each mention of an expression counts.
            (
                format!(
                    "WITH a AS (SELECT {half} AS b) SELECT 1 FROM {}",
                    columns("a", 9)
                ),
                "32768",
            ),
            (format!("SELECT {}", columns("NULL", 1_665)), "1665 columns"),
            (
                format!("SELECT [{}] {one}", times("a", 101)),
                "101 arguments",
            ),
            (
                format!("SELECT {} {one}", columns("concat(a, a)", 129)),
                "128 calls",
            ),
        ] {
            let shown = &sql[..sql.len().min(80)];
            let said = checked(&sql).await.unwrap_err();
            assert!(said.contains(expected), "{shown}: {said}");
        }
        let devices = times("'north-pump-1'", 20_000);
        for sql in [
            format!("SELECT a {one} WHERE a IN ({devices})"),
            format!(
                "SELECT * FROM (VALUES {})",
                times("('north-pump-1')", 5_000)
            ),
            format!("SELECT {} {one}", vec!["a"; 200].join(" || ")),
            format!("SELECT {} {one}", columns("a", 1_664)),
        ] {
            assert_eq!(checked(&sql).await, Ok(()), "{}", &sql[..80]);
        }
    }
}
