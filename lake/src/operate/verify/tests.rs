mod expired;
mod planted;
mod shared_lanes;

use arrow::array::{
    ArrayRef, BinaryArray, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray,
    new_null_array,
};
use forebay_schemas::table::{GAPS, QUARANTINE, TABLE_FORMAT_VERSION};

use super::*;
use crate::table::state::{
    EpochMark, Forgotten, Gap, GapState, SEQ_UNKNOWN, SideState, StreamState,
};
use crate::{
    Attempt, MergePolicy, Sealed, Transaction, file_schema, merge, plan,
    testing::{Bench, DAY_START, at, batch},
};

fn state(mark: u64, quarantined: u64, gaps: &[(u64, u64)]) -> StreamState {
    let epoch = EpochMark {
        gateway: "gw".into(),
        epoch: 7,
        mark,
        quarantined,
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
        ..StreamState::new(0, (mark > 0).then_some(epoch).into_iter().collect())
    }
}

fn check_all(seqs: &[(u64, &[u64])], states: &[StreamState], line: &str, faults: &[&str]) {
    let mut report = Report::default();
    let accounts = Accounts::of(states.iter().cloned());
    let seqs = seqs.iter().map(|(epoch, seqs)| {
        let mut found = SeqSet::default();
        found.add(seqs.to_vec());
        (("gw".to_owned(), 0, *epoch), found)
    });
    compare(seqs.collect(), accounts, &mut report);
    assert_eq!(report.to_string(), line);
    assert_eq!(
        report
            .faults
            .iter()
            .map(Fault::to_string)
            .collect::<Vec<_>>(),
        faults
    );
}

fn check(seqs: &[u64], mark: u64, line: &str, faults: &[&str]) {
    check_all(&[(7, seqs)], &[state(mark, 0, &[])], line, faults);
}

#[test]
fn identities_are_held_against_the_marks() {
    check(
        &[3, 1, 2],
        3,
        "ok readings=3 files=0 gaps=0 doubled=0 missing=0",
        &[],
    );
    check(
        &[1, 2, 2, 3, 3, 3],
        3,
        "FAULT readings=6 files=0 gaps=0 doubled=3 missing=0",
        &["gw/0/7: 3 readings are there more than once, the first is seq 2"],
    );
    check(
        &[1, 4],
        5,
        "FAULT readings=2 files=0 gaps=0 doubled=0 missing=3",
        &["gw/0/7: 3 readings are missing, the first is seq 2"],
    );
    check(
        &[1, 2, 9],
        2,
        "FAULT readings=3 files=0 gaps=0 doubled=0 missing=0",
        &["gw/0/7: 1 readings are accounted for by no state"],
    );
    check(
        &[1],
        0,
        "FAULT readings=1 files=0 gaps=0 doubled=0 missing=0",
        &["gw/0/7: 1 readings are accounted for by no state"],
    );
}

#[test]
fn seqs_in_gaps_and_in_quarantine_are_not_missing() {
    let gaps = [(1, 2), (5, 6), (9, SEQ_UNKNOWN)];
    check_all(
        &[(7, &[3, 4, 7, 8])],
        &[state(8, 0, &gaps)],
        "ok readings=4 files=0 gaps=3 doubled=0 missing=0",
        &[],
    );
    check_all(
        &[(7, &[3, 4, 8])],
        &[state(8, 1, &gaps)],
        "ok readings=3 files=0 gaps=3 doubled=0 missing=0",
        &[],
    );
    check_all(
        &[(7, &[3, 8])],
        &[state(8, 0, &gaps)],
        "FAULT readings=2 files=0 gaps=3 doubled=0 missing=2",
        &["gw/0/7: 2 readings are missing, the first is seq 4"],
    );
    check_all(
        &[(7, &[3, 4, 5, 7, 8])],
        &[state(8, 0, &gaps)],
        "FAULT readings=5 files=0 gaps=3 doubled=0 missing=0",
        &["gw/0/7: 1 readings are accounted for by no state"],
    );
}

