use arrow::{
    array::AsArray as _,
    compute::cast,
    datatypes::{DataType, Float64Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType},
};
use forebay_schemas::{
    DeviceId, Epoch, EpochNonce, GatewayId, Lane, Quality, Reading, Seq, TagName, Timestamp, Value,
};

use super::*;
use crate::{
    file::{FileLayout, Sealing, read_file, write_file},
    file_schema,
};

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
    let plain = cast(&rows[column], &DataType::Utf8).unwrap();
    plain
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

/// Numbers that look random and are the same in each run (Knuth's MMIX generator).
fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |below| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    }
}

/// Readings of a few series whose times, types, units and statuses change from one to the next.
fn mixed(mut random: impl FnMut(u64) -> u64, count: u64) -> Vec<Reading> {
    let one = |_| {
        let value = match random(9) {
            0 => None,
            1 => Some(Value::I64(-(random(1 << 40) as i64))),
            2 => Some(Value::U64(u64::MAX - random(5))),
            3 => Some(Value::U64(random(5))),
            4 => Some(Value::Bool(random(2) == 0)),
            5 => Some(Value::Text(format!("text {}", random(7)))),
            6 => Some(Value::Bytes(vec![random(256) as u8; 3])),
            _ => Some(Value::F64(random(1 << 20) as f64 / 8.0)),
        };
        let (site, device, tag) = (["a", "b"], ["d", "e", "f"], ["t", "u"]);
        let named = |names: &[&'static str], random: u64| names[random as usize];
        let nanos = random(40) as i64 * SECOND + random(3) as i64;
        let mut reading = reading(
            named(&site, random(2)),
            named(&device, random(3)),
            named(&tag, random(2)),
            nanos,
            value,
        );
        reading.unit = [None, Some("Cel".into()), Some("bar".into())][random(3) as usize].clone();
        if random(6) == 0 {
            reading.status = Status::bad(Some(random(3) as i64), format!("fault {}", random(20)));
        }
        reading
    };
    (0..count).map(one).collect()
}

/// One row as text, from a reading.
fn row_of(gateway: &str, epoch: u64, seq: u64, reading: &Reading) -> String {
    let Reading {
        series,
        event_time,
        observed_time,
        value,
        unit,
        status,
    } = reading;
    let int = match value {
        Some(Value::I64(value)) => Some(*value),
        Some(Value::U64(value)) => i64::try_from(*value).ok(),
        _ => None,
    };
    let text = match value {
        Some(Value::Text(text)) => Some(text.clone()),
        Some(Value::U64(value)) if int.is_none() => Some(value.to_string()),
        _ => None,
    };
    let bytes = if let Some(Value::Bytes(bytes)) = value {
        Some(bytes.as_slice())
    } else {
        None
    };
    format!(
        "{} {} {} {} {:?} {int:?} {text:?} {bytes:?} {:?} {unit:?} {} {:?} {:?} {gateway} 7 {epoch} {seq}",
        series.device,
        series.tag,
        event_time.micros(),
        observed_time.micros(),
        value.as_ref().and_then(Value::as_f64),
        value.as_ref().map(|value| value.value_type().name()),
        status.quality.code(),
        status.code,
        status.reason,
    )
}

/// The rows of a file as text.
fn rows_of(rows: &RecordBatch) -> Vec<String> {
    let micros = |column: &str| {
        rows[column]
            .as_primitive::<TimestampMicrosecondType>()
            .values()
            .to_vec()
    };
    let (event, observed, lane) = (
        micros("event_time"),
        micros("observed_time"),
        rows["lane"].as_primitive::<Int32Type>(),
    );
    let (device, tag, gateway) = (
        texts(rows, "device"),
        texts(rows, "tag"),
        texts(rows, "gateway"),
    );
    let (value_type, text, unit) = (
        texts(rows, "value_type"),
        texts(rows, "value_text"),
        texts(rows, "unit"),
    );
    let (code, reason) = (longs(rows, "quality_code"), texts(rows, "quality_reason"));
    let (int, epoch, seq) = (
        longs(rows, "value_int"),
        longs(rows, "epoch"),
        longs(rows, "seq"),
    );
    let value: Vec<_> = rows["value"].as_primitive::<Float64Type>().iter().collect();
    let quality = rows["quality"].as_primitive::<Int16Type>();
    let bytes: Vec<_> = rows["value_bytes"].as_binary::<i32>().iter().collect();
    let all = 0..rows.num_rows();
    all.map(|i| {
        format!(
            "{} {} {} {} {:?} {:?} {:?} {:?} {:?} {:?} {} {:?} {:?} {} {} {} {}",
            device[i].as_deref().unwrap(),
            tag[i].as_deref().unwrap(),
            event[i],
            observed[i],
            value[i],
            int[i],
            text[i],
            bytes[i],
            value_type[i],
            unit[i],
            quality.value(i),
            code[i],
            reason[i],
            gateway[i].as_deref().unwrap(),
            lane.value(i),
            epoch[i].unwrap(),
            seq[i].unwrap(),
        )
    })
    .collect()
}

/// What is gathered by blocks is what each reading alone makes, in the order of device, tag, time,
/// epoch and seq.
#[test]
fn each_reading_is_a_row_wherever_its_block_lay() {
    let mut random = numbers(11);
    for _ in 0..20 {
        let sent: Vec<ReadingBatch> = [("g", 2), ("h", 1), ("g", 1), ("g", 2)]
            .into_iter()
            .zip([1, 1, 5, 400])
            .map(|((gateway, epoch), first)| batch(gateway, epoch, first, mixed(&mut random, 60)))
            .collect();
        let mut expected: Vec<_> = sent
            .iter()
            .flat_map(|batch| {
                (batch.first_seq.0..)
                    .zip(&batch.readings)
                    .map(move |(seq, reading)| (batch, seq, reading))
            })
            .collect();
        expected.sort_by_key(|(batch, seq, reading)| {
            (
                reading.series.clone(),
                reading.event_time,
                batch.epoch,
                *seq,
            )
        });
        let row = |(batch, seq, reading): &(&ReadingBatch, u64, &Reading)| {
            let lane = batch.lane.gateway.as_str();
            (
                reading.series.site.clone(),
                row_of(lane, batch.epoch.0, *seq, reading),
            )
        };
        let found: Vec<_> = partition_rows(&sent)
            .unwrap()
            .iter()
            .flat_map(|file| {
                rows_of(&file.rows)
                    .into_iter()
                    .map(|row| (file.site.clone(), row))
            })
            .collect();
        assert_eq!(found, expected.iter().map(row).collect::<Vec<_>>());
    }
}

/// How texts lie in memory shows nowhere in the file: its bytes are those of plain columns, and so
/// is what is read from it.
#[test]
fn a_file_of_dictionaries_is_that_of_plain_columns() {
    let mut random = numbers(3);
    let coded = partition_rows(&[batch("g", 1, 1, mixed(&mut random, 3_000))])
        .unwrap()
        .remove(0)
        .rows;
    let schema = file_schema(&READINGS);
    let columns = schema
        .fields()
        .iter()
        .zip(coded.columns())
        .map(|(field, column)| cast(column, field.data_type()));
    let plain =
        RecordBatch::try_new(schema.clone(), columns.collect::<Result<_, _>>().unwrap()).unwrap();
    let files = [&coded, &plain]
        .map(|rows| write_file(rows, Sealing::clear(), &FileLayout::MEASURED).unwrap());
    assert_eq!(files[0].bytes, files[1].bytes);
    let read = read_file(files[0].bytes.clone(), None).unwrap();
    assert_eq!(rows_of(&read[0]), rows_of(&coded));
    let types = |schema: &arrow::datatypes::Schema| -> Vec<(String, DataType)> {
        schema
            .fields()
            .iter()
            .map(|field| (field.name().clone(), field.data_type().clone()))
            .collect()
    };
    assert_eq!(types(&read[0].schema()), types(&schema));
}
