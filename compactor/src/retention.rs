//! How long rows are kept: what is older is deleted, on a clock of its own beside ingest, merges and readers.
//!
//! Invariants: a reading is deleted only if its day is settled, which is when all windows that hold it are closed and count it, and all
//! roll-ups that are kept are of it too; and if nobody holds its time: jobs that still have to see it say so by a [`Hold`]. What was deleted is noted in the same
//! commit, told in the table `deletions`, and never missed by `verify`. Whatever fails here is logged and done again later: no
//! reading depends on it.

mod keys;
mod pattern;
mod settings;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, pin::Pin, sync::Arc, time::Duration};

use forebay_lake::{
    EventExpiry, EventFiles, ExpireSpec, Expired, ExpiredBySite, HeldEvents, LakeError, LakeWriter,
    Swept, expire, expire_events, would_expire, would_expire_events, write_expired_events,
};
use forebay_schemas::{
    Clock, SiteId, Timestamp,
    table::{EVENTS, READINGS, READINGS_1H, READINGS_1M, Table},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::{
    CompactorError, RollupLevels,
    windows::{Stretch, unsettled},
};
pub use keys::RETENTION;
pub use settings::{RetentionRule, RetentionSettings};

/// How often old rows are looked for.
const EVERY: Duration = Duration::from_secs(600);

/// What is kept longer than this is deleted by whole UTC days, the rest by whole hours: a file over whose times the limit moves is
/// not written again at each look.
const BY_DAYS: i64 = 10 * DAY;
const DAY: i64 = 86_400_000_000;
const HOUR: i64 = 3_600_000_000;

/// Event times that somebody still needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Of this site; `None` for all.
    pub site: Option<SiteId>,
    /// From then on, µs since 1970 UTC.
    pub from: i64,
    /// To just before then.
    pub to: i64,
    /// Who needs them, for the log.
    pub why: String,
}

/// Says which event times are held, each time that it is asked: a back-fill's span, and what the windows of jobs that have not
/// run yet reach back to. Where that is unknown, why; then nothing is deleted.
pub type Holds = Arc<dyn Fn() -> Held + Send + Sync>;

/// The answer to come.
pub type Held = Pin<Box<dyn Future<Output = Result<Vec<Hold>, String>> + Send>>;

/// Nobody holds anything.
pub fn no_holds() -> Holds {
    Arc::new(|| Box::pin(async { Ok(Vec::new()) }))
}

/// What was deleted of a site, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteExpired {
    /// `readings`, a roll-up or `events`.
    pub table: &'static str,
    /// The site.
    pub site: SiteId,
    /// What.
    pub expired: Expired,
}

