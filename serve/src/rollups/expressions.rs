//! What may stand in an expression for the rule to understand it.

use arrow::{
    array::{ArrayRef, AsArray as _, BooleanArray, RecordBatch},
    datatypes::{DataType, TimeUnit},
};
use datafusion::{
    common::{
        ScalarValue, ToDFSchema as _,
        tree_node::{TreeNode as _, TreeNodeRecursion},
    },
    execution::context::ExecutionProps,
    logical_expr::{
        Cast, Expr, expr_rewriter::unnormalize_col,
        physical_planning_context::PhysicalPlanningContext,
    },
    physical_expr::create_physical_expr,
};

/// The columns that name a series: `readings` and its roll-ups have them alike.
pub(super) const NAMES: [&str; 3] = ["site", "device", "tag"];
pub(super) const TIME: &str = "event_time";
pub(super) const VALUE: &str = "value";
pub(super) const QUALITY: &str = "quality";

/// Whether a node is one whose value follows from its parts alone, the same at every evaluation.
pub(super) fn is_plain(node: &Expr) -> bool {
    match node {
        Expr::Alias(_)
        | Expr::Column(_)
        | Expr::Literal(..)
        | Expr::BinaryExpr(_)
        | Expr::Like(_)
        | Expr::SimilarTo(_)
        | Expr::Not(_)
        | Expr::IsNotNull(_)
        | Expr::IsNull(_)
        | Expr::IsTrue(_)
        | Expr::IsFalse(_)
        | Expr::IsNotTrue(_)
        | Expr::IsNotFalse(_)
        | Expr::Negative(_)
        | Expr::Between(_)
        | Expr::Case(_)
        | Expr::Cast(_)
        | Expr::TryCast(_)
        | Expr::InList(_) => true,
        Expr::ScalarFunction(_) => !node.is_volatile_node(),
        _ => false,
    }
}

/// Whether an expression follows from these columns alone.
pub(super) fn is_of(expr: &Expr, columns: &[&str]) -> bool {
    let mut is_of = true;
    let visited = expr.apply(|node| {
        let is_known = match node {
            Expr::Column(column) => columns.contains(&column.name.as_str()),
            node => is_plain(node),
        };
        is_of &= is_known;
        Ok(if is_known {
            TreeNodeRecursion::Continue
        } else {
            TreeNodeRecursion::Stop
        })
    });
    visited.is_ok() && is_of
}

/// Whether an expression is this column.
pub(super) fn is_column(expr: &Expr, name: &str) -> bool {
    matches!(expr, Expr::Column(column) if column.name == name)
}

/// Whether an expression is the event time, to the µs or finer; `zones` are those in which it may be shown.
pub(super) fn is_time(expr: &Expr, zones: Zones) -> bool {
    match expr {
        Expr::Cast(Cast { expr, field }) => {
            let DataType::Timestamp(unit, zone) = field.data_type() else {
                return false;
            };
            let is_exact = matches!(unit, TimeUnit::Microsecond | TimeUnit::Nanosecond);
            is_exact && zones.has(zone.as_deref()) && is_time(expr, zones)
        }
        expr => is_column(expr, TIME),
    }
}

/// In which time zones a time may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Zones {
    /// In UTC alone.
    Utc,
    /// In any that keeps the instant.
    Any,
}

impl Zones {
    fn has(self, zone: Option<&str>) -> bool {
        // Without a zone it is the wall clock's time in UTC, since that is the column's zone.
        self == Self::Any || matches!(zone, None | Some("UTC" | "+00:00" | "Z"))
    }
}

/// A time in ns since 1970 UTC.
pub(super) fn nanos(literal: &ScalarValue) -> Option<i128> {
    let (time, scale) = match literal {
        ScalarValue::TimestampSecond(time, _) => (*time, 1_000_000_000),
        ScalarValue::TimestampMillisecond(time, _) => (*time, 1_000_000),
        ScalarValue::TimestampMicrosecond(time, _) => (*time, 1_000),
        ScalarValue::TimestampNanosecond(time, _) => (*time, 1),
        _ => return None,
    };
    Some(i128::from(time?) * scale)
}

/// For which of the values of a column a condition is true; `None` where that cannot be told.
pub(super) fn holds(condition: &Expr, column: &str, values: ArrayRef) -> Option<BooleanArray> {
    let rows = RecordBatch::try_from_iter([(column, values)]).ok()?;
    let schema = rows.schema().to_dfschema().ok()?;
    let condition = unnormalize_col(condition.clone());
    let context = PhysicalPlanningContext::default();
    let physical = create_physical_expr(&condition, &schema, &ExecutionProps::new(), &context);
    let verdicts = physical.ok()?.evaluate(&rows).ok()?;
    let verdicts = verdicts.into_array(rows.num_rows()).ok()?;
    verdicts.as_boolean_opt().cloned()
}
