//! Disks that fail, and syncs that are shared.

use std::{
    fs::File,
    io,
    os::unix::fs::MetadataExt,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
};

use super::*;
use crate::{OpenReceipt, ReceiptChanges, local::dir::OsMedium};

#[derive(Default)]
struct Faults {
    /// Writes to come that find no room.
    no_space: AtomicUsize,
    /// Syncs to come that fail.
    bad_syncs: AtomicUsize,
    syncs: AtomicUsize,
    /// Kept open, so that no other file gets their inode numbers.
    failed: Mutex<Vec<File>>,
    gate: Mutex<Option<mpsc::Receiver<()>>>,
}

struct Faulty(Arc<Faults>);

fn strike(count: &AtomicUsize) -> bool {
    count.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok()
}

impl Faulty {
    fn fail(&self, file: &File, error: io::Error) -> io::Result<()> {
        self.0.failed.lock().unwrap().push(file.try_clone()?);
        Err(error)
    }

    fn assert_trusted(&self, file: &File) {
        let inode = |file: &File| file.metadata().unwrap().ino();
        let failed = self.0.failed.lock().unwrap();
        assert!(failed.iter().all(|failed| inode(failed) != inode(file)), "used again after a failure");
    }
}

impl Medium for Faulty {
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
    (open_on(dir, roomy(), Box::new(Faulty(faults.clone()))).await, faults)
}

#[tokio::test]
async fn a_failed_sync_gives_no_receipt_and_its_segment_is_done_with() {
    let dir = TempDir::new().unwrap();
    let (spool, faults) = faulty(dir.path()).await;
    append(&spool, 1, 1).await;
    faults.bad_syncs.store(1, SeqCst);
    let error = spool.writer().append(readings(2, 1).unwrap()).await.unwrap_err();
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
    spool.writer().append(readings(7, 1).unwrap()).await.unwrap_err();
    append(&spool, 2, 1).await;
    let crashed = image(dir.path());
    fs::write(crashed.path().join(first.file_name().unwrap()), [synced, with_two[length / 2..].to_vec()].concat())
        .unwrap();
    let found = all(&spool).await;
    assert_eq!(all(&open(crashed.path()).await).await[..found.len()], found);
}

#[tokio::test]
async fn a_failed_write_opens_no_receipt_and_a_failed_mark_ends_none() {
    let dir = TempDir::new().unwrap();
    let (spool, faults) = faulty(dir.path()).await;
    let receipt = |number: u8| OpenReceipt { owner: [1; 16], token: vec![number] };
    let opening = |number| ReceiptChanges { ended: Vec::new(), opened: vec![receipt(number)] };
    let open_now = || async { open(image(dir.path()).path()).await.opened().receipts.clone() };
    let writer = spool.writer();
    writer.append_with(readings(1, 1).unwrap(), opening(1)).await.unwrap();
    faults.bad_syncs.store(1, SeqCst);
    writer.append_with(readings(2, 1).unwrap(), opening(2)).await.unwrap_err();
    writer.append_with(readings(2, 1).unwrap(), opening(3)).await.unwrap();
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
    assert_eq!(faults.no_space.load(SeqCst), 0, "each try struck the full disk");
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
    assert_eq!(all(&open(image(dir.path()).path()).await).await.first().map(|record| record.offset), Some(Offset(1)));
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
