//! Proof that a table holds each reading once: files against their seals, identities against the marks.
//!
//! Every file is read whole. A file must be there, have the SHA-256 that its Add action names, and open with the
//! keyring; a reading's identity must occur once; and each epoch must hold exactly the seqs up to its mark, but for
//! those in known gaps and in quarantine. Of forgotten epochs a lane's state knows only how many readings they hold.

mod account;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use arrow::{
    array::{AsArray as _, RecordBatch},
    datatypes::{Int32Type, Int64Type},
};
use object_store::{ObjectStoreExt as _, path::Path};

use crate::{
    Add, LakeError, StateKeeper,
    keys::KeyDecrypter,
    parquet_file,
    table::LakeTable,
    writer::{SHA256_TAG, keks, tag},
};
use account::{Accounts, compare};

/// (gateway, lane, epoch).
type EpochKey = (String, u32, u64);

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A file that the table names is not in the store.
    FileMissing {
        /// Its path.
        path: String,
    },
    /// A file is not the one that was committed, or does not open.
    FileDamaged {
        /// Its path.
        path: String,
        /// What gives it away.
        why: String,
    },
    /// Readings that are there more than once.
    Doubled {
        /// Gateway, lane and epoch.
        epoch: (String, u32, u64),
        /// The first such seq.
        first: u64,
        /// How many readings too many.
        count: u64,
    },
    /// Readings that were taken and are not there.
    Missing {
        /// Gateway, lane and epoch.
        epoch: (String, u32, u64),
        /// The first such seq.
        first: u64,
        /// How many.
        count: u64,
    },
    /// Readings of epochs that are done and forgotten are not there.
    MissingBefore {
        /// Gateway, lane and the last of these epochs.
        epoch: (String, u32, u64),
        /// How many.
        count: u64,
    },
    /// Readings that no state says were taken.
    Unaccounted {
        /// Gateway, lane and epoch.
        epoch: (String, u32, u64),
        /// How many.
        count: u64,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FileMissing { path } => write!(f, "file {path} is missing"),
            Self::FileDamaged { path, why } => write!(f, "file {path}: {why}"),
            Self::Doubled { epoch: (gateway, lane, epoch), first, count } => {
                write!(
                    f,
                    "{gateway}/{lane}/{epoch}: {count} readings are there more than once, the first is seq {first}"
                )
            }
            Self::Missing { epoch: (gateway, lane, epoch), first, count } => {
                write!(f, "{gateway}/{lane}/{epoch}: {count} readings are missing, the first is seq {first}")
            }
            Self::MissingBefore { epoch: (gateway, lane, epoch), count } => {
                write!(f, "{gateway}/{lane}, epochs up to {epoch}: {count} readings are missing")
            }
            Self::Unaccounted { epoch: (gateway, lane, epoch), count } => {
                write!(f, "{gateway}/{lane}/{epoch}: {count} readings are accounted for by no state")
            }
        }
    }
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Readings in files that opened.
    pub readings: u64,
    /// Files that the table names.
    pub files: u64,
    /// Gaps that are known, open and final.
    pub gaps: u64,
    /// Readings too many.
    pub doubled: u64,
    /// Readings that were taken and are not there.
    pub missing: u64,
    /// Everything that is wrong, in order.
    pub faults: BTreeSet<Fault>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.faults.is_empty() { "ok" } else { "FAULT" };
        let Self { readings, files, gaps, doubled, missing, faults: _ } = self;
        write!(f, "{verdict} readings={readings} files={files} gaps={gaps} doubled={doubled} missing={missing}")
    }
}

/// Reads the whole `readings` table as of now.
///
/// # Errors
/// When the log, a state object or a key cannot be had; what is wrong with the data is in the report.
pub async fn verify(
    table: &LakeTable,
    keeper: &StateKeeper,
    decrypter: &Arc<KeyDecrypter>,
) -> Result<Report, LakeError> {
    let snapshot = table.snapshot().await?;
    let mut report = Report::default();
    let mut seqs: BTreeMap<EpochKey, Vec<u64>> = BTreeMap::new();
    for add in snapshot.files() {
        report.files += 1;
        match read_file(table, &add, decrypter).await? {
            Ok(batches) => batches.iter().for_each(|rows| collect(rows, &mut seqs)),
            Err(fault) => drop(report.faults.insert(fault)),
        }
    }
    let mut accounts = Accounts::default();
    keeper.stream_states(table, &snapshot).await?.into_iter().for_each(|state| accounts.add(state));
    compare(seqs, accounts, &mut report);
    Ok(report)
}

async fn read_file(
    table: &LakeTable,
    add: &Add,
    decrypter: &Arc<KeyDecrypter>,
) -> Result<Result<Vec<RecordBatch>, Fault>, LakeError> {
    let path = add.path.clone();
    let damaged = |why: String| Ok(Err(Fault::FileDamaged { path: path.clone(), why }));
    let location = Path::parse(&add.path).map_err(object_store::Error::from)?;
    let bytes = match table.store().get(&location).await {
        Ok(found) => found.bytes().await?,
        Err(object_store::Error::NotFound { .. }) => return Ok(Err(Fault::FileMissing { path })),
        Err(error) => return Err(error.into()),
    };
    let found = parquet_file::sha256_hex(&bytes);
    match tag(add, SHA256_TAG) {
        Some(sealed) if sealed == found => {}
        Some(_) => return damaged("its SHA-256 is not the one that was committed".into()),
        None => return damaged("its Add action names no SHA-256".into()),
    }
    let keks = keks(table.schema(), add)?;
    let sealed = !keks.is_empty();
    decrypter.prepare(&keks).await?;
    match parquet_file::read_file(bytes, sealed.then_some(decrypter)) {
        Ok(batches) => Ok(Ok(batches)),
        Err(error) => damaged(error.to_string()),
    }
}

fn collect(rows: &RecordBatch, seqs: &mut BTreeMap<EpochKey, Vec<u64>>) {
    let column = |name: &str| rows.column_by_name(name).cloned();
    let (Some(gateway), Some(lane), Some(epoch), Some(seq)) =
        (column("gateway"), column("lane"), column("epoch"), column("seq"))
    else {
        return;
    };
    let gateway = gateway.as_string::<i32>();
    let (lane, epoch, seq) =
        (lane.as_primitive::<Int32Type>(), epoch.as_primitive::<Int64Type>(), seq.as_primitive::<Int64Type>());
    let mut last: Option<(EpochKey, Vec<u64>)> = None;
    for row in 0..rows.num_rows() {
        let (name, lane, epoch) =
            (gateway.value(row), lane.value(row).cast_unsigned(), epoch.value(row).cast_unsigned());
        let same = last.as_ref().is_some_and(|((g, l, e), _)| (g.as_str(), *l, *e) == (name, lane, epoch));
        if !same {
            flush(last.take(), seqs);
            last = Some(((name.to_owned(), lane, epoch), Vec::new()));
        }
        if let Some((_, of_epoch)) = &mut last {
            of_epoch.push(seq.value(row).cast_unsigned());
        }
    }
    flush(last, seqs);
}

fn flush(run: Option<(EpochKey, Vec<u64>)>, seqs: &mut BTreeMap<EpochKey, Vec<u64>>) {
    if let Some((key, run)) = run {
        seqs.entry(key).or_default().extend(run);
    }
}
