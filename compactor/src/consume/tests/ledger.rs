//! What the spool has received is in the lake, in quarantine, a gap or on its way, and `verify` proves it (E12).

use std::{
    fs,
    path::{Path, PathBuf},
};

use forebay_lake::{
    LedgerLine, LedgerSums, MergePolicy, Report, StateKeeper, keys::KeyDecrypter, verify_received,
};
use forebay_schemas::{ledger::Behind, table::TABLES};
use forebay_stream::local::lane_ledger;

use super::*;

/// What `verify` finds in a folder: that of a bench, or a copy of it.
async fn report(folder: &Path) -> Report {
    let random: Random = Arc::new(SystemRandom::new());
    let keyring = Arc::new(FileKeyring::open(&folder.join("keys"), random).unwrap());
    let ledger = lane_ledger(
        &folder.join("spool"),
        lane(),
        &SpoolKey::new([7; 32]),
        Behind::Lake,
    )
    .unwrap();
    let lake = Lake::local(&folder.join("lake")).unwrap();
    let mut tables = Vec::new();
    for table in TABLES {
        tables.push(lake.table(table).await.unwrap());
    }
    let keeper = StateKeeper::of(&*keyring).await.unwrap();
    let ledgers: Vec<_> = ledger.into_iter().collect();
    verify_received(
        &tables,
        &ledgers,
        &keeper,
        &Arc::new(KeyDecrypter::new(keyring)),
    )
    .await
    .unwrap()
}

pub(super) fn sums(report: &Report) -> LedgerSums {
    match &report.ledgers[..] {
        [LedgerLine::Compared { sums, .. }] => *sums,
        other => panic!("{other:?}"),
    }
}

/// The sums of a folder in which nothing is wrong.
pub(super) async fn sums_of_sound(folder: &Path) -> LedgerSums {
    let report = report(folder).await;
    assert!(report.faults.is_empty(), "{:?}", report.faults);
    let sums = sums(&report);
    let LedgerSums {
        received,
        committed,
        quarantined,
        expired,
        pending,
        missing,
    } = sums;
    assert_eq!(
        (committed + quarantined + expired + pending, missing),
        (received, 0)
    );
    sums
}

