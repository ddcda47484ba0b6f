//! What a query groups by: whether it has one value for all times of a roll-up's row.

use arrow::datatypes::IntervalMonthDayNano;
use datafusion::{
    common::{
        ScalarValue,
        tree_node::{TreeNode as _, TreeNodeRecursion},
    },
    logical_expr::{BinaryExpr, Cast, Expr, Operator},
};

use super::expressions::{NAMES, Zones, is_plain, is_time, nanos};

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;
const DAY_NANOS: i128 = 86_400_000_000_000;

/// Times from here on are so large that seconds as a double no longer tell a µs before a minute from the minute.
pub(super) const SECONDS_EXACT_BEFORE: i64 = (1 << 32) * 1_000_000;

/// Whether an expression is of the series' names, and of the event time only as far as it is the same for all times of each
/// stretch of `step` µs that begins at a multiple of it since 1970 UTC.
pub(super) fn is_one_within(expr: &Expr, step: i64) -> bool {
    let mut is_one = true;
    let visited = expr.apply(|node| {
        if is_bin(node, step) {
            return Ok(TreeNodeRecursion::Jump);
        }
        let is_known = match node {
            Expr::Column(column) => NAMES.contains(&column.name.as_str()),
            node => is_plain(node),
        };
        is_one &= is_known;
        Ok(if is_known {
            TreeNodeRecursion::Continue
        } else {
            TreeNodeRecursion::Stop
        })
    });
    visited.is_ok() && is_one
}

fn is_bin(expr: &Expr, step: i64) -> bool {
    let Expr::ScalarFunction(call) = expr else {
        return false;
    };
    match (call.func.name(), call.args.as_slice()) {
        ("date_bin", [stride, time]) => is_stride(stride, step) && is_time(time, Zones::Utc),
        ("date_bin", [stride, time, origin]) => {
            is_stride(stride, step) && is_time(time, Zones::Utc) && is_origin(origin, step)
        }
        ("date_trunc", [part, time]) => {
            is_part(part, step, &TRUNCATED) && is_time(time, Zones::Utc)
        }
        ("date_part", [part, time]) => is_part(part, step, &PARTS) && is_time(time, Zones::Utc),
        ("floor", [seconds]) => is_share_of_epoch(seconds, step),
        _ => false,
    }
}

/// What a time can be cut to, and the length in which it begins and ends.
const TRUNCATED: [(&str, i64); 7] = [
    ("minute", MINUTE),
    ("hour", HOUR),
    ("day", HOUR),
    ("week", HOUR),
    ("month", HOUR),
    ("quarter", HOUR),
    ("year", HOUR),
];

/// Parts of a time that are the same for a whole minute, or hour.
const PARTS: [(&str, i64); 10] = [
    ("minute", MINUTE),
    ("hour", HOUR),
    ("day", HOUR),
    ("dow", HOUR),
    ("isodow", HOUR),
    ("doy", HOUR),
    ("week", HOUR),
    ("month", HOUR),
    ("quarter", HOUR),
    ("year", HOUR),
];

fn is_part(part: &Expr, step: i64, known: &[(&str, i64)]) -> bool {
    let Expr::Literal(literal, _) = part else {
        return false;
    };
    let Some(part) = literal.try_as_str().flatten() else {
        return false;
    };
    let part = part.to_ascii_lowercase();
    known
        .iter()
        .any(|(name, length)| *name == part && length % step == 0)
}

fn is_stride(stride: &Expr, step: i64) -> bool {
    let Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(stride)), _) = stride else {
        return false;
    };
    let IntervalMonthDayNano {
        months,
        days,
        nanoseconds,
    } = stride;
    let nanos = i128::from(*days) * DAY_NANOS + i128::from(*nanoseconds);
    *months == 0 && nanos > 0 && nanos % (i128::from(step) * 1_000) == 0
}

fn is_origin(origin: &Expr, step: i64) -> bool {
    let Expr::Literal(origin, _) = origin else {
        return false;
    };
    nanos(origin).is_some_and(|origin| origin % (i128::from(step) * 1_000) == 0)
}

/// `extract(epoch from event_time) / N`, as Grafana groups by time. Up to [`SECONDS_EXACT_BEFORE`] the double of a µs before a
/// multiple of N is less than it, and so is the quotient: an N-th of 1 µs is four times what a double there leaves out.
fn is_share_of_epoch(expr: &Expr, step: i64) -> bool {
    let Expr::BinaryExpr(BinaryExpr {
        left,
        op: Operator::Divide,
        right,
    }) = without_casts(expr)
    else {
        return false;
    };
    let Expr::ScalarFunction(call) = without_casts(left) else {
        return false;
    };
    let [Expr::Literal(part, _), time] = call.args.as_slice() else {
        return false;
    };
    let is_epoch = part
        .try_as_str()
        .flatten()
        .is_some_and(|part| part.eq_ignore_ascii_case("epoch"));
    call.func.name() == "date_part"
        && is_epoch
        && is_time(time, Zones::Utc)
        && seconds(without_casts(right)).is_some_and(|seconds| is_multiple(seconds, step))
}

fn is_multiple(seconds: f64, step: i64) -> bool {
    let micros = seconds * 1e6;
    // Beyond it a double has no units.
    (1.0..9e15).contains(&micros) && micros.fract() == 0.0 && micros as i64 % step == 0
}

fn seconds(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::Literal(ScalarValue::Float64(seconds), _) => *seconds,
        Expr::Literal(ScalarValue::Int64(seconds), _) => seconds.map(|seconds| seconds as f64),
        _ => None,
    }
}

/// Doubles and whole numbers that are made doubles.
fn without_casts(expr: &Expr) -> &Expr {
    match expr {
        Expr::Cast(Cast { expr: inner, field })
            if *field.data_type() == arrow::datatypes::DataType::Float64 =>
        {
            without_casts(inner)
        }
        expr => expr,
    }
}
