//! Expiry of events: whole events, those that go on, those that are held, and cut short at every step.

use forebay_schemas::table::DELETIONS;

use super::*;
use crate::{
    Sealed, file_schema, session,
    table::change::Transaction,
    testing::{Bench, DAY_START, Fault, at},
};

const HOUR: i64 = 3_600_000_000;

/// Event, site, and the hours at which it began, ended and was written so.
type Row = (&'static str, &'static str, i64, Option<i64>, i64);

fn hour(hour: i64) -> i64 {
    DAY_START + hour * HOUR
}

fn rows(events: &[Row]) -> RecordBatch {
    let schema = file_schema(&EVENTS);
    let moments = |of: &dyn Fn(&Row) -> Option<i64>| -> arrow::array::ArrayRef {
        let hours = events.iter().map(of).map(|at| at.map(hour));
        let times: TimestampMicrosecondArray = hours.collect();
        Arc::new(times.with_timezone("UTC"))
    };
    let texts = |of: &dyn Fn(&Row) -> &'static str| -> arrow::array::ArrayRef {
        Arc::new(StringArray::from_iter_values(events.iter().map(of)))
    };
    let columns = schema
        .fields()
        .iter()
        .map(|field| match field.name().as_str() {
            "event_id" => texts(&|row| row.0),
            "site" => texts(&|row| row.1),
            "from_time" => moments(&|row| Some(row.2)),
            "to_time" => moments(&|row| row.3),
            "changed_at" => moments(&|row| Some(row.4)),
            _ if field.is_nullable() => {
                arrow::array::new_null_array(field.data_type(), events.len())
            }
            _ => texts(&|_| "x"),
        });
    RecordBatch::try_new(schema.clone(), columns.collect()).unwrap()
}

/// Appends files of events.
async fn put(lake: &LakeWriter, files: &[&[Row]]) {
    let app_id = lake.keeper().app_id("a test's", 0);
    for events in files {
        let events_table = lake.table(&EVENTS).unwrap();
        let snapshot = events_table.snapshot().await.unwrap();
        let from_state = snapshot.state_of(&app_id).await.unwrap();
        let transaction = Transaction {
            app_id: app_id.clone(),
            from_state,
            to_state: from_state.unwrap_or(0) + 1,
        };
        let appended = lake.append(&EVENTS, rows(events), transaction, at(DAY_START));
        appended.await.unwrap();
    }
}

const FILES: [&[Row]; 3] = [
    &[("a", "north", 0, Some(1), 1), ("b", "south", 1, None, 1)],
    &[
        ("b", "south", 1, Some(2), 3),
        ("c", "north", 2, None, 2),
        ("d", "north", 30, Some(31), 31),
    ],
    &[("e", "north", 40, Some(41), 41)],
];

fn before(hours: i64) -> EventExpiry {
    EventExpiry {
        rule: "events, keep".into(),
        before: hour(hours),
        held: Vec::new(),
    }
}

async fn expired(lake: &LakeWriter, spec: &EventExpiry) -> ExpiredBySite {
    let would = would_expire_events(lake, spec).await.unwrap();
    let now = at(hour(50));
    let done = expire_events(lake, spec, &mut EventFiles::default(), now).await;
    let done = done.unwrap();
    assert_eq!(would, done, "what a dry run says is what is done");
    done
}

async fn texts(
    lake: &LakeWriter,
    table: &'static forebay_schemas::table::Table,
    sql: &str,
) -> Vec<String> {
    let table = lake.table(table).unwrap().clone();
    let context = session(&[table], &lake.decrypter()).await.unwrap();
    let mut found = Vec::new();
    for batch in context.sql(sql).await.unwrap().collect().await.unwrap() {
        let column = arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Utf8);
        let column = column.unwrap();
        found.extend(
            column
                .as_string::<i32>()
                .iter()
                .flatten()
                .map(str::to_owned),
        );
    }
    found
}

