//! Old events leave the table `events`, which no site partitions: all that is too old in one commit.
//!
//! Invariants: as above, for the whole table at once. An event leaves with all of its rows, which have one `from_time`, so that none
//! of them comes to count again as the newest. An event that goes on stays: its newest row names no end. So does one of long ago that
//! was written of since: what came late, or is told again, is kept as long as what is new. Which times a file holds does not stand in
//! its commit, so each is read once by a process.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use arrow::{
    array::{
        Array as _, AsArray as _, BooleanArray, RecordBatch, StringArray, TimestampMicrosecondArray,
    },
    datatypes::TimestampMicrosecondType,
};
use forebay_runtime::{Failpoint, failpoint};
use forebay_schemas::{
    SiteId, Timestamp,
    table::{EVENTS, TABLE_FORMAT_VERSION},
};
use serde::{Deserialize, Serialize};

use super::{Deletion, Expired, TRIES_MAX, deletions, noted, without};
use crate::{
    Add, LakeError, LakeTable, LakeWriter, Snapshot,
    operate::leaving::{Counted, Leaves, count, rewrite_step},
    table::change::{Change, OWN_PREFIX, Purpose},
};

const BEGIN: [&str; 1] = ["from_time"];
const COLUMNS: [&str; 5] = ["event_id", "changed_at", "site", "from_time", "to_time"];

/// Events that began within a time stay, whatever their age.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldEvents {
    /// Of this site; `None` for all.
    pub site: Option<SiteId>,
    /// From then on, µs since 1970 UTC.
    pub from: i64,
    /// To just before then.
    pub to: i64,
}

/// Which events leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventExpiry {
    /// As the configuration has it, for people.
    pub rule: String,
    /// Those that began before this time, and were written of last before it, µs since 1970 UTC.
    pub before: i64,
    /// But for these.
    pub held: Vec<HeldEvents>,
}

/// What is known of files from one expiry to the next.
#[derive(Debug, Default)]
pub struct EventFiles {
    /// By path, when the first event of a file began.
    first: HashMap<String, i64>,
    /// What was asked of which files when nothing of them was to leave.
    clean: Option<(EventExpiry, BTreeSet<String>)>,
}

/// What was deleted, or would be, by site; a file in which several sites have old events counts for each of them.
pub type ExpiredBySite = BTreeMap<String, Expired>;

/// What the last commit has deleted: a sealed state object, its number in the log (E5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpiredEvents {
    /// Version of this object's layout.
    format: u32,
    /// When it was made, µs since 1970 UTC.
    at: i64,
    last: Vec<OfSite>,
}

/// Events that were deleted of one site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfSite {
    site: String,
    deletion: Deletion,
}

/// Old events by site: how many rows, and when the first and the last of them began.
type Leaving = BTreeMap<String, (u64, i64, i64)>;

/// Files with rows that leave, as of a snapshot.
struct Found {
    snapshot: Snapshot,
    files: Vec<(Add, Counted<Leaving>)>,
    leaves: Leaves,
}

