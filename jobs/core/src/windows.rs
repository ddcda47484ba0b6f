//! Which windows have closed: the rows of the lake's `windows`, of which the highest revision counts.

use std::collections::BTreeMap;

use arrow::{
    array::{Array as _, AsArray as _},
    datatypes::{DataType, Float64Type, Int32Type, Int64Type},
};
use datafusion::{logical_expr::cast, prelude::col};
use forebay_lake::LakeWriter;
use forebay_schemas::{SiteId, Timestamp, table::WINDOWS};

use crate::{SchedulerError, Window, clock::from_micros, context::time_literal, store::LeftOut};

/// Rows are looked at again this long after their `closed_at`, in case two closed out of order; fire keys keep them from
/// firing twice.
const OVERLAP_MICROS: i64 = 3_600_000_000;

/// A job takes at most this many windows of a site at one look, the newest: a week of hours. More come at once only when
/// years are imported, and are for a back-fill.
pub(crate) const CAUGHT_UP_MAX: usize = 168;

/// A closed window, and when it was closed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ClosedWindow {
    pub(crate) window: Window,
    pub(crate) closed_at: i64,
    /// The share of the site's devices that sent a good reading; `None` where it is unknown.
    pub(crate) completeness: Option<f64>,
}

impl ClosedWindow {
    /// Whether it is complete enough for a job that asks for `least`.
    pub(crate) fn has(&self, least: Option<f64>) -> bool {
        least.is_none_or(|least| self.completeness.is_some_and(|share| share >= least))
    }
}

/// The windows closed after `cursor` (all, without one), oldest first.
pub(crate) async fn closed_since(
    lake: &LakeWriter,
    cursor: Option<i64>,
) -> Result<Vec<ClosedWindow>, SchedulerError> {
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
            col("completeness"),
        ])?
        .collect()
        .await?;
    let mut latest: BTreeMap<(Timestamp, SiteId), ClosedWindow> = BTreeMap::new();
    for batch in &rows {
        let time = |i: usize| batch.column(i).as_primitive_opt::<Int64Type>();
        let (Some(sites), Some(starts), Some(ends), Some(closed), Some(revisions), Some(shares)) = (
            batch.column(0).as_string_opt::<i32>(),
            time(1),
            time(2),
            time(3),
            batch.column(4).as_primitive_opt::<Int32Type>(),
            batch.column(5).as_primitive_opt::<Float64Type>(),
        ) else {
            continue;
        };
        for row in 0..batch.num_rows() {
            // Every site in the lake was a name when it was written.
            let Ok(site) = SiteId::new(sites.value(row)) else {
                continue;
            };
            let (start, end) = (from_micros(starts.value(row)), from_micros(ends.value(row)));
            let found = ClosedWindow {
                window: Window {
                    site: site.clone(),
                    start,
                    end,
                    revision: revisions.value(row),
                },
                closed_at: closed.value(row),
                completeness: shares.is_valid(row).then(|| shares.value(row)),
            };
            let known = latest.entry((start, site)).or_insert_with(|| found.clone());
            if found.window.revision > known.window.revision {
                *known = found;
            }
        }
    }
    Ok(latest.into_values().collect())
}

/// Windows of a site that a job is not run over, oldest first.
#[derive(Debug)]
pub(crate) struct Skipped {
    pub(crate) site: SiteId,
    /// The first one's start.
    pub(crate) from: Timestamp,
    /// The last one's end.
    pub(crate) to: Timestamp,
    pub(crate) count: u64,
    pub(crate) left_out: LeftOut,
}

/// The newest windows of each site, `most` at most and oldest first, and what is left out for a person to back-fill.
pub(crate) fn newest(windows: Vec<ClosedWindow>, most: usize) -> (Vec<Window>, Vec<Skipped>) {
    let mut of_site: BTreeMap<SiteId, Vec<ClosedWindow>> = BTreeMap::new();
    for closed in windows {
        of_site
            .entry(closed.window.site.clone())
            .or_default()
            .push(closed);
    }
    let (mut kept, mut skipped) = (Vec::new(), Vec::new());
    for (site, mut windows) in of_site {
        windows.sort_by_key(|closed| closed.window.start);
        let rest = windows.split_off(windows.len().saturating_sub(most));
        kept.extend(rest.into_iter().map(|closed| closed.window));
        let (Some(first), Some(last)) = (windows.first(), windows.last()) else {
            continue;
        };
        let closed = windows
            .iter()
            .map(|closed| closed.closed_at)
            .max()
            .unwrap_or(last.closed_at);
        skipped.push(Skipped {
            site,
            from: first.window.start,
            to: last.window.end,
            count: windows.len() as u64,
            left_out: LeftOut {
                until: last.window.start.micros(),
                closed,
            },
        });
    }
    kept.sort_by(|a, b| (a.start, &a.site).cmp(&(b.start, &b.site)));
    (kept, skipped)
}
