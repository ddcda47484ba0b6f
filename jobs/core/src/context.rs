//! What a run may see: the lake as it is now, cut off at the instant that the run was due.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{Array as _, AsArray as _, RecordBatch},
    datatypes::{DataType, Float64Type, Int64Type},
};
use datafusion::{
    common::ScalarValue,
    logical_expr::{Expr, cast},
    prelude::{SessionContext, col, lit},
};
use forebay_lake::LakeWriter;
use forebay_schemas::{
    DeviceId, SiteId, TagName, Timestamp,
    table::{ALERTS, PREDICTIONS, READINGS, SCORES, Table, WINDOWS},
};

use crate::{
    AlertRow, AlertState, Fire, JobError, JobName, Lifecycle, Severity, Verdict, clock::from_micros,
};

/// One run under way.
#[derive(Clone)]
pub struct RunContext {
    pub(crate) lake: Arc<LakeWriter>,
    pub(crate) job: JobName,
    pub(crate) run_id: String,
    pub(crate) fire: Fire,
    pub(crate) attempt: u32,
    pub(crate) now: Timestamp,
}

/// Whether the row of the cutoff's own instant is seen.
#[derive(Clone, Copy)]
enum Edge {
    Before,
    UpTo,
}

/// The tables that jobs see, and the column that the cutoff is held against. Later revisions of a window and results of
/// jobs that ran before this one are seen: they are about the time before the cutoff.
const VISIBLE: [(&Table, &str, Edge); 5] = [
    (&READINGS, "event_time", Edge::Before),
    (&WINDOWS, "window_end", Edge::UpTo),
    (&SCORES, "event_time", Edge::UpTo),
    (&PREDICTIONS, "issued_at", Edge::UpTo),
    (&ALERTS, "first_seen", Edge::UpTo),
];

/// A session over the tables that jobs see, without rows: for planning a query before it runs.
///
/// # Errors
/// None that a configuration could cause.
pub fn empty_session() -> Result<SessionContext, JobError> {
    Ok(forebay_lake::empty_session(
        &VISIBLE.map(|(table, ..)| table),
    )?)
}

impl RunContext {
    /// The job's name.
    pub fn job(&self) -> &JobName {
        &self.job
    }

    /// The run's id, as results carry it.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// Why it runs.
    pub fn fire(&self) -> &Fire {
        &self.fire
    }

    /// The site it runs for; `None` when it runs for all.
    pub fn site(&self) -> Option<&SiteId> {
        self.fire.window.as_ref().map(|window| &window.site)
    }

    /// Which attempt it is, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The first instant whose readings it must not see.
    pub fn cutoff(&self) -> Timestamp {
        self.fire.cutoff()
    }

    /// When this attempt began. For `changed_at` alone: results depend on the cutoff.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// A session over the newest readings, windows, scores, predictions and alerts, without what lies after the cutoff.
    ///
    /// # Errors
    /// When the lake cannot be read.
    pub async fn session(&self) -> Result<SessionContext, JobError> {
        let mut tables = Vec::new();
        for (table, ..) in VISIBLE {
            tables.push(self.lake.table(table)?.clone());
        }
        let session = forebay_lake::session(&tables, &self.lake.decrypter()).await?;
        for (table, column, edge) in VISIBLE {
            let cutoff = time_literal(self.cutoff());
            let seen = match edge {
                Edge::Before => col(column).lt(cutoff),
                Edge::UpTo => col(column).lt_eq(cutoff),
            };
            let view = session.table(table.name).await?.filter(seen)?.into_view();
            session.deregister_table(table.name)?;
            session.register_table(table.name, view)?;
        }
        Ok(session)
    }

