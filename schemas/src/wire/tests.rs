mod fuzzed;
mod row_decode;
mod series;

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::{
    DeviceId, EpochNonce, GatewayId, Lane, Quality, Series, SiteId, Status, TagName, Timestamp,
    Value,
};

fn series(device: &str, tag: &str) -> Series {
    Series {
        site: SiteId::new("plant").unwrap(),
        device: DeviceId::new(device).unwrap(),
        tag: TagName::new(tag).unwrap(),
    }
}

fn batch(first_seq: u64, readings: Vec<Reading>) -> ReadingBatch {
    let lane = LaneId {
        gateway: GatewayId::new("gw-1").unwrap(),
        lane: Lane(3),
    };
    ReadingBatch {
        lane,
        epoch: Epoch(1_763_900_000),
        nonce: EpochNonce(0x0123_4567_89ab_cdef),
        first_seq: Seq(first_seq),
        readings,
    }
}

fn sample() -> ReadingBatch {
    let at = |ms: i64| Timestamp::from_nanos(1_763_900_000_000_000_000 + ms * 1_000_000);
    let reading = |tag: &str, ms, value, unit: Option<&str>, status| Reading {
        series: series("boiler-1", tag),
        event_time: at(ms),
        observed_time: at(ms + 5),
        value,
        unit: unit.map(Arc::from),
        status,
    };
    batch(
        41,
        vec![
            reading("temp", 0, Some(Value::F64(81.5)), Some("Cel"), Status::GOOD),
            reading("count", 0, Some(Value::U64(u64::MAX)), None, Status::GOOD),
            reading(
                "temp",
                1000,
                Some(Value::F64(-0.0)),
                Some("Cel"),
                Status::GOOD,
            ),
            reading(
                "temp",
                2000,
                None,
                Some("Cel"),
                Status::bad(Some(0x0B), "gateway target device failed to respond"),
            ),
            reading(
                "temp",
                1500,
                Some(Value::Text("hot".into())),
                Some("Cel"),
                Status::GOOD,
            ),
        ],
    )
}

/// The bytes of `sample()` in wire version 1. A change here is a change of a stored format: it takes an ADR.
const GOLDEN: &str = include_str!("../../golden/reading_batch.v1.hex");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn version_1_keeps_its_bytes() {
    assert_eq!(hex(&sample().encode()), GOLDEN.trim());
    assert_eq!(ReadingBatch::decode(&sample().encode()), Ok(sample()));
    assert_eq!(sample().last_seq(), Some(Seq(45)));
}

/// A record that was written before openings drew a nonce: the same bytes without the field.
#[test]
fn a_record_without_a_nonce_is_read() {
    let bytes = sample().encode();
    let without = &bytes[..bytes.len() - 9];
    assert_eq!(
        ReadingBatch::decode(without),
        Ok(ReadingBatch {
            nonce: EpochNonce::UNKNOWN,
            ..sample()
        })
    );
}

/// Encodes `sample()` after a change that its writer would never make, and expects the reader to refuse it.
fn check(change: impl FnOnce(&mut proto::ReadingBatch), expected: &str, kind: ErrorKind) {
    use prost::Message as _;
    let mut wire = proto::ReadingBatch::decode(sample().encode().as_slice()).unwrap();
    change(&mut wire);
    let error = ReadingBatch::decode(&wire.encode_to_vec()).unwrap_err();
    assert_eq!((error.to_string().as_str(), error.kind()), (expected, kind));
}

