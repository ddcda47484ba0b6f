//! Texts that are compared with times, or cast to them.
//!
//! The engine reads a text without a zone as the column's zone has it, which is UTC, and knows no time without seconds. Where a session has
//! set a zone, such a text is written with its offset; everywhere seconds are added. What is no time is left to the engine.

use std::str::FromStr as _;

use arrow::{
    array::timezone::Tz, compute::kernels::cast_utils::string_to_datetime, datatypes::DataType,
};
use datafusion::{
    common::{DFSchema, ParamValues, Result, ScalarValue, tree_node::Transformed},
    error::DataFusionError,
    logical_expr::{Expr, ExprSchemable as _, Operator},
};

use crate::error::QueryError;

/// The zone of a session that has set none, as columns have it.
pub(crate) const UTC: &str = "UTC";

/// How a session reads texts without a zone.
#[derive(Debug, Clone)]
pub(crate) enum Zone {
    /// As the engine does.
    Utc,
    /// As set.
    Set(Tz),
}

impl Zone {
    /// Of a session's setting, which has been checked when it was set.
    pub(crate) fn of(setting: Option<&str>) -> Self {
        let set = setting.filter(|zone| *zone != UTC);
        match set.map(Tz::from_str) {
            Some(Ok(zone)) => Self::Set(zone),
            _ => Self::Utc,
        }
    }
}

/// Rewrites the texts that an expression holds against times, or casts to one.
pub(super) fn typed(expr: Expr, schema: &DFSchema, zone: &Zone) -> Result<Transformed<Expr>> {
    let is_time = |expr: &Expr| time_of(expr, schema);
    let mut is_changed = false;
    let expr = match expr {
        Expr::BinaryExpr(mut binary) if is_comparison(binary.op) => {
            let (left, right) = (is_time(&binary.left), is_time(&binary.right));
            is_changed |= rewrite(&mut binary.right, left, zone)?;
            is_changed |= rewrite(&mut binary.left, right, zone)?;
            Expr::BinaryExpr(binary)
        }
        Expr::Between(mut between) => {
            let own = is_time(&between.expr);
            let ends = is_time(&between.low).or_else(|| is_time(&between.high));
            is_changed |= rewrite(&mut between.low, own, zone)?;
            is_changed |= rewrite(&mut between.high, own, zone)?;
            is_changed |= rewrite(&mut between.expr, ends, zone)?;
            Expr::Between(between)
        }
        Expr::InList(mut list) => {
            let own = is_time(&list.expr);
            for item in &mut list.list {
                is_changed |= rewrite(item, own, zone)?;
            }
            Expr::InList(list)
        }
        Expr::Cast(mut cast) => {
            let target = kind(cast.field.data_type());
            is_changed |= rewrite(&mut cast.expr, target, zone)?;
            Expr::Cast(cast)
        }
        expr => expr,
    };
    Ok(Transformed::new_transformed(expr, is_changed))
}

/// What a time is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Time {
    WithZone,
    WithoutZone,
}

fn time_of(expr: &Expr, schema: &DFSchema) -> Option<Time> {
    kind(&expr.get_type(schema).ok()?)
}

fn kind(data_type: &DataType) -> Option<Time> {
    match data_type {
        DataType::Timestamp(_, Some(_)) => Some(Time::WithZone),
        DataType::Timestamp(_, None) => Some(Time::WithoutZone),
        _ => None,
    }
}

fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};

    matches!(
        op,
        Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom
    )
}

fn rewrite(expr: &mut Expr, beside: Option<Time>, zone: &Zone) -> Result<bool> {
    let (Some(beside), Expr::Literal(value, _)) = (beside, &*expr) else {
        return Ok(false);
    };
    let Some(Some(text)) = value.try_as_str() else {
        return Ok(false);
    };
    let written = written(text, beside, zone).map_err(DataFusionError::Execution)?;
    let Some(written) = written else {
        return Ok(false);
    };
    *expr = Expr::Literal(ScalarValue::Utf8(Some(written)), None);
    Ok(true)
}

/// A text as the engine is to have it, if that is another.
fn written(text: &str, beside: Time, zone: &Zone) -> Result<Option<String>, String> {
    let Some(parts) = Parts::of(text) else {
        return Ok(None);
    };
    let clock = match parts.clock {
        "" => "00:00:00".to_owned(),
        minutes if minutes.len() == 5 => format!("{minutes}:00"),
        seconds => seconds.to_owned(),
    };
    let local = format!("{}T{clock}", parts.date);
    match (zone, beside) {
        (Zone::Set(zone), Time::WithZone) if parts.offset.is_empty() => {
            let read = string_to_datetime(zone, &local).map_err(|_| {
                format!("{text:?} is no time, or no single one, in the time zone of this session")
            })?;
            Ok(Some(read.to_utc().to_rfc3339()))
        }
        _ if parts.clock.len() == 5 => Ok(Some(format!("{local}{}", parts.offset))),
        _ => Ok(None),
    }
}

