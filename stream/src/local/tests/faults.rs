//! Disks that fail, and syncs that are shared.

mod counting;

use std::{
    fs::File,
    io,
    ops::Range,
    os::unix::fs::MetadataExt,
    sync::{
        Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    time::Duration,
};

use forebay_schemas::ledger::Behind;
use rustix::io::Errno;
use tokio::{task::JoinHandle, time::timeout};

use super::*;
use crate::{
    OpenReceipt, ReceiptChanges,
    local::{lane_ledger, medium::OsMedium},
};

#[derive(Default)]
struct Faults {
    /// Writes to come that find no room.
    no_space: AtomicUsize,
    /// Syncs to come that fail.
    bad_syncs: AtomicUsize,
    syncs: AtomicUsize,
    /// Syncs of the directory to come that fail.
    bad_folder_syncs: AtomicUsize,
    /// Inodes, and where their bytes cannot be read.
    bad_sectors: Mutex<Vec<(u64, Range<u64>)>>,
    bytes_read: AtomicU64,
    /// Kept open, so that no other file gets their inode numbers.
    failed: Mutex<Vec<File>>,
    gate: Mutex<Option<mpsc::Receiver<()>>>,
    /// Holds up the next read.
    read_gate: Mutex<Option<mpsc::Receiver<()>>>,
}

struct Faulty(Arc<Faults>);

fn strike(count: &AtomicUsize) -> bool {
    count
        .fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1))
        .is_ok()
}

impl Faulty {
    fn fail(&self, file: &File, error: io::Error) -> io::Result<()> {
        self.0.failed.lock().unwrap().push(file.try_clone()?);
        Err(error)
    }

    fn assert_trusted(&self, file: &File) {
        let inode = |file: &File| file.metadata().unwrap().ino();
        let failed = self.0.failed.lock().unwrap();
        assert!(
            failed.iter().all(|failed| inode(failed) != inode(file)),
            "used again after a failure"
        );
    }
}

impl Medium for Faulty {
    fn read(&self, file: &File, buffer: &mut [u8], at: u64) -> io::Result<()> {
        let gate = self.0.read_gate.lock().unwrap().take();
        if let Some(gate) = gate {
            gate.recv().unwrap();
        }
        let inode = file.metadata()?.ino();
        let end = at + buffer.len() as u64;
        let bad = self.0.bad_sectors.lock().unwrap();
        if bad
            .iter()
            .any(|(of, sector)| *of == inode && at < sector.end && sector.start < end)
        {
            return Err(Errno::IO.into());
        }
        self.0.bytes_read.fetch_add(buffer.len() as u64, SeqCst);
        OsMedium.read(file, buffer, at)
    }

    fn sync_folder(&self, folder: &File) -> io::Result<()> {
        if strike(&self.0.bad_folder_syncs) {
            return Err(io::Error::other("bad disk"));
        }
        OsMedium.sync_folder(folder)
    }

    fn write(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        self.assert_trusted(file);
        if strike(&self.0.no_space) {
            OsMedium.write(file, &bytes[..bytes.len() / 2], at)?;
            return self.fail(file, io::ErrorKind::StorageFull.into());
        }
        OsMedium.write(file, bytes, at)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.assert_trusted(file);
        if strike(&self.0.bad_syncs) {
            return self.fail(file, io::Error::other("bad disk"));
        }
        let gate = self.0.gate.lock().unwrap().take();
        if let Some(gate) = gate {
            gate.recv().unwrap();
        }
        self.0.syncs.fetch_add(1, SeqCst);
        OsMedium.sync(file)
    }
}

async fn faulty(dir: &Path) -> (Spool, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    (
        open_on(dir, roomy(), Arc::new(Faulty(faults.clone()))).await,
        faults,
    )
}

