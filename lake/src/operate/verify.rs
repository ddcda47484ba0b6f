//! Proof that a table holds each reading once: files against their seals, identities against the marks.
//!
//! Every file is read whole, those of the other tables too. A file must be there, have the SHA-256 that its Add action names and no other
//! file's, open with the keyring and hold as many rows as its Add action says; a window's revisions must count up by one; a reading's identity must occur once; and each epoch must hold exactly the seqs up to its mark, but for
//! those in known gaps and in quarantine, which must have their rows in `gaps` and `quarantine`, and for as many as retention has deleted. Of forgotten epochs a lane's
//! state knows only how many readings they hold. A file that a vacuum took meanwhile is no fault: the newest version of the
//! table is read instead. What gateways received, as their ledgers say, is held against all of this (E12). A state that cannot be read is a fault of its own, and the rest is verified.

mod account;
mod ledger;
mod ledger_line;
mod notes;
mod report;
mod rollups;
mod seqs;
mod side_rows;
#[cfg(test)]
mod tests;
mod window_rows;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use arrow::{
    array::{AsArray as _, RecordBatch},
    datatypes::{Int32Type, Int64Type},
};
use forebay_schemas::{ErrorKind, ledger::LaneLedger, table::READINGS};
use object_store::{ObjectStoreExt as _, path::Path};

use crate::{
    Add, LakeError, StateKeeper, file,
    file::tags::{SHA256_TAG, is_sealed, row_count, tag},
    keys::KeyDecrypter,
    operate::expire::{ExpiredState, expired_states},
    table::state::{FoundState, StreamState, reconcile},
    table::stored::keks,
    table::{LakeTable, Snapshot},
};
pub(crate) use account::Accounts;
use account::compare;
use ledger::{LaneRows, Ledgers};
pub use ledger_line::{LedgerLine, LedgerSums};
pub use report::{Fault, Report};
use rollups::Rollups;
pub(crate) use seqs::SeqSet;
use side_rows::SideRows;
pub(crate) use side_rows::collect_quarantined;

/// (gateway, lane, epoch).
pub(crate) type EpochKey = (String, u32, u64);

/// How often a table is read again because a vacuum took files of the version that was being read.
const READS_MAX: u32 = 5;

/// Reads the whole `readings` table as of now.
///
/// # Errors
/// When the log, the store or a key cannot be had; what is wrong with the data is in the report.
pub async fn verify(
    table: &LakeTable,
    keeper: &StateKeeper,
    decrypter: &Arc<KeyDecrypter>,
) -> Result<Report, LakeError> {
    verify_lake(std::slice::from_ref(table), keeper, decrypter).await
}

/// Reads whole tables as of now; what `readings` should hold, and what `gaps` and `quarantine` should, is proven where they are
/// among them.
///
/// # Errors
/// As [`verify`].
pub async fn verify_lake(
    tables: &[LakeTable],
    keeper: &StateKeeper,
    decrypter: &Arc<KeyDecrypter>,
) -> Result<Report, LakeError> {
    verify_received(tables, &[], keeper, decrypter).await
}

/// As [`verify_lake`], and what became of all that `lanes` have received: their ledgers, read before, say how much that was.
///
/// # Errors
/// As [`verify`].
pub async fn verify_received(
    tables: &[LakeTable],
    lanes: &[LaneLedger],
    keeper: &StateKeeper,
    decrypter: &Arc<KeyDecrypter>,
) -> Result<Report, LakeError> {
    let mut report = Report::default();
    let mut accounts = Accounts::default();
    let mut streams = BTreeSet::new();
    let ledgers = Ledgers::new(lanes);
    let versions = Rollups::before(tables).await?;
    let mut in_readings = InReadings::default();
    let mut expired = ExpiredRows::default();
    let readings = |table: &&LakeTable| table.schema().name == READINGS.name;
    for table in tables.iter().filter(readings) {
        let collect = |add: &Add, rows: &RecordBatch, found: &mut InReadings| {
            collect(rows, &mut found.seqs);
            ledgers.collect_readings(rows, &mut found.lanes);
            found.rollups.collect_readings(add, rows);
        };
        let (states, found) = read_table(table, decrypter, Some(keeper), collect).await?;
        report.files += found.files;
        report.faults.extend(found.faults);
        in_readings = found.rows;
        (accounts, expired) = sums(states, &mut streams, &mut report);
    }
    report.expired = expired.epochs.values().sum();
    let InReadings {
        seqs,
        lanes,
        mut rollups,
    } = in_readings;
    rollups.starting_at(versions);
    let mut side_lanes = LaneRows::default();
    // After `readings`: what its states rely on was written before them.
    for table in tables.iter().filter(|table| !readings(table)) {
        let collect = |add: &Add, rows: &RecordBatch, (side, lanes, rollups): &mut InSide| {
            side.collect(table, rows);
            ledgers.collect_side(table, rows, &seqs, lanes);
            rollups.collect_side(table, add, rows);
        };
        let (_, found) = read_table(table, decrypter, None, collect).await?;
        report.faults.extend(found.faults);
        report
            .faults
            .extend(notes::lost(table, keeper, &streams).await?);
        let (side, of_lanes, of_rollups) = found.rows;
        side.check(table, &accounts, &seqs, &mut report);
        side_lanes.extend(of_lanes);
        rollups.extend(of_rollups);
        rollups.note_kept(table, keeper).await?;
    }
    report.faults.extend(rollups.faults(&expired.before));
    let received_missing = ledgers.check(
        &lanes,
        &side_lanes,
        &seqs,
        &accounts,
        &expired.epochs,
        &mut report,
    );
    compare(seqs, accounts, &mut report);
    // More than the states miss, where one went with its readings.
    report.missing = report.missing.max(received_missing);
    Ok(report)
}

