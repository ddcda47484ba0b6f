//! Receipts live and end with their readings, and outlive the segments that they were opened in (E1).

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{
    codec::{HEADER_V1, mark_v1, unhex},
    damage::flip,
    *,
};
use crate::{
    Damage, OpenReceipt, ReceiptChanges,
    local::{
        header::{HEADER_BYTES, Header},
        mark::Mark,
        record::{Cipher, Kind},
        recover::TornTail,
    },
};

fn receipt(number: u64) -> OpenReceipt {
    OpenReceipt {
        owner: [(number % 2) as u8; 16],
        token: number.to_be_bytes().to_vec(),
    }
}

fn receipts(numbers: impl IntoIterator<Item = u64>) -> Vec<OpenReceipt> {
    numbers.into_iter().map(receipt).collect()
}

fn changes(ended: &[u64], opened: &[u64]) -> ReceiptChanges {
    ReceiptChanges {
        ended: receipts(ended.iter().copied()),
        opened: receipts(opened.iter().copied()),
    }
}

/// Appends one reading with changes.
async fn change(spool: &Spool, number: u64, ended: &[u64], opened: &[u64]) {
    spool
        .writer()
        .append_with(readings(number, 1).unwrap(), changes(ended, opened))
        .await
        .unwrap();
}

/// What an opening finds open, as numbers.
fn open_numbers(spool: &Spool) -> BTreeSet<u64> {
    let number = |receipt: &OpenReceipt| u64::from_be_bytes(*receipt.token.first_chunk().unwrap());
    spool.opened().receipts.iter().map(number).collect()
}

async fn reopened(dir: &Path) -> BTreeSet<u64> {
    open_numbers(&open(image(dir).path()).await)
}

#[tokio::test]
async fn a_receipt_is_open_from_its_readings_to_its_end() {
    let dir = TempDir::new().unwrap();
    let spool = open(dir.path()).await;
    change(&spool, 1, &[], &[1, 2]).await;
    assert_eq!(reopened(dir.path()).await, [1, 2].into());
    append(&spool, 2, 1).await;
    change(&spool, 3, &[1, 9], &[3]).await;
    assert_eq!(reopened(dir.path()).await, [2, 3].into());
    // Ended and opened again by one append: another message of the same content.
    change(&spool, 4, &[3], &[3]).await;
    assert_eq!(reopened(dir.path()).await, [2, 3].into());
    spool.writer().end_receipts(receipts([2, 8])).await.unwrap();
    assert_eq!(reopened(dir.path()).await, [3].into());
    change(&spool, 5, &[], &[4]).await;
    assert_eq!(
        reopened(dir.path()).await,
        [3, 4].into(),
        "records after the mark count"
    );
    // Readers see the readings alone.
    let found = all(&spool).await;
    let values: Vec<_> = batches(&found)
        .iter()
        .map(|record| record.entry.clone())
        .collect();
    assert_eq!(values.len(), 5);
    for (entry, number) in values.iter().zip(1..) {
        let Entry::Batch(batch) = entry else {
            panic!("{entry:?}")
        };
        assert_eq!(
            (batch.first_seq, &batch.readings),
            (Seq(number), &readings(number, 1).unwrap())
        );
    }
    spool.writer().close().await.unwrap();
    assert_eq!(
        reopened(dir.path()).await,
        [3, 4].into(),
        "a clean end ends no receipt"
    );
}

#[tokio::test]
async fn every_truncation_restores_the_receipts_of_the_readings_that_are_there() {
    let dir = TempDir::new().unwrap();
    let spool = open(dir.path()).await;
    let path = segments(dir.path()).remove(0);
    let mut states: Vec<(u64, BTreeSet<u64>)> = vec![(HEADER_BYTES as u64, [].into())];
    for (number, ended, opened, open) in [
        (1, &[][..], &[1, 2][..], [1, 2].into()),
        (2, &[1], &[3], [2, 3].into()),
        (3, &[2, 3], &[], [].into()),
    ] {
        change(&spool, number, ended, opened).await;
        states.push((fs::metadata(&path).unwrap().len(), open));
    }
    let (dir, written) = (image(dir.path()), all(&spool).await);
    for length in HEADER_BYTES as u64..=states[3].0 {
        let copy = image(dir.path());
        let path = segments(copy.path()).remove(0);
        fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(length)
            .unwrap();
        let spool = open(copy.path()).await;
        let whole = states.iter().filter(|(end, _)| *end <= length).count() - 1;
        let (at, expected) = &states[whole];
        assert_eq!(&open_numbers(&spool), expected, "length {length}");
        assert_eq!(batches(&all(&spool).await).len(), whole, "length {length}");
        assert_eq!(all(&spool).await[..whole], written[..whole]);
        let torn = (*at < length).then_some(TornTail {
            segment: Offset(0),
            at: *at,
            bytes: length - at,
        });
        assert_eq!(spool.opened().torn, torn);
    }
}

