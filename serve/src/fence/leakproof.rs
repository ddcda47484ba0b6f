//! Filters that can be evaluated on any row without anything of it coming out: comparisons of a column with constants.

use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator, expr::InList};

/// Whether a filter raises no error, whatever the row holds, and calls no function.
pub(crate) fn is_leakproof(filter: &Expr) -> bool {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::And | Operator::Or => is_leakproof(left) && is_leakproof(right),
            Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq => is_plain(left) && is_plain(right),
            _ => false,
        },
        Expr::Not(inner) => is_leakproof(inner),
        Expr::IsNull(inner) | Expr::IsNotNull(inner) => is_plain(inner),
        Expr::Between(Between {
            expr, low, high, ..
        }) => is_plain(expr) && is_plain(low) && is_plain(high),
        Expr::InList(InList { expr, list, .. }) => is_plain(expr) && list.iter().all(is_plain),
        _ => false,
    }
}

fn is_plain(expr: &Expr) -> bool {
    matches!(expr, Expr::Column(_) | Expr::Literal(..))
}

#[cfg(test)]
mod tests {
    use datafusion::{arrow::datatypes::DataType, logical_expr::cast, prelude::*};

    use super::*;

    #[test]
    fn only_comparisons_with_constants_pass() {
        let time = || col("event_time");
        for filter in [
            time().gt(lit(1)),
            lit(1).lt_eq(time()),
            time().between(lit(1), lit(2)),
            time().gt(lit(1)).and(col("tag").eq(lit("a"))),
            col("tag").in_list(vec![lit("a"), lit("b")], true),
            col("value").is_null().or(col("quality").not_eq(lit(0))),
        ] {
            assert!(is_leakproof(&filter), "{filter}");
        }
        for filter in [
            // Quotes the value in its error.
            cast(col("device"), DataType::Int64).eq(lit(1)),
            // Divides by what is in the row.
            (lit(1) / col("quality")).gt(lit(0)),
            col("tag").like(lit("a%")),
            lit(1).lt(lit(1) / col("quality")),
            time().gt(lit(1)).and((lit(1) / col("quality")).gt(lit(0))),
            col("tag").in_list(vec![lit("a"), cast(col("device"), DataType::Int64)], false),
        ] {
            assert!(!is_leakproof(&filter), "{filter}");
        }
    }
}