/// What the rows of `readings` gave.
#[derive(Default)]
struct InReadings {
    seqs: BTreeMap<EpochKey, SeqSet>,
    lanes: LaneRows,
    rollups: Rollups,
}

/// What the rows of another table gave.
type InSide = (SideRows, LaneRows, Rollups);

/// What retention has deleted of `readings`.
#[derive(Default)]
struct ExpiredRows {
    epochs: BTreeMap<EpochKey, u64>,
    /// By site, before which time, µs since 1970 UTC.
    before: BTreeMap<String, i64>,
}

/// What the states say was taken and deleted; `streams` are those that keep notes.
fn sums(
    states: States,
    streams: &mut BTreeSet<String>,
    report: &mut Report,
) -> (Accounts, ExpiredRows) {
    let mut sound = Vec::new();
    for found in states.streams {
        match found.state {
            Ok(state) => sound.push((found.app_id, state)),
            Err(error) => drop(report.faults.insert(Fault::State {
                why: error.to_string(),
            })),
        }
    }
    streams.extend(notes::keepers(&sound));
    reconcile(&mut sound);
    let mut accounts = Accounts::of(sound.into_iter().map(|(_, state)| state));
    let expired = of_sites(states.expired, report);
    accounts.expire(&expired.epochs);
    (accounts, expired)
}

fn of_sites(states: Vec<FoundState<ExpiredState>>, report: &mut Report) -> ExpiredRows {
    let mut expired = ExpiredRows::default();
    for found in states {
        match found.state {
            Ok(state) => {
                for of_epoch in state.epochs {
                    let key = (of_epoch.gateway, of_epoch.lane, of_epoch.epoch);
                    *expired.epochs.entry(key).or_default() += of_epoch.readings;
                }
                expired.before.insert(state.site, state.before);
            }
            Err(error) => drop(report.faults.insert(Fault::State {
                why: error.to_string(),
            })),
        }
    }
    expired
}

/// The states that count in a version of `readings`.
#[derive(Default)]
struct States {
    streams: Vec<FoundState<StreamState>>,
    expired: Vec<FoundState<ExpiredState>>,
}

/// What the files of a table gave.
#[derive(Default)]
struct Found<R> {
    rows: R,
    files: u64,
    faults: BTreeSet<Fault>,
}

/// Reads a table, and with a keeper first the states of its streams, in the newest version of which a vacuum takes no file
/// meanwhile.
async fn read_table<R: Default>(
    table: &LakeTable,
    decrypter: &Arc<KeyDecrypter>,
    keeper: Option<&StateKeeper>,
    collect: impl Fn(&Add, &RecordBatch, &mut R),
) -> Result<(States, Found<R>), LakeError> {
    let mut reads = 0;
    loop {
        reads += 1;
        let snapshot = table.snapshot().await?;
        let states = match keeper {
            Some(keeper) => States {
                streams: keeper.states_each(table, &snapshot).await?,
                expired: expired_states(keeper, table, &snapshot).await?,
            },
            None => States::default(),
        };
        if let Some(found) =
            read_files(table, &snapshot, decrypter, reads == READS_MAX, &collect).await?
        {
            return Ok((states, found));
        }
        tracing::info!(
            table = table.schema().name,
            reads,
            "a vacuum took a file meanwhile, reading the newest version"
        );
    }
}