async fn left(lake: &LakeWriter) -> Vec<String> {
    let sql = "select event_id from events order by event_id, changed_at";
    texts(lake, &EVENTS, sql).await
}

#[tokio::test]
async fn an_old_event_leaves_with_all_its_rows_once_it_has_ended() {
    for sealed in [Sealed::Columns, Sealed::None] {
        let bench = Bench::new(sealed).await;
        let lake = &bench.writer;
        put(lake, &FILES).await;
        assert_eq!(expired(lake, &before(0)).await, ExpiredBySite::new());
        let done = expired(lake, &before(20)).await;
        assert_eq!(left(lake).await, ["c", "d", "e"]);
        let numbers = |site: &str| (done[site].rows(), done[site].removed, done[site].rewritten);
        assert_eq!((numbers("north"), numbers("south")), ((1, 1, 0), (2, 1, 1)));
        assert_eq!(expired(lake, &before(20)).await, ExpiredBySite::new());
        // Its end was written since, long ago.
        put(lake, &[&[("c", "north", 2, Some(18), 19)]]).await;
        assert_eq!(expired(lake, &before(20)).await["north"].rows(), 2);
        assert_eq!(left(lake).await, ["d", "e"]);
        let sql = format!(
            "select concat(table_name, ' ', site, ' ', rule, ' ', rows, ' from ', (cast(from_time as bigint) - {DAY_START}) / {HOUR}, \
             ' to ', (cast(to_time as bigint) - {DAY_START}) / {HOUR}) from deletions order by deleted_at, rows, site"
        );
        let told = texts(lake, &DELETIONS, &sql).await;
        let expected = [
            "events north events, keep 1 from 0 to 0",
            "events north events, keep 2 from 2 to 2",
            "events south events, keep 2 from 1 to 1",
        ];
        assert_eq!(told, expected);
    }
}

/// What a backlog brings late, or a server tells again, is not deleted at the next look.
#[tokio::test]
async fn an_event_of_long_ago_stays_while_what_was_written_of_it_is_new() {
    let bench = Bench::new(Sealed::Columns).await;
    let lake = &bench.writer;
    let files: [&[Row]; 2] = [
        &[
            ("late", "north", 0, Some(1), 30),
            ("old", "north", 0, Some(1), 1),
        ],
        &[
            ("late", "north", 0, None, 2),
            ("told again", "south", 3, Some(3), 3),
            ("told again", "south", 3, Some(3), 20),
        ],
    ];
    put(lake, &files).await;
    assert_eq!(expired(lake, &before(20)).await["north"].rows(), 1);
    let staying = ["late", "late", "told again", "told again"];
    assert_eq!(left(lake).await, staying);
    assert_eq!(expired(lake, &before(21)).await["south"].rows(), 2);
    assert_eq!(expired(lake, &before(30)).await, ExpiredBySite::new());
    assert_eq!(expired(lake, &before(31)).await["north"].rows(), 2);
    assert!(left(lake).await.is_empty());
}

#[tokio::test]
async fn what_somebody_still_needs_stays() {
    let bench = Bench::new(Sealed::Columns).await;
    let lake = &bench.writer;
    put(lake, &FILES).await;
    let held = |site: Option<&str>, from: i64, to: i64| HeldEvents {
        site: site.map(|site| SiteId::new(site).unwrap()),
        from: hour(from),
        to: hour(to),
    };
    let of_all = EventExpiry {
        held: vec![held(None, 0, 2)],
        ..before(20)
    };
    assert_eq!(expired(lake, &of_all).await, ExpiredBySite::new());
    let of_south = EventExpiry {
        held: vec![held(Some("south"), 0, 2)],
        ..before(20)
    };
    assert_eq!(expired(lake, &of_south).await["north"].rows(), 1);
    assert_eq!(left(lake).await, ["b", "b", "c", "d", "e"]);
}

