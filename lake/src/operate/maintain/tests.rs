//! Checkpoints, the end of old log entries, and what a vacuum deletes and keeps.

mod log;
mod vacuum;

use std::{fs, path::PathBuf, time::SystemTime};

use forebay_schemas::table::{READINGS, TABLES};
use object_store::{ObjectStoreExt as _, path::Path};

use super::*;
use crate::{
    Attempt, Lake, MergeOutcome, MergePolicy, Sealed, merge, plan,
    table::commit::VACUUM_APP_ID,
    testing::{Bench, DAY_START, at, batch},
};

const ROWS: u64 = 10;

fn folder(bench: &Bench) -> PathBuf {
    bench.folder.path().join("lake/readings")
}

async fn ingest(bench: &Bench, n: u64, now: Timestamp) {
    bench
        .ingest("s", &batch(n * ROWS + 1, ROWS, DAY_START), now)
        .await;
}

/// The time of a file that is written now.
fn present(bench: &Bench) -> SystemTime {
    let file = bench.folder.path().join("now");
    fs::write(&file, "").unwrap();
    fs::metadata(&file).unwrap().modified().unwrap()
}

fn timestamp(time: SystemTime) -> Timestamp {
    at(time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_micros() as i64)
}

fn age(path: &std::path::Path, time: SystemTime) {
    fs::File::options()
        .append(true)
        .open(path)
        .unwrap()
        .set_modified(time)
        .unwrap();
}

/// Every file of the table, relative to its folder.
fn files(bench: &Bench) -> Vec<PathBuf> {
    fn walk(folder: &std::path::Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found)
            } else {
                found.push(path)
            }
        }
    }
    let mut found = Vec::new();
    walk(&folder(bench), &mut found);
    found.sort();
    found
}

/// As another program sees the table.
async fn reopened(bench: &Bench) -> LakeTable {
    let lake = Lake::local(&bench.folder.path().join("lake")).unwrap();
    lake.table(bench.readings().schema()).await.unwrap()
}
