//! What a query asks of readings before it groups them, in so far as a roll-up can tell.

use std::sync::Arc;

use arrow::array::Int16Array;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator, utils::conjunction};

use super::expressions::{NAMES, QUALITY, VALUE, Zones, holds, is_column, is_of, is_time, nanos};

/// Good and uncertain readings count in a roll-up, bad ones do not; there is no other quality.
const QUALITIES: [i16; 3] = [0, 1, 2];
const COUNTED: [bool; 3] = [true, true, false];

/// The conditions on readings.
#[derive(Debug)]
pub(super) struct Filters {
    /// Conditions on the series' names.
    pub(super) names: Vec<Expr>,
    /// Event times from the first to just before the second, µs since 1970 UTC.
    pub(super) times: (i64, i64),
    /// Readings without a number are left out.
    pub(super) are_numbers: bool,
}

impl Filters {
    /// `None` where a condition is none that a roll-up's row tells, or readings count that are not rolled up.
    pub(super) fn of(conditions: &[Expr]) -> Option<Self> {
        let mut filters = Self {
            names: Vec::new(),
            times: (i64::MIN, i64::MAX),
            are_numbers: false,
        };
        let mut qualities = Vec::new();
        for condition in conditions {
            if is_of(condition, &NAMES) {
                filters.names.push(condition.clone());
            } else if is_of(condition, &[QUALITY]) {
                qualities.push(condition.clone());
            } else if matches!(condition, Expr::IsNotNull(inner) if is_column(inner, VALUE)) {
                filters.are_numbers = true;
            } else {
                narrow(&mut filters.times, condition)?;
            }
        }
        let quality = conjunction(qualities)?;
        let verdicts = holds(
            &quality,
            QUALITY,
            Arc::new(Int16Array::from_iter_values(QUALITIES)),
        )?;
        let counted = verdicts.iter().map(|verdict| verdict == Some(true));
        counted.eq(COUNTED).then_some(filters)
    }
}

/// Narrows event times by a comparison with a constant; `None` for any other condition.
fn narrow(times: &mut (i64, i64), condition: &Expr) -> Option<()> {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_time(left, Zones::Any) => {
            compare(times, *op, constant(right)?)
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_time(right, Zones::Any) => {
            compare(times, op.swap()?, constant(left)?)
        }
        Expr::Between(Between {
            expr,
            negated: false,
            low,
            high,
        }) if is_time(expr, Zones::Any) => {
            compare(times, Operator::GtEq, constant(low)?)?;
            compare(times, Operator::LtEq, constant(high)?)
        }
        _ => None,
    }
}

fn constant(expr: &Expr) -> Option<i128> {
    match expr {
        Expr::Literal(literal, _) => nanos(literal),
        _ => None,
    }
}

/// Times are of whole µs: `> 1.5 µs` is from 2 µs on.
fn compare((from, to): &mut (i64, i64), op: Operator, nanos: i128) -> Option<()> {
    let micros = |nanos: i128| i64::try_from(nanos.clamp(i64::MIN.into(), i64::MAX.into())).ok();
    let at_or_after = micros(nanos.div_euclid(1_000) + i128::from(nanos.rem_euclid(1_000) != 0))?;
    let after = micros(nanos.div_euclid(1_000) + 1)?;
    match op {
        Operator::GtEq => *from = (*from).max(at_or_after),
        Operator::Gt => *from = (*from).max(after),
        Operator::Lt => *to = (*to).min(at_or_after),
        Operator::LtEq => *to = (*to).min(after),
        _ => return None,
    }
    Some(())
}
