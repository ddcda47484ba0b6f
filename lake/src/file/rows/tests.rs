use arrow::{
    array::AsArray as _,
    datatypes::{Float64Type, Int16Type, Int64Type, TimestampMicrosecondType},
};
use forebay_schemas::{DeviceId, Epoch, EpochNonce, GatewayId, Lane, Quality, Seq, TagName};

use super::*;

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;

fn reading(site: &str, device: &str, tag: &str, nanos: i64, value: Option<Value>) -> Reading {
    Reading {
        series: Series {
            site: SiteId::new(site).unwrap(),
            device: DeviceId::new(device).unwrap(),
            tag: TagName::new(tag).unwrap(),
        },
        event_time: Timestamp::from_nanos(nanos),
        observed_time: Timestamp::from_nanos(nanos + 1_500),
        value,
        unit: None,
        status: Status::GOOD,
    }
}

fn batch(gateway: &str, epoch: u64, first_seq: u64, readings: Vec<Reading>) -> ReadingBatch {
    let lane = LaneId {
        gateway: GatewayId::new(gateway).unwrap(),
        lane: Lane(7),
    };
    ReadingBatch {
        lane,
        epoch: Epoch(epoch),
        nonce: EpochNonce::UNKNOWN,
        first_seq: Seq(first_seq),
        readings,
    }
}

fn texts(rows: &RecordBatch, column: &str) -> Vec<Option<String>> {
    rows[column]
        .as_string::<i32>()
        .iter()
        .map(|text| text.map(str::to_owned))
        .collect()
}

fn longs(rows: &RecordBatch, column: &str) -> Vec<Option<i64>> {
    rows[column].as_primitive::<Int64Type>().iter().collect()
}

/// Site, number of the file, and for each row device, tag, seconds and seq.
fn shown(partitions: &[PartitionRows]) -> Vec<String> {
    let mut lines = Vec::new();
    for (file, PartitionRows { site, rows }) in partitions.iter().enumerate() {
        let times = rows["event_time"].as_primitive::<TimestampMicrosecondType>();
        let (devices, tags, seqs) = (
            texts(rows, "device"),
            texts(rows, "tag"),
            longs(rows, "seq"),
        );
        for row in 0..rows.num_rows() {
            let (device, tag) = (
                devices[row].as_deref().unwrap(),
                tags[row].as_deref().unwrap(),
            );
            lines.push(format!(
                "{site} {file} {device} {tag} {} {}",
                times.value(row) / 1_000_000,
                seqs[row].unwrap()
            ));
        }
    }
    lines
}

#[test]
fn rows_lie_by_site_block_and_series_in_the_order_of_their_times() {
    let later = batch(
        "g",
        1,
        4,
        vec![
            reading("b", "d", "t", 2 * SECOND, None),
            reading("a", "e", "t", DAY, None),
        ],
    );
    let first = vec![
        reading("a", "e", "t", 9 * SECOND, None),
        reading("a", "d", "u", 5 * SECOND, None),
        reading("a", "d", "t", 7 * SECOND, None),
    ];
    let late = batch(
        "g",
        2,
        1,
        vec![
            reading("a", "e", "t", 3 * SECOND, None),
            reading("a", "e", "t", DAY - 1, None),
        ],
    );
    let partitions = partition_rows(&[batch("g", 1, 1, first), later, late]).unwrap();
    assert_eq!(
        shown(&partitions),
        [
            "a 0 d t 7 3",
            "a 0 d u 5 2",
            "a 0 e t 3 1",
            "a 0 e t 9 1",
            "a 1 e t 86399 2",
            "a 2 e t 86400 5",
            "b 3 d t 2 4"
        ]
    );
}

/// How many rows each file has of readings at these hours.
#[track_caller]
fn check_files(hours: impl IntoIterator<Item = i64>, expected: &[usize]) {
    let readings = hours
        .into_iter()
        .map(|hour| reading("a", "d", "t", hour * 3_600 * SECOND, None))
        .collect();
    let files = partition_rows(&[batch("g", 1, 1, readings)]).unwrap();
    assert_eq!(
        files
            .iter()
            .map(|file| file.rows.num_rows())
            .collect::<Vec<_>>(),
        expected
    );
}