/// The cost of a reading must not grow with the segment that it lies in: a gateway with large segments runs for years. A publisher
/// stops waiting for a record whenever an acknowledgement comes.
#[tokio::test]
async fn a_reader_that_follows_reads_each_byte_once() {
    const RECORDS: u64 = 200;
    for interruptions in [0, 2] {
        let dir = TempDir::new().unwrap();
        let (spool, faults) = faulty(dir.path()).await;
        let mut reader = spool.reader(Offset(0));
        faults.bytes_read.store(0, SeqCst);
        for number in 1..=RECORDS {
            append(&spool, number, 1).await;
            let mut found = None;
            for _ in 0..interruptions {
                let brief = timeout(Duration::ZERO, reader.try_next()).await;
                found = found.or(brief.ok().transpose().unwrap().flatten());
            }
            if found.is_none() {
                found = reader.try_next().await.unwrap();
            }
            assert!(found.is_some());
            assert_eq!(
                reader.try_next().await.unwrap(),
                None,
                "the reader is at the end each time"
            );
        }
        let written: u64 = segments(dir.path())
            .iter()
            .map(|path| fs::metadata(path).unwrap().len())
            .sum();
        let read = faults.bytes_read.load(SeqCst);
        assert!(
            read < 2 * written,
            "{read} bytes were read of {written}, {interruptions} interruptions"
        );
    }
}

#[tokio::test]
async fn a_look_that_was_interrupted_hides_nothing_that_came_since() {
    for round in 0..10 {
        let dir = TempDir::new().unwrap();
        let (spool, _) = faulty(dir.path()).await;
        let mut reader = spool.reader(Offset(0));
        // It finds nothing, whether anybody waits for it or not.
        let interrupted = timeout(Duration::ZERO, reader.try_next()).await;
        assert!(!matches!(interrupted, Ok(Ok(Some(_)))));
        append(&spool, 1, 1).await;
        assert!(reader.try_next().await.unwrap().is_some(), "round {round}");
    }
}

fn large(number: u64) -> Vec<forebay_schemas::Reading> {
    let mut one = readings(number, 1).unwrap();
    one[0].value = Some(forebay_schemas::Value::Text("x".repeat(3 * 4096)));
    one
}

/// Flash dies so: the system answers EIO for some pages of a file. The gateway must start, the rest must come, and the loss be named.
#[tokio::test]
async fn an_unreadable_sector_is_damage_and_stops_neither_opening_nor_reading() {
    const PAGE: u64 = 4096;
    let dir = TempDir::new().unwrap();
    let (spool, faults) = faulty(dir.path()).await;
    let mut ends = Vec::new();
    for number in 1..=3 {
        spool.writer().append(large(number)).await.unwrap();
        ends.push(fs::metadata(&segments(dir.path())[0]).unwrap().len());
    }
    let written = all(&spool).await;
    // In the middle of the second record, in the last record, in the header: while running, and at the next opening.
    let middle = ends[0] / PAGE * PAGE + PAGE;
    let cases = [
        ("second", middle, 1, true),
        ("last", ends[1] / PAGE * PAGE + PAGE, 2, false),
        ("header", 0, 0, false),
    ];
    for (name, at, hit, is_waiting) in cases {
        let sector = at..at + PAGE;
        let running = fs::metadata(&segments(dir.path())[0]).unwrap().ino();
        *faults.bad_sectors.lock().unwrap() = vec![(running, sector.clone())];
        let found = all(&spool).await;
        let survivors: Vec<_> = match name {
            "header" => Vec::new(),
            _ => written
                .iter()
                .enumerate()
                .filter(|(index, _)| *index != hit)
                .map(|(_, record)| record)
                .collect(),
        };
        assert_eq!(batches(&found), survivors, "{name}, while running");
        assert!(
            found
                .iter()
                .any(|record| matches!(record.entry, Entry::Damaged { .. })),
            "{name}: {found:?}"
        );

        let copy = image(dir.path());
        let path = segments(copy.path()).remove(0);
        let again = Arc::new(Faults::default());
        *again.bad_sectors.lock().unwrap() = vec![(fs::metadata(&path).unwrap().ino(), sector)];
        let spool = open_on(copy.path(), roomy(), Arc::new(Faulty(again))).await;
        append(&spool, 9, 1).await;
        let found = all(&spool).await;
        let sound = batches(&found);
        assert_eq!(
            sound[..sound.len() - 1],
            survivors,
            "{name}, at the next opening"
        );
        let damaged = found
            .iter()
            .any(|record| matches!(record.entry, Entry::Damaged { .. }));
        assert!(
            damaged || spool.opened().torn.is_some(),
            "{name}: {found:?}"
        );
        let end = found.iter().find_map(|record| match record.entry {
            Entry::EpochEnd { last, .. } => Some(last),
            _ => None,
        });
        let expected = is_waiting.then_some(LastSeq::Known(Some(Seq(3))));
        assert!(
            end == expected || matches!(end, Some(LastSeq::Unknown { .. })) && !is_waiting,
            "{name}: {end:?}"
        );
    }
}

