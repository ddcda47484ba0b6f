//! Files as users have them, and the readings, rows in quarantine and refusals that come of them.

mod again;
mod bench;
mod forms;
mod lost;
mod undo;

use std::{fs, io::Write as _, path::PathBuf, sync::Arc, time::Duration};

use flate2::{Compression, write::GzEncoder};
use forebay_lake::{
    Imports, Lake, MergeOutcome, MergePolicy, Retells, Sealed, StreamState, imported_app_id,
    imports,
    keys::{FileKeyring, Random},
    merge, plan, session, verify,
};
use forebay_schemas::{DeviceId, Value, table::QUARANTINE};
use jiff::tz::TimeZone;
use ring::rand::SystemRandom;

use super::*;
use crate::{RepairMode, repair_states};

/// 2026-01-01T00:00:00Z.
const NOW: i64 = 1_767_225_600;

fn now() -> Timestamp {
    Timestamp::from_nanos(NOW * 1_000_000_000)
}

fn spec(file: PathBuf) -> ImportSpec {
    ImportSpec {
        file,
        site: SiteId::new("plant").unwrap(),
        device: DeviceSource::Fixed(DeviceId::new("pump").unwrap()),
        time_column: "time".into(),
        time_format: TimeFormat::Iso,
        time_zone: TimeZone::UTC,
        separator: b',',
        tags: TagSource::Columns(None),
        unit_column: None,
        quality: None,
        nulls: Vec::new(),
        encoding: None,
        decimal: Decimal::Point,
        skip_rows: 0,
        on_existing: OnExisting::Keep,
    }
}

/// What a file gives: its readings as text, and the reasons of its bad rows with their numbers from 1.
fn read(
    text: &str,
    change: impl Fn(&mut ImportSpec),
) -> Result<(Vec<String>, Vec<String>), ImportError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.csv");
    fs::write(&file, text).unwrap();
    read_file(file, change)
}

fn read_file(
    file: PathBuf,
    change: impl Fn(&mut ImportSpec),
) -> Result<(Vec<String>, Vec<String>), ImportError> {
    let mut spec = spec(file);
    change(&mut spec);
    let mut rows = Rows::of(&spec, source::survey(&spec)?, now());
    let (mut readings, mut bad) = (Vec::new(), Vec::new());
    let mut records = Records::open(&spec)?;
    let mut record = ByteRecord::new();
    let mut number = 0;
    while records.read(&mut record)? {
        number += 1;
        if number <= spec.skip_rows {
            continue;
        }
        match rows.readings(&record) {
            Ok(found) => readings.extend(found.iter().map(shown)),
            Err(why) => bad.push(format!("{number} {why}")),
        }
    }
    Ok((readings, bad))
}

fn shown(reading: &Reading) -> String {
    let at = jiff::Timestamp::from_nanosecond(reading.event_time.nanos().into()).unwrap();
    let value = match &reading.value {
        Some(Value::F64(v)) => v.to_string(),
        Some(Value::I64(v)) => format!("{v}i"),
        Some(Value::Text(v)) => format!("{v:?}"),
        other => format!(
            "{other:?} {}",
            reading.status.reason.as_deref().unwrap_or_default()
        ),
    };
    format!("{} {at} {value}", reading.series.tag)
}

#[track_caller]
fn gives(text: &str, change: impl Fn(&mut ImportSpec), expected: &[&str]) {
    let (readings, bad) = read(text, change).unwrap();
    assert_eq!(
        (readings.iter().map(String::as_str).collect::<Vec<_>>(), bad),
        (expected.to_vec(), Vec::new()),
        "{text}"
    );
}

#[track_caller]
fn refused(text: &str, change: impl Fn(&mut ImportSpec), parts: &[&str]) {
    let said = read(text, change).unwrap_err().to_string();
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in {said:?}");
    }
}