impl Bench {
    /// Commits what the spool holds.
    async fn take_spool(&self, spool: &Arc<Spool>) {
        let source: Arc<dyn LogSource> = Arc::new(SpoolSource::new(spool.clone(), lane()));
        let stop = CancellationToken::new();
        stop.cancel();
        timeout(PATIENCE, self.partition(&source, &stop).consume())
            .await
            .unwrap()
            .unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn copy_of(folder: &Path) -> TempDir {
    let out = tempfile::tempdir().unwrap();
    copy(folder, out.path());
    out
}

/// Data files of `readings`, sorted.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.join("lake/readings")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "parquet")
            {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// Of two devices, an hour or so each, one of a time that no device can mean.
fn some(from: u64, to: u64) -> Vec<Reading> {
    let mut some = readings(from, to);
    for (number, reading) in (from..).zip(&mut some) {
        reading.series.device =
            DeviceId::new(if number % 3 == 0 { "pump" } else { "valve" }).unwrap();
        reading.event_time =
            Timestamp::from_nanos(taken_at(0).nanos() + number as i64 * 100_000_000_000);
        reading.observed_time = reading.event_time;
    }
    some[0].event_time = Timestamp::from_nanos(0);
    some
}

/// 240 readings in the lake in several files, of which 6 are in quarantine; most have left the spool.
async fn with_readings(bench: &Bench) -> Arc<Spool> {
    let spool = bench
        .spool_at("spool", Limits::new(8_192, 2_048, OnFull::Block).unwrap())
        .await;
    for from in (1..=240).step_by(40) {
        spool.writer().append(some(from, from + 39)).await.unwrap();
        bench.take_spool(&spool).await;
    }
    spool
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_received_is_committed_quarantined_or_pending_through_merges_and_lives() {
    let bench = Bench::new().await;
    let folder = bench.folder.path();
    let spool = with_readings(&bench).await;
    let expected = LedgerSums {
        received: 240,
        committed: 234,
        quarantined: 6,
        ..LedgerSums::default()
    };
    assert_eq!(
        sums_of_sound(folder).await,
        expected,
        "beside the spool that has it open"
    );
    assert!(
        folder.join("spool/ledger").exists(),
        "most of it has left the spool"
    );
    spool.writer().append(some(241, 250)).await.unwrap();
    let waits = LedgerSums {
        received: 250,
        pending: 10,
        ..expected
    };
    assert_eq!(sums_of_sound(folder).await, waits);

    let readings = bench.lake.table(&READINGS).unwrap();
    let policy = MergePolicy::settled_before(Timestamp::from_nanos(i64::MAX));
    let plans = forebay_lake::plan(
        &bench.lake,
        &READINGS,
        &readings.snapshot().await.unwrap().files(),
        &policy,
    );
    assert!(!plans.is_empty());
    for spec in plans {
        forebay_lake::merge(&bench.lake, &spec, (bench.clock)())
            .await
            .unwrap();
    }
    assert_eq!(
        sums_of_sound(folder).await,
        waits,
        "a merge changes nothing"
    );
    // As a kill leaves it, and as the next life goes on.
    let killed = copy_of(folder);
    assert_eq!(sums_of_sound(killed.path()).await, waits);
    spool.writer().close().await.unwrap();
    drop(spool);
    let spool = bench
        .spool_at("spool", Limits::new(8_192, 2_048, OnFull::Block).unwrap())
        .await;
    spool.writer().append(some(251, 260)).await.unwrap();
    bench.take_spool(&spool).await;
    let all = LedgerSums {
        received: 260,
        committed: 252,
        quarantined: 8,
        ..LedgerSums::default()
    };
    assert_eq!(sums_of_sound(folder).await, all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_dropped_for_want_of_room_has_expired_and_is_no_fault() {
    let bench = Bench::new().await;
    let spool = bench
        .spool_at(
            "spool",
            Limits::new(4_096, 1_024, OnFull::DropOldest).unwrap(),
        )
        .await;
    for from in (1..=400).step_by(10) {
        spool.writer().append(some(from, from + 9)).await.unwrap();
    }
    let before = sums_of_sound(bench.folder.path()).await;
    assert!(
        before.expired > 0 && before.pending > 0 && before.received == 400,
        "{before:?}"
    );
    bench.take_spool(&spool).await;
    let after = sums_of_sound(bench.folder.path()).await;
    assert_eq!(
        (after.received, after.expired, after.pending),
        (400, before.expired, 0)
    );
    assert_eq!(after.committed + after.quarantined, before.pending);
}

/// The same entry of the log again, for a copy of its file.
fn plant_double(folder: &Path) {
    let log = folder.join("lake/readings/_delta_log");
    let mut entries: Vec<PathBuf> = fs::read_dir(&log)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "json")
    });
    entries.sort();
    let texts: Vec<String> = entries
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let add = texts
        .iter()
        .flat_map(|text| text.lines())
        .rfind(|line| line.starts_with("{\"add\""))
        .unwrap();
    let name = files(folder)
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .find(|name| add.contains(name))
        .unwrap();
    let path = files(folder)
        .into_iter()
        .find(|path| path.ends_with(&name))
        .unwrap();
    let double = format!("double-{name}");
    fs::copy(&path, path.with_file_name(&double)).unwrap();
    fs::write(
        log.join(format!("{:020}.json", entries.len())),
        format!("{}\n", add.replace(&name, &double)),
    )
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doubles_losses_swapped_and_missing_files_that_were_planted_are_named() {
    let bench = Bench::new().await;
    let old = {
        let spool = with_readings(&bench).await;
        let old = copy_of(bench.folder.path());
        spool.writer().append(some(241, 270)).await.unwrap();
        bench.take_spool(&spool).await;
        spool.writer().append(some(271, 280)).await.unwrap();
        bench.take_spool(&spool).await;
        old
    };
    let sound = sums_of_sound(bench.folder.path()).await;
    assert_eq!((sound.received, sound.pending), (280, 0));
    type Plant = fn(&Path, &Path);
    let plants: [(&str, Plant, &[&str]); 4] = [
        (
            "a double",
            |folder, _| plant_double(folder),
            &["there more than once", "more than were received, from "],
        ),
        // A copy of the lake from before was brought back: its states know nothing of what came since.
        (
            "a loss",
            |folder, old| {
                fs::remove_dir_all(folder.join("lake")).unwrap();
                copy(&old.join("lake"), &folder.join("lake"));
            },
            &[
                "40 readings were received and are nowhere to be found, the first is seq 241",
                "fewer than were received, from ",
            ],
        ),
        (
            "swapped files",
            |folder, _| {
                let files = files(folder);
                let (one, other) = (fs::read(&files[0]).unwrap(), fs::read(&files[1]).unwrap());
                fs::write(&files[0], other).unwrap();
                fs::write(&files[1], one).unwrap();
            },
            &[
                "its SHA-256 is not the one that was committed",
                "fewer than were received, from ",
            ],
        ),
        (
            "a missing file",
            |folder, _| fs::remove_file(&files(folder)[0]).unwrap(),
            &["is missing", "fewer than were received, from "],
        ),
    ];
    for (what, plant, words) in plants {
        let planted = copy_of(bench.folder.path());
        plant(planted.path(), old.path());
        let report = report(planted.path()).await;
        let faults = report
            .faults
            .iter()
            .map(|fault| format!("{fault}\n"))
            .collect::<String>();
        assert!(report.to_string().starts_with("FAULT "), "{what}: {report}");
        for word in words {
            assert!(faults.contains(word), "{what}, {word}: {faults}");
        }
    }
}