/// Deletes what is too old until the stop; one that is under way then is dropped, which loses nothing.
pub async fn run_retention(
    lake: Arc<LakeWriter>,
    settings: RetentionSettings,
    levels: RollupLevels,
    holds: Holds,
    clock: Clock,
    stop: CancellationToken,
) {
    let looks = async {
        if !settings.deletes() {
            tell_outstanding(&lake).await;
            return std::future::pending::<()>().await;
        }
        let mut memory = RetentionMemory::default();
        loop {
            match holds().await {
                Ok(held) => {
                    tell_held(&held);
                    let deleted = delete_old(&lake, &settings, levels, &held, &mut memory, clock());
                    if let Err(error) = deleted.await {
                        warn!(%error, "deleting old rows failed, retrying later");
                    }
                }
                Err(error) => {
                    warn!(
                        error,
                        "reading what jobs need failed, no old rows deleted, retrying later"
                    )
                }
            }
            tokio::time::sleep(EVERY).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = looks => {}
    }
}

/// Tells of events that were deleted while the configuration said so.
async fn tell_outstanding(lake: &LakeWriter) {
    while let Err(error) = write_expired_events(lake).await {
        warn!(table = EVENTS.name, %error, "telling of deleted rows failed, retrying later");
        tokio::time::sleep(EVERY).await;
    }
}

/// Which files hold nothing that is to be deleted, from one look to the next.
#[derive(Debug, Default)]
pub struct RetentionMemory {
    /// By table and site.
    sites: BTreeMap<(&'static str, String), Swept>,
    events: EventFiles,
}

/// Deletes what is too old; answers what was deleted. A site that fails is logged, and the others go on.
///
/// # Errors
/// When a table cannot be read; events are deleted all the same.
pub async fn delete_old(
    lake: &LakeWriter,
    settings: &RetentionSettings,
    levels: RollupLevels,
    holds: &[Hold],
    memory: &mut RetentionMemory,
    now: Timestamp,
) -> Result<Vec<SiteExpired>, CompactorError> {
    let mut all = Vec::new();
    let specs = specs(lake, settings, levels, holds, now).await;
    for spec in specs.as_deref().unwrap_or_default() {
        let (table, site) = (spec.table.name, spec.site.clone());
        let key = (table, site.as_str().to_owned());
        let swept = memory.sites.entry(key).or_default();
        match expire(lake, spec, swept, now).await {
            Ok(expired) if expired.rows() == 0 => {}
            Ok(expired) => {
                tell(table, &site, &expired);
                all.push(SiteExpired {
                    table,
                    site,
                    expired,
                });
            }
            // One bad file must not keep all others.
            Err(error) => {
                warn!(table, %site, %error, "deleting old rows failed, continuing with the other sites")
            }
        }
    }
    let spec = event_expiry(settings, holds, now);
    match delete_old_events(lake, spec.as_ref(), &mut memory.events, now).await {
        Ok(expired) => {
            for of in of_events(expired) {
                tell(of.table, &of.site, &of.expired);
                all.push(of);
            }
        }
        Err(error) => {
            warn!(table = EVENTS.name, %error, "deleting old rows failed, retrying later")
        }
    }
    specs.map(|_| all)
}

/// Deletes events. Where they are kept for ever now, those that were deleted before are told all the same.
async fn delete_old_events(
    lake: &LakeWriter,
    spec: Option<&EventExpiry>,
    files: &mut EventFiles,
    now: Timestamp,
) -> Result<ExpiredBySite, LakeError> {
    match spec {
        Some(spec) => expire_events(lake, spec, files, now).await,
        None => {
            write_expired_events(lake).await?;
            Ok(ExpiredBySite::new())
        }
    }
}

/// What [`delete_old`] would delete, without deleting it: for `forebay retention --dry-run`.
///
/// # Errors
/// When a table or a file cannot be read.
pub async fn would_delete(
    lake: &LakeWriter,
    settings: &RetentionSettings,
    levels: RollupLevels,
    holds: &[Hold],
    now: Timestamp,
) -> Result<Vec<SiteExpired>, CompactorError> {
    let mut all = Vec::new();
    for spec in specs(lake, settings, levels, holds, now).await? {
        let expired = would_expire(lake, &spec).await.map_err(of_retention)?;
        if expired.rows() > 0 {
            all.push(SiteExpired {
                table: spec.table.name,
                site: spec.site,
                expired,
            });
        }
    }
    if let Some(spec) = event_expiry(settings, holds, now) {
        let expired = would_expire_events(lake, &spec).await;
        all.extend(of_events(expired.map_err(of_retention)?));
    }
    Ok(all)
}

/// Which events are to be deleted; `None` where they are kept for ever. What jobs need of readings, they may need of events.
fn event_expiry(
    settings: &RetentionSettings,
    holds: &[Hold],
    now: Timestamp,
) -> Option<EventExpiry> {
    let (rule, before) = settings.of_events(now)?;
    let held = holds.iter().filter(|hold| hold.from < before.min(hold.to));
    let held = held.map(|hold| HeldEvents {
        site: hold.site.clone(),
        from: hold.from,
        // An event for which a run is due is at the very end of what the run needs. What begins later than the limit stays anyway: a
        // hold that grows is the same one.
        to: hold.to.saturating_add(1).min(before),
    });
    Some(EventExpiry {
        rule,
        before,
        held: held.collect(),
    })
}

fn of_events(expired: ExpiredBySite) -> impl Iterator<Item = SiteExpired> {
    expired.into_iter().filter_map(|(site, expired)| {
        Some(SiteExpired {
            table: EVENTS.name,
            // Names that are none come from no reading.
            site: SiteId::new(&site).ok()?,
            expired,
        })
    })
}

fn tell_held(held: &[Hold]) {
    for Hold { site, why, .. } in held {
        let site = site.as_ref().map(SiteId::as_str);
        debug!(site, why, "readings are kept whatever their age");
    }
}

fn tell(table: &str, site: &SiteId, expired: &Expired) {
    for deletion in &expired.deletions {
        let before = Timestamp::from_nanos(deletion.before.saturating_mul(1_000));
        let (rule, rows) = (&deletion.rule, deletion.rows);
        info!(table, %site, rule, rows, ?before, "old rows deleted");
    }
}

/// What is to be deleted of each table and site.
async fn specs(
    lake: &LakeWriter,
    settings: &RetentionSettings,
    levels: RollupLevels,
    holds: &[Hold],
    now: Timestamp,
) -> Result<Vec<ExpireSpec>, CompactorError> {
    let mut specs = Vec::new();
    for table in [&READINGS, &READINGS_1M, &READINGS_1H] {
        if !settings.deletes_of(table) {
            continue;
        }
        for site in sites(lake, table).await.map_err(of_retention)? {
            let rules = settings.rules_of(table, &site, now);
            if rules.iter().all(|rule| rule.before.is_none()) {
                continue;
            }
            specs.push(ExpireSpec {
                table,
                protected: protected(lake, table, &site, levels, holds, now).await?,
                site,
                rules,
            });
        }
    }
    Ok(specs)
}

/// Event times of a site that must stay: those of days that are not settled, and those that are held.
async fn protected(
    lake: &LakeWriter,
    table: &Table,
    site: &SiteId,
    levels: RollupLevels,
    holds: &[Hold],
    now: Timestamp,
) -> Result<Vec<Stretch>, CompactorError> {
    let mut stretches: Vec<Stretch> = holds
        .iter()
        .filter(|hold| hold.site.as_ref().is_none_or(|of| of == site))
        .map(|hold| (hold.from, hold.to))
        .collect();
    if table.name == READINGS.name {
        stretches.extend(unsettled(lake, site.as_str(), levels).await?);
    }
    // Nothing of times to come is old.
    stretches.push((now.micros(), i64::MAX));
    stretches.retain(|(from, to)| from < to);
    Ok(joined(stretches))
}

fn joined(mut stretches: Vec<Stretch>) -> Vec<Stretch> {
    stretches.sort_unstable();
    let mut joined: Vec<Stretch> = Vec::new();
    for (from, to) in stretches {
        match joined.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => joined.push((from, to)),
        }
    }
    joined
}

/// The sites of which a table has files.
async fn sites(lake: &LakeWriter, table: &'static Table) -> Result<Vec<SiteId>, LakeError> {
    let snapshot = lake.table(table)?.snapshot().await?;
    let mut names: Vec<String> = snapshot
        .files()
        .into_iter()
        .filter_map(|add| add.partition_values.get("site").cloned().flatten())
        .collect();
    names.sort_unstable();
    names.dedup();
    // Names that are none cannot come from a reading.
    Ok(names
        .iter()
        .filter_map(|name| SiteId::new(name).ok())
        .collect())
}

/// Before which time rows are too old: the age, down to a whole day or hour.
fn limit(keep: Duration, now: Timestamp) -> i64 {
    let keep = i64::try_from(keep.as_micros()).unwrap_or(i64::MAX);
    let limit = now.micros().saturating_sub(keep);
    let step = if keep >= BY_DAYS { DAY } else { HOUR };
    limit.div_euclid(step).saturating_mul(step)
}

fn of_retention(source: LakeError) -> CompactorError {
    CompactorError::Lake {
        place: "retention".into(),
        source,
    }
}
