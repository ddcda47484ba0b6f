//! Stored bytes.

use forebay_schemas::{Epoch, EpochNonce, Seq, Timestamp};
use proptest::prelude::*;

use crate::{
    Damage, Entry, LastSeq, Offset, OpenReceipt, ReceiptChanges, Record,
    local::{
        header::{BadHeader, Header},
        key::{FileKey, SpoolKey},
        mark::Mark,
        receipts::{decode_changes, encode_changes},
        record::{Cipher, FRAME_OVERHEAD, Kind, decode_end, encode_end},
    },
};

pub(super) fn key() -> SpoolKey {
    SpoolKey::new([7; 32])
}

fn header(first: u64) -> Header {
    Header {
        spool: *b"0123456789abcdef",
        first,
        epoch: Epoch(0x0102),
        first_seq: Seq(9),
        salt: [0xaa; 32],
    }
}

fn cipher(first: u64) -> Cipher {
    let header = header(first);
    Cipher::new(header.encode(&key()).unwrap().1, &header)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.trim().chars().collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap())
        .collect()
}

pub(super) const HEADER_V1: &str = include_str!("../../../golden/segment_header.v1.hex");

#[test]
fn the_header_is_laid_out_as_written_down() {
    let (bytes, _) = header(3).encode(&key()).unwrap();
    assert_eq!(
        hex(&bytes),
        include_str!("../../../golden/segment_header.v3.hex").trim()
    );
    for bytes in [
        bytes,
        unhex(HEADER_V1),
        unhex(include_str!("../../../golden/segment_header.v2.hex")),
    ] {
        assert_eq!(
            Header::decode(&bytes, &key()).map(|(header, _)| header),
            Ok(header(3))
        );
    }
}

fn receipt(owner: u8, token: &[u8]) -> OpenReceipt {
    OpenReceipt {
        owner: [owner; 16],
        token: token.to_vec(),
    }
}

fn changes() -> ReceiptChanges {
    let (ended, opened) = (
        vec![receipt(1, b"a")],
        vec![receipt(1, b""), receipt(1, b"bc"), receipt(2, b"d")],
    );
    ReceiptChanges { ended, opened }
}

#[test]
fn receipts_are_laid_out_as_written_down() {
    let mut content = Vec::new();
    encode_changes(&changes(), &mut content).unwrap();
    content.extend_from_slice(b"batch");
    let mut frame = Vec::new();
    cipher(3)
        .seal(4, Kind::Receipted, &content, &mut frame)
        .unwrap();
    assert_eq!(
        hex(&frame),
        include_str!("../../../golden/receipted_record.v2.hex").trim()
    );
    let opened = cipher(3).open(&frame).unwrap();
    assert_eq!(opened.kind, Kind::Receipted);
    assert_eq!(
        decode_changes(&opened.content),
        Some((changes(), &b"batch"[..]))
    );
    for length in 0..content.len() - b"batch".len() {
        assert_eq!(decode_changes(&content[..length]), None, "length {length}");
    }
}

const NONCE: EpochNonce = EpochNonce(0xA);

fn small_mark() -> Mark {
    let receipts = changes().opened.into_iter().collect();
    let entry = Entry::Dropped {
        epoch: Epoch(1),
        nonce: NONCE,
        first_seq: Seq(2),
        last_seq: Seq(3),
    };
    let kept = vec![Record {
        offset: Offset(1),
        next: Offset(4),
        entry,
    }];
    Mark {
        spool: [1; 16],
        epoch: Epoch(2),
        nonce: EpochNonce(0xB),
        stored_at: Some(Timestamp::from_nanos(1_700_000_000_000_000_000)),
        forgotten: Offset(1),
        kept,
        receipts,
        receipts_at: Offset(6),
    }
}

#[test]
fn the_mark_is_laid_out_as_written_down() {
    let bytes = small_mark().encode(&key(), [3; 32]).unwrap();
    assert_eq!(
        hex(&bytes),
        include_str!("../../../golden/mark.v3.hex").trim()
    );
}

/// The mark of a release that had neither receipts nor nonces.
pub(super) fn mark_v1(mark: &Mark) -> Vec<u8> {
    let mut out = b"fbspmrk\n\x01\x00\x40\x00".to_vec();
    out.extend_from_slice(&mark.spool);
    out.extend_from_slice(&[3; 32]);
    out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
    let mut numbers = vec![mark.epoch.0, mark.forgotten.0];
    for Record {
        offset,
        next,
        entry,
    } in &mark.kept
    {
        let Entry::Dropped {
            epoch,
            first_seq,
            last_seq,
            ..
        } = entry
        else {
            panic!("{entry:?}")
        };
        numbers.extend([offset.0, next.0, 0, epoch.0, first_seq.0, last_seq.0]);
    }
    let content: Vec<u8> = numbers.into_iter().flat_map(u64::to_le_bytes).collect();
    let file_key = FileKey::derive(&key(), &[3; 32], b"forebay spool mark 1").unwrap();
    let aad = out.clone();
    file_key.seal([0; 12], &aad, &content, &mut out).unwrap();
    out
}

#[test]
fn marks_of_earlier_versions_have_no_nonces_and_no_receipts() {
    let mut before = Mark {
        nonce: EpochNonce::UNKNOWN,
        stored_at: None,
        ..small_mark()
    };
    let entry = Entry::Dropped {
        epoch: Epoch(1),
        nonce: EpochNonce::UNKNOWN,
        first_seq: Seq(2),
        last_seq: Seq(3),
    };
    before.kept[0].entry = entry;
    let v2 = unhex(include_str!("../../../golden/mark.v2.hex"));
    assert_eq!(Mark::decode(&v2, &key()), Ok(before.clone()));
    let before = Mark {
        receipts: Default::default(),
        receipts_at: Offset(u64::MAX),
        ..before
    };
    assert_eq!(Mark::decode(&mark_v1(&before), &key()), Ok(before));
}