fn tight(on_full: OnFull) -> Limits {
    Limits::new(8192, 1024, on_full).unwrap()
}

#[tokio::test]
async fn receipts_outlive_the_segments_that_are_forgotten() {
    let dir = TempDir::new().unwrap();
    let spool = Spool::open(options(dir.path(), tight(OnFull::Block)))
        .await
        .unwrap();
    let mut expected = BTreeSet::new();
    let mut reader = spool.reader(Offset(0));
    for number in 1..=60 {
        change(&spool, number, &[], &[number]).await;
        expected.insert(number);
        if number % 3 == 0 {
            spool
                .writer()
                .end_receipts(receipts([number - 1]))
                .await
                .unwrap();
            expected.remove(&(number - 1));
        }
        let record = reader.next().await.unwrap();
        reader.forget(record.next).await.unwrap();
        if number % 10 == 0 {
            assert_eq!(reopened(dir.path()).await, expected);
        }
    }
    assert_eq!(segments(dir.path()).len(), 1, "all others are forgotten");
}

#[tokio::test]
async fn receipts_outlive_the_segments_that_are_dropped_for_room() {
    let dir = TempDir::new().unwrap();
    let spool = Spool::open(options(dir.path(), tight(OnFull::DropOldest)))
        .await
        .unwrap();
    for number in 1..=100 {
        change(&spool, number, &[], &[number]).await;
    }
    assert!(matches!(all(&spool).await[0].entry, Entry::Dropped { .. }));
    assert_eq!(reopened(dir.path()).await, (1..=100).collect());
}

/// A spool with a long backlog opens fast.
#[tokio::test]
async fn an_opening_needs_only_the_mark_and_the_last_segment() {
    let dir = TempDir::new().unwrap();
    let spool = Spool::open(options(dir.path(), tight(OnFull::Block)))
        .await
        .unwrap();
    for number in 1..=20 {
        change(&spool, number, &[], &[number]).await;
    }
    let all_segments = segments(dir.path());
    assert!(all_segments.len() > 3);
    let crashed = image(dir.path());
    for path in &segments(crashed.path())[1..all_segments.len() - 1] {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..HEADER_BYTES]).unwrap();
    }
    assert_eq!(
        open_numbers(&open(crashed.path()).await),
        (1..=20).collect()
    );
    // Without the mark all that is there is read.
    let crashed = image(dir.path());
    fs::remove_file(crashed.path().join("mark")).unwrap();
    assert_eq!(
        open_numbers(&open(crashed.path()).await),
        (1..=20).collect()
    );
}

#[tokio::test]
async fn receipts_end_also_while_the_spool_is_full() {
    const TOTAL: u64 = 200;
    let dir = TempDir::new().unwrap();
    let spool = Spool::open(options(dir.path(), tight(OnFull::Block)))
        .await
        .unwrap();
    let writer = spool.writer();
    let filling = tokio::spawn(async move {
        for number in 1..=TOTAL {
            writer
                .append_with(readings(number, 1).unwrap(), changes(&[], &[number]))
                .await
                .unwrap();
        }
    });
    while room::used(dir.path()) < 8192 - 300 {
        tokio::task::yield_now().await;
    }
    // Nothing is forgotten, so an append waits now, and would for ever.
    spool.writer().end_receipts(receipts([1, 2])).await.unwrap();
    assert_eq!(reopened(dir.path()).await.first(), Some(&3));
    assert!(!filling.is_finished());
    let mut reader = spool.reader(Offset(0));
    while !filling.is_finished() {
        match reader.try_next().await.unwrap() {
            Some(record) => reader.forget(record.next).await.unwrap(),
            None => tokio::task::yield_now().await,
        }
    }
    filling.await.unwrap();
    assert_eq!(reopened(dir.path()).await, (3..=TOTAL).collect());
}

