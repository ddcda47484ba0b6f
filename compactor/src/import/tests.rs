//! Files as users have them, and the readings, rows in quarantine and refusals that come of them.

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
        tags: None,
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
    let mut spec = spec(file);
    change(&mut spec);
    let mut rows = Rows::of(&spec, source::survey(&spec)?, now());
    let (mut readings, mut bad) = (Vec::new(), Vec::new());
    for (number, record) in source::records(&spec)?
        .into_byte_records()
        .enumerate()
        .skip(spec.skip_rows as usize)
    {
        match rows.readings(&record.unwrap()) {
            Ok(found) => readings.extend(found.iter().map(shown)),
            Err(why) => bad.push(format!("{} {why}", number + 1)),
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
            spec.tags = Some(tags.iter().map(|tag| (*tag).to_owned()).collect())
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

/// A lake of its own.
struct Bench {
    folder: tempfile::TempDir,
    lake: LakeWriter,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let random: Random = Arc::new(SystemRandom::new());
        let keyring =
            Arc::new(FileKeyring::create(&folder.path().join("keys"), random.clone()).unwrap());
        let lake = Lake::local(&folder.path().join("lake")).unwrap();
        let lake = LakeWriter::open(&lake, keyring, Sealed::Columns, random)
            .await
            .unwrap();
        Self { folder, lake }
    }

    async fn import(
        &self,
        name: &str,
        text: &str,
        change: impl Fn(&mut ImportSpec),
    ) -> ImportOutcome {
        let file = self.folder.path().join(name);
        match name.ends_with(".gz") {
            true => {
                let mut gz = GzEncoder::new(fs::File::create(&file).unwrap(), Compression::fast());
                gz.write_all(text.as_bytes()).unwrap();
                gz.finish().unwrap();
            }
            false => fs::write(&file, text).unwrap(),
        }
        let mut spec = spec(file);
        change(&mut spec);
        let gateway = GatewayId::new("g1").unwrap();
        import(&spec, &gateway, &self.lake, &windows(), now())
            .await
            .unwrap()
    }

    /// As an import that was killed behind a commit of the file's first two rows.
    async fn killed_after_two_rows(&self, spec: &ImportSpec) {
        let survey = source::survey(spec).unwrap();
        let epoch = Epoch(
            self.lake
                .keeper()
                .number_of(&[&survey.digest, spec.identity().as_bytes()].concat()),
        );
        let lane = LaneId {
            gateway: GatewayId::new("g1").unwrap(),
            lane: IMPORT_LANE,
        };
        let mut rows = Rows::of(spec, survey, now());
        let records = source::records(spec).unwrap().into_byte_records().take(2);
        let chunk = records
            .flat_map(|record| rows.readings(&record.unwrap()).unwrap())
            .collect();
        let (lake, app_id) = (&self.lake, imported_app_id(self.lake.keeper(), epoch));
        let (committed_row, mark, unplaced) = Default::default();
        let bad = Vec::new();
        let mut run = Run {
            lake,
            app_id,
            lane,
            epoch,
            state: None,
            committed_row,
            mark,
            unplaced,
            chunk,
            bad,
        };
        run.commit(2, &rows, &mut ImportOutcome::default())
            .await
            .unwrap();
    }

    /// Loses every state of the lake, and rebuilds them; answers the imports among them.
    async fn lose_and_repair(&self) -> Vec<Option<Epoch>> {
        let states = self.folder.path().join("lake/readings/_forebay/state");
        fs::remove_dir_all(states).unwrap();
        assert!(
            self.verify().await.starts_with("FAULT "),
            "{}",
            self.verify().await
        );
        let repaired = repair_states(
            &self.lake,
            None,
            Retells::WhatIsLeft,
            RepairMode::Commit,
            now(),
        )
        .await
        .unwrap();
        assert!(
            self.verify().await.starts_with("ok "),
            "{}",
            self.verify().await
        );
        repaired
            .states
            .into_iter()
            .map(|state| state.import)
            .collect()
    }

    async fn undo(&self, id: u64) -> Result<Undone, UndoError> {
        undo_import(id, &self.lake, &windows(), now()).await
    }

    /// The rows of a query over the tables, a line each.
    async fn query(&self, sql: &str) -> Vec<String> {
        let tables = [&READINGS, &QUARANTINE, &forebay_schemas::table::WINDOWS];
        let tables: Vec<_> = tables
            .iter()
            .map(|table| self.lake.table(table).unwrap().clone())
            .collect();
        let context = session(&tables, &self.lake.decrypter()).await.unwrap();
        let rows = context.sql(sql).await.unwrap().collect().await.unwrap();
        let shown = arrow::util::pretty::pretty_format_batches(&rows)
            .unwrap()
            .to_string();
        let cells = |line: &str| {
            line.trim_matches('|')
                .split('|')
                .map(str::trim)
                .collect::<Vec<_>>()
                .join(" ")
                .trim_end()
                .to_owned()
        };
        let lines: Vec<String> = shown
            .lines()
            .filter(|line| line.starts_with('|'))
            .skip(1)
            .map(cells)
            .collect();
        lines
    }

    async fn verify(&self) -> String {
        let table = self.lake.table(&READINGS).unwrap();
        verify(table, self.lake.keeper(), &self.lake.decrypter())
            .await
            .unwrap()
            .to_string()
    }

    async fn list(&self) -> Imports {
        imports(self.lake.table(&READINGS).unwrap(), self.lake.keeper())
            .await
            .unwrap()
    }
}

fn windows() -> WindowSettings {
    WindowSettings {
        window: Duration::from_secs(3600),
        ..WindowSettings::default()
    }
}

const SUM: &str = "select count(*), sum(value) from readings";
/// The latest revision of each window.
const WINDOWS_NOW: &str = "select date_part('hour', window_start), revision, rows from \
                           (select *, row_number() over (partition by window_start order by revision desc) as n from windows) \
                           where n = 1 order by 1";

fn hours(hours: std::ops::Range<u32>, value: u32) -> String {
    let rows: String = hours
        .map(|hour| format!("2025-04-01T{hour:02}:00:00Z,{value}\n"))
        .collect();
    format!("time,v\n{rows}")
}

#[tokio::test]
async fn the_same_content_is_the_same_import_compressed_or_not() {
    let bench = Bench::new().await;
    let first = bench.import("a.csv", &hours(0..3, 1), |_| {}).await;
    let again = bench.import("b.csv.gz", &hours(0..3, 1), |_| {}).await;
    assert_eq!(
        (first.committed, again.committed, again.readings),
        (3, 0, 3)
    );
    assert_eq!((again.id, again.existing), (first.id, 0));
    assert_eq!(bench.query(SUM).await, ["3 3.0"]);
}

#[tokio::test]
async fn readings_of_a_file_that_has_grown_are_counted_and_skipped_when_told() {
    let bench = Bench::new().await;
    bench.import("a.csv", &hours(0..3, 1), |_| {}).await;
    let skip = |spec: &mut ImportSpec| spec.on_existing = OnExisting::Skip;
    let grown = bench.import("a.csv", &hours(0..5, 1), skip).await;
    assert_eq!((grown.existing, grown.committed), (3, 2));
    assert_eq!(bench.query(SUM).await, ["5 5.0"]);
    let again = bench.import("a.csv", &hours(0..5, 1), |_| {}).await;
    assert_eq!(
        (again.existing, again.committed),
        (0, 0),
        "the same file adds nothing, whatever is said of others"
    );

    let kept = bench.import("a.csv", &hours(4..6, 1), |_| {}).await;
    assert_eq!(
        (kept.existing, kept.committed),
        (1, 2),
        "kept unless told, and counted"
    );
    assert_eq!(bench.query(SUM).await, ["7 7.0"]);
    let other = bench
        .import("a.csv", &hours(0..5, 1).replace(",v", ",w"), |_| {})
        .await;
    assert_eq!(
        (other.existing, other.committed),
        (0, 5),
        "another series is none of these"
    );
    assert!(
        bench.verify().await.starts_with("ok readings=12 "),
        "{}",
        bench.verify().await
    );
}

#[tokio::test]
async fn an_import_is_undone_to_just_before_it_and_may_be_done_again() {
    let bench = Bench::new().await;
    let right = bench.import("right.csv", &hours(0..4, 1), |_| {}).await;
    let wrong = bench.import("wrong.csv", &hours(2..6, 100), |_| {}).await;
    assert_eq!(bench.query(SUM).await, ["8 404.0"]);
    // Files that hold readings of both.
    let files = bench
        .lake
        .table(&READINGS)
        .unwrap()
        .snapshot()
        .await
        .unwrap()
        .files();
    let policy = MergePolicy {
        min_files: 2,
        ..MergePolicy::settled_before(Timestamp::from_nanos(i64::MAX))
    };
    for spec in plan(&bench.lake, &READINGS, &files, &policy) {
        let merged = merge(&bench.lake, &spec, now()).await.unwrap();
        assert!(matches!(merged, MergeOutcome::Merged { .. }), "{merged:?}");
    }

    let undone = bench.undo(wrong.id).await.unwrap();
    assert_eq!(undone.erased.readings, 4);
    assert!(
        undone.erased.rewritten > 0,
        "no file held readings of both: {undone:?}"
    );
    assert!(undone.info.file.ends_with("wrong.csv"), "{undone:?}");
    assert_eq!(bench.query(SUM).await, ["4 4.0"]);
    assert!(
        bench.verify().await.starts_with("ok readings=4 "),
        "{}",
        bench.verify().await
    );
    let listed: Vec<_> = bench
        .list()
        .await
        .found
        .into_iter()
        .map(|import| (import.info.id, import.readings))
        .collect();
    let mut expected = vec![(right.id, Some(4)), (wrong.id, None)];
    expected.sort_unstable_by_key(|(id, _)| *id);
    assert_eq!(listed, expected);
    assert!(matches!(
        bench.undo(wrong.id).await,
        Err(UndoError::Already { .. })
    ));
    assert!(matches!(
        bench.undo(7).await,
        Err(UndoError::Unknown { id: 7 })
    ));

    let again = bench.import("wrong.csv", &hours(2..6, 100), |_| {}).await;
    assert_eq!((again.id, again.committed), (wrong.id, 4));
    assert_eq!(bench.query(SUM).await, ["8 404.0"]);
    assert!(
        bench.verify().await.starts_with("ok readings=8 "),
        "{}",
        bench.verify().await
    );
}

#[tokio::test]
async fn windows_of_an_undone_import_are_closed_again_without_it() {
    let bench = Bench::new().await;
    bench.import("right.csv", &hours(0..2, 1), |_| {}).await;
    let wrong = bench
        .import("wrong.csv", &hours(1..3, 100).replace(",v", ",w"), |_| {})
        .await;
    let before = bench.query(WINDOWS_NOW).await;
    assert_eq!(
        before.last().map(String::as_str),
        Some("2 1 1"),
        "{before:?}"
    );
    let undone = bench.undo(wrong.id).await.unwrap();
    let after = bench.query(WINDOWS_NOW).await;
    assert_eq!(
        after.last().map(String::as_str),
        Some("2 2 0"),
        "a window that is empty now says so: {after:?}"
    );
    assert!(
        after[1].ends_with(" 1"),
        "of the second hour just the right reading is left: {after:?}"
    );
    assert!(undone.windows >= 1, "{undone:?}");
}

#[tokio::test]
async fn reasons_in_quarantine_are_few_and_details_stand_apart() {
    let bench = Bench::new().await;
    let text = "time,v\nyesterday,1\ntoday,1\n2025-04-01T00:00:00Z,1,2\n1999-04-01T00:00:00Z,1\n2025-04-01T00:00:00Z,1\n";
    let outcome = bench.import("a.csv", text, |_| {}).await;
    assert_eq!(
        (outcome.quarantined, outcome.bad["the time cannot be read"]),
        (4, 2)
    );
    let found = bench
        .query("select why, count(*), count(detail) from quarantine group by why order by why")
        .await;
    assert_eq!(
        found,
        [
            "the time cannot be read 2 2",
            "the time is before the year 2000 or more than a day ahead of the clock here 1 1",
            "wrong number of fields 1 1",
        ]
    );
    let details = bench
        .query("select detail from quarantine where detail like '%yesterday%'")
        .await;
    assert_eq!(details.len(), 1, "{details:?}");
}

/// What was killed between two commits goes on behind the first, also after an undo.
#[tokio::test]
async fn the_state_of_an_undone_import_is_that_of_one_not_begun() {
    let bench = Bench::new().await;
    let wrong = bench.import("a.csv", &hours(0..3, 1), |_| {}).await;
    bench.undo(wrong.id).await.unwrap();
    let table = bench.lake.table(&READINGS).unwrap();
    let app_id = imported_app_id(bench.lake.keeper(), Epoch(wrong.id));
    let number = table
        .snapshot()
        .await
        .unwrap()
        .state_of(&app_id)
        .await
        .unwrap()
        .unwrap();
    let state: StreamState = bench
        .lake
        .keeper()
        .load(table, &app_id, number)
        .await
        .unwrap();
    assert_eq!((state.next_offset, state.epochs.len()), (0, 0));
    assert_eq!(bench.query(SUM).await, ["0"]);
}

#[tokio::test]
async fn an_import_whose_state_or_note_is_lost_is_named_and_the_others_are_listed() {
    let bench = Bench::new().await;
    let mut ids = Vec::new();
    for (name, value) in [("a.csv", 1), ("b.csv", 2), ("c.csv", 3)] {
        ids.push(bench.import(name, &hours(0..3, value), |_| {}).await.id);
    }
    let states = bench.folder.path().join("lake/readings/_forebay/state");
    fs::remove_dir_all(states.join(imported_app_id(bench.lake.keeper(), Epoch(ids[0])))).unwrap();
    let notes = bench.lake.keeper().app_id("imports", 0);
    let note = states.join(notes).join(format!("{:020}", ids[2]));
    fs::write(&note, b"rubbish").unwrap();
    let Imports { found, lost } = bench.list().await;
    assert_eq!(
        found
            .iter()
            .map(|import| (import.info.id, import.readings))
            .collect::<Vec<_>>(),
        [(ids[1], Some(3))]
    );
    assert_eq!(lost.len(), 2, "{lost:?}");
    let of = |id: u64| lost.iter().find(|import| import.id == id).unwrap();
    assert!(
        of(ids[0]).info.as_ref().unwrap().file.ends_with("a.csv"),
        "{lost:?}"
    );
    assert!(
        of(ids[0])
            .why
            .contains("it is missing: `forebay repair state`"),
        "{lost:?}"
    );
    assert_eq!(of(ids[2]).info, None);
    assert!(
        of(ids[2])
            .why
            .contains("cannot be read: it does not start like one"),
        "{lost:?}"
    );
}

/// Its offset is a row, which no table tells: the file's readings are counted again, and go on behind those that are there.
#[tokio::test]
async fn an_import_whose_state_was_lost_goes_on_from_the_rebuilt_one_and_each_reading_is_there_once()
 {
    let bench = Bench::new().await;
    let text = "time,v,w\n2025-04-01T00:00:00Z,1,2\n2025-04-01T01:00:00Z,4,\nyesterday,8,8\n2025-04-01T02:00:00Z,,16\n";
    let file = bench.folder.path().join("a.csv");
    fs::write(&file, text).unwrap();
    bench.killed_after_two_rows(&spec(file)).await;
    assert_eq!(bench.query(SUM).await, ["3 7.0"]);
    let [Some(epoch)] = bench.lose_and_repair().await[..] else {
        panic!("it is an import's state")
    };
    let rest = bench.import("a.csv", text, |_| {}).await;
    assert_eq!(
        (rest.id, rest.committed, rest.readings, rest.quarantined),
        (epoch.0, 1, 4, 1)
    );
    assert_eq!(bench.query(SUM).await, ["4 23.0"]);

    // Nor does one that had ended begin again, whichever of its states is lost.
    let other = bench.import("b.csv", &hours(3..5, 100), |_| {}).await;
    assert_eq!(bench.lose_and_repair().await.len(), 2);
    for _ in 0..2 {
        let again = bench.import("a.csv", text, |_| {}).await;
        assert_eq!(
            (again.committed, again.readings, again.quarantined),
            (0, 4, 1)
        );
    }
    assert_eq!(
        bench
            .import("b.csv", &hours(3..5, 100), |_| {})
            .await
            .committed,
        0
    );
    assert_eq!(bench.query(SUM).await, ["6 223.0"]);
    assert_eq!(bench.query("select count(*) from quarantine").await, ["1"]);
    assert!(
        bench.verify().await.starts_with("ok readings=6 "),
        "{}",
        bench.verify().await
    );
    assert_eq!(
        bench.undo(other.id).await.unwrap().erased.readings,
        2,
        "it is noted again"
    );
}

/// What an import has left out, because another had brought it, is not added by the same file without the option.
#[tokio::test]
async fn an_import_that_skipped_and_whose_state_was_lost_adds_nothing_either() {
    let bench = Bench::new().await;
    bench.import("a.csv", &hours(0..3, 1), |_| {}).await;
    let skip = |spec: &mut ImportSpec| spec.on_existing = OnExisting::Skip;
    assert_eq!(
        bench.import("b.csv", &hours(0..5, 1), skip).await.committed,
        2
    );
    bench.lose_and_repair().await;
    let again = bench.import("b.csv", &hours(0..5, 1), |_| {}).await;
    assert_eq!((again.committed, again.readings), (0, 2));
    assert_eq!(bench.query(SUM).await, ["5 5.0"]);
}