#[test]
fn headers_tell_newer_wrong_and_damaged_apart() {
    let (good, _) = header(3).encode(&key()).unwrap();
    let verdict = |bytes: &[u8], key: &SpoolKey| Header::decode(bytes, key).map(drop).unwrap_err();
    assert_eq!(verdict(&good, &SpoolKey::new([8; 32])), BadHeader::WrongKey);
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        assert_eq!(verdict(&bytes, &key()), BadHeader::Damaged, "byte {at}");
        assert_eq!(
            verdict(&good[..at], &key()),
            BadHeader::Damaged,
            "length {at}"
        );
    }
    let mut newer = good[..good.len() - 4].to_vec();
    newer[8] = 4;
    newer.extend_from_slice(&crc32c::crc32c(&newer).to_le_bytes());
    assert_eq!(verdict(&newer, &key()), BadHeader::Newer(4));
}

fn end_unknown(at_least: Option<Seq>) -> Entry {
    Entry::EpochEnd {
        epoch: Epoch(1),
        nonce: EpochNonce(0xC),
        last: LastSeq::Unknown { at_least },
    }
}

#[test]
fn marks_keep_what_they_hold() {
    let record = |offset, entry| Record {
        offset: Offset(offset),
        next: Offset(offset + 1),
        entry,
    };
    let damaged = |why| Entry::Damaged {
        segment: Offset(4),
        bytes: 5..6,
        why,
    };
    let mut kept = vec![
        record(
            1,
            Entry::Dropped {
                epoch: Epoch(1),
                nonce: NONCE,
                first_seq: Seq(2),
                last_seq: Seq(3),
            },
        ),
        record(
            2,
            Entry::EpochEnd {
                epoch: Epoch(1),
                nonce: NONCE,
                last: LastSeq::Known(None),
            },
        ),
        record(3, end_unknown(Some(Seq(4)))),
    ];
    kept.extend(
        [
            Damage::Record,
            Damage::Header,
            Damage::Missing,
            Damage::MarkLost,
        ]
        .map(|why| record(4, damaged(why))),
    );
    let mark = Mark {
        kept,
        ..small_mark()
    };
    let bytes = mark.encode(&key(), [3; 32]).unwrap();
    assert_eq!(Mark::decode(&bytes, &key()), Ok(mark));
    for at in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        assert!(Mark::decode(&bytes, &key()).is_err(), "byte {at}");
    }
}

proptest! {
    #[test]
    fn records_open_in_their_place_only(
        content in proptest::collection::vec(any::<u8>(), 0..200),
        index in 0..u64::MAX,
        first in 0..u64::MAX - 1,
        flip in any::<proptest::sample::Index>(),
        bit in 0_u32..8,
    ) {
        let mut frame = Vec::new();
        cipher(first).seal(index, Kind::Batch, &content, &mut frame).unwrap();
        prop_assert_eq!(frame.len(), content.len() + FRAME_OVERHEAD);
        let opened = cipher(first).open(&frame).unwrap();
        prop_assert_eq!((opened.kind, opened.index, &opened.content[..], opened.length), (Kind::Batch, index, &content[..], frame.len()));
        prop_assert!(cipher(first + 1).open(&frame).is_none(), "another segment");
        prop_assert!(cipher(first).open(&frame[..frame.len() - 1]).is_none(), "cut short");
        let at = flip.index(frame.len());
        frame[at] ^= 1_u8 << bit;
        prop_assert!(cipher(first).open(&frame).is_none(), "bit {} of byte {}", bit, at);
    }

    #[test]
    fn receipts_come_back(
        ended in proptest::collection::btree_set((0_u8..3, proptest::collection::vec(any::<u8>(), 0..30)), 0..20),
        opened in proptest::collection::btree_set((0_u8..3, proptest::collection::vec(any::<u8>(), 0..30)), 0..20),
        batch in proptest::collection::vec(any::<u8>(), 0..50),
    ) {
        let list = |set: std::collections::BTreeSet<(u8, Vec<u8>)>| {
            set.into_iter().map(|(owner, token)| receipt(owner, &token)).collect::<Vec<_>>()
        };
        let changes = ReceiptChanges { ended: list(ended), opened: list(opened) };
        let mut content = Vec::new();
        encode_changes(&changes, &mut content).unwrap();
        content.extend_from_slice(&batch);
        prop_assert_eq!(decode_changes(&content), Some((changes, &batch[..])));
    }

    #[test]
    fn any_bytes_are_receipts_or_refused(content in proptest::collection::vec(any::<u8>(), 0..100)) {
        if let Some((changes, rest)) = decode_changes(&content) {
            prop_assert!(rest.len() <= content.len());
            prop_assert!(changes.opened.len() * 2 <= content.len());
        }
    }

    #[test]
    fn end_records_come_back(epoch in any::<u64>(), nonce in any::<u64>(), seq in 0_u64.., known in any::<bool>()) {
        let seq = (seq > 0).then_some(Seq(seq));
        let last = if known { LastSeq::Known(seq) } else { LastSeq::Unknown { at_least: seq } };
        let (epoch, nonce) = (Epoch(epoch), EpochNonce(nonce));
        let bytes = encode_end(epoch, nonce, last);
        prop_assert_eq!(decode_end(&bytes), Some((epoch, nonce, last)));
        prop_assert_eq!(decode_end(&bytes[..17]), Some((epoch, EpochNonce::UNKNOWN, last)), "of an earlier version");
        prop_assert_eq!(decode_end(&bytes[..20]), None);
    }
}
