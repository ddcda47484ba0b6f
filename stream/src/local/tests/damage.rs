//! Damaged files: nothing wrong comes out, and nothing is missing in silence.

use forebay_schemas::wire::ReadingBatch;

use super::*;
use crate::{
    Damage,
    local::{header::HEADER_BYTES, recover::TornTail},
};

/// A crashed spool of three batches in one segment, its records, and where each record ends in the file.
async fn three_batches() -> (TempDir, Vec<Record>, Vec<u64>) {
    let dir = TempDir::new().unwrap();
    let spool = open(dir.path()).await;
    let mut ends = Vec::new();
    for number in 1..=3 {
        append(&spool, number, 1).await;
        ends.push(fs::metadata(&segments(dir.path())[0]).unwrap().len());
    }
    let records = all(&spool).await;
    (image(dir.path()), records, ends)
}

/// Every batch read is one that was written, in its place, and the places that are not batches are named.
fn check(found: &[Record], written: &[Record], up_to: Offset) {
    let mut at = Offset(0);
    for record in found {
        assert_eq!(record.offset, at, "a hole before {record:?}");
        at = record.next;
        if matches!(record.entry, Entry::Batch(_)) {
            assert!(written.contains(record), "{record:?} was never written");
        }
    }
    assert!(at >= up_to, "ends at {at}");
}

#[tokio::test]
async fn every_truncation_gives_the_synced_prefix() {
    let (dir, written, ends) = three_batches().await;
    let full = ends[2];
    let Entry::Batch(ReadingBatch { nonce, .. }) = written[0].entry else {
        panic!("{written:?}")
    };
    for length in HEADER_BYTES as u64..=full {
        let copy = image(dir.path());
        let path = segments(copy.path()).remove(0);
        fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(length)
            .unwrap();
        let spool = open(copy.path()).await;
        let whole = ends.iter().filter(|end| **end <= length).count();
        let at = if whole == 0 {
            HEADER_BYTES as u64
        } else {
            ends[whole - 1]
        };
        let torn = (at < length).then_some(TornTail {
            segment: Offset(0),
            at,
            bytes: length - at,
        });
        assert_eq!(spool.opened().torn, torn, "length {length}");
        let found = all(&spool).await;
        assert_eq!(found[..whole], written[..whole]);
        let last = LastSeq::Known((whole > 0).then_some(Seq(whole as u64)));
        let rest: Vec<_> = found[whole..]
            .iter()
            .map(|record| record.entry.clone())
            .collect();
        assert_eq!(
            rest,
            [Entry::EpochEnd {
                epoch: FIRST_EPOCH,
                nonce,
                last
            }],
            "length {length}"
        );
    }
}

#[tokio::test]
async fn every_flipped_byte_of_an_older_segment_is_contained() {
    let (dir, written, ends) = three_batches().await;
    let (_, older) = open_and_keep(dir.path()).await;
    for at in 0..ends[2] as usize {
        let copy = image(older.path());
        flip(&segments(copy.path())[0], at);
        let found = all(&open(copy.path()).await).await;
        check(&found, &written, Offset(4));
        let hit = ends
            .iter()
            .position(|end| (at as u64) < *end)
            .filter(|_| at >= HEADER_BYTES);
        let survivors: Vec<_> = written
            .iter()
            .enumerate()
            .filter(|(index, _)| hit.is_some_and(|hit| hit != *index))
            .map(|(_, record)| record)
            .collect();
        assert_eq!(batches(&found), survivors, "byte {at}");
        let damaged = found
            .iter()
            .filter(|record| matches!(record.entry, Entry::Damaged { .. }))
            .count();
        assert_eq!(damaged, 1, "byte {at}");
    }
}

#[tokio::test]
async fn every_flipped_byte_of_the_last_segment_is_reported() {
    let (dir, written, ends) = three_batches().await;
    for at in 0..ends[2] as usize {
        let copy = image(dir.path());
        flip(&segments(copy.path())[0], at);
        let spool = open(copy.path()).await;
        let found = all(&spool).await;
        check(&found, &written, Offset(2));
        let damaged = found
            .iter()
            .any(|record| matches!(record.entry, Entry::Damaged { .. }));
        assert!(damaged != spool.opened().torn.is_some(), "byte {at}");
        let unknown = found.iter().any(|record| {
            matches!(
                record.entry,
                Entry::EpochEnd {
                    last: LastSeq::Unknown { .. },
                    ..
                }
            )
        });
        let header = at < HEADER_BYTES;
        let last_record = at as u64 >= ends[1];
        let length_of_last = (ends[1]..ends[1] + 4).contains(&(at as u64));
        assert!(
            unknown == (header || last_record) || length_of_last,
            "byte {at}"
        );
    }
}