#[tokio::test]
async fn a_mark_that_cannot_be_read_is_a_lost_mark() {
    let (dir, _) = {
        let dir = TempDir::new().unwrap();
        let (spool, faults) = faulty(dir.path()).await;
        append(&spool, 1, 2).await;
        (image(dir.path()), faults)
    };
    let faults = Arc::new(Faults::default());
    let mark = fs::metadata(dir.path().join("mark")).unwrap().ino();
    *faults.bad_sectors.lock().unwrap() = vec![(mark, 0..4096)];
    let spool = open_on(dir.path(), roomy(), Arc::new(Faulty(faults))).await;
    assert_eq!(
        batches(&all(&spool).await).len(),
        1,
        "what its segment holds is there"
    );
}

#[tokio::test]
async fn what_cannot_be_read_for_another_reason_is_tried_again() {
    let dir = TempDir::new().unwrap();
    let spool = open(dir.path()).await;
    append(&spool, 1, 1).await;
    let path = segments(dir.path()).remove(0);
    let aside = path.with_extension("aside");
    fs::rename(&path, &aside).unwrap();
    let error = drain(&mut spool.reader(Offset(0))).await.unwrap_err();
    assert!(error.to_string().contains("open"), "{error}");
    fs::rename(&aside, &path).unwrap();
    assert_eq!(all(&spool).await.len(), 1);
}

/// A segment whose name a power cut may take is not yet there (E1).
#[tokio::test]
async fn a_directory_that_cannot_be_synced_gives_no_receipt() {
    let dir = TempDir::new().unwrap();
    let (spool, faults) = faulty(dir.path()).await;
    append(&spool, 1, 1).await;
    // A sync that fails makes the next append begin a segment, whose name needs the directory's sync.
    faults.bad_syncs.store(1, SeqCst);
    spool
        .writer()
        .append(readings(2, 1).unwrap())
        .await
        .unwrap_err();
    faults.bad_folder_syncs.store(1, SeqCst);
    let error = spool
        .writer()
        .append(readings(2, 1).unwrap())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), forebay_schemas::ErrorKind::Retry);
    assert_eq!(append(&spool, 2, 1).await.first_seq, Seq(2));
    assert_eq!(batches(&all(&spool).await).len(), 2);
}

#[tokio::test]
async fn a_failed_sync_gives_no_receipt_and_its_segment_is_done_with() {
    let dir = TempDir::new().unwrap();
    let (spool, faults) = faulty(dir.path()).await;
    append(&spool, 1, 1).await;
    faults.bad_syncs.store(1, SeqCst);
    let error = spool
        .writer()
        .append(readings(2, 1).unwrap())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), forebay_schemas::ErrorKind::Retry);
    let receipt = append(&spool, 2, 1).await;
    assert_eq!(receipt.first_seq, Seq(2), "the failed append left no hole");
    let found = all(&spool).await;
    assert_eq!(found.len(), 2);
    assert_eq!(segments(dir.path()).len(), 2, "a new segment was begun");
    assert_eq!(all(&open(image(dir.path()).path()).await).await[..2], found);
}

#[tokio::test]
async fn remains_of_a_failed_write_are_never_read() {
    let dir = TempDir::new().unwrap();
    let (spool, faults) = faulty(dir.path()).await;
    append(&spool, 1, 1).await;
    append(&spool, 2, 1).await;
    let with_two = fs::read(&segments(dir.path())[0]).unwrap();
    let (dir, length) = (image(dir.path()), with_two.len());
    drop((spool, faults));
    // As if cutting back had failed as well: a successor begins at the place of a record that is still there.
    let (spool, faults) = faulty(dir.path()).await;
    append(&spool, 1, 1).await;
    let first = segments(dir.path()).remove(1);
    let synced = fs::read(&first).unwrap();
    faults.bad_syncs.store(1, SeqCst);
    spool
        .writer()
        .append(readings(7, 1).unwrap())
        .await
        .unwrap_err();
    append(&spool, 2, 1).await;
    let crashed = image(dir.path());
    fs::write(
        crashed.path().join(first.file_name().unwrap()),
        [synced, with_two[length / 2..].to_vec()].concat(),
    )
    .unwrap();
    let found = all(&spool).await;
    assert_eq!(all(&open(crashed.path()).await).await[..found.len()], found);
}