#[tokio::test]
async fn files_are_read_when_they_are_new_or_have_come_to_be_old() {
    let bench = Bench::new(Sealed::Columns).await;
    put(&bench.writer, &FILES).await;
    let mut known = EventFiles::default();
    let mut reads = async |spec: EventExpiry| {
        bench.store.files_read();
        let done = expire_events(&bench.writer, &spec, &mut known, at(hour(50))).await;
        done.unwrap();
        bench.store.files_read().len()
    };
    assert_eq!(reads(before(0)).await, 3);
    assert_eq!(reads(before(0)).await, 0);
    assert_eq!(reads(before(20)).await, 2);
    assert_eq!(reads(before(20)).await, 1, "what is left of the second");
    assert_eq!(reads(before(20)).await, 0);
    assert_eq!(reads(before(21)).await, 1);
    put(&bench.writer, &[&[("c", "north", 2, Some(48), 49)]]).await;
    assert_eq!(reads(before(21)).await, 2, "its end, and the event");
}

/// Whatever is stored last before the process dies: after the next try all that should leave has left and was told once.
#[tokio::test]
async fn an_expiry_that_is_cut_short_is_made_to_its_end() {
    let mut cuts = 0;
    loop {
        let bench = Bench::new(Sealed::Columns).await;
        put(&bench.writer, &FILES).await;
        bench.store.fail_put("lake/", cuts, Fault::Hang);
        let hung = bench.store.hung();
        let (spec, mut known) = (before(20), EventFiles::default());
        let is_cut = tokio::select! {
            () = hung.notified() => true,
            _ = expire_events(&bench.writer, &spec, &mut known, at(hour(50))) => false,
        };
        bench.store.fail_put("nothing", 0, Fault::Hang);
        let again = bench.another().await.unwrap();
        let there = left(&again).await.len();
        assert!(there == 6 || there == 3, "{there} after {cuts} objects");
        let mut known = EventFiles::default();
        let done = expire_events(&again, &spec, &mut known, at(hour(51))).await;
        done.unwrap();
        assert_eq!(left(&again).await, ["c", "d", "e"], "after {cuts} objects");
        let sum = texts(&again, &DELETIONS, "select sum(rows) from deletions").await;
        assert_eq!(sum, ["3"], "after {cuts} objects");
        if !is_cut {
            break;
        }
        cuts += 1;
    }
    assert!(
        cuts >= 5,
        "a file, a state, two log entries and a file of deletions: {cuts}"
    );
}

/// Events may be kept for ever since.
#[tokio::test]
async fn what_was_deleted_is_told_without_deleting_more() {
    let bench = Bench::new(Sealed::Columns).await;
    let lake = &bench.writer;
    put(lake, &FILES).await;
    bench.store.fail_put("deletions/", 0, Fault::Before);
    let spec = before(20);
    let failed = expire_events(lake, &spec, &mut EventFiles::default(), at(hour(50))).await;
    failed.unwrap_err();
    let sum = "select coalesce(sum(rows), 0) from deletions";
    assert_eq!(texts(lake, &DELETIONS, sum).await, ["0"]);
    for _ in 0..2 {
        write_expired_events(lake).await.unwrap();
        assert_eq!(texts(lake, &DELETIONS, sum).await, ["3"]);
    }
    assert_eq!(left(lake).await, ["c", "d", "e"]);
}

#[test]
fn what_is_noted_is_a_stored_format() {
    let noted = ExpiredEvents {
        format: 1,
        at: 1_700_000_000_000_000,
        last: vec![OfSite {
            site: "north".into(),
            deletion: Deletion {
                rule: "events, 400d".into(),
                before: 1_699_920_000_000_000,
                rows: 12,
                first: 1_600_000_000_000_000,
                last: 1_699_000_000_000_000,
            },
        }],
    };
    let text = serde_json::to_string_pretty(&noted).unwrap();
    let golden = include_str!("../../../../golden/expired_events.v1.json");
    assert_eq!(text, golden.trim_end());
    assert_eq!(
        serde_json::from_str::<ExpiredEvents>(golden).unwrap(),
        noted
    );
}