pub(super) fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x55;
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn swapped_records_are_damage() {
    let (dir, written, ends) = three_batches().await;
    let path = segments(dir.path()).remove(0);
    let bytes = fs::read(&path).unwrap();
    let (one, two, three) = (ends[0] as usize, ends[1] as usize, ends[2] as usize);
    let swapped = [
        &bytes[..HEADER_BYTES],
        &bytes[one..two],
        &bytes[HEADER_BYTES..one],
        &bytes[two..three],
    ]
    .concat();
    fs::write(&path, swapped).unwrap();
    let found = all(&open(dir.path()).await).await;
    check(&found, &written, Offset(3));
    assert_eq!(batches(&found), [&written[1], &written[2]]);
}

#[tokio::test]
async fn swapped_missing_and_foreign_segments_are_damage() {
    let dir = TempDir::new().unwrap();
    let mut current = image(dir.path());
    for _ in 0..3 {
        let spool = open(current.path()).await;
        append(&spool, 1, 1).await;
        current = image(current.path());
    }
    let written = all(&open(image(current.path()).path()).await).await;
    let (other, ..) = three_batches().await;
    let swap = |paths: &[std::path::PathBuf]| {
        let aside = paths[0].with_extension("aside");
        fs::rename(&paths[0], &aside).unwrap();
        fs::rename(&paths[1], &paths[0]).unwrap();
        fs::rename(&aside, &paths[1]).unwrap();
    };
    let steal = |paths: &[std::path::PathBuf]| {
        assert!(fs::copy(&segments(other.path())[0], &paths[0]).unwrap() > 0)
    };
    let remove = |paths: &[std::path::PathBuf]| fs::remove_file(&paths[0]).unwrap();
    let remove_second = |paths: &[std::path::PathBuf]| fs::remove_file(&paths[1]).unwrap();
    type Deed<'a> = &'a dyn Fn(&[std::path::PathBuf]);
    let table: [(Deed<'_>, Damage, usize); 4] = [
        (&swap, Damage::Header, 1),
        (&steal, Damage::Header, 2),
        (&remove, Damage::Missing, 2),
        (&remove_second, Damage::Missing, 2),
    ];
    for (deed, why, left) in table {
        let copy = image(current.path());
        deed(&segments(copy.path()));
        let found = all(&open(copy.path()).await).await;
        check(&found, &written, Offset(5));
        assert_eq!(batches(&found).len(), left, "{found:?}");
        assert!(
            found.iter().any(
                |record| matches!(&record.entry, Entry::Damaged { why: found, .. } if *found == why)
            ),
            "{found:?}"
        );
    }
}

#[tokio::test]
async fn a_lost_mark_is_said() {
    let (dir, written, _) = three_batches().await;
    fs::remove_file(dir.path().join("mark")).unwrap();
    let spool = open(dir.path()).await;
    assert_eq!(
        all(&spool).await[..3],
        written,
        "all is still in its segment"
    );
    spool.reader(Offset(0)).forget(Offset(3)).await.unwrap();
    let copy = image(dir.path());
    assert_eq!(
        segments(copy.path()).len(),
        1,
        "the forgotten segment is gone"
    );
    flip(&copy.path().join("mark"), 70);
    let found = all(&open(copy.path()).await).await;
    assert!(
        matches!(
            found[0],
            Record {
                next: Offset(3),
                entry: Entry::Damaged {
                    why: Damage::MarkLost,
                    ..
                },
                ..
            }
        ),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_newer_segment_is_refused() {
    let (dir, ..) = three_batches().await;
    let path = segments(dir.path()).remove(0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] = 4;
    let checksum = crc32c::crc32c(&bytes[..HEADER_BYTES - 4]);
    bytes[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    let error = Spool::open(options(dir.path(), roomy())).await.unwrap_err();
    assert_eq!(error.kind(), forebay_schemas::ErrorKind::Fatal);
    assert!(error.to_string().contains("version 4"), "{error}");
}