/// Reads the files of a version; none when a file is missing that the newest version names no more, unless it is the last try.
async fn read_files<R: Default>(
    table: &LakeTable,
    snapshot: &Snapshot,
    decrypter: &Arc<KeyDecrypter>,
    is_last: bool,
    collect: &impl Fn(&Add, &RecordBatch, &mut R),
) -> Result<Option<Found<R>>, LakeError> {
    let mut found = Found::default();
    let mut seals = HashMap::new();
    for add in snapshot.files() {
        found.files += 1;
        found.faults.extend(copied(&add, &mut seals));
        match read_file(table, &add, decrypter).await? {
            Ok(batches) => batches
                .iter()
                .for_each(|rows| collect(&add, rows, &mut found.rows)),
            Err(Fault::FileMissing { path }) if !is_last && !is_active(table, &path).await? => {
                return Ok(None);
            }
            Err(fault) => drop(found.faults.insert(fault)),
        }
    }
    Ok(Some(found))
}

/// A sealed file's bytes never come twice: what is drawn for each is drawn once.
fn copied(add: &Add, seals: &mut HashMap<String, String>) -> Option<Fault> {
    let seal = tag(add, SHA256_TAG).filter(|_| is_sealed(add))?;
    let other = seals.insert(seal.to_owned(), add.path.clone())?;
    Some(Fault::FileDamaged {
        path: add.path.clone(),
        why: format!("it is a copy of file {other}"),
    })
}

/// Whether the newest version of a table names a file.
async fn is_active(table: &LakeTable, path: &str) -> Result<bool, LakeError> {
    Ok(table
        .snapshot()
        .await?
        .paths()
        .iter()
        .any(|active| active == path))
}

async fn read_file(
    table: &LakeTable,
    add: &Add,
    decrypter: &Arc<KeyDecrypter>,
) -> Result<Result<Vec<RecordBatch>, Fault>, LakeError> {
    let path = add.path.clone();
    let damaged = |why: String| {
        Ok(Err(Fault::FileDamaged {
            path: path.clone(),
            why,
        }))
    };
    let location = Path::parse(&add.path).map_err(object_store::Error::from)?;
    let bytes = match table.store().get(&location).await {
        Ok(found) => found.bytes().await?,
        Err(object_store::Error::NotFound { .. }) => return Ok(Err(Fault::FileMissing { path })),
        Err(error) => return Err(error.into()),
    };
    let found = file::sha256_hex(&bytes);
    match tag(add, SHA256_TAG) {
        Some(sealed) if sealed == found => {}
        Some(_) => return damaged("its SHA-256 is not the one that was committed".into()),
        None => return damaged("its Add action names no SHA-256".into()),
    }
    let keks = keks(table.schema(), add)?;
    let sealed = !keks.is_empty();
    match decrypter.prepare(&keks).await {
        // The key provider may be back soon; a key that it does not have is lost, and the file with it.
        Err(error) if error.kind() == ErrorKind::Retry => return Err(error.into()),
        Err(error) => return damaged(error.to_string()),
        Ok(()) => {}
    }
    match file::read_file(bytes, sealed.then_some(decrypter)) {
        Ok(batches) => {
            let rows = batches.iter().map(RecordBatch::num_rows).sum::<usize>() as u64;
            match row_count(add) {
                Some(committed) if committed != rows => {
                    damaged(format!("it has {rows} rows instead of {committed}"))
                }
                _ => Ok(Ok(batches)),
            }
        }
        Err(error) => damaged(error.to_string()),
    }
}

/// Adds the seqs of rows of `readings`.
pub(crate) fn collect(rows: &RecordBatch, found: &mut BTreeMap<EpochKey, SeqSet>) {
    let column = |name: &str| rows.column_by_name(name).cloned();
    let (Some(gateway), Some(lane), Some(epoch), Some(seq)) = (
        column("gateway"),
        column("lane"),
        column("epoch"),
        column("seq"),
    ) else {
        return;
    };
    let gateway = gateway.as_string::<i32>();
    let (lane, epoch, seq) = (
        lane.as_primitive::<Int32Type>(),
        epoch.as_primitive::<Int64Type>(),
        seq.as_primitive::<Int64Type>(),
    );
    let mut of_batch: BTreeMap<(&str, u32, u64), Vec<u64>> = BTreeMap::new();
    for row in 0..rows.num_rows() {
        let key = (
            gateway.value(row),
            lane.value(row).cast_unsigned(),
            epoch.value(row).cast_unsigned(),
        );
        of_batch
            .entry(key)
            .or_default()
            .push(seq.value(row).cast_unsigned());
    }
    for ((gateway, lane, epoch), seqs) in of_batch {
        found
            .entry((gateway.to_owned(), lane, epoch))
            .or_default()
            .add(seqs);
    }
}
