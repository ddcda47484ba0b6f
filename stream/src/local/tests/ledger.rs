//! What was received is counted, once, whatever becomes of it (E12).

use forebay_schemas::{
    ledger::{Behind, Census, Fate, LaneLedger, Ledger},
    wire::ReadingBatch,
};

use super::*;
use crate::local::{
    header::BadHeader,
    lane_ledger,
    ledger::{LEDGER_NAME, LedgerFile},
};

fn small() -> Limits {
    Limits::new(1 << 16, 1024, OnFull::Block).unwrap()
}

fn audit(dir: &Path) -> LaneLedger {
    lane_ledger(dir, lane(), &SpoolKey::new([7; 32]), Behind::Lake)
        .unwrap()
        .unwrap()
}

/// How many readings were received, have expired and wait.
fn sums(dir: &Path) -> (u64, u64, u64) {
    let LaneLedger {
        ledger, waiting, ..
    } = audit(dir);
    (
        ledger.received.total(),
        ledger.expired.total(),
        waiting.total(),
    )
}

/// Only what the ledger's file says.
fn stored(dir: &Path) -> Ledger {
    let bytes = fs::read(dir.join(LEDGER_NAME)).unwrap();
    LedgerFile::decode(&bytes, &SpoolKey::new([7; 32]))
        .unwrap()
        .ledger
}