#[tokio::test]
async fn a_failed_write_opens_no_receipt_and_a_failed_mark_ends_none() {
    let dir = TempDir::new().unwrap();
    let (spool, faults) = faulty(dir.path()).await;
    let receipt = |number: u8| OpenReceipt {
        owner: [1; 16],
        token: vec![number],
    };
    let opening = |number| ReceiptChanges {
        ended: Vec::new(),
        opened: vec![receipt(number)],
    };
    let open_now = || async {
        open(image(dir.path()).path())
            .await
            .opened()
            .receipts
            .clone()
    };
    let writer = spool.writer();
    writer
        .append_with(readings(1, 1).unwrap(), opening(1))
        .await
        .unwrap();
    faults.bad_syncs.store(1, SeqCst);
    writer
        .append_with(readings(2, 1).unwrap(), opening(2))
        .await
        .unwrap_err();
    writer
        .append_with(readings(2, 1).unwrap(), opening(3))
        .await
        .unwrap();
    assert_eq!(open_now().await, [receipt(1), receipt(3)]);
    faults.bad_syncs.store(1, SeqCst);
    let error = writer.end_receipts(vec![receipt(1)]).await.unwrap_err();
    assert_eq!(error.kind(), forebay_schemas::ErrorKind::Retry);
    assert_eq!(open_now().await, [receipt(1), receipt(3)]);
    writer.end_receipts(vec![receipt(1)]).await.unwrap();
    assert_eq!(open_now().await, [receipt(3)]);
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_waited_for() {
    let dir = TempDir::new().unwrap();
    let (spool, faults) = faulty(dir.path()).await;
    append(&spool, 1, 1).await;
    faults.no_space.store(5, SeqCst);
    assert_eq!(append(&spool, 2, 1).await.first_seq, Seq(2));
    assert_eq!(
        faults.no_space.load(SeqCst),
        0,
        "each try struck the full disk"
    );
    assert_eq!(all(&spool).await.len(), 2);
}

#[tokio::test]
async fn forgetting_works_on_a_full_disk() {
    let dir = TempDir::new().unwrap();
    let (spool, faults) = faulty(dir.path()).await;
    append(&spool, 1, 1).await;
    faults.no_space.store(1, SeqCst);
    spool.reader(Offset(0)).forget(Offset(1)).await.unwrap();
    assert_eq!(faults.no_space.load(SeqCst), 0);
    assert_eq!(
        all(&open(image(dir.path()).path()).await)
            .await
            .first()
            .map(|record| record.offset),
        Some(Offset(1))
    );
}

#[tokio::test]
async fn appends_that_wait_share_a_sync() {
    let dir = TempDir::new().unwrap();
    let (spool, faults) = faulty(dir.path()).await;
    let (release, gate) = mpsc::channel();
    *faults.gate.lock().unwrap() = Some(gate);
    let before = faults.syncs.load(SeqCst);
    let spawn = |number| {
        let writer = spool.writer();
        tokio::spawn(async move { writer.append(readings(number, 1).unwrap()).await.unwrap() })
    };
    let first = spawn(1);
    while faults.gate.lock().map(|gate| gate.is_some()).unwrap() {
        tokio::task::yield_now().await;
    }
    let rest: Vec<_> = (2..=41).map(spawn).collect();
    while spool.writer().appends.capacity() > crate::local::WAITING_MAX - rest.len() {
        tokio::task::yield_now().await;
    }
    release.send(()).unwrap();
    assert_eq!(first.await.unwrap().first_seq, Seq(1));
    let mut seqs = Vec::new();
    for receipt in rest {
        seqs.push(receipt.await.unwrap().first_seq.0);
    }
    assert_eq!(seqs, (2..=41).collect::<Vec<_>>());
    assert_eq!(faults.syncs.load(SeqCst) - before, 2);
}