/// Deletes the events that are too old.
///
/// # Errors
/// [`LakeError::Contended`] when merges came first too often, [`LakeError::Damaged`] when a file is not the one that was committed.
/// Otherwise as [`LakeTable::commit`].
pub async fn expire_events(
    lake: &LakeWriter,
    spec: &EventExpiry,
    known: &mut EventFiles,
    now: Timestamp,
) -> Result<ExpiredBySite, LakeError> {
    let table = lake.table(&EVENTS)?;
    write_expired_events(lake).await?;
    for _ in 0..=TRIES_MAX {
        let Some(found) = found(lake, table, spec, known).await? else {
            return Ok(ExpiredBySite::new());
        };
        let change = change(lake, table, spec, &found, now).await?;
        failpoint(Failpoint::InRetention);
        match table.commit_change(&change).await {
            Ok(_) => {
                failpoint(Failpoint::AfterRetention);
                write_expired_events(lake).await?;
                return Ok(found.expired(spec));
            }
            Err(LakeError::Fenced { .. } | LakeError::Inactive { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Err(LakeError::Contended {
        table: EVENTS.name,
        attempts: TRIES_MAX,
    })
}

/// What [`expire_events`] would do, without doing it.
///
/// # Errors
/// As [`expire_events`], those of reading.
pub async fn would_expire_events(
    lake: &LakeWriter,
    spec: &EventExpiry,
) -> Result<ExpiredBySite, LakeError> {
    let table = lake.table(&EVENTS)?;
    let found = found(lake, table, spec, &mut EventFiles::default()).await?;
    Ok(found.map_or_else(ExpiredBySite::new, |found| found.expired(spec)))
}

impl EventExpiry {
    /// Whether an event of a site that began then is to leave, once it has ended and nothing new is written of it.
    fn takes(&self, site: &str, begin: i64) -> bool {
        let holds = |held: &HeldEvents| {
            let is_of_site = held.site.as_ref().is_none_or(|of| of.as_str() == site);
            is_of_site && (held.from..held.to).contains(&begin)
        };
        begin < self.before && !self.held.iter().any(holds)
    }
}

impl Found {
    fn expired(&self, spec: &EventExpiry) -> ExpiredBySite {
        let mut sites = ExpiredBySite::new();
        for (_, counted) in &self.files {
            let is_whole = counted.is_whole();
            for (site, (rows, first, last)) in &counted.notes {
                let deletion = Deletion {
                    rule: spec.rule.clone(),
                    before: spec.before,
                    rows: *rows,
                    first: *first,
                    last: *last,
                };
                sites.entry(site.clone()).or_default().add(Expired {
                    deletions: vec![deletion],
                    removed: u64::from(is_whole),
                    rewritten: u64::from(!is_whole),
                });
            }
        }
        sites
    }
}

/// The files with rows that leave; `None` if there are none.
async fn found(
    lake: &LakeWriter,
    table: &LakeTable,
    spec: &EventExpiry,
    known: &mut EventFiles,
) -> Result<Option<Found>, LakeError> {
    let snapshot = table.snapshot().await?;
    let old = old_files(lake, table, spec, known, &snapshot.files()).await?;
    let paths: BTreeSet<String> = old.iter().map(|add| add.path.clone()).collect();
    let asked = (spec.clone(), paths);
    if old.is_empty() || known.clean.as_ref() == Some(&asked) {
        return Ok(None);
    }
    let staying = staying(lake, table, spec, &old).await?;
    let of_rule = spec.clone();
    let leaves = marking(move |rows, row| {
        let is_old = of_rule.takes(rows.sites.value(row), rows.begins.value(row));
        is_old && !staying.contains(rows.ids.value(row))
    });
    let mut files = Vec::new();
    for add in old {
        let file = table.fetch(&add, &lake.decrypter()).await?;
        let counted = count(file, &COLUMNS, leaves.clone(), note_leaving).await?;
        if counted.leaving > 0 {
            files.push((add, counted));
        }
    }
    if files.is_empty() {
        known.clean = Some(asked);
        return Ok(None);
    }
    Ok(Some(Found {
        snapshot,
        files,
        leaves,
    }))
}

/// The files in which an event began before the limit.
async fn old_files(
    lake: &LakeWriter,
    table: &LakeTable,
    spec: &EventExpiry,
    known: &mut EventFiles,
    files: &[Add],
) -> Result<Vec<Add>, LakeError> {
    let active: HashSet<&str> = files.iter().map(|add| add.path.as_str()).collect();
    known.first.retain(|path, _| active.contains(path.as_str()));
    let mut old = Vec::new();
    for add in files {
        let first = match known.first.get(&add.path) {
            Some(first) => *first,
            None => {
                let first = first_begin(lake, table, add).await?;
                known.first.insert(add.path.clone(), first);
                first
            }
        };
        if first < spec.before {
            old.push(add.clone());
        }
    }
    Ok(old)
}

/// When the first event of a file began.
async fn first_begin(lake: &LakeWriter, table: &LakeTable, add: &Add) -> Result<i64, LakeError> {
    let all: Leaves = Arc::new(|rows| Ok(BooleanArray::from(vec![true; rows.num_rows()])));
    let note = |first: &mut Option<i64>, rows: &RecordBatch| {
        let begins = times(rows, "from_time").ok();
        let least = begins.and_then(arrow::compute::min);
        *first = (*first).into_iter().chain(least).min();
    };
    let file = table.fetch(add, &lake.decrypter()).await?;
    let counted = count(file, &BEGIN, all, note).await?;
    Ok(counted.notes.unwrap_or(i64::MAX))
}

/// The events that began long ago and stay: their newest row names no end, or is not old.
async fn staying(
    lake: &LakeWriter,
    table: &LakeTable,
    spec: &EventExpiry,
    old: &[Add],
) -> Result<HashSet<String>, LakeError> {
    let mut may_stay = HashSet::new();
    let of_rule = spec.clone();
    let may_keep = marking(move |rows, row| {
        let is_kept = rows.ends.is_null(row) || rows.changed.value(row) >= of_rule.before;
        is_kept && of_rule.takes(rows.sites.value(row), rows.begins.value(row))
    });
    let note = |ids: &mut HashSet<String>, rows: &RecordBatch| {
        if let Ok(rows) = EventRows::of(rows) {
            ids.extend(rows.ids.iter().flatten().map(str::to_owned));
        }
    };
    for add in old {
        let file = table.fetch(add, &lake.decrypter()).await?;
        let counted = count(file, &COLUMNS, may_keep.clone(), note).await?;
        may_stay.extend(counted.notes);
    }
    if may_stay.is_empty() {
        return Ok(may_stay);
    }
    let is_of_them = marking(move |rows, row| may_stay.contains(rows.ids.value(row)));
    // By event, when its newest row was made and whether that names no end: of two rows of one moment the one without counts.
    let mut newest: HashMap<String, (i64, bool)> = HashMap::new();
    for add in old {
        let file = table.fetch(add, &lake.decrypter()).await?;
        let counted = count(file, &COLUMNS, is_of_them.clone(), note_newest).await?;
        for (id, found) in counted.notes {
            let known = newest.entry(id).or_insert(found);
            *known = found.max(*known);
        }
    }
    newest.retain(|_, (changed, is_endless)| *is_endless || *changed >= spec.before);
    Ok(newest.into_keys().collect())
}

fn note_newest(newest: &mut HashMap<String, (i64, bool)>, rows: &RecordBatch) {
    // Columns that are missing have stopped the count before.
    let Ok(rows) = EventRows::of(rows) else {
        return;
    };
    for row in 0..rows.ids.len() {
        let found = (rows.changed.value(row), rows.ends.is_null(row));
        let id = rows.ids.value(row).to_owned();
        let known = newest.entry(id).or_insert(found);
        *known = found.max(*known);
    }
}

fn note_leaving(leaving: &mut Leaving, rows: &RecordBatch) {
    let Ok(rows) = EventRows::of(rows) else {
        return;
    };
    for row in 0..rows.ids.len() {
        let (site, begin) = (rows.sites.value(row), rows.begins.value(row));
        match leaving.get_mut(site) {
            Some(sum) => *sum = (sum.0 + 1, sum.1.min(begin), sum.2.max(begin)),
            None => drop(leaving.insert(site.to_owned(), (1, begin, begin))),
        }
    }
}

/// The columns that say which events leave.
struct EventRows<'a> {
    ids: &'a StringArray,
    sites: &'a StringArray,
    changed: &'a TimestampMicrosecondArray,
    begins: &'a TimestampMicrosecondArray,
    ends: &'a TimestampMicrosecondArray,
}

impl<'a> EventRows<'a> {
    fn of(rows: &'a RecordBatch) -> Result<Self, LakeError> {
        let texts = |name: &str| {
            let column = rows.column_by_name(name);
            let texts = column.and_then(|column| column.as_string_opt::<i32>());
            texts.ok_or_else(|| missing(name))
        };
        Ok(Self {
            ids: texts("event_id")?,
            sites: texts("site")?,
            changed: times(rows, "changed_at")?,
            begins: times(rows, "from_time")?,
            ends: times(rows, "to_time")?,
        })
    }
}

fn times<'a>(
    rows: &'a RecordBatch,
    name: &str,
) -> Result<&'a TimestampMicrosecondArray, LakeError> {
    let column = rows.column_by_name(name);
    let times = column.and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
    times.ok_or_else(|| missing(name))
}

fn missing(column: &str) -> LakeError {
    LakeError::Foreign {
        table: EVENTS.name,
        why: format!("a file has no {column}"),
    }
}

fn marking(is_marked: impl Fn(&EventRows<'_>, usize) -> bool + Send + Sync + 'static) -> Leaves {
    Arc::new(move |rows| {
        let events = EventRows::of(rows)?;
        let marks = (0..rows.num_rows()).map(|row| Some(is_marked(&events, row)));
        Ok(marks.collect())
    })
}

/// The commit as of the snapshot in which the files were found, its new files and its state already stored.
async fn change(
    lake: &LakeWriter,
    table: &LakeTable,
    spec: &EventExpiry,
    found: &Found,
    now: Timestamp,
) -> Result<Change, LakeError> {
    let (adds, removes) = without(lake, table, &found.files, &found.leaves, None, now).await?;
    let of_sites = found.expired(spec).into_iter().flat_map(|(site, expired)| {
        let deletions = expired.deletions.into_iter();
        deletions.map(move |deletion| OfSite {
            site: site.clone(),
            deletion,
        })
    });
    let state = ExpiredEvents {
        format: TABLE_FORMAT_VERSION,
        at: now.micros(),
        last: of_sites.collect(),
    };
    let app_id = app_id();
    let from_state = found.snapshot.state_of(&app_id).await?;
    let step = noted(lake, table, app_id, from_state, &state).await?;
    let rewrite = rewrite_step(lake, table, &found.snapshot, Vec::new()).await?;
    Ok(Change {
        id: lake.id()?,
        purpose: Purpose::Erase,
        transactions: vec![step, rewrite],
        adds,
        removes,
    })
}

/// The transaction under which deletions are noted.
fn app_id() -> String {
    format!("{OWN_PREFIX}expired_events")
}

/// Writes the rows of `deletions` of the last commit that deleted events, unless they are there. [`expire_events`] does it too.
///
/// # Errors
/// When what was noted cannot be read, or as [`LakeWriter::append`].
pub async fn write_expired_events(lake: &LakeWriter) -> Result<(), LakeError> {
    let table = lake.table(&EVENTS)?;
    let app_id = app_id();
    let Some(number) = table.snapshot().await?.state_of(&app_id).await? else {
        return Ok(());
    };
    let state: ExpiredEvents = lake.keeper().load(table, &app_id, number).await?;
    let rows = state.last.iter().map(|of| (of.site.as_str(), &of.deletion));
    let rows: Vec<_> = rows.collect();
    deletions::append(
        lake,
        &EVENTS,
        "deletions\0events",
        (number, state.at),
        &rows,
    )
    .await
}

#[cfg(test)]
mod tests;
