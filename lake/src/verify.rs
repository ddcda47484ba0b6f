//! Proof that a table holds each reading once: files against their seals, identities against the marks.
//!
//! Every file is read whole. A file must be there, have the SHA-256 that its Add action names, and open with the
//! keyring; a reading's identity must occur once; and each epoch must hold exactly the seqs up to its mark.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use arrow::{
    array::{AsArray as _, RecordBatch},
    datatypes::{Int32Type, Int64Type},
};
use futures::TryStreamExt as _;
use object_store::{ObjectStoreExt as _, path::Path};

use crate::{
    Add, LakeError, StateKeeper,
    keys::KeyDecrypter,
    parquet_file,
    table::{LakeTable, Snapshot},
    writer::{SHA256_TAG, keks, tag},
};

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
        // Gap records come with the stream (E4); a table that is only imported into has none.
        write!(
            f,
            "{verdict} readings={} files={} gaps=0 doubled={} missing={}",
            self.readings, self.files, self.doubled, self.missing
        )
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
    let marks = marks(table, &snapshot, keeper).await?;
    compare(seqs, marks, &mut report);
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

/// The mark of each epoch, from the states that the table's log names.
async fn marks(
    table: &LakeTable,
    snapshot: &Snapshot,
    keeper: &StateKeeper,
) -> Result<BTreeMap<EpochKey, u64>, LakeError> {
    let folder = Path::from_iter(["_forebay", "state"]);
    let objects: Vec<_> = table.store().list(Some(&folder)).try_collect().await?;
    let app_ids: BTreeSet<String> = objects
        .iter()
        .filter_map(|object| object.location.parts().nth(2).map(|part| part.as_ref().to_owned()))
        .collect();
    let mut marks = BTreeMap::new();
    for app_id in app_ids {
        let Some(number) = snapshot.state_of(&app_id).await? else { continue };
        for epoch in keeper.load(table, &app_id, number).await?.epochs {
            marks.insert((epoch.gateway, epoch.lane, epoch.epoch), epoch.mark);
        }
    }
    Ok(marks)
}

fn compare(mut seqs: BTreeMap<EpochKey, Vec<u64>>, marks: BTreeMap<EpochKey, u64>, report: &mut Report) {
    for (epoch, mark) in marks {
        let mut found = seqs.remove(&epoch).unwrap_or_default();
        report.readings += found.len() as u64;
        found.sort_unstable();
        let (first_double, doubled) = doubles(&found);
        if let Some(first) = first_double {
            report.doubled += doubled;
            report.faults.insert(Fault::Doubled { epoch: epoch.clone(), first, count: doubled });
        }
        found.dedup();
        let beyond = found.partition_point(|seq| *seq <= mark);
        let count = (found.len() - beyond) as u64;
        if count > 0 {
            report.faults.insert(Fault::Unaccounted { epoch: epoch.clone(), count });
        }
        let count = mark - beyond as u64;
        if count > 0 {
            let first = (1_u64..).zip(&found[..beyond]).find(|(want, seq)| want != *seq);
            let first = first.map_or(beyond as u64 + 1, |(want, _)| want);
            report.missing += count;
            report.faults.insert(Fault::Missing { epoch, first, count });
        }
    }
    for (epoch, found) in seqs {
        report.readings += found.len() as u64;
        report.faults.insert(Fault::Unaccounted { epoch, count: found.len() as u64 });
    }
}

fn doubles(sorted: &[u64]) -> (Option<u64>, u64) {
    let mut doubles = sorted.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]);
    let first = doubles.next();
    (first, u64::from(first.is_some()) + doubles.count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(seqs: &[u64], mark: u64, line: &str, faults: &[&str]) {
        let epoch = ("gw".to_owned(), 0, 7);
        let mut report = Report::default();
        let marks = if mark > 0 { BTreeMap::from([(epoch.clone(), mark)]) } else { BTreeMap::new() };
        compare(BTreeMap::from([(epoch, seqs.to_vec())]), marks, &mut report);
        assert_eq!(report.to_string(), line);
        assert_eq!(report.faults.iter().map(Fault::to_string).collect::<Vec<_>>(), faults);
    }

    #[test]
    fn identities_are_held_against_the_marks() {
        check(&[3, 1, 2], 3, "ok readings=3 files=0 gaps=0 doubled=0 missing=0", &[]);
        check(
            &[1, 2, 2, 3, 3, 3],
            3,
            "FAULT readings=6 files=0 gaps=0 doubled=3 missing=0",
            &["gw/0/7: 3 readings are there more than once, the first is seq 2"],
        );
        check(
            &[1, 4],
            5,
            "FAULT readings=2 files=0 gaps=0 doubled=0 missing=3",
            &["gw/0/7: 3 readings are missing, the first is seq 2"],
        );
        check(
            &[1, 2, 9],
            2,
            "FAULT readings=3 files=0 gaps=0 doubled=0 missing=0",
            &["gw/0/7: 1 readings are accounted for by no state"],
        );
        check(
            &[1],
            0,
            "FAULT readings=1 files=0 gaps=0 doubled=0 missing=0",
            &["gw/0/7: 1 readings are accounted for by no state"],
        );
    }
}
