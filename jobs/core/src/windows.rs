//! Which windows have closed: the rows of the lake's `windows`, of which the highest revision counts.

use std::collections::BTreeMap;

use arrow::{
    array::AsArray as _,
    datatypes::{DataType, Int32Type, Int64Type},
};
use datafusion::{
    logical_expr::cast,
    prelude::{col, lit},
};
use forebay_lake::LakeWriter;
use forebay_schemas::{
    SiteId, Timestamp,
    table::{JOB_RUNS, WINDOWS},
};

use crate::{JobName, SchedulerError, Window, clock::from_micros, context::time_literal};

/// Rows are looked at again this long after their `closed_at`, in case two closed out of order; fire keys keep them from
/// firing twice.
const OVERLAP_MICROS: i64 = 3_600_000_000;

/// A job takes at most this many windows of a site at one look, the newest: a week of hours. More come at once only when
/// years are imported, and are for a back-fill.
const CAUGHT_UP_MAX: usize = 168;

/// A closed window, and when it was closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClosedWindow {
    pub(crate) window: Window,
    pub(crate) closed_at: i64,
}

/// The windows closed after `cursor` (all, without one), oldest first.
pub(crate) async fn closed_since(lake: &LakeWriter, cursor: Option<i64>) -> Result<Vec<ClosedWindow>, SchedulerError> {
    let since = cursor.map_or(i64::MIN, |cursor| cursor.saturating_sub(OVERLAP_MICROS));
    let table = lake.table(&WINDOWS)?.clone();
    let session = forebay_lake::session(&[table], &lake.decrypter()).await?;
    let micros = |name: &str| cast(col(name), DataType::Int64).alias(name);
    let rows = session
        .table("windows")
        .await?
        .filter(col("closed_at").gt_eq(time_literal(from_micros(since))))?
        .select(vec![
            cast(col("site"), DataType::Utf8).alias("site"),
            micros("window_start"),
            micros("window_end"),
            micros("closed_at"),
            col("revision"),
        ])?
        .collect()
        .await?;
    let mut latest: BTreeMap<(Timestamp, SiteId), ClosedWindow> = BTreeMap::new();
    for batch in &rows {
        let time = |i: usize| batch.column(i).as_primitive_opt::<Int64Type>();
        let (Some(sites), Some(starts), Some(ends), Some(closed), Some(revisions)) = (
            batch.column(0).as_string_opt::<i32>(),
            time(1),
            time(2),
            time(3),
            batch.column(4).as_primitive_opt::<Int32Type>(),
        ) else {
            continue;
        };
        for row in 0..batch.num_rows() {
            // Every site in the lake was a name when it was written.
            let Ok(site) = SiteId::new(sites.value(row)) else { continue };
            let (start, end) = (from_micros(starts.value(row)), from_micros(ends.value(row)));
            let found = ClosedWindow {
                window: Window { site: site.clone(), start, end, revision: revisions.value(row) },
                closed_at: closed.value(row),
            };
            let known = latest.entry((start, site)).or_insert_with(|| found.clone());
            if found.window.revision > known.window.revision {
                *known = found;
            }
        }
    }
    Ok(latest.into_values().collect())
}

/// What a job should run over, oldest first, of the windows that it has not looked at.
pub(crate) fn to_catch_up(windows: Vec<ClosedWindow>, cursor: Option<i64>) -> Vec<Window> {
    // A new job begins with the newest window of each site; what lies before it is for a back-fill.
    let most = if cursor.is_some() { CAUGHT_UP_MAX } else { 1 };
    let mut of_site: BTreeMap<SiteId, Vec<Window>> = BTreeMap::new();
    for ClosedWindow { window, .. } in windows {
        of_site.entry(window.site.clone()).or_default().push(window);
    }
    let mut kept: Vec<Window> = Vec::new();
    for (site, mut windows) in of_site {
        windows.sort_by_key(|window| window.start);
        let left_out = windows.len().saturating_sub(most);
        if left_out > 0 && cursor.is_some() {
            tracing::warn!(%site, left_out, "more windows closed at once than are caught up on, older ones are left out");
        }
        kept.extend(windows.drain(left_out..));
    }
    kept.sort_by(|a, b| (a.start, &a.site).cmp(&(b.start, &b.site)));
    kept
}

/// Whether the lake holds a successful run of a job for a fire key: asked only when the scheduler's own state is new.
pub(crate) async fn has_succeeded(lake: &LakeWriter, job: &JobName, fire_key: &str) -> Result<bool, SchedulerError> {
    let table = lake.table(&JOB_RUNS)?.clone();
    let session = forebay_lake::session(&[table], &lake.decrypter()).await?;
    let same =
        col("job").eq(lit(job.as_str())).and(col("fire_key").eq(lit(fire_key))).and(col("state").eq(lit("succeeded")));
    let rows = session.table("job_runs").await?.filter(same)?.collect().await?;
    Ok(rows.iter().any(|batch| batch.num_rows() > 0))
}
