use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::record_batch::RecordBatch;
use forebay_schemas::{
    DeviceId, Epoch, EpochNonce, GatewayId, Lane, LaneId, Reading, Seq, Series, SiteId, Status,
    TagName, Timestamp,
    ledger::{Behind, Census, Fate, Ledger, SeqRanges},
    wire::ReadingBatch,
};

use super::{ranges::*, *};
use crate::{
    operate::verify::LedgerSums,
    table::state::{EpochMark, Forgotten, Gap, GapState, StreamState},
};

const HOUR: i64 = 3_600_000_000_000;

/// Readings of device "a" in hours 1 and 2, of device "b" in hour 2, from a seq on.
fn batch(first_seq: u64) -> ReadingBatch {
    let reading = |(device, hour): (&str, i64)| Reading {
        series: Series {
            site: SiteId::new("plant").unwrap(),
            device: DeviceId::new(device).unwrap(),
            tag: TagName::new("flow").unwrap(),
        },
        event_time: Timestamp::from_nanos(hour * HOUR),
        observed_time: Timestamp::from_nanos(hour * HOUR),
        value: None,
        unit: None,
        status: Status::GOOD,
    };
    ReadingBatch {
        lane: LaneId {
            gateway: GatewayId::new("gw").unwrap(),
            lane: Lane(0),
        },
        epoch: Epoch(7),
        nonce: EpochNonce(1),
        first_seq: Seq(first_seq),
        readings: [("a", 1), ("a", 2), ("b", 2)].map(reading).to_vec(),
    }
}

fn census(first_seq: u64) -> Census {
    Census::of_batch(&batch(first_seq)).unwrap()
}

/// Three batches of three: seqs 1 to 9.
fn received(behind: Behind) -> LaneLedger {
    let mut ledger = Ledger::default();
    [1, 4, 7]
        .iter()
        .for_each(|first| ledger.count(&census(*first), Fate::Taken));
    LaneLedger {
        lane: batch(1).lane,
        ledger,
        waiting: Tally::default(),
        waiting_seqs: SeqRanges::default(),
        behind,
    }
}