#[test]
fn an_open_quote_is_refused_with_its_line_before_a_row_vanishes() {
    let rows: String = (0..1400)
        .map(|row| format!("2025-04-01T00:00:{:02}Z,{row},ok\n", row % 60))
        .collect();
    let broken = format!("time,temp,state\n{rows}").replacen(",3,ok", ",3,\"ok", 1);
    refused(
        &broken,
        |_| {},
        &["the quote that opens on line 5 is never closed"],
    );
    let closed_later = broken.replacen(",900,ok", ",900,\"ok\"", 1);
    refused(
        &closed_later,
        |_| {},
        &["the quote that opens on line 5 ends on line 902 in front of more text"],
    );
    refused(
        "\"time,temp\n2025-04-01T00:00:00Z,1\n",
        |_| {},
        &["the quote that opens on line 1 is never closed"],
    );
}

#[test]
fn blanks_around_cells_do_not_count() {
    let expected = ["temp 2025-04-01T00:00:00Z 21.5"];
    gives(
        "time, temp\n2025-04-01T00:00:00Z, 21.5\n",
        |_| {},
        &expected,
    );
    gives(
        "time,\ttemp \n 2025-04-01T00:00:00Z ,\t21.5 \n",
        |_| {},
        &expected,
    );
    gives(
        "time, \"temp\"\n2025-04-01T00:00:00Z, \"21.5\"\n",
        |_| {},
        &expected,
    );
    gives(
        "time,temp,state\n2025-04-01T00:00:00Z,21.5,  \n",
        |_| {},
        &expected,
    );
}

#[test]
fn columns_of_one_name_are_refused_by_name() {
    let tags = |tags: &'static [&'static str]| {
        move |spec: &mut ImportSpec| {
            spec.tags = TagSource::Columns(Some(tags.iter().map(|tag| (*tag).to_owned()).collect()))
        }
    };
    let row = "\n2025-04-01T00:00:00Z,1,2\n";
    refused(
        &format!("time,temp,temp{row}"),
        |_| {},
        &["two columns \"temp\", column 2 and column 3"],
    );
    refused(
        &format!("time,temp,time{row}"),
        |_| {},
        &["two columns \"time\", column 1 and column 3"],
    );
    refused(
        &format!("time,a,b{row}"),
        tags(&["a", "a"]),
        &["--tags names \"a\" twice"],
    );
    refused(
        &format!("time,a,a{row}"),
        tags(&["a"]),
        &["two columns \"a\""],
    );
    // Who names others need not heed them.
    gives(
        "time,a,a,b\n2025-04-01T00:00:00Z,1,2,3\n",
        tags(&["b"]),
        &["b 2025-04-01T00:00:00Z 3i"],
    );
}

#[test]
fn a_column_without_a_name_is_left_out_when_empty_and_named_when_not() {
    let semicolons = |spec: &mut ImportSpec| spec.separator = b';';
    let units = |spec: &mut ImportSpec| (spec.separator, spec.skip_rows) = (b';', 1);
    let expected = ["a 2025-04-01T00:00:00Z 1i", "b 2025-04-01T00:00:00Z 2i"];
    gives(
        "time;a;b;\n2025-04-01T00:00:00Z;1;2;\n",
        semicolons,
        &expected,
    );
    gives(
        "time;a;b;\n2025-04-01T00:00:00Z;1;2\n",
        semicolons,
        &expected,
    );
    gives(
        "time;a;b\n2025-04-01T00:00:00Z;1;2;\n",
        semicolons,
        &expected,
    );
    gives(
        "time;;a;b;;\n2025-04-01T00:00:00Z;;1;2;;\n",
        semicolons,
        &expected,
    );
    gives(
        "time;a;b;\n;°C;bar;\n2025-04-01T00:00:00Z;1;2;\n",
        units,
        &expected,
    );
    gives(
        "time;a;b;\n;°C;bar;unit\n2025-04-01T00:00:00Z;1;2;\n",
        units,
        &expected,
    );
    let filled = "time;a;\n2025-04-01T00:00:00Z;1;\n2025-04-01T00:00:01Z;1;x\n";
    refused(
        filled,
        semicolons,
        &[
            "column 3 of",
            "has no name, but row 2 has \"x\" there",
            "--tags",
        ],
    );
    refused(
        "time;a\u{1};b\n2025-04-01T00:00:00Z;1;2\n",
        semicolons,
        &["column 2 of", "control character"],
    );
    let (readings, bad) = read(
        "time;a;b\n2025-04-01T00:00:00Z;1\n2025-04-01T00:00:00Z;1;2;3\n",
        semicolons,
    )
    .unwrap();
    assert_eq!((readings.len(), bad.len()), (0, 2), "{bad:?}");
    assert!(
        bad[0].contains("it has 2 fields instead of 3") && bad[1].contains("4 fields instead of 3"),
        "{bad:?}"
    );
}