#[test]
fn what_is_not_a_batch_is_refused() {
    use ErrorKind::{Corrupt, Fatal};
    check(
        |w| w.version = 2,
        "wire version 2 is newer than 1, the newest this release reads: update this program",
        Fatal,
    );
    check(
        |w| w.version = 0,
        "the record states no wire version",
        Corrupt,
    );
    check(
        |w| w.count = 6,
        "position 5 is unclaimed in a batch of 6",
        Corrupt,
    );
    check(
        |w| w.count = u32::MAX,
        "4294967295 readings in one batch, more than 1048576",
        Corrupt,
    );
    check(
        |w| w.first_seq = 0,
        "5 readings from seq 0 are outside the numbers of an epoch",
        Corrupt,
    );
    check(
        |w| w.first_seq = u64::MAX - 3,
        "5 readings from seq 18446744073709551612 are outside the numbers of an epoch",
        Corrupt,
    );
    check(
        |w| w.gateway.clear(),
        "a gateway name must not be empty",
        Corrupt,
    );
    check(
        |w| w.blocks[0].position_delta[1] = 9,
        "position 9 is past the end in a batch of 5",
        Corrupt,
    );
    check(
        |w| w.blocks[0].position_delta[1] = 1,
        "position 1 is claimed twice in a batch of 5",
        Corrupt,
    );
    check(
        |w| w.blocks[0].f64.truncate(1),
        "column f64 of temp has 1 entries instead of 2",
        Corrupt,
    );
    check(
        |w| w.blocks[0].i64.push(1),
        "column i64 of temp has 1 entries instead of 0",
        Corrupt,
    );
    check(
        |w| w.blocks[0].value_type = 77,
        "value type 77 is unknown",
        Corrupt,
    );
    check(
        |w| w.blocks[0].statuses.clear(),
        "status 0 of temp is not among the block's 0",
        Corrupt,
    );
    check(
        |w| w.blocks[0].statuses[0].quality = 9,
        "9 is no quality: 0 is good, 1 uncertain, 2 bad",
        Corrupt,
    );
}

fn any_value() -> impl Strategy<Value = Option<Value>> {
    prop_oneof![
        Just(None),
        any::<f64>().prop_map(|v| Some(Value::F64(v))),
        any::<i64>().prop_map(|v| Some(Value::I64(v))),
        any::<u64>().prop_map(|v| Some(Value::U64(v))),
        any::<bool>().prop_map(|v| Some(Value::Bool(v))),
        ".{0,8}".prop_map(|v| Some(Value::Text(v))),
        any::<Vec<u8>>().prop_map(|v| Some(Value::Bytes(v))),
    ]
}

fn any_reading() -> impl Strategy<Value = Reading> {
    let status = (
        0_u32..3,
        any::<Option<i64>>(),
        proptest::option::of(".{0,4}"),
    )
        .prop_map(|(q, code, reason)| Status {
            quality: Quality::try_from(q).unwrap(),
            code,
            reason,
        });
    let unit = prop_oneof![
        Just(None),
        Just(Some(Arc::from("Cel"))),
        Just(Some(Arc::from("bar")))
    ];
    (
        "[ab]",
        "[xy]",
        any::<i64>(),
        any::<i64>(),
        any_value(),
        unit,
        status,
    )
        .prop_map(
            |(device, tag, event, observed, value, unit, status)| Reading {
                series: series(&device, &tag),
                event_time: Timestamp::from_nanos(event),
                observed_time: Timestamp::from_nanos(observed),
                value,
                unit,
                status,
            },
        )
}

proptest! {
    #[test]
    fn decoding_gives_back_what_was_encoded(readings in proptest::collection::vec(any_reading(), 0..40), first in 1_u64..1 << 40) {
        let batch = batch(first, readings);
        let bytes = batch.encode();
        let back = ReadingBatch::decode(&bytes).unwrap();
        // NaN differs from itself: the bytes are compared instead.
        prop_assert_eq!(back.encode(), bytes);
        prop_assert_eq!(back.readings.len(), batch.readings.len());
        for (a, b) in back.readings.iter().zip(&batch.readings) {
            prop_assert_eq!((&a.series, a.event_time, a.observed_time), (&b.series, b.event_time, b.observed_time));
            prop_assert_eq!((&a.unit, &a.status), (&b.unit, &b.status));
            match (&a.value, &b.value) {
                (Some(Value::F64(a)), Some(Value::F64(b))) => prop_assert_eq!(a.to_bits(), b.to_bits()),
                (a, b) => prop_assert_eq!(a, b),
            }
        }
    }

    #[test]
    fn rubbish_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(batch) = ReadingBatch::decode(&bytes) {
            prop_assert!(batch.readings.len() <= bytes.len());
        }
    }
}