/// Rows of `readings` of these seqs, as they are unless changed.
fn rows(seqs: &[u64], change: impl Fn(u64, &mut (&'static str, i64))) -> RecordBatch {
    let of = |seq: &u64| {
        let mut row = [("a", 1), ("a", 2), ("b", 2)][((seq - 1) % 3) as usize];
        change(*seq, &mut row);
        row
    };
    let found: Vec<_> = seqs.iter().map(of).collect();
    let count = seqs.len();
    let column = |name: &'static str, array: ArrayRef| (name, array);
    let times = found.iter().map(|(_, hour)| hour * HOUR / 1_000);
    RecordBatch::try_from_iter([
        column("gateway", Arc::new(StringArray::from(vec!["gw"; count]))),
        column("lane", Arc::new(Int32Array::from(vec![0; count]))),
        column("epoch", Arc::new(Int64Array::from(vec![7; count]))),
        column(
            "seq",
            Arc::new(Int64Array::from_iter_values(
                seqs.iter().map(|seq| seq.cast_signed()),
            )),
        ),
        column(
            "device",
            Arc::new(StringArray::from_iter_values(
                found.iter().map(|(device, _)| *device),
            )),
        ),
        column(
            "event_time",
            Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC")),
        ),
    ])
    .unwrap()
}

fn state(mark: u64, gaps: &[(u64, u64)]) -> StreamState {
    let epoch = EpochMark {
        gateway: "gw".into(),
        epoch: 7,
        mark,
        ..EpochMark::default()
    };
    let gap = |(first, last): &(u64, u64)| Gap {
        gateway: "gw".into(),
        lane: 0,
        epoch: 7,
        first: *first,
        last: *last,
        why: "missing".into(),
        opened_at: 0,
        state: GapState::Open,
        extent: None,
    };
    StreamState {
        gaps: gaps.iter().map(gap).collect(),
        ..StreamState::new(0, vec![epoch])
    }
}

fn quarantine_of(seqs: &[u64]) -> RecordBatch {
    let one = |seq: &u64| {
        let mut one = batch(*seq);
        one.readings = vec![one.readings.swap_remove(((seq - 1) % 3) as usize)];
        one.encode()
    };
    let raw = BinaryArray::from_iter_values(seqs.iter().map(one));
    RecordBatch::try_from_iter([("raw", Arc::new(raw) as ArrayRef)]).unwrap()
}

/// The sums as text, and what is wrong.
fn check(
    lane: &LaneLedger,
    readings: RecordBatch,
    quarantine: RecordBatch,
    state: StreamState,
) -> (String, Vec<String>) {
    let lanes = std::slice::from_ref(lane);
    let ledgers = Ledgers::new(lanes);
    let (mut in_readings, mut side, mut report) =
        (LaneRows::default(), LaneRows::default(), Report::default());
    let mut seqs = BTreeMap::new();
    crate::operate::verify::collect(&readings, &mut seqs);
    ledgers.collect_readings(&readings, &mut in_readings);
    ledgers.collect_quarantine(&quarantine, &seqs, &mut side);
    let accounts = Accounts::of([state]);
    let nothing = BTreeMap::new();
    ledgers.check(&in_readings, &side, &seqs, &accounts, &nothing, &mut report);
    let lines: Vec<String> = report.ledgers.iter().map(LedgerLine::to_string).collect();
    (
        lines.join("\n").replace("ledger gateway=gw lane=0 ", ""),
        report.faults.iter().map(Fault::to_string).collect(),
    )
}

const ALL: [u64; 9] = [1, 2, 3, 4, 5, 6, 7, 8, 9];

fn as_they_are(_: u64, _: &mut (&'static str, i64)) {}

#[test]
fn each_reading_that_was_received_is_somewhere_and_of_its_device_and_hour() {
    let line = |committed, quarantined, expired, pending, missing| {
        format!(
            "received=9 committed={committed} quarantined={quarantined} expired={expired} pending={pending} missing={missing}"
        )
    };
    let lake = received(Behind::Lake);
    let sound = |lane: &LaneLedger, seqs: &[u64], quarantined: &[u64], state, expected: String| {
        let found = check(
            lane,
            rows(seqs, as_they_are),
            quarantine_of(quarantined),
            state,
        );
        assert_eq!(found, (expected, vec![]));
    };
    sound(&lake, &ALL, &[], state(9, &[]), line(9, 0, 0, 0, 0));
    sound(
        &lake,
        &[1, 2, 3, 7, 8, 9],
        &[4, 5, 6, 6],
        state(9, &[]),
        line(6, 3, 0, 0, 0),
    );
    // Rows that came after the ledger was read, and those of another epoch, say nothing.
    sound(
        &lake,
        &[ALL.to_vec(), vec![10, 11]].concat(),
        &[12],
        state(12, &[]),
        line(9, 0, 0, 0, 0),
    );
    // A gap that the state names.
    sound(
        &lake,
        &[1, 2, 3, 4, 9],
        &[],
        state(9, &[(5, 8)]),
        line(5, 0, 4, 0, 0),
    );
    // The stream may still hold what is above the mark; a spool has forgotten only what is committed.
    sound(
        &received(Behind::Stream),
        &[1, 2, 3, 4],
        &[],
        state(4, &[]),
        line(4, 0, 0, 5, 0),
    );
    let mut waiting = received(Behind::Lake);
    waiting.waiting_seqs.add(7, 7, 9);
    census(7).add_to(&mut waiting.waiting, waiting.ledger.resolution);
    sound(
        &waiting,
        &[1, 2, 3, 4, 5, 6, 8],
        &[],
        state(6, &[]),
        line(7, 0, 0, 2, 0),
    );
    let mut dropped = received(Behind::Lake);
    dropped.ledger.dropped.add(7, 4, 6);
    census(4).add_to(&mut dropped.ledger.expired, dropped.ledger.resolution);
    sound(
        &dropped,
        &[1, 2, 3, 7, 8, 9],
        &[],
        state(3, &[]),
        line(6, 0, 3, 0, 0),
    );
    // Given up by the spool although the lake had it.
    sound(&dropped, &ALL, &[], state(9, &[]), line(9, 0, 0, 0, 0));
}

#[test]
fn what_is_nowhere_doubled_or_of_another_device_or_hour_is_named() {
    let faults = |lane: &LaneLedger, rows, state| check(lane, rows, quarantine_of(&[]), state).1;
    let lake = received(Behind::Lake);
    // The states agree with what is there: only the ledger knows.
    assert_eq!(
        faults(&lake, rows(&[1, 2, 3, 4], as_they_are), state(4, &[])),
        [
            "gw/0/7: 5 readings were received and are nowhere to be found, the first is seq 5",
            "gw/0, device a: 3 readings fewer than were received, from 1970-01-01T01:00:00Z on",
            "gw/0, device b: 2 readings fewer than were received, from 1970-01-01T02:00:00Z on",
        ]
    );
    assert_eq!(
        faults(
            &received(Behind::Stream),
            rows(&[1, 2, 3, 4, 9], as_they_are),
            state(9, &[(5, 6)])
        )[0],
        "gw/0/7: 2 readings were received and are nowhere to be found, the first is seq 7"
    );
    let twice = [ALL.to_vec(), vec![3]].concat();
    assert_eq!(
        faults(&lake, rows(&twice, as_they_are), state(9, &[])),
        ["gw/0, device b: 1 readings more than were received, from 1970-01-01T02:00:00Z on"]
    );
    let of_another =
        |seq: u64, row: &mut (&'static str, i64)| *row = if seq == 3 { ("a", 2) } else { *row };
    assert_eq!(
        faults(&lake, rows(&ALL, of_another), state(9, &[])),
        [
            "gw/0, device b: 1 readings fewer than were received, from 1970-01-01T02:00:00Z on",
            "gw/0, device a: 1 readings more than were received, from 1970-01-01T02:00:00Z on",
        ]
    );
    let unheard =
        |seq: u64, row: &mut (&'static str, i64)| *row = if seq == 9 { ("c", 2) } else { *row };
    assert!(
        faults(&lake, rows(&ALL, unheard), state(9, &[]))[1]
            .starts_with("gw/0, device c: 1 readings more")
    );
    let late = |seq: u64, row: &mut (&'static str, i64)| row.1 += i64::from(seq == 9);
    assert_eq!(faults(&lake, rows(&ALL, late), state(9, &[])).len(), 2);
}

#[test]
fn two_openings_that_numbered_alike_are_no_fault_of_the_ledger() {
    let lake = received(Behind::Lake);
    // The copy's reading was taken under seq 3, ours stands in quarantine.
    let of_the_copy =
        |seq: u64, row: &mut (&'static str, i64)| *row = if seq == 3 { ("c", 5) } else { *row };
    let (line, faults) = check(
        &lake,
        rows(&ALL, of_the_copy),
        quarantine_of(&[3]),
        state(9, &[]),
    );
    assert!(
        line.contains("committed=9") && faults.is_empty(),
        "{line} {faults:?}"
    );
}

#[test]
fn gaps_of_forgotten_epochs_are_known_by_their_rows() {
    let lake = received(Behind::Lake);
    let forgotten = vec![Forgotten {
        gateway: "gw".into(),
        lane: 0,
        epoch: 7,
        readings: 5,
        gaps: 1,
    }];
    let state = || StreamState {
        forgotten: forgotten.clone(),
        ..StreamState::new(0, Vec::new())
    };
    let seqs = [1, 2, 3, 4, 9];
    let gaps = |rows: &[(u64, u64, bool)]| {
        let mut side = LaneRows::default();
        for (first, last, is_closed) in rows {
            let gaps = if *is_closed {
                &mut side.closed_gaps
            } else {
                &mut side.gaps
            };
            gaps.entry(("gw".into(), 0, 7))
                .or_default()
                .insert((*first, *last));
        }
        let mut found = BTreeMap::new();
        crate::operate::verify::collect(&rows_of(&seqs), &mut found);
        let accounts = Accounts::of([state()]);
        equation::of_lane(&lake, &side, &found, &accounts, &BTreeMap::new()).sums
    };
    assert_eq!(
        gaps(&[(5, 8, false)]),
        LedgerSums {
            received: 9,
            committed: 5,
            expired: 4,
            ..LedgerSums::default()
        }
    );
    let smaller = gaps(&[(4, 8, false), (4, 8, true), (5, 7, false)]);
    assert_eq!(
        (smaller.expired, smaller.missing),
        (3, 1),
        "a gap that was closed explains nothing"
    );
}

fn rows_of(seqs: &[u64]) -> RecordBatch {
    rows(seqs, as_they_are)
}

#[test]
fn lanes_without_a_ledger_are_named_and_imports_are_not() {
    let ledgers = Ledgers::new(&[]);
    let mut found = LaneRows::default();
    let with_lane = |lane: u32| {
        let rows = rows_of(&[1]);
        let mut columns = rows.columns().to_vec();
        columns[1] = Arc::new(Int32Array::from(vec![lane.cast_signed()]));
        RecordBatch::try_new(rows.schema(), columns).unwrap()
    };
    ledgers.collect_readings(&with_lane(3), &mut found);
    ledgers.collect_readings(&with_lane(Lane::IMPORT.0), &mut found);
    let mut report = Report::default();
    ledgers.check(
        &found,
        &LaneRows::default(),
        &BTreeMap::new(),
        &Accounts::default(),
        &BTreeMap::new(),
        &mut report,
    );
    let lines: Vec<String> = report.ledgers.iter().map(LedgerLine::to_string).collect();
    assert_eq!(
        lines,
        ["ledger gateway=gw lane=3 not compared: the gateway's data folder is not here"]
    );
}

#[test]
fn many_devices_that_differ_are_summed_up() {
    let mut lane = received(Behind::Lake);
    (0..50).for_each(|device| {
        lane.ledger
            .received
            .add(&format!("d{device:02}"), Span::Hour(1), 1)
    });
    let (_, faults) = check(
        &lane,
        rows(&ALL, as_they_are),
        quarantine_of(&[]),
        state(9, &[]),
    );
    assert_eq!(faults.len(), DEVICES_NAMED_MAX + 1);
    assert!(
        faults.contains(&"gw/0: 30 further devices differ from what was received".to_owned()),
        "{faults:?}"
    );
}

#[test]
fn differences_of_ranges_are_those_of_their_seqs() {
    let seqs = |ranges: &[Range]| {
        ranges
            .iter()
            .flat_map(|(first, last)| *first..=*last)
            .collect::<BTreeSet<_>>()
    };
    let many: [&[Range]; 7] = [
        &[],
        &[(1, 9)],
        &[(1, 1), (3, 3), (9, 12)],
        &[(2, 4), (6, 6)],
        &[(4, 40)],
        &[(0, 0), (12, 13)],
        &[(5, 5)],
    ];
    for one in many {
        for other in many {
            let found: Vec<Range> = without(one.iter().copied(), other.iter().copied()).collect();
            assert_eq!(
                seqs(&found),
                &seqs(one) - &seqs(other),
                "{one:?} without {other:?}"
            );
        }
    }
    assert_eq!(
        joined([(5, 6), (1, 2), (3, 3), (6, 9), (8, 7)]),
        [(1, 3), (5, 9)]
    );
    assert_eq!(
        without([(3, u64::MAX)].into_iter(), [(7, u64::MAX)]).collect::<Vec<_>>(),
        [(3, 6)]
    );
}