/// Appends `count` readings two at a time, and forgets up to where they end each time.
async fn pass_through(spool: &Spool, count: u64) {
    let mut reader = spool.reader(Offset(0));
    for number in (1..=count).step_by(2) {
        append(spool, number, 2).await;
        while let Some(record) = reader.try_next().await.unwrap() {
            reader.forget(record.next).await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_was_received_stays_counted_when_it_is_forgotten() {
    let dir = TempDir::new().unwrap();
    let spool = Spool::open(options(dir.path(), small())).await.unwrap();
    append(&spool, 1, 3).await;
    assert_eq!(sums(dir.path()), (3, 0, 3), "beside the open spool");
    assert!(
        !dir.path().join(LEDGER_NAME).exists(),
        "nothing is written on the way of a reading"
    );
    pass_through(&spool, 200).await;
    append(&spool, 1, 4).await;
    assert_eq!(sums(dir.path()), (207, 0, 4));
    assert!(
        segments(dir.path()).len() < 4 && stored(dir.path()).received.total() > 100,
        "most has left the spool"
    );
    let epoch = spool.opened().epoch.0;
    let found = audit(dir.path());
    assert_eq!(found.ledger.covered.of(epoch), [(1, 207)]);
    assert_eq!(found.waiting_seqs.of(epoch), [(204, 207)]);
    // The next life goes on from there.
    spool.writer().close().await.unwrap();
    let spool = Spool::open(options(dir.path(), small())).await.unwrap();
    pass_through(&spool, 100).await;
    assert_eq!(sums(dir.path()), (307, 0, 0));
    assert_eq!(audit(dir.path()).ledger.covered.len(), 2);
}

#[tokio::test]
async fn what_is_dropped_for_want_of_room_is_counted_as_expired() {
    let dir = TempDir::new().unwrap();
    let limits = Limits::new(4096, 1024, OnFull::DropOldest).unwrap();
    let spool = Spool::open(options(dir.path(), limits)).await.unwrap();
    append(&spool, 1, 2).await;
    let mut reader = spool.reader(Offset(0));
    let first = reader.next().await.unwrap();
    reader.forget(first.next).await.unwrap();
    for number in 0..100 {
        append(&spool, 3 + 2 * number, 2).await;
    }
    let (received, expired, waiting) = sums(dir.path());
    assert_eq!(received, 202);
    assert_eq!(
        expired + waiting,
        200,
        "what was taken before its segment was dropped has not expired"
    );
    let Entry::Dropped {
        first_seq,
        last_seq,
        ..
    } = all(&spool).await[0].entry
    else {
        panic!("nothing was dropped")
    };
    assert_eq!(
        audit(dir.path()).ledger.dropped.of(FIRST_EPOCH.0),
        [(first_seq.0, last_seq.0)]
    );
    assert_eq!(expired, last_seq.0 - first_seq.0 + 1);
}

/// Each file of a moment before a removal, put back beside the ledger of after it: as a kill between the two leaves it.
#[tokio::test]
async fn a_kill_between_the_ledger_and_the_removal_doubles_nothing() {
    let dir = TempDir::new().unwrap();
    let spool = Spool::open(options(dir.path(), small())).await.unwrap();
    for number in 0..30 {
        append(&spool, 1 + 3 * number, 3).await;
    }
    let before = image(dir.path());
    assert!(segments(before.path()).len() > 2);
    let end = all(&spool).await.last().unwrap().next;
    spool.reader(Offset(0)).forget(end).await.unwrap();
    let after = image(dir.path());
    assert!(segments(after.path()).len() < segments(before.path()).len());
    for (from, restored) in [
        (&before, &[LEDGER_NAME][..]),
        (&before, &[LEDGER_NAME, "mark"]),
        (&before, &["mark"]),
    ] {
        let killed = image(from.path());
        for name in restored {
            fs::copy(after.path().join(name), killed.path().join(name)).unwrap();
        }
        assert_eq!(sums(killed.path()).0, 90, "{restored:?}, as it lies");
        let spool = Spool::open(options(killed.path(), small())).await.unwrap();
        assert_eq!(sums(killed.path()).0, 90, "{restored:?}, opened");
        spool
            .reader(Offset(0))
            .forget(Offset(u64::MAX))
            .await
            .unwrap();
        append(&spool, 1, 1).await;
        assert_eq!(sums(killed.path()), (91, 0, 1), "{restored:?}, forgotten");
    }
}

#[tokio::test]
async fn a_ledger_that_cannot_be_written_keeps_nothing_from_being_forgotten_and_claims_nothing() {
    let dir = TempDir::new().unwrap();
    let spool = Spool::open(options(dir.path(), small())).await.unwrap();
    for number in 0..8 {
        append(&spool, 1 + 3 * number, 3).await;
    }
    let end = all(&spool).await.last().unwrap().next;
    let held = segments(dir.path()).len();
    // The mark can be written, the ledger cannot.
    let in_the_way = dir.path().join("ledger.tmp");
    fs::create_dir(&in_the_way).unwrap();
    spool.reader(Offset(0)).forget(end).await.unwrap();
    assert!(segments(dir.path()).len() < held && !dir.path().join(LEDGER_NAME).exists());
    let found = audit(dir.path()).ledger;
    let covered: u64 = found
        .covered
        .of(FIRST_EPOCH.0)
        .iter()
        .map(|(first, last)| last - first + 1)
        .sum();
    assert!(
        covered < 24 && found.received.total() == covered,
        "only what still lies in the spool"
    );
    fs::remove_dir(in_the_way).unwrap();
    pass_through(&spool, 100).await;
    let later = audit(dir.path()).ledger;
    assert_eq!(later.received.total(), covered + 100);
    assert!(
        later.covered.contains(FIRST_EPOCH.0, 124) && !later.covered.contains(FIRST_EPOCH.0, 1)
    );
}

#[tokio::test]
async fn a_damaged_ledger_is_begun_anew_and_a_newer_one_refused() {
    let dir = TempDir::new().unwrap();
    let spool = Spool::open(options(dir.path(), small())).await.unwrap();
    pass_through(&spool, 100).await;
    drop(spool);
    let path = dir.path().join(LEDGER_NAME);
    let good = fs::read(&path).unwrap();
    let mut newer = good.clone();
    newer[8] = 2;
    let checksum = crc32c::crc32c(&newer[..60]).to_le_bytes();
    newer[60..64].copy_from_slice(&checksum);
    let opened = image(dir.path());
    fs::write(opened.path().join(LEDGER_NAME), &newer).unwrap();
    let refused = Spool::open(options(opened.path(), small())).await;
    assert!(
        matches!(refused, Err(StreamError::NewerVersion { found: 2, .. })),
        "{refused:?}"
    );
    for flipped in [9, 70, good.len() - 1] {
        let opened = image(dir.path());
        let mut damaged = good.clone();
        damaged[flipped] ^= 1;
        fs::write(opened.path().join(LEDGER_NAME), &damaged).unwrap();
        let spool = Spool::open(options(opened.path(), small())).await.unwrap();
        pass_through(&spool, 100).await;
        let found = audit(opened.path()).ledger;
        assert!(
            (100..200).contains(&found.received.total()),
            "byte {flipped}: {}",
            found.received.total()
        );
    }
}

/// The bytes of a ledger's file, version 1. A change here is a change of a stored format.
#[test]
fn the_ledgers_file_is_laid_out_as_written_down() {
    let key = SpoolKey::new([7; 32]);
    let mut ledger = Ledger::default();
    let batch = ReadingBatch {
        lane: lane(),
        epoch: Epoch(7),
        nonce: EpochNonce(1),
        first_seq: Seq(3),
        readings: readings(1, 2).unwrap(),
    };
    ledger.count(&Census::of_batch(&batch).unwrap(), Fate::Expired);
    let file = LedgerFile {
        spool: *b"0123456789abcdef",
        up_to: Offset(9),
        ledger,
    };
    let bytes = file.encode(&key, [3; 32]).unwrap();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, include_str!("../../../golden/ledger.v1.hex").trim());
    assert_eq!(LedgerFile::decode(&bytes, &key), Ok(file));
    assert_eq!(
        LedgerFile::decode(&bytes, &SpoolKey::new([8; 32])),
        Err(BadHeader::WrongKey)
    );
}