#[test]
fn a_decimal_comma_is_read_when_told_and_hinted_at_when_not() {
    let text = "time;v\n2025-04-01T00:00:00Z;987,5\n2025-04-01T00:00:01Z;1.234\n2025-04-01T00:00:02Z;12.34\n";
    let comma = |spec: &mut ImportSpec| (spec.separator, spec.decimal) = (b';', Decimal::Comma);
    let expected = [
        "v 2025-04-01T00:00:00Z 987.5",
        "v 2025-04-01T00:00:01Z 1234",
        "v 2025-04-01T00:00:02Z None \"12.34\" is not a number with a decimal comma",
    ];
    gives(text, comma, &expected);
    let without = [
        "v 2025-04-01T00:00:00Z \"987,5\"",
        "v 2025-04-01T00:00:01Z 1.234",
        "v 2025-04-01T00:00:02Z 12.34",
    ];
    gives(text, |spec| spec.separator = b';', &without);
}

#[test]
fn an_exact_time_is_kept_and_an_impossible_one_is_not() {
    gives(
        "time,v\n1744243201.25,1\n",
        |spec| spec.time_format = TimeFormat::parse("s"),
        &["v 2025-04-10T00:00:01.25Z 1i"],
    );
    let (_, bad) = read(
        "time,v\n2025-01-01T00:00:00+25:00,1\n03/09/2025,1\n",
        |_| {},
    )
    .unwrap();
    assert!(
        bad[0].contains("+25 is not a valid offset from UTC") && bad[1].contains("--time-format"),
        "{bad:?}"
    );
}

#[test]
fn row_order_tells_which_of_two_equal_local_times_is_meant() {
    let amsterdam = |spec: &mut ImportSpec| {
        spec.time_zone = TimeZone::get("Europe/Amsterdam").unwrap();
        spec.time_format = TimeFormat::parse("%d.%m.%Y %H:%M");
    };
    let day = |day: &str, times: &[&str]| {
        let rows: String = times
            .iter()
            .map(|time| format!("{day} {time},1\n"))
            .collect();
        format!("time,v\n{rows}")
    };
    let hour = ["01:30", "02:00", "02:30", "02:00", "02:30", "03:00"];
    let (readings, bad) = read(&day("26.10.2025", &hour), amsterdam).unwrap();
    let hours: Vec<&str> = readings.iter().map(|reading| &reading[2..18]).collect();
    let expected = [
        "25T23:30", "26T00:00", "26T00:30", "26T01:00", "26T01:30", "26T02:00",
    ]
    .map(|time| format!("2025-10-{time}"));
    assert_eq!(
        (hours, bad),
        (expected.iter().map(String::as_str).collect(), Vec::new())
    );
    let (readings, bad) =
        read(&day("30.03.2025", &["01:30", "02:30", "03:00"]), amsterdam).unwrap();
    assert_eq!(readings.len(), 2, "{readings:?}");
    assert!(
        bad[0].starts_with("2 the time does not exist: clocks were put forward: "),
        "{bad:?}"
    );
}
