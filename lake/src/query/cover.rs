//! For which times a roll-up is known to be of all readings that a view has.
//!
//! Whoever closes windows notes how many readings each day had when all of its windows were closed and rolled up. Readings are
//! only ever added to a day, or leave it; so a day that has as many now has the same ones, and its roll-ups are of them.
//! That holds because of the order of the look: first what was noted, then the roll-ups, and `readings` last. What was rolled up
//! meanwhile is then among the readings that are seen, and changes their number.
//!
//! It deliberately says nothing of a day that goes on, of one whose late readings wait for their next revision, and of times of
//! which retention may have deleted readings or rows.

#[cfg(test)]
mod tests;
mod unread;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use forebay_schemas::table::{READINGS, READINGS_1H, READINGS_1M, Table, WINDOWS};
use futures::StreamExt as _;
use serde::Deserialize;
use tokio::time::Instant;

use super::{DeltaScan, LakeView};
use crate::{
    Add, LakeError, LakeTable, Snapshot, StateKeeper,
    file::stats::{MICROS_PER_DAY, TagSeal, stats_of},
    keys::KeyDecrypter,
    operate::expire::expired_states,
};
use unread::{Patience, Unread};

/// Notes that are read at once.
const READS_MAX: usize = 16;

/// From an event time to just before another, µs since 1970 UTC.
type Stretch = (i64, i64);

/// For which times roll-ups answer for the readings of a view.
#[derive(Debug, Clone, Default)]
pub struct RollupCover {
    /// By site that has readings, then by roll-up.
    sites: BTreeMap<String, BTreeMap<&'static str, Vec<Stretch>>>,
}

impl RollupCover {
    /// The sites that have readings.
    pub fn sites(&self) -> impl Iterator<Item = &str> {
        self.sites.keys().map(String::as_str)
    }

    /// The whole UTC days of a site for which a roll-up answers, in order and apart.
    pub fn of(&self, site: &str, rollup: &str) -> &[Stretch] {
        let found = self.sites.get(site).and_then(|levels| levels.get(rollup));
        found.map_or(&[], Vec::as_slice)
    }

    /// Whether no roll-up answers for any reading.
    pub fn is_empty(&self) -> bool {
        self.sites.values().all(BTreeMap::is_empty)
    }
}

/// The tables as of one version each, and for which times their roll-ups answer.
#[derive(Clone)]
pub struct CoveredView {
    /// The tables.
    pub view: LakeView,
    /// For which times the roll-ups answer.
    pub cover: Arc<RollupCover>,
    /// Why they answer for less than they could: a note cannot be read. They are a shortcut only, so the look goes on.
    pub unread: Option<UnreadNotes>,
    noted: Noted,
    keeper: Arc<StateKeeper>,
    seal: Arc<TagSeal>,
}

/// Notes that cannot be read.
#[derive(Debug, Clone)]
pub struct UnreadNotes {
    /// Why one of them cannot.
    pub error: Arc<LakeError>,
    /// The sites for which no roll-up answers; `None` where it may be less than it could for all.
    pub sites: Option<Vec<String>>,
}

/// What stands in the lake's notes, by the versions of their tables.
#[derive(Debug, Clone, Default)]
struct Noted {
    /// By the transaction of a site's windows, with the state's number.
    closed: HashMap<String, (i64, ReadState)>,
    /// By table: its version, and before which time rows may have been deleted, or why that cannot be read.
    expired: HashMap<&'static str, (u64, Result<Expired, Unread>)>,
    /// The version of `readings` that was counted, and its readings a day.
    counted: Option<(u64, Arc<Counts>)>,
}

/// The state of a site's windows, or why it cannot be read.
type ReadState = Result<Arc<Closed>, Unread>;

/// Before which time rows may have been deleted, by site, µs since 1970 UTC.
type Expired = BTreeMap<String, i64>;

/// Readings of each UTC day, by site; none of a site of which a file does not say its own.
type Counts = BTreeMap<String, Option<BTreeMap<i32, u64>>>;

/// What the state of a site's windows says.
#[derive(Debug, Deserialize)]
struct Closed {
    /// Readings of each day, counted from 1970-01-01, all of whose windows are closed.
    #[serde(default)]
    days: BTreeMap<i32, i64>,
    /// The tables of the roll-ups that all of these days have.
    #[serde(default)]
    rollups: Vec<String>,
}

impl CoveredView {
    /// The tables as they are now; what is known of one that has not changed since `last` is kept.
    ///
    /// # Errors
    /// When a table cannot be read.
    pub async fn look(
        tables: &[LakeTable],
        decrypter: &Arc<KeyDecrypter>,
        last: Option<&Self>,
    ) -> Result<Self, LakeError> {
        Self::look_with(Patience::DEFAULT, tables, decrypter, last).await
    }