/// What the release without receipts left: a segment and a mark of version 1.
#[tokio::test]
async fn a_spool_of_the_last_release_opens() {
    let dir = TempDir::new().unwrap();
    let bytes = unhex(HEADER_V1);
    let (header, file_key) = Header::decode(&bytes, &SpoolKey::new([7; 32])).unwrap();
    let batch = forebay_schemas::wire::ReadingBatch {
        lane: lane(),
        epoch: header.epoch,
        nonce: EpochNonce::UNKNOWN,
        first_seq: header.first_seq,
        readings: readings(9, 2).unwrap(),
    };
    let mut segment = bytes;
    Cipher::new(file_key, &header)
        .seal(0, Kind::Batch, &batch.encode(), &mut segment)
        .unwrap();
    fs::write(
        dir.path().join(format!("{:020}.seg", header.first)),
        segment,
    )
    .unwrap();
    let mark = Mark {
        spool: header.spool,
        epoch: header.epoch,
        nonce: EpochNonce::UNKNOWN,
        stored_at: None,
        forgotten: Offset(header.first),
        kept: Vec::new(),
        receipts: Default::default(),
        receipts_at: Offset(u64::MAX),
    };
    fs::write(dir.path().join("mark"), mark_v1(&mark)).unwrap();
    let spool = open(dir.path()).await;
    assert_eq!(
        (spool.opened().spool, spool.opened().receipts.len()),
        (header.spool, 0)
    );
    change(&spool, 1, &[], &[1]).await;
    let found: Vec<_> = all(&spool)
        .await
        .into_iter()
        .map(|record| record.entry)
        .collect();
    let last = LastSeq::Known(Some(Seq(10)));
    assert_eq!(
        found[..2],
        [
            Entry::Batch(batch),
            Entry::EpochEnd {
                epoch: header.epoch,
                nonce: EpochNonce::UNKNOWN,
                last
            }
        ]
    );
    assert_eq!(reopened(dir.path()).await, [1].into());
}

#[tokio::test]
async fn damage_takes_the_receipt_with_its_readings() {
    let dir = TempDir::new().unwrap();
    let spool = open(dir.path()).await;
    let path = segments(dir.path()).remove(0);
    change(&spool, 1, &[], &[1]).await;
    let second = fs::metadata(&path).unwrap().len() as usize;
    change(&spool, 2, &[], &[2]).await;
    change(&spool, 3, &[], &[3]).await;
    let crashed = image(dir.path());
    flip(&segments(crashed.path())[0], second + 40);
    let spool = open(crashed.path()).await;
    assert_eq!(
        open_numbers(&spool),
        [1, 3].into(),
        "its device sends the second again"
    );
    let damaged = |record: &Record| {
        matches!(
            record.entry,
            Entry::Damaged {
                why: Damage::Record,
                ..
            }
        )
    };
    assert_eq!(
        all(&spool)
            .await
            .iter()
            .filter(|record| damaged(record))
            .count(),
        1
    );
}

#[derive(Debug, Clone)]
enum Step {
    Append { ended: Vec<u64>, opened: Vec<u64> },
    End(Vec<u64>),
    Forget,
    Crash,
    Close,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let numbers = || prop::collection::vec(0_u64..12, 0..5);
    let step = prop_oneof![
        8 => (numbers(), numbers()).prop_map(|(ended, opened)| Step::Append { ended, opened }),
        2 => numbers().prop_map(Step::End),
        2 => Just(Step::Forget),
        1 => Just(Step::Crash),
        1 => Just(Step::Close),
    ];
    prop::collection::vec(step, 1..50)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    /// Whatever happens, an opening finds what a set would hold.
    #[test]
    fn openings_find_exactly_what_is_open(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        runtime.block_on(async {
            let mut dir = TempDir::new().unwrap();
            let mut spool = Spool::open(options(dir.path(), tight(OnFull::DropOldest))).await.unwrap();
            let mut model = BTreeSet::new();
            let mut number = 0;
            for step in steps {
                match step {
                    Step::Append { ended, opened } => {
                        number += 1;
                        change(&spool, number, &ended, &opened).await;
                        model.retain(|open| !ended.contains(open));
                        model.extend(opened);
                    }
                    Step::End(ended) => {
                        spool.writer().end_receipts(receipts(ended.iter().copied())).await.unwrap();
                        model.retain(|open| !ended.contains(open));
                    }
                    Step::Forget => {
                        let found = all(&spool).await;
                        if let Some(record) = found.get(found.len() / 2) {
                            spool.reader(Offset(0)).forget(record.next).await.unwrap();
                        }
                    }
                    Step::Crash | Step::Close => {
                        if matches!(step, Step::Close) {
                            spool.writer().close().await.unwrap();
                        }
                        let copy = image(dir.path());
                        drop(spool);
                        dir = copy;
                        spool = Spool::open(options(dir.path(), tight(OnFull::DropOldest))).await.unwrap();
                        assert_eq!(open_numbers(&spool), model);
                    }
                }
            }
        });
    }
}