    /// The rows that a run's verdicts add to `alerts`, given the warnings of this job so far.
    ///
    /// # Errors
    /// When the lake cannot be read.
    pub async fn advance_alerts(
        &self,
        lifecycle: &Lifecycle,
        verdicts: BTreeMap<String, Verdict>,
    ) -> Result<Vec<AlertRow>, JobError> {
        if verdicts.is_empty() {
            return Ok(Vec::new());
        }
        let history = self.alert_history(lifecycle.horizon(self.cutoff())).await?;
        let id = |dedupe_key: &str, first_seen: Timestamp| {
            let name = format!("alert/{}/{dedupe_key}/{}", self.job, first_seen.micros());
            self.lake.keeper().app_id(&name, 0)
        };
        Ok(lifecycle.advance(&history, verdicts, self.cutoff(), self.now, id))
    }

    /// The latest row of each warning of this job that was last seen at or after `since`. Not cut off: a warning's state
    /// is the job's own memory.
    async fn alert_history(&self, since: Timestamp) -> Result<Vec<AlertRow>, JobError> {
        let table = self.lake.table(&ALERTS)?.clone();
        let session = forebay_lake::session(&[table], &self.lake.decrypter()).await?;
        let of_job = col("job")
            .eq(lit(self.job.as_str()))
            .and(col("last_seen").gt_eq(time_literal(since)));
        let rows = session
            .table("alerts")
            .await?
            .filter(of_job)?
            .select(alert_columns())?
            .collect()
            .await?;
        let mut latest: BTreeMap<String, AlertRow> = BTreeMap::new();
        for row in rows.iter().flat_map(alert_rows) {
            match latest.get(&row.alert_id) {
                Some(known) if known.changed_at > row.changed_at => {}
                _ => drop(latest.insert(row.alert_id.clone(), row)),
            }
        }
        Ok(latest.into_values().collect())
    }
}

const ALERT_TEXTS: [&str; 10] = [
    "alert_id",
    "site",
    "device",
    "tag",
    "severity",
    "state",
    "contributions",
    "reason",
    "dedupe_key",
    "acknowledged_by",
];
const ALERT_TIMES: [&str; 3] = ["changed_at", "first_seen", "last_seen"];

fn alert_columns() -> Vec<Expr> {
    let texts = ALERT_TEXTS
        .iter()
        .map(|name| cast(col(*name), DataType::Utf8).alias(*name));
    let times = ALERT_TIMES
        .iter()
        .map(|name| cast(col(*name), DataType::Int64).alias(*name));
    texts.chain(times).chain([col("score")]).collect()
}

/// The rows that this release can read; of a name or state that it does not know, none of its jobs made the row.
fn alert_rows(rows: &RecordBatch) -> Vec<AlertRow> {
    let text = |i: usize, row: usize| {
        let column = rows.column(i).as_string_opt::<i32>()?;
        (!column.is_null(row)).then(|| column.value(row).to_owned())
    };
    let time = |i: usize, row: usize| {
        let micros = rows
            .column(ALERT_TEXTS.len() + i)
            .as_primitive_opt::<Int64Type>()?;
        Some(from_micros(micros.value(row)))
    };
    let score = |row: usize| {
        let column = rows
            .column(ALERT_TEXTS.len() + ALERT_TIMES.len())
            .as_primitive_opt::<Float64Type>()?;
        (!column.is_null(row)).then(|| column.value(row))
    };
    let of_row = |row: usize| {
        Some(AlertRow {
            alert_id: text(0, row)?,
            site: SiteId::new(&text(1, row)?).ok()?,
            device: DeviceId::new(&text(2, row)?).ok()?,
            tag: text(3, row).and_then(|tag| TagName::new(&tag).ok()),
            severity: Severity::from_name(&text(4, row)?)?,
            state: AlertState::from_name(&text(5, row)?)?,
            contributions: text(6, row),
            reason: text(7, row)?,
            dedupe_key: text(8, row)?,
            acknowledged_by: text(9, row),
            changed_at: time(0, row)?,
            first_seen: time(1, row)?,
            last_seen: time(2, row)?,
            score: score(row),
        })
    };
    (0..rows.num_rows()).filter_map(of_row).collect()
}

/// An instant as a literal of the tables' type, so that filters reach the files.
pub(crate) fn time_literal(at: Timestamp) -> Expr {
    lit(ScalarValue::TimestampMicrosecond(
        Some(at.micros()),
        Some(Arc::from("UTC")),
    ))
}
