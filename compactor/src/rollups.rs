//! Roll-ups: what a series was like in each minute and each hour, kept beside its readings.
//!
//! Invariants: a row is there once all windows that its stretch of time touches are over, and it is of all readings that the
//! stretch has then; a window that is closed again has its rows made again, in place of the old ones and in one commit, so a
//! plain read of the tables is right. What is written depends on the readings alone, not on their order or files: the same
//! readings again change nothing. Rows of which retention has deleted readings are never made again.
//!
//! When that is done is decided where windows are closed.

mod aggregate;
mod level;
mod spans;

use forebay_lake::{LakeWriter, ReplaceSpec, Replaced, replace};
use forebay_schemas::{SiteId, Timestamp};
use futures::StreamExt as _;
use tracing::debug;

use crate::{
    CompactorError,
    windows::{Days, Stretch, Tables, wrong},
};
use aggregate::Aggregate;
pub use level::{RollupLevel, RollupLevels};
use spans::{chunks, joined, overlap, whole};

/// What of a site is to be rolled up.
#[derive(Debug)]
pub(crate) struct RollUp<'a> {
    pub(crate) site: &'a SiteId,
    pub(crate) levels: RollupLevels,
    /// Event times whose readings may have changed, µs since 1970 UTC.
    pub(crate) changed: &'a [Stretch],
    /// Readings of each day.
    pub(crate) days: &'a Days,
    /// The end of the last window that is over.
    pub(crate) over: i64,
    /// Readings before it may have been deleted.
    pub(crate) fixed_before: Option<i64>,
}

/// Brings the roll-ups up to the readings; answers how many rows were written.
///
/// # Errors
/// As [`crate::close_windows`]: what was written before counts, and the same call again does the rest.
pub(crate) async fn roll_up(
    lake: &LakeWriter,
    tables: &Tables,
    spec: &RollUp<'_>,
    now: Timestamp,
) -> Result<u64, CompactorError> {
    let mut wanted = Vec::new();
    for level in spec.levels.all() {
        wanted.push((level, whole(spec.changed, level.width(), spec.over)));
    }
    let Some(finest) = wanted.first().map(|(level, _)| *level) else {
        return Ok(0);
    };
    let to_read = joined(wanted.iter().flat_map(|(_, spans)| spans).copied());
    let mut written = 0;
    for chunk in chunks(&to_read, spec.days) {
        let mut aggregate = Aggregate::new(finest.width());
        let mut batches = tables.numbers(spec.site.as_str(), chunk).await?;
        while let Some(rows) = batches.next().await {
            let rows = rows.map_err(|source| CompactorError::Query {
                source: Box::new(source),
            })?;
            aggregate.add(&rows).map_err(wrong)?;
        }
        for (level, spans) in &wanted {
            let stretches = overlap(spans, chunk);
            if stretches.is_empty() {
                continue;
            }
            let replacement = ReplaceSpec {
                table: level.table(),
                site: spec.site.clone(),
                rows: aggregate.rows(*level, &stretches).map_err(wrong)?,
                stretches,
                fixed_before: spec.fixed_before,
            };
            match replace(lake, &replacement, now).await.map_err(wrong)? {
                Replaced::Unchanged => {}
                Replaced::Changed { rows, removed } => {
                    written += rows;
                    let table = level.table().name;
                    debug!(site = %spec.site, table, rows, removed, "roll-ups written");
                }
            }
        }
    }
    Ok(written)
}