#[test]
fn a_site_gets_few_files_of_the_finest_blocks_whatever_times_come() {
    check_files([7, 7, 7], &[3]);
    // A late reading of another day lies apart from those of the present hour.
    check_files([7, 100, 100, 101], &[1, 2, 1]);
    // A day is four times six hours, and four days are four; more of them are not cut for few rows.
    check_files(0..24, &[6, 6, 6, 6]);
    check_files(0..96, &[24, 24, 24, 24]);
    check_files(0..240, &[240]);
    // Two years by the half hour, and with eight readings an hour.
    check_files((0..35_088).map(|n| n / 2), &[35_088]);
    check_files((0..140_000).map(|n| n / 8), &[98_304, 41_696]);
    // Two sites of one batch have nothing in common.
    let far = [
        reading("a", "d", "t", 0, None),
        reading("b", "d", "t", 900 * DAY, None),
    ];
    assert_eq!(
        partition_rows(&[batch("g", 1, 1, far.into())])
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn among_equal_times_epoch_and_seq_decide() {
    let readings = |count| vec![reading("a", "d", "t", 0, None); count];
    let partitions =
        partition_rows(&[batch("g", 2, 1, readings(1)), batch("g", 1, 5, readings(2))]).unwrap();
    let rows = &partitions[0].rows;
    assert_eq!(longs(rows, "epoch"), [Some(1), Some(1), Some(2)]);
    assert_eq!(longs(rows, "seq"), [Some(5), Some(6), Some(1)]);
}

#[test]
fn what_rows_share_stays_with_its_row() {
    let doubtful = Status {
        quality: Quality::Uncertain,
        code: Some(7),
        reason: Some("worn".to_owned()),
    };
    let values = [
        Some(Value::F64(0.5)),
        Some(Value::U64(u64::MAX)),
        Some(Value::I64(-3)),
        Some(Value::Text("on".to_owned())),
        None,
    ];
    let mut readings: Vec<Reading> = (0..)
        .zip(values)
        .map(|(second, value)| reading("a", "d", "t", second * SECOND, value))
        .collect();
    for place in [1, 4] {
        (readings[place].unit, readings[place].status) = (Some("Cel".into()), doubtful.clone());
    }
    let other = batch(
        "h",
        1,
        1,
        vec![reading("a", "d", "t", 8 * SECOND, Some(Value::Bool(true)))],
    );
    let partitions = partition_rows(&[batch("g", 1, 1, readings), other]).unwrap();
    let rows = &partitions[0].rows;
    let some = |texts: &[&str]| {
        texts
            .iter()
            .map(|text| (!text.is_empty()).then(|| (*text).to_owned()))
            .collect()
    };
    let check = |column: &str, expected: &[&str]| {
        let expected: Vec<Option<String>> = some(expected);
        assert_eq!(texts(rows, column), expected, "{column}");
    };
    check("unit", &["", "Cel", "", "", "Cel", ""]);
    check("quality_reason", &["", "worn", "", "", "worn", ""]);
    check("gateway", &["g", "g", "g", "g", "g", "h"]);
    check("value_type", &["f64", "u64", "i64", "text", "", "bool"]);
    check(
        "value_text",
        &["", "18446744073709551615", "", "on", "", ""],
    );
    assert_eq!(
        longs(rows, "value_int"),
        [None, None, Some(-3), None, None, None]
    );
    assert_eq!(
        longs(rows, "quality_code"),
        [None, Some(7), None, None, Some(7), None]
    );
    assert_eq!(
        rows["quality"].as_primitive::<Int16Type>().values(),
        &[0, 1, 0, 0, 1, 0]
    );
    let value: Vec<_> = rows["value"].as_primitive::<Float64Type>().iter().collect();
    assert_eq!(
        value,
        [
            Some(0.5),
            Some(u64::MAX as f64),
            Some(-3.0),
            None,
            None,
            Some(1.0)
        ]
    );
}