    async fn look_with(
        patience: Patience,
        tables: &[LakeTable],
        decrypter: &Arc<KeyDecrypter>,
        last: Option<&Self>,
    ) -> Result<Self, LakeError> {
        let (keeper, seal) = match last {
            Some(last) => (last.keeper.clone(), last.seal.clone()),
            None => {
                let keeper = StateKeeper::of(decrypter.provider()).await?;
                let seal = TagSeal::of(decrypter.provider()).await?;
                (Arc::new(keeper), Arc::new(seal))
            }
        };
        let mut noted = last.map(|last| last.noted.clone()).unwrap_or_default();
        let mut of_all = None;
        let mut places: Vec<usize> = (0..tables.len()).collect();
        places.sort_by_key(|place| turn(tables[*place].schema()));
        let mut scans: Vec<Option<Arc<DeltaScan>>> = vec![None; tables.len()];
        for place in places {
            let table = &tables[place];
            let snapshot = table.snapshot().await?;
            if let Err(error) = noted.note(patience, &keeper, table, &snapshot).await {
                of_all = Some(UnreadNotes {
                    error: Arc::new(error),
                    sites: None,
                });
            }
            let known = last.and_then(|last| last.view.0.get(place));
            let known = known.filter(|known| known.is_of(table, &snapshot));
            scans[place] = Some(match known {
                Some(known) => known.clone(),
                None => {
                    let seal = seal.clone();
                    Arc::new(DeltaScan::new(table, snapshot, decrypter.clone(), seal))
                }
            });
        }
        let view = LakeView(scans.into_iter().flatten().collect());
        let cover = noted.cover(&keeper, &view);
        Ok(Self {
            view,
            unread: of_all.or_else(|| noted.unread(&keeper, &cover)),
            cover: Arc::new(cover),
            noted,
            keeper,
            seal,
        })
    }
}

/// When a table is looked at: the notes first, the readings last.
fn turn(table: &Table) -> u8 {
    match table.name {
        name if name == WINDOWS.name => 0,
        name if name == READINGS.name => 2,
        _ => 1,
    }
}

fn is_rollup(table: &Table) -> bool {
    [READINGS_1M.name, READINGS_1H.name].contains(&table.name)
}

impl Noted {
    /// Reads what the notes of a table say. Of one that cannot be read nothing is known.
    ///
    /// # Errors
    /// When it cannot be read which notes there are: nothing is known of the table then, and the next look tries again.
    async fn note(
        &mut self,
        patience: Patience,
        keeper: &StateKeeper,
        table: &LakeTable,
        snapshot: &Snapshot,
    ) -> Result<(), LakeError> {
        let schema = table.schema();
        if schema.name == WINDOWS.name {
            return self.note_closed(patience, keeper, table, snapshot).await;
        }
        if !is_rollup(schema) && schema.name != READINGS.name {
            return Ok(());
        }
        let version = snapshot.version();
        let sites = match self.expired.remove(schema.name) {
            Some((of, Ok(sites))) if of == version => Ok(sites),
            Some((_, Err(unread))) if unread.rests() => Err(unread),
            _ => {
                let until = Instant::now() + patience.reading;
                let reading = expired(keeper, table, snapshot);
                patience.read(until, reading).await
            }
        };
        self.expired.insert(schema.name, (version, sites));
        Ok(())
    }

    /// A state never changes: one that is known is not read again.
    async fn note_closed(
        &mut self,
        patience: Patience,
        keeper: &StateKeeper,
        windows: &LakeTable,
        snapshot: &Snapshot,
    ) -> Result<(), LakeError> {
        let mut known = std::mem::take(&mut self.closed);
        let numbers = keeper.numbers(windows, snapshot).await?;
        let is_known = |state: &ReadState| state.as_ref().map_or_else(Unread::rests, |_| true);
        let mut new = Vec::new();
        for (app_id, number) in numbers {
            let found = known.remove(&app_id);
            match found.filter(|(of, state)| *of == number && is_known(state)) {
                Some(found) => drop(self.closed.insert(app_id, found)),
                None => new.push((app_id, number)),
            }
        }
        let until = Instant::now() + patience.reading;
        let reads = new.into_iter().map(|(app_id, number)| async move {
            let reading = keeper.load::<Closed>(windows, &app_id, number);
            let state = patience.read(until, reading).await;
            (app_id, number, state)
        });
        // In no order: one that hangs keeps no other from being read.
        let mut reads = futures::stream::iter(reads).buffer_unordered(READS_MAX);
        while let Some((app_id, number, state)) = reads.next().await {
            self.closed.insert(app_id, (number, state.map(Arc::new)));
        }
        Ok(())
    }

