use proptest::prelude::*;

use super::*;
use crate::{
    DeviceId, Epoch, EpochNonce, GatewayId, Lane, LaneId, Reading, Seq, Series, SiteId, Status,
    TagName, Timestamp, Value, wire::ReadingBatch,
};

const HOUR: i64 = 3_600_000_000_000;

fn batch(epoch: u64, first_seq: u64, readings: &[(&str, i64)]) -> ReadingBatch {
    let reading = |(device, event): &(&str, i64)| Reading {
        series: Series {
            site: SiteId::new("plant").unwrap(),
            device: DeviceId::new(device).unwrap(),
            tag: TagName::new("flow").unwrap(),
        },
        event_time: Timestamp::from_nanos(*event),
        observed_time: Timestamp::from_nanos(*event),
        value: Some(Value::F64(0.5)),
        unit: None,
        status: Status::GOOD,
    };
    ReadingBatch {
        lane: LaneId {
            gateway: GatewayId::new("gw").unwrap(),
            lane: Lane(0),
        },
        epoch: Epoch(epoch),
        nonce: EpochNonce(1),
        first_seq: Seq(first_seq),
        readings: readings.iter().map(reading).collect(),
    }
}

fn census(batch: &ReadingBatch) -> Census {
    Census::of_record(&batch.encode()).unwrap()
}

fn spans(tally: &Tally) -> Vec<(&str, Vec<(Span, u64)>)> {
    tally
        .iter()
        .map(|(device, spans)| (device, spans.to_vec()))
        .collect()
}

#[test]
fn a_record_is_counted_by_device_and_hour() {
    let mut ledger = Ledger::default();
    ledger.count(
        &census(&batch(
            7,
            1,
            &[
                ("a", 0),
                ("b", HOUR),
                ("a", HOUR - 1),
                ("a", HOUR),
                ("b", -1),
            ],
        )),
        Fate::Taken,
    );
    ledger.count(&census(&batch(7, 6, &[("b", HOUR)])), Fate::Expired);
    let hours = |counts: &[(i32, u64)]| {
        counts
            .iter()
            .map(|(hour, count)| (Span::Hour(*hour), *count))
            .collect()
    };
    let expected: Vec<(&str, Vec<_>)> = vec![
        ("a", hours(&[(0, 2), (1, 1)])),
        ("b", hours(&[(-1, 1), (1, 2)])),
    ];
    assert_eq!(spans(&ledger.received), expected);
    assert_eq!(spans(&ledger.expired), vec![("b", hours(&[(1, 1)]))]);
    assert_eq!(
        (ledger.covered.of(7), ledger.dropped.of(7)),
        (&[(1, 6)][..], &[(6, 6)][..])
    );
    assert!(
        ledger.covered.contains(7, 6)
            && !ledger.covered.contains(7, 7)
            && !ledger.covered.contains(8, 1)
    );
}

/// The bytes of a ledger, version 1. A change here is a change of a stored format.
const GOLDEN: &str = include_str!("../../golden/ledger.v1.hex");

#[test]
fn the_ledger_is_laid_out_as_written_down() {
    let mut ledger = Ledger::default();
    ledger.count(
        &census(&batch(7, 1, &[("a", 30 * HOUR), ("b", 50 * HOUR)])),
        Fate::Taken,
    );
    ledger.count(
        &census(&batch(7, 9, &[("a", 80 * HOUR), ("a", 81 * HOUR)])),
        Fate::Expired,
    );
    ledger.fold(Resolution {
        days_from: 2,
        hours_from: 3,
    });
    let bytes = ledger.encode();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, GOLDEN.trim());
    assert_eq!(Ledger::decode(&bytes), Some(ledger));
    for cut in 1..bytes.len() {
        // Fields may be absent at the end, but nothing is made up.
        assert!(
            Ledger::decode(&bytes[..cut]).is_none_or(|found| found.received.total() <= 4),
            "{cut}"
        );
    }
}