#[test]
fn forgotten_epochs_are_counted() {
    let forgotten = vec![Forgotten {
        gateway: "gw".into(),
        lane: 0,
        epoch: 5,
        readings: 5,
        gaps: 1,
    }];
    let states = [StreamState {
        forgotten,
        ..state(1, 0, &[])
    }];
    let line = "ok readings=6 files=0 gaps=1 doubled=0 missing=0";
    check_all(
        &[(3, &[1, 2]), (5, &[1, 2, 4]), (7, &[1])],
        &states,
        line,
        &[],
    );
    check_all(
        &[(3, &[1, 2]), (5, &[2]), (7, &[1])],
        &states,
        "FAULT readings=4 files=0 gaps=1 doubled=0 missing=2",
        &["gw/0, epochs up to 5: 2 readings are missing"],
    );
    check_all(
        &[(3, &[1, 2, 3]), (5, &[1, 2, 4]), (6, &[1]), (7, &[1])],
        &states,
        "FAULT readings=8 files=0 gaps=1 doubled=0 missing=0",
        &[
            "gw/0/5: 1 readings are accounted for by no state",
            "gw/0/6: 1 readings are accounted for by no state",
        ],
    );
}

/// Five readings, whose state says that seqs 6 and 7 are a gap and seq 8 is in quarantine.
async fn with_gap_and_quarantine() -> (Bench, i64) {
    let bench = Bench::new(Sealed::Columns).await;
    let table = bench.readings();
    bench
        .ingest("forebay.test", &batch(1, 5, DAY_START), at(DAY_START))
        .await;
    let mut state = state(8, 1, &[(6, 7)]);
    state.epochs[0].epoch = 1;
    state.gaps[0].epoch = 1;
    let writer = &bench.writer;
    let to_state = writer
        .keeper()
        .store(table, "s", None, &state, writer.random())
        .await
        .unwrap();
    commit_state(&bench, table, "s", to_state).await;
    (bench, to_state)
}

async fn verify_all(bench: &Bench) -> (String, Vec<String>) {
    let tables: Vec<_> = bench.writer.tables().cloned().collect();
    let report = verify_lake(&tables, bench.writer.keeper(), &bench.writer.decrypter())
        .await
        .unwrap();
    (
        report.to_string(),
        report.faults.iter().map(Fault::to_string).collect(),
    )
}

async fn append(
    bench: &Bench,
    table: &'static forebay_schemas::table::Table,
    columns: Vec<ArrayRef>,
) {
    let rows = RecordBatch::try_new(file_schema(table), columns).unwrap();
    let transaction = Transaction {
        app_id: "s".into(),
        from_state: None,
        to_state: 1,
    };
    bench
        .writer
        .append(table, rows, transaction, at(DAY_START))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_gap_and_a_quarantined_reading_must_have_their_rows() {
    let (bench, _) = with_gap_and_quarantine().await;
    let (line, faults) = verify_all(&bench).await;
    assert_eq!(line, "FAULT readings=5 files=1 gaps=1 doubled=0 missing=0");
    assert_eq!(
        faults,
        [
            "gw/0/1: 1 rows are missing in table gaps",
            "gw/0/1: 1 rows are missing in table quarantine"
        ]
    );

    let text = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text])) };
    let long = |number: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![number])) };
    let time = || -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(vec![DAY_START]).with_timezone("UTC"))
    };
    let schema = file_schema(&GAPS);
    let unknown = |name: &str| new_null_array(schema.field_with_name(name).unwrap().data_type(), 1);
    let lane: ArrayRef = Arc::new(Int32Array::from(vec![0]));
    let columns = vec![text("gw"), lane, long(1), long(6), long(7)];
    let optional = ["site", "device", "from_time", "to_time"].map(unknown);
    append(
        &bench,
        &GAPS,
        [
            columns,
            optional.to_vec(),
            vec![text("missing"), text("open"), time()],
        ]
        .concat(),
    )
    .await;
    let raw: ArrayRef = Arc::new(BinaryArray::from(vec![b"x".as_slice()]));
    let detail = new_null_array(&arrow::datatypes::DataType::Utf8, 1);
    append(
        &bench,
        &QUARANTINE,
        vec![
            text("its time"),
            text("gw/0/1"),
            long(8),
            raw,
            time(),
            detail,
        ],
    )
    .await;
    assert_eq!(
        verify_all(&bench).await,
        (
            "ok readings=5 files=1 gaps=1 doubled=0 missing=0".into(),
            vec![]
        )
    );
}

#[tokio::test]
async fn a_missing_state_is_a_fault_and_the_rest_is_verified() {
    let (bench, number) = with_gap_and_quarantine().await;
    // The folder is gone, too: a bucket has none.
    std::fs::remove_dir_all(bench.folder.path().join("lake/readings/_forebay")).unwrap();
    let (line, faults) = verify_all(&bench).await;
    assert_eq!(line, "FAULT readings=5 files=1 gaps=0 doubled=0 missing=0");
    let lost = format!(
        "state object _forebay/state/s/{number:020}: it is missing: `forebay repair state`"
    );
    assert!(
        faults[0].starts_with(&lost) && faults[1].contains("by no state"),
        "{faults:?}"
    );
}