/// The parts of a time's text.
#[derive(Debug, PartialEq, Eq)]
struct Parts<'a> {
    date: &'a str,
    /// Empty, or with or without seconds.
    clock: &'a str,
    /// Empty where it has none.
    offset: &'a str,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let text = text.trim();
        let (date, rest) = text.split_at_checked(10)?;
        if !fits(date, "0000-00-00") {
            return None;
        }
        if rest.is_empty() {
            return Some(Self {
                date,
                clock: "",
                offset: "",
            });
        }
        let rest = rest.strip_prefix(['T', 't', ' '])?;
        let is_clock = |c: char| c.is_ascii_digit() || c == ':' || c == '.';
        let end = rest.find(|c| !is_clock(c)).unwrap_or(rest.len());
        let (clock, offset) = rest.split_at(end);
        let whole = clock.split_once('.').map_or(clock, |(whole, _)| whole);
        if !fits(clock, "00:00") && !fits(whole, "00:00:00") {
            return None;
        }
        Some(Self {
            date,
            clock,
            offset: offset.trim(),
        })
    }
}

/// Whether a text has digits where the form has them, and the same signs between.
fn fits(text: &str, form: &str) -> bool {
    let same = |(own, form): (u8, u8)| {
        if form == b'0' {
            own.is_ascii_digit()
        } else {
            own == form
        }
    };
    text.len() == form.len() && text.bytes().zip(form.bytes()).all(same)
}

/// Whether a parameter of a type is read here when it is bound as a text.
pub(crate) fn is_zoned(data_type: &DataType) -> bool {
    kind(data_type) == Some(Time::WithZone)
}

/// Bound parameters as times where the statement holds them against times, and their client has given a text.
///
/// # Errors
/// For a text that is no time.
pub(crate) fn bound(
    values: ParamValues,
    types: &[Option<DataType>],
    zone: &Zone,
) -> Result<ParamValues, QueryError> {
    let ParamValues::List(mut values) = values else {
        return Ok(values);
    };
    for (value, data_type) in values.iter_mut().zip(types) {
        let Some(data_type) = data_type.as_ref().filter(|data_type| is_zoned(data_type)) else {
            continue;
        };
        let Some(text) = value.value.try_as_str() else {
            continue;
        };
        let time = match text {
            None => ScalarValue::try_from(data_type),
            Some(text) => {
                let written = written(text, Time::WithZone, zone).map_err(QueryError::Data)?;
                let text = written.unwrap_or_else(|| text.to_owned());
                ScalarValue::Utf8(Some(text)).cast_to(data_type)
            }
        };
        value.value = time.map_err(|error| QueryError::Data(error.strip_backtrace()))?;
    }
    Ok(ParamValues::List(values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_in_the_zone_of_the_session() {
        let berlin = Zone::of(Some("Europe/Berlin"));
        let as_it_is = Ok(None);
        let text = |text: &str| Ok(Some(text.to_owned()));
        for (written_as, zone, beside, expected) in [
            (
                "2026-11-30 06:30:00",
                &berlin,
                Time::WithZone,
                text("2026-11-30T05:30:00+00:00"),
            ),
            (
                "2026-11-30 06:30",
                &berlin,
                Time::WithZone,
                text("2026-11-30T05:30:00+00:00"),
            ),
            (
                "2026-06-30",
                &berlin,
                Time::WithZone,
                text("2026-06-29T22:00:00+00:00"),
            ),
            (
                "2026-11-30T06:30:00.25",
                &berlin,
                Time::WithZone,
                text("2026-11-30T05:30:00.250+00:00"),
            ),
            (
                "2026-11-30T06:30:00Z",
                &berlin,
                Time::WithZone,
                as_it_is.clone(),
            ),
            (
                "2026-11-30 06:30+02",
                &berlin,
                Time::WithZone,
                text("2026-11-30T06:30:00+02"),
            ),
            (
                "2026-11-30 06:30:00",
                &berlin,
                Time::WithoutZone,
                as_it_is.clone(),
            ),
            (
                "2026-11-30 06:30:00",
                &Zone::Utc,
                Time::WithZone,
                as_it_is.clone(),
            ),
            (
                "2026-11-30 06:30",
                &Zone::Utc,
                Time::WithZone,
                text("2026-11-30T06:30:00"),
            ),
            ("soon", &berlin, Time::WithZone, as_it_is.clone()),
            (
                "2026-11-30 6:30",
                &Zone::Utc,
                Time::WithZone,
                as_it_is.clone(),
            ),
        ] {
            assert_eq!(written(written_as, beside, zone), expected, "{written_as}");
        }
        // The clocks go back: it is there twice.
        assert!(written("2026-10-25 02:30:00", Time::WithZone, &berlin).is_err());
    }
}