    /// What is not answered for because a note cannot be read.
    fn unread(&self, keeper: &StateKeeper, cover: &RollupCover) -> Option<UnreadNotes> {
        let mut expired = self.expired.values();
        if let Some(unread) = expired.find_map(|(_, sites)| sites.as_ref().err()) {
            return Some(UnreadNotes {
                error: unread.error.clone(),
                sites: None,
            });
        }
        let mut error = None;
        let mut sites = Vec::new();
        for site in cover.sites() {
            let closed = self.closed.get(&app_id(keeper, site));
            if let Some((_, Err(unread))) = closed {
                error = error.or(Some(&unread.error));
                sites.push(site.to_owned());
            }
        }
        error.map(|error| UnreadNotes {
            error: error.clone(),
            sites: Some(sites),
        })
    }

    /// For which times the roll-ups of a view answer.
    fn cover(&mut self, keeper: &StateKeeper, view: &LakeView) -> RollupCover {
        let Some(readings) = view.0.iter().find(|scan| scan.table.name == READINGS.name) else {
            return RollupCover::default();
        };
        let counts = match &self.counted {
            Some((version, counts)) if *version == readings.version => counts.clone(),
            _ => {
                let counts = Arc::new(counts(readings));
                self.counted = Some((readings.version, counts.clone()));
                counts
            }
        };
        let mut sites = BTreeMap::new();
        for (site, days) in counts.iter() {
            let closed = self
                .closed
                .get(&app_id(keeper, site))
                .and_then(|(_, state)| state.as_ref().ok());
            let mut levels = BTreeMap::new();
            if let Some((closed, days)) = closed.zip(days.as_ref()) {
                for table in [&READINGS_1M, &READINGS_1H] {
                    let stretches = self.stretches(table, site, closed, days);
                    if !stretches.is_empty() {
                        levels.insert(table.name, stretches);
                    }
                }
            }
            sites.insert(site.clone(), levels);
        }
        RollupCover { sites }
    }

    fn stretches(
        &self,
        rollup: &Table,
        site: &str,
        closed: &Closed,
        days: &BTreeMap<i32, u64>,
    ) -> Vec<Stretch> {
        let kept_from = [rollup.name, READINGS.name].map(|table| self.kept_from(table, site));
        let [Some(rows_from), Some(readings_from)] = kept_from else {
            return Vec::new();
        };
        if !closed.rollups.iter().any(|level| level == rollup.name) {
            return Vec::new();
        }
        let kept_from = rows_from.max(readings_from);
        let settled = days.iter().filter(|(day, rows)| {
            let known = closed.days.get(*day).map(|rows| rows.unsigned_abs());
            known == Some(**rows) && day_start(**day) >= kept_from
        });
        let mut stretches: Vec<Stretch> = Vec::new();
        for (day, _) in settled {
            let from = day_start(*day);
            let to = from.saturating_add(MICROS_PER_DAY);
            match stretches.last_mut() {
                Some(last) if last.1 == from => last.1 = to,
                _ => stretches.push((from, to)),
            }
        }
        stretches
    }

    /// From which time on nothing of a site was deleted; `None` where that is not known.
    fn kept_from(&self, table: &str, site: &str) -> Option<i64> {
        let (_, expired) = self.expired.get(table)?;
        let before = expired.as_ref().ok()?.get(site).copied();
        Some(before.unwrap_or(i64::MIN))
    }
}

/// The transaction of a site's windows.
fn app_id(keeper: &StateKeeper, site: &str) -> String {
    keeper.app_id(&format!("windows/{site}"), 0)
}

/// What is noted of the rows of a table that were deleted.
///
/// # Errors
/// When one of the notes cannot be read: which site it is of stands in it, so nothing is known of any.
async fn expired(
    keeper: &StateKeeper,
    table: &LakeTable,
    snapshot: &Snapshot,
) -> Result<Expired, LakeError> {
    let mut sites = BTreeMap::new();
    for found in expired_states(keeper, table, snapshot).await? {
        let state = found.state?;
        sites.insert(state.site, state.before);
    }
    Ok(sites)
}

fn day_start(day: i32) -> i64 {
    i64::from(day).saturating_mul(MICROS_PER_DAY)
}

/// How many readings the files have of each day: their commits say it, no file is opened.
fn counts(readings: &DeltaScan) -> Counts {
    let mut counts = Counts::new();
    for add in &readings.files {
        let Some(site) = site_of(add) else { continue };
        let days = counts
            .entry(site.to_owned())
            .or_insert_with(|| Some(BTreeMap::new()));
        match (
            stats_of(readings.table, add, &readings.tag_seal),
            &mut *days,
        ) {
            (Some(stats), Some(days)) => {
                for (day, rows) in stats.days() {
                    *days.entry(day).or_default() += rows;
                }
            }
            _ => *days = None,
        }
    }
    counts
}

fn site_of(add: &Add) -> Option<&str> {
    add.partition_values.get("site")?.as_deref()
}