/// Commits a state of a table, stored or not.
async fn commit_state(bench: &Bench, table: &LakeTable, app_id: &str, to_state: i64) {
    let (id, app_id) = (bench.writer.id().unwrap(), app_id.to_owned());
    table
        .commit(&Attempt {
            id,
            app_id,
            from_state: None,
            to_state,
            adds: Vec::new(),
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn a_lost_note_beside_another_table_is_named() {
    let bench = Bench::new(Sealed::Columns).await;
    let (keeper, random) = (bench.writer.keeper(), bench.writer.random());
    let format = TABLE_FORMAT_VERSION;
    let note = SideState {
        format,
        base: None,
        keys: BTreeSet::new(),
        before: BTreeSet::new(),
    };
    let state = StreamState {
        stream: "spool/gw/1".into(),
        ..StreamState::new(0, Vec::new())
    };
    let number = keeper
        .store(bench.readings(), "s", None, &state, random)
        .await
        .unwrap();
    commit_state(&bench, bench.readings(), "s", number).await;
    // An import has a state, and notes nothing beside its rows in quarantine.
    let import = keeper
        .store(
            bench.readings(),
            "import",
            None,
            &StreamState::new(0, Vec::new()),
            random,
        )
        .await
        .unwrap();
    commit_state(&bench, bench.readings(), "import", import).await;
    let side = [&GAPS, &QUARANTINE].map(|table| bench.writer.table(table).unwrap());
    for table in side {
        let number = keeper.store(table, "s", None, &note, random).await.unwrap();
        commit_state(&bench, table, "s", number).await;
        commit_state(&bench, table, "import", 7).await;
    }
    assert_eq!(
        verify_all(&bench).await,
        (
            "ok readings=0 files=0 gaps=0 doubled=0 missing=0".into(),
            vec![]
        )
    );
    for table in ["gaps", "quarantine"] {
        std::fs::remove_dir_all(
            bench
                .folder
                .path()
                .join("lake")
                .join(table)
                .join("_forebay/state/s"),
        )
        .unwrap();
    }
    let (line, faults) = verify_all(&bench).await;
    assert!(
        line.starts_with("FAULT ") && faults.len() == 2,
        "{faults:?}"
    );
    for (fault, table) in faults.iter().zip(["gaps", "quarantine"]) {
        assert!(
            fault.starts_with(&format!("table {table}: state object _forebay/state/s/")),
            "{fault}"
        );
        assert!(
            fault.contains("it is missing: `forebay repair state`"),
            "{fault}"
        );
    }
}

#[tokio::test]
async fn a_file_that_a_vacuum_took_meanwhile_is_no_fault() {
    let bench = Bench::new(Sealed::Columns).await;
    let table = bench.readings();
    for part in 0..8 {
        bench
            .ingest("s", &batch(part * 10 + 1, 10, DAY_START), at(DAY_START))
            .await;
    }
    let before = table.snapshot().await.unwrap();
    let spec = plan(
        &bench.writer,
        table.schema(),
        &before.files(),
        &MergePolicy::settled_before(at(i64::MAX / 1_000)),
    )
    .remove(0);
    merge(&bench.writer, &spec, at(DAY_START)).await.unwrap();
    for path in before.paths() {
        table
            .store()
            .delete(&Path::parse(&path).unwrap())
            .await
            .unwrap();
    }
    let decrypter = bench.writer.decrypter();
    let collect = |_: &Add, rows: &RecordBatch, found: &mut _| collect(rows, found);
    let stale = read_files(table, &before, &decrypter, false, &collect)
        .await
        .unwrap();
    assert!(
        stale.is_none(),
        "the newest version names these files no more: it is to be read"
    );
    let (_, found) = read_table(table, &decrypter, None, collect).await.unwrap();
    assert_eq!(
        (
            found.faults.len(),
            found.rows.values().map(SeqSet::len).sum::<u64>()
        ),
        (0, 80)
    );
    for path in table.snapshot().await.unwrap().paths() {
        table
            .store()
            .delete(&Path::parse(&path).unwrap())
            .await
            .unwrap();
    }
    assert_eq!(
        read_table(table, &decrypter, None, collect)
            .await
            .unwrap()
            .1
            .faults
            .len(),
        1,
        "a loss is a fault"
    );
}
