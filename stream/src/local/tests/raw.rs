//! Records as they lie: damage is found, and nothing but damage (E2).

use std::time::Duration;

use forebay_schemas::wire::ReadingBatch;
use tokio::time::timeout;

use super::{damage::flip, *};
use crate::{
    Damage,
    conformance::decoded,
    local::{
        header::Header,
        record::{Cipher, Kind},
    },
    raw::{RawBatch, RawEntry},
};

/// All that a reader yields as it lies, decoded here.
async fn all_raw(spool: &Spool, count: usize) -> Vec<Record> {
    let mut reader = spool.reader(Offset(0));
    let mut found = Vec::new();
    for _ in 0..count {
        let raw = timeout(Duration::from_secs(60), reader.next_raw())
            .await
            .expect("fewer records than decoded");
        found.push(decoded(raw.unwrap()).unwrap());
    }
    found
}

#[tokio::test]
async fn damage_is_found_in_records_that_are_not_decoded() {
    let dir = TempDir::new().unwrap();
    let spool = open(dir.path()).await;
    for number in 1..=3 {
        append(&spool, number, 1).await;
    }
    let written = all(&spool).await;
    // So that the damage lies in an older segment, whose end is known.
    let (_, older) = open_and_keep(image(dir.path()).path()).await;
    let length = fs::metadata(&segments(older.path())[0]).unwrap().len() as usize;
    for at in (0..length).step_by(3) {
        let copy = image(older.path());
        flip(&segments(copy.path())[0], at);
        let spool = open(copy.path()).await;
        let found = all(&spool).await;
        assert!(
            found
                .iter()
                .any(|record| matches!(record.entry, Entry::Damaged { .. })),
            "byte {at}"
        );
        assert_eq!(all_raw(&spool, found.len()).await, found, "byte {at}");
        assert!(
            batches(&found)
                .iter()
                .all(|record| written.contains(record)),
            "byte {at}"
        );
    }
}

/// Its seal says that these are the bytes that were written. To who decodes them they are no readings; who sends them on sends
/// them, and the consumer quarantines them with all their bytes.
#[tokio::test]
async fn a_sealed_record_whose_body_is_wrong_is_yielded_as_it_lies() {
    let dir = TempDir::new().unwrap();
    let spool = open(dir.path()).await;
    append(&spool, 1, 2).await;
    let Entry::Batch(first) = all(&spool).await.remove(0).entry else {
        panic!("no batch")
    };
    let crashed = image(dir.path());
    let path = segments(crashed.path()).remove(0);
    let mut segment = fs::read(&path).unwrap();
    let (header, file_key) = Header::decode(&segment, &SpoolKey::new([7; 32])).unwrap();
    let mut written = ReadingBatch {
        first_seq: Seq(3),
        readings: readings(3, 2).unwrap(),
        ..first
    }
    .encode();
    written.extend_from_slice(&[0x42, 3, 0xff, 0xff, 0xff]);
    Cipher::new(file_key, &header)
        .seal(1, Kind::Batch, &written, &mut segment)
        .unwrap();
    fs::write(&path, segment).unwrap();

    let spool = open(crashed.path()).await;
    assert_eq!(spool.opened().torn, None);
    let damaged = all(&spool).await.remove(1);
    assert!(
        matches!(
            damaged.entry,
            Entry::Damaged {
                why: Damage::Record,
                ..
            }
        ),
        "{damaged:?}"
    );
    let raw = spool.reader(Offset(1)).next_raw().await.unwrap();
    assert_eq!((raw.offset, raw.next), (damaged.offset, damaged.next));
    let RawEntry::Readings(RawBatch { head, bytes }) = raw.entry else {
        panic!("no readings")
    };
    assert_eq!(
        (head.epoch, head.first_seq, head.count),
        (FIRST_EPOCH, Seq(3), 2)
    );
    assert_eq!(bytes, written);
}
