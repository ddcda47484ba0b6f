//! Stored bytes.

use forebay_schemas::{Epoch, Seq};
use proptest::prelude::*;

use crate::{
    Damage, Entry, LastSeq, Offset, Record,
    local::{
        header::{BadHeader, Header},
        key::SpoolKey,
        mark::Mark,
        record::{Cipher, FRAME_OVERHEAD, Kind, decode_end, encode_end},
    },
};

fn key() -> SpoolKey {
    SpoolKey::new([7; 32])
}

fn header(first: u64) -> Header {
    Header { spool: *b"0123456789abcdef", first, epoch: Epoch(0x0102), first_seq: Seq(9), salt: [0xaa; 32] }
}

fn cipher(first: u64) -> Cipher {
    let header = header(first);
    Cipher::new(header.encode(&key()).unwrap().1, &header)
}

#[test]
fn the_header_is_laid_out_as_written_down() {
    let (bytes, _) = header(3).encode(&key()).unwrap();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, include_str!("../../../golden/segment_header.v1.hex").trim());
    assert_eq!(Header::decode(&bytes, &key()).map(|(header, _)| header), Ok(header(3)));
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
        assert_eq!(verdict(&good[..at], &key()), BadHeader::Damaged, "length {at}");
    }
    let mut newer = good[..good.len() - 4].to_vec();
    newer[8] = 2;
    newer.extend_from_slice(&crc32c::crc32c(&newer).to_le_bytes());
    assert_eq!(verdict(&newer, &key()), BadHeader::Newer(2));
}

#[test]
fn marks_keep_what_they_hold() {
    let record = |offset, entry| Record { offset: Offset(offset), next: Offset(offset + 1), entry };
    let damaged = |why| Entry::Damaged { segment: Offset(4), bytes: 5..6, why };
    let mut kept = vec![
        record(1, Entry::Dropped { epoch: Epoch(1), first_seq: Seq(2), last_seq: Seq(3) }),
        record(2, Entry::EpochEnd { epoch: Epoch(1), last: LastSeq::Known(None) }),
        record(3, Entry::EpochEnd { epoch: Epoch(1), last: LastSeq::Unknown { at_least: Some(Seq(4)) } }),
    ];
    kept.extend([Damage::Record, Damage::Header, Damage::Missing, Damage::MarkLost].map(|why| record(4, damaged(why))));
    let mark = Mark { spool: [1; 16], epoch: Epoch(2), forgotten: Offset(1), kept };
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
        prop_assert_eq!((opened.kind, opened.index, &opened.content, opened.length), (Kind::Batch, index, &content, frame.len()));
        prop_assert!(cipher(first + 1).open(&frame).is_none(), "another segment");
        prop_assert!(cipher(first).open(&frame[..frame.len() - 1]).is_none(), "cut short");
        let at = flip.index(frame.len());
        frame[at] ^= 1_u8 << bit;
        prop_assert!(cipher(first).open(&frame).is_none(), "bit {} of byte {}", bit, at);
    }

    #[test]
    fn end_records_come_back(epoch in any::<u64>(), seq in 0_u64.., known in any::<bool>()) {
        let seq = (seq > 0).then_some(Seq(seq));
        let last = if known { LastSeq::Known(seq) } else { LastSeq::Unknown { at_least: seq } };
        prop_assert_eq!(decode_end(&encode_end(Epoch(epoch), last)), Some((Epoch(epoch), last)));
    }
}