#[test]
fn a_ledger_that_grows_past_its_bounds_keeps_its_sums() {
    let bounds = Bounds {
        hours: 100,
        days: 12,
        devices: 4,
        ranges: 8,
    };
    let mut ledger = Ledger::default();
    let mut seq = 1;
    for hour in 0..40 * 24 {
        let at = hour * HOUR;
        ledger.count(
            &census(&batch(7, seq, &[("a", at), ("b", at)])),
            Fate::Expired,
        );
        seq += 2;
        assert_eq!(ledger.bound(&bounds), Bounded::Kept);
    }
    let of = |kind: fn(Span) -> Option<i32>| {
        ledger
            .received
            .iter()
            .flat_map(|(_, s)| s)
            .filter(|s| kind(s.0).is_some())
            .count()
    };
    assert!(of(Span::hour_day) <= bounds.hours && of(Span::whole_day) <= bounds.days);
    assert!(
        of(Span::hour_day) > 0 && of(Span::whole_day) > 0,
        "no more is given up than must be"
    );
    assert_eq!(
        (ledger.received.total(), ledger.expired.total()),
        (seq - 1, seq - 1)
    );
    assert_eq!(spans(&ledger.received), spans(&ledger.expired));
    // What comes late is counted where its day is counted now, and what is folded elsewhere says the same.
    ledger.count(&census(&batch(7, seq, &[("a", 0)])), Fate::Taken);
    assert_eq!(
        ledger.received.at("a", Span::Older),
        ledger.expired.at("a", Span::Older) + 1
    );
    let mut elsewhere = Tally::default();
    elsewhere.add("a", Span::Hour(39 * 24 + 23), 1);
    elsewhere.add("a", Span::Hour(0), 1);
    let mut folded = Tally::default();
    folded.add_all(&elsewhere, ledger.resolution);
    assert_eq!(spans(&folded)[0].1[0], (Span::Older, 1));
    assert_eq!(Ledger::decode(&ledger.encode()), Some(ledger.clone()));

    let many: Vec<String> = (0..=bounds.devices)
        .map(|device| device.to_string())
        .collect();
    let many: Vec<(&str, i64)> = many.iter().map(|device| (device.as_str(), 0)).collect();
    ledger.count(&census(&batch(7, seq + 1, &many)), Fate::Taken);
    assert_eq!(
        (ledger.bound(&bounds), &ledger),
        (Bounded::BegunAnew, &Ledger::default())
    );
}

#[test]
fn a_million_counts_take_the_room_that_the_bounds_promise() {
    // 1,000 devices for 30 days, each with a reading a second: hours for as long as they fit, then days.
    let names: Vec<String> = (0..1_000)
        .map(|device| format!("device-{device:04}"))
        .collect();
    let mut ledger = Ledger::default();
    for hour in 0..30 * 24 {
        names.iter().for_each(|device| {
            ledger
                .received
                .add(device, ledger.resolution.span(hour), 3_600)
        });
        if hour % 24 == 23 {
            assert_eq!(ledger.bound(&Bounds::SPOOL), Bounded::Kept);
        }
    }
    let bytes = ledger.encode().len();
    assert!(bytes < 1_500_000, "{bytes} bytes");
    assert_eq!(ledger.received.total(), 30 * 24 * 1_000 * 3_600);
    assert!(
        ledger.resolution.hours_from <= 30 - 7,
        "a week is told by hours: {:?}",
        ledger.resolution
    );
}

#[test]
fn ranges_are_joined_whatever_their_order() {
    let mut ranges = SeqRanges::default();
    for (first, last) in [(5, 6), (7, 7), (10, 12), (1, 2), (3, 4), (11, 20)] {
        ranges.add(3, first, last);
    }
    assert_eq!(ranges.of(3), [(1, 7), (10, 20)]);
    assert_eq!(ranges.len(), 2);
}

#[test]
fn bytes_that_are_no_batch_are_not_counted() {
    let good = batch(7, 1, &[("a", 0), ("a", 1)]).encode();
    assert!(Census::of_record(b"no batch").is_err());
    assert!(
        Census::of_record(&batch(7, 1, &[]).encode()).is_err(),
        "nothing is in it"
    );
    assert!(
        Census::of_record(&batch(7, u64::MAX, &[("a", 0)]).encode()).is_err(),
        "past the end of the numbers"
    );
    for cut in 1..good.len() {
        if let Ok(found) = Census::of_record(&good[..cut]) {
            assert_eq!(
                found,
                census(&batch(7, 1, &[("a", 0), ("a", 1)])),
                "cut at {cut}: only what is skipped may be absent"
            );
        }
    }
}

proptest! {
    #[test]
    fn what_is_skipped_changes_no_count(readings in prop::collection::vec((0..3_usize, any::<i64>()), 1..50), first in 1..1_000_u64) {
        let names = ["a", "b", "c"];
        let readings: Vec<(&str, i64)> = readings.iter().map(|(device, at)| (names[*device], *at)).collect();
        let batch = batch(7, first, &readings);
        let (mut of_record, mut of_batch) = (Tally::default(), Tally::default());
        census(&batch).add_to(&mut of_record, Resolution::default());
        let found = Census::of_batch(&batch).unwrap();
        found.add_to(&mut of_batch, Resolution::default());
        prop_assert_eq!(&of_record, &of_batch);
        prop_assert_eq!(of_record.total(), readings.len() as u64);
        prop_assert_eq!(Some(census(&batch).last_seq()), batch.last_seq());
    }
}
