//! A record by series says what it says by rows, whole and in parts.

use super::{row_decode, *};
use crate::ValueType;

/// Bytes tell NaN from NaN, and an empty unit from none.
fn bytes_of(batch: &SeriesBatch) -> Vec<u8> {
    ReadingBatch::from(batch).encode()
}

/// A change of a record's bytes: at which place, and to what.
type Change = (prop::sample::Index, u8);

fn changed(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for (place, byte) in changes {
        let at = place.index(bytes.len());
        bytes[at] = *byte;
    }
    bytes
}

#[test]
fn blocks_hold_what_their_readings_share() {
    let batch = SeriesBatch::from(&sample());
    let shown = |block: SeriesBlock<'_>| {
        (
            block.series.tag.as_str().to_owned(),
            block.unit.cloned(),
            block.value_type,
            block.positions.to_vec(),
        )
    };
    let cel = || Some(Arc::from("Cel"));
    assert_eq!(
        batch.blocks().map(shown).collect::<Vec<_>>(),
        [
            ("temp".to_owned(), cel(), Some(ValueType::F64), vec![0, 2]),
            ("count".to_owned(), None, Some(ValueType::U64), vec![1]),
            ("temp".to_owned(), cel(), None, vec![3]),
            ("temp".to_owned(), cel(), Some(ValueType::Text), vec![4]),
        ]
    );
    let [temp, count, none, text] = batch.blocks().collect::<Vec<_>>()[..] else {
        panic!("{batch:?}")
    };
    assert_eq!(
        (temp.values, count.values),
        (
            &[81.5_f64.to_bits(), (-0.0_f64).to_bits()][..],
            &[u64::MAX][..]
        )
    );
    assert_eq!(
        (none.values, &batch.texts()[text.values[0] as usize]),
        (&[0][..], &"hot".to_owned())
    );
    assert_eq!(
        batch.statuses()[none.statuses[0] as usize].quality,
        Quality::Bad
    );
    assert_eq!((batch.len(), batch.last_seq()), (5, Some(Seq(45))));
    assert!(SeriesBatch::from(&super::batch(1, Vec::new())).is_empty());
}

/// A head may claim more readings than a record of its size can hold.
#[test]
fn a_small_record_claims_no_large_batch() {
    let claim = proto::ReadingBatch {
        version: 1,
        gateway: "g".to_owned(),
        first_seq: 1,
        count: BATCH_READINGS_MAX as u32,
        ..proto::ReadingBatch::default()
    };
    let error = SeriesBatch::decode(&prost::Message::encode_to_vec(&claim)).unwrap_err();
    assert!(
        matches!(
            error,
            DecodeError::Position {
                fault: "unclaimed",
                ..
            }
        ),
        "{error}"
    );
}

/// What a later release may change inside of its blocks does not hide that it is a later one.
#[test]
fn a_newer_record_is_told_by_its_version_whatever_its_blocks_are() {
    let mut bytes = sample().encode();
    bytes[1] = 2;
    bytes.extend_from_slice(&[0x42, 3, 0xff, 0xff, 0xff]);
    assert_eq!(
        SeriesBatch::decode(&bytes),
        Err(DecodeError::NewerVersion { found: 2 })
    );
}

/// What a decoder has read before, however much of it and whatever became of it, shows in no record
/// after it.
#[test]
fn records_of_a_stream_share_their_names_and_nothing_else() {
    let mut decoder = SeriesDecoder::default();
    let first = decoder.decode(&sample().encode()).unwrap();
    let again = decoder.decode(&sample().encode()).unwrap();
    assert_eq!(again, first);
    let device = |batch: &SeriesBatch| {
        batch
            .blocks()
            .next()
            .unwrap()
            .series
            .device
            .as_str()
            .as_ptr()
    };
    assert_eq!(device(&first), device(&again), "the name is the same one");

    let one = |n: u64| Reading {
        series: series("boiler-1", &format!("tag-{n}")),
        ..sample().readings[0].clone()
    };
    for from in (0..40_000).step_by(1_000) {
        // Each record has series of the one before, in another order.
        let many = batch(1, (from..from + 2_000).rev().map(one).collect());
        assert_eq!(
            ReadingBatch::from(&decoder.decode(&many.encode()).unwrap()),
            many
        );
    }
    let mut damaged = sample().encode();
    damaged.truncate(damaged.len() - 20);
    assert!(decoder.decode(&damaged).is_err());
    assert_eq!(decoder.decode(&sample().encode()), Ok(first));
}

proptest! {
    #[test]
    fn blocks_say_what_rows_say(readings in proptest::collection::vec(any_reading(), 0..40), first in 1_u64..1 << 40) {
        let batch = batch(first, readings);
        let bytes = batch.encode();
        let by_series = SeriesBatch::decode(&bytes).unwrap();
        prop_assert_eq!(&by_series, &SeriesBatch::from(&batch));
        prop_assert_eq!(bytes_of(&by_series), row_decode::decode(&bytes).unwrap().encode());
        prop_assert_eq!(by_series.readings().len(), batch.readings.len());
        let last = batch.readings.last().map(|reading| reading.observed_time);
        prop_assert_eq!(by_series.last_observed(), last);
    }

    /// Whatever becomes of a record's bytes: both decoders take it for the same, or both refuse it.
    #[test]
    fn damaged_bytes_are_told_as_the_row_decoder_tells_them(
        readings in proptest::collection::vec(any_reading(), 0..8),
        changes in proptest::collection::vec(any::<Change>(), 1..4),
    ) {
        let bytes = changed(batch(1, readings).encode(), &changes);
        match (SeriesBatch::decode(&bytes), row_decode::decode(&bytes)) {
            (Ok(by_series), Ok(by_rows)) => prop_assert_eq!(bytes_of(&by_series), by_rows.encode()),
            (Err(_), Err(_)) => {}
            (by_series, by_rows) => {
                return Err(TestCaseError::fail(format!("{by_series:?} against {by_rows:?}")));
            }
        }
    }

    #[test]
    fn parts_of_a_batch_hold_its_readings(
        readings in proptest::collection::vec(any_reading(), 1..40),
        cuts in proptest::collection::btree_set(0_usize..=40, 0..8),
    ) {
        let whole = batch(7, readings);
        let by_series = SeriesBatch::from(&whole);
        let cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut <= whole.readings.len()).collect();
        // Every second stretch between two cuts, so that some readings are in no part.
        let ranges: Vec<_> = cuts.chunks_exact(2).map(|cut| cut[0]..cut[1]).collect();
        let parts = by_series.split(&ranges);
        prop_assert_eq!(parts.len(), ranges.len());
        for (range, part) in ranges.into_iter().zip(parts) {
            let expected = batch(7 + range.start as u64, whole.readings[range.clone()].to_vec());
            prop_assert_eq!(bytes_of(&part), expected.encode());
            prop_assert_eq!(bytes_of(&by_series.slice(range)), expected.encode());
        }
    }
}
