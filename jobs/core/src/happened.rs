//! What has happened: warnings that other jobs opened, and events.

use std::collections::BTreeMap;

use arrow::{
    array::AsArray as _,
    datatypes::{DataType, Int64Type},
};
use datafusion::{
    logical_expr::cast,
    prelude::{Expr, SessionContext, coalesce, col, lit},
};
use forebay_lake::LakeWriter;
use forebay_schemas::table::{ALERTS, EVENTS, Table};

use crate::{Fire, SchedulerError, Trigger, clock::from_micros, context::time_literal};

/// Something that happened, as its first row tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Happening {
    pub(crate) fire: Fire,
    /// When the row was made, µs since 1970 UTC.
    pub(crate) changed_at: i64,
}

/// The table that tells of what a trigger waits for.
pub(crate) fn table_of(trigger: &Trigger) -> Option<&'static Table> {
    match trigger {
        Trigger::Alert(_) => Some(&ALERTS),
        Trigger::Event(_) => Some(&EVENTS),
        Trigger::Cron(_) | Trigger::WindowClosed | Trigger::Manual => None,
    }
}

/// What a trigger waits for, told by rows from `since` on (µs since 1970 UTC), in the order in which it was due: a warning
/// when it was first seen, an event when it ended, or began where its first row names no end.
pub(crate) async fn happened(
    lake: &LakeWriter,
    trigger: &Trigger,
    since: i64,
) -> Result<Vec<Happening>, SchedulerError> {
    let Some(table) = table_of(trigger) else {
        return Ok(Vec::new());
    };
    let session = forebay_lake::session(&[lake.table(table)?.clone()], &lake.decrypter()).await?;
    let (prefix, id, due, wanted) = match trigger {
        Trigger::Alert(job) => (
            "alert",
            "alert_id",
            col("first_seen"),
            col("job").eq(lit(job.as_str())),
        ),
        Trigger::Event(kind) => (
            "event",
            "event_id",
            coalesce(vec![col("to_time"), col("from_time")]),
            col("kind").eq(lit(kind.as_str())),
        ),
        Trigger::Cron(_) | Trigger::WindowClosed | Trigger::Manual => return Ok(Vec::new()),
    };
    let since = col("changed_at").gt_eq(time_literal(from_micros(since)));
    let rows = read(&session, table, id, due, wanted.and(since)).await?;
    let mut happened: Vec<Happening> = rows
        .into_iter()
        .map(|(id, (changed_at, due))| Happening {
            fire: Fire::event(format!("{prefix}/{id}"), from_micros(due)),
            changed_at,
        })
        .collect();
    happened
        .sort_by(|a, b| (a.fire.due, a.fire.key.as_str()).cmp(&(b.fire.due, b.fire.key.as_str())));
    Ok(happened)
}

/// By id, when its first row was made and when it was due, µs since 1970 UTC.
async fn read(
    session: &SessionContext,
    table: &Table,
    id: &str,
    due: Expr,
    wanted: Expr,
) -> Result<BTreeMap<String, (i64, i64)>, SchedulerError> {
    let columns = vec![
        cast(col(id), DataType::Utf8).alias("id"),
        cast(col("changed_at"), DataType::Int64).alias("changed_at"),
        cast(due, DataType::Int64).alias("due"),
    ];
    let rows = session.table(table.name).await?.filter(wanted)?;
    let rows = rows.select(columns)?.collect().await?;
    let mut first: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for rows in &rows {
        let time = |i: usize| rows.column(i).as_primitive_opt::<Int64Type>();
        let (Some(ids), Some(changed), Some(due)) =
            (rows.column(0).as_string_opt::<i32>(), time(1), time(2))
        else {
            continue;
        };
        for row in 0..rows.num_rows() {
            let found = (changed.value(row), due.value(row));
            let known = first.entry(ids.value(row).to_owned()).or_insert(found);
            *known = found.min(*known);
        }
    }
    Ok(first)
}
