//! What jobs still have to read, which nobody may delete (ADR 0038).
//!
//! A run that waits or is under way needs what lies up to `holds` before its window or its due time; a window that has closed
//! and that its job has not looked at needs as much; a back-fill needs all that is older than itself. How far back a kind reads
//! is its own affair, or that of a query: so the configuration says it.

use std::{collections::BTreeMap, path::Path, time::Duration};

use forebay_lake::LakeWriter;
use forebay_schemas::{SiteId, Timestamp};

use crate::{
    Jobs, ScheduledJob, SchedulerError, Trigger,
    clock::{minus, plus, rfc3339},
    store::Store,
    windows::{ClosedWindow, closed_since},
};

/// A back-fill that was cut short and that nobody takes up again needs nothing any more after so long.
const BACKFILL_MAX: Duration = Duration::from_secs(7 * 86_400);

/// Event times that a job still has to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// Of this site; none for all.
    pub site: Option<SiteId>,
    /// From then on.
    pub from: Timestamp,
    /// To just before then.
    pub to: Timestamp,
    /// Which job, and what for.
    pub why: String,
}

/// What runs of a job that have not ended are about: the first instant of all of a site, and the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unfinished {
    /// None where the runs are of all sites.
    pub(crate) site: Option<SiteId>,
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    pub(crate) runs: u64,
}

/// What these jobs still have to read, as the database of runs at `path` and the lake tell. Jobs that were never run need nothing.
///
/// # Errors
/// When the database or the lake cannot be read: what is needed is not known then.
pub async fn needs(
    jobs: &Jobs,
    lake: &LakeWriter,
    path: &Path,
    now: Timestamp,
) -> Result<Vec<Need>, SchedulerError> {
    if jobs.is_empty() || !path.exists() {
        return Ok(Vec::new());
    }
    let store = Store::open(path).await?;
    let mut needs = Vec::new();
    for job in jobs.iter() {
        let (name, holds) = (&job.spec.name, job.spec.holds);
        for of_site in store.unfinished(name).await? {
            let why = format!("{} runs of job {name} that have not ended", of_site.runs);
            needs.push(of_site.need(holds, why));
        }
        for closed in not_looked_at(job, lake, &store).await? {
            needs.push(closed.need(holds, format!("windows that job {name} has not looked at")));
        }
        let backfill = store.backfill(name).await?;
        let alive = |started: Timestamp| now < plus(started, BACKFILL_MAX);
        if let Some(started) = backfill
            .map(|backfill| backfill.started_at)
            .filter(|at| alive(*at))
        {
            needs.push(Need {
                site: None,
                from: Timestamp::from_nanos(i64::MIN),
                to: started,
                why: format!("a back-fill of job {name} since {}", rfc3339(started)),
            });
        }
    }
    Ok(needs)
}

impl Unfinished {
    fn need(self, holds: Duration, why: String) -> Need {
        Need {
            site: self.site,
            from: minus(self.first, holds),
            to: self.last,
            why,
        }
    }
}

/// Windows that have closed since a job looked at them last, as after a time without whoever runs the jobs.
async fn not_looked_at(
    job: &ScheduledJob,
    lake: &LakeWriter,
    store: &Store,
) -> Result<Vec<Unfinished>, SchedulerError> {
    if !matches!(job.spec.trigger, Trigger::WindowClosed) {
        return Ok(Vec::new());
    }
    // A job that has not looked yet begins with the newest window.
    let known = store.registered(&job.spec.name).await?;
    let Some(cursor) = known.and_then(|known| known.cursor) else {
        return Ok(Vec::new());
    };
    let mut by_site: BTreeMap<SiteId, Unfinished> = BTreeMap::new();
    let closed = closed_since(lake, Some(cursor)).await?;
    for ClosedWindow { window, .. } in closed.into_iter().filter(|new| new.closed_at > cursor) {
        let new = Unfinished {
            site: Some(window.site.clone()),
            first: window.start,
            last: window.end,
            runs: 0,
        };
        let of_site = by_site.entry(window.site).or_insert(new);
        of_site.first = of_site.first.min(window.start);
        of_site.last = of_site.last.max(window.end);
    }
    Ok(by_site.into_values().collect())
}
