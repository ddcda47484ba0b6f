//! The warnings of a job so far, and what a run's verdicts add to them.

use std::collections::BTreeMap;

use arrow::{
    array::{Array as _, AsArray as _, RecordBatch},
    datatypes::{DataType, Float64Type, Int64Type},
};
use datafusion::{
    error::DataFusionError,
    logical_expr::{Expr, cast},
    prelude::{SessionContext, col, lit},
};
use forebay_lake::LakeWriter;
use forebay_schemas::{DeviceId, SiteId, TagName, Timestamp, table::ALERTS};

use super::time_literal;
use crate::{
    AlertRow, AlertState, JobError, JobName, Lifecycle, RunContext, SchedulerError, Severity,
    Verdict,
    clock::from_micros,
    sight::{KnownWarnings, LatestWarnings, Sight},
};

impl RunContext {
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
    /// is the job's own memory. A back-fill knows only those that were first seen up to its fire: to it the later ones are
    /// other warnings.
    async fn alert_history(&self, since: Timestamp) -> Result<Vec<AlertRow>, JobError> {
        let Sight::Held(held) = &self.sight else {
            let latest = latest(&self.uncut().await?, &self.job, since).await?;
            return Ok(latest.into_rows());
        };
        let mut known = match held.warnings_since(since) {
            Some(known) => known,
            None => {
                let read = latest(&self.uncut().await?, &self.job, since).await?;
                let known = read.since(since);
                held.keep_warnings(KnownWarnings::read(since, read));
                known
            }
        };
        known.retain(|alert| alert.first_seen <= self.cutoff());
        Ok(known)
    }
}

/// The latest row of each warning of a job.
pub(crate) async fn latest_alerts(
    lake: &LakeWriter,
    job: &JobName,
) -> Result<Vec<AlertRow>, SchedulerError> {
    let table = lake.table(&ALERTS)?.clone();
    let session = forebay_lake::session(&[table], &lake.decrypter()).await?;
    let always = Timestamp::from_nanos(i64::MIN);
    Ok(latest(&session, job, always).await?.into_rows())
}

/// The latest row of each warning of a job that was last seen at or after `since`.
async fn latest(
    session: &SessionContext,
    job: &JobName,
    since: Timestamp,
) -> Result<LatestWarnings, DataFusionError> {
    let of_job = col("job")
        .eq(lit(job.as_str()))
        .and(col("last_seen").gt_eq(time_literal(since)));
    let rows = session
        .table(ALERTS.name)
        .await?
        .filter(of_job)?
        .select(alert_columns())?
        .collect()
        .await?;
    let mut latest = LatestWarnings::default();
    for row in rows.iter().flat_map(alert_rows) {
        latest.add(row);
    }
    Ok(latest)
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
