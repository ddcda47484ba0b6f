//! Expiry alone, with rows that are protected, beside readers, and cut short at every step.

use std::sync::Arc;

use forebay_schemas::table::DELETIONS;

use super::*;
use crate::{
    Sealed, session,
    testing::{Bench, DAY_START, Fault, SITE, at, batch},
};

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;

/// Everything before a time, by rules for series.
fn spec(rules: &[(&str, Option<i64>)]) -> ExpireSpec {
    let rule = |(device, before): &(&str, Option<i64>)| {
        let wanted = (*device).to_owned();
        ExpiryRule {
            rule: format!("{device}, keep"),
            fits: Arc::new(move |device, _| wanted == "*" || wanted == device),
            before: *before,
        }
    };
    ExpireSpec {
        table: &READINGS,
        site: SiteId::new(SITE).unwrap(),
        rules: rules.iter().map(rule).collect(),
        protected: Vec::new(),
    }
}

/// Two files, an hour apart, of 20 readings a second apart each: those of even seconds are of `pump`, the others of `fan`.
async fn bench(sealed: Sealed) -> Bench {
    let bench = Bench::new(sealed).await;
    for (first, hour) in [(1, 0), (21, 1)] {
        let rows = batch(first, 20, DAY_START + hour * HOUR);
        bench.ingest("s", &rows, at(DAY_START)).await;
    }
    bench
}

async fn expired(lake: &LakeWriter, spec: &ExpireSpec) -> Expired {
    let would = would_expire(lake, spec).await.unwrap();
    let done = expire(lake, spec, &mut Swept::default(), at(DAY_START + 3 * HOUR))
        .await
        .unwrap();
    assert_eq!(would, done, "what a dry run says is what is done");
    done
}

/// Device and seconds since the first reading, of all readings.
async fn left(lake: &LakeWriter) -> Vec<String> {
    let sql = format!(
        "select concat(device, ' ', (cast(event_time as bigint) - {DAY_START}) / {SECOND}) from readings order by event_time"
    );
    texts(lake, &READINGS, &sql).await
}

async fn texts(lake: &LakeWriter, table: &'static Table, sql: &str) -> Vec<String> {
    let table = lake.table(table).unwrap().clone();
    let context = session(&[table], &lake.decrypter()).await.unwrap();
    let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
    let mut found = Vec::new();
    for batch in batches {
        let column = arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Utf8);
        found.extend(
            column
                .unwrap()
                .as_string::<i32>()
                .iter()
                .flatten()
                .map(str::to_owned),
        );
    }
    found
}

/// The readings that stay.
fn expected(stays: impl Fn(&str, i64) -> bool) -> Vec<String> {
    let of_hour = |hour: i64| (0..20).map(move |second| (hour * 3_600 + second, second));
    let all = of_hour(0).chain(of_hour(1));
    let named = all.map(|(at, second)| (if second % 2 == 0 { "pump" } else { "fan" }, at));
    named
        .filter(|(device, at)| stays(device, *at))
        .map(|(device, at)| format!("{device} {at}"))
        .collect()
}

#[tokio::test]
async fn the_first_rule_that_fits_a_series_says_what_leaves() {
    for sealed in [Sealed::Columns, Sealed::None] {
        let after = |seconds: i64| Some(DAY_START + seconds * SECOND);
        let check =
            async |spec: ExpireSpec, files: (u64, u64), stays: &dyn Fn(&str, i64) -> bool| {
                let bench = bench(sealed).await;
                let done = expired(&bench.writer, &spec).await;
                let expected = expected(stays);
                assert_eq!(left(&bench.writer).await, expected);
                assert_eq!(done.rows(), 40 - expected.len() as u64);
                assert_eq!((done.removed, done.rewritten), files);
                assert_eq!(expire_again(&bench.writer, &spec).await, Expired::default());
            };
        check(spec(&[]), (0, 0), &|_, _| true).await;
        check(spec(&[("*", None)]), (0, 0), &|_, _| true).await;
        check(spec(&[("*", after(3_600))]), (1, 0), &|_, at| at >= 3_600).await;
        check(spec(&[("*", after(3_605))]), (1, 1), &|_, at| at >= 3_605).await;
        check(spec(&[("fan", after(9_999))]), (0, 2), &|device, _| {
            device == "pump"
        })
        .await;
        check(
            spec(&[("fan", None), ("*", after(9_999))]),
            (0, 2),
            &|device, _| device == "fan",
        )
        .await;
        let protected = ExpireSpec {
            protected: vec![(DAY_START + 4 * SECOND, DAY_START + 6 * SECOND)],
            ..spec(&[("*", after(10))])
        };
        check(protected, (0, 1), &|_, at| at == 4 || at == 5 || at >= 10).await;
    }
}

async fn expire_again(lake: &LakeWriter, spec: &ExpireSpec) -> Expired {
    let now = at(DAY_START + 4 * HOUR);
    expire(lake, spec, &mut Swept::default(), now)
        .await
        .unwrap()
}

#[tokio::test]
async fn what_was_deleted_is_told_once_and_no_site_of_it_is_missed() {
    let bench = bench(Sealed::Columns).await;
    let lake = &bench.writer;
    let first = spec(&[("fan", Some(DAY_START + 10 * SECOND))]);
    expired(lake, &first).await;
    let later = spec(&[
        ("fan", Some(DAY_START + HOUR)),
        ("*", Some(DAY_START + 2 * SECOND)),
    ]);
    expired(lake, &later).await;
    let sql = format!(
        "select concat(table_name, ': ', rule, ': ', rows, ' from ', (cast(from_time as bigint) - {DAY_START}) / {SECOND}, \
         ' to ', (cast(to_time as bigint) - {DAY_START}) / {SECOND}) from deletions order by before desc, rows"
    );
    let told = texts(lake, &DELETIONS, &sql).await;
    let expected = [
        "readings: fan, keep: 5 from 11 to 19",
        "readings: fan, keep: 5 from 1 to 9",
        "readings: *, keep: 1 from 0 to 0",
    ];
    assert_eq!(told, expected);
    let site = SiteId::new(SITE).unwrap();
    let floor = expired_before(lake, &READINGS, &site).await.unwrap();
    assert_eq!(floor, Some(DAY_START + HOUR));
    let other = SiteId::new("other").unwrap();
    assert_eq!(expired_before(lake, &READINGS, &other).await.unwrap(), None);
}

/// A file is not read again before another rule reaches it.
#[tokio::test]
async fn files_that_hold_nothing_to_delete_are_read_once() {
    let bench = bench(Sealed::Columns).await;
    let mut swept = Swept::default();
    let mut reads = async |before: i64| {
        let spec = spec(&[("nobody", Some(before)), ("*", Some(DAY_START))]);
        bench.store.files_read();
        let now = at(DAY_START + 4 * HOUR);
        expire(&bench.writer, &spec, &mut swept, now).await.unwrap();
        bench.store.files_read().len()
    };
    assert_eq!(
        reads(DAY_START + 10 * SECOND).await,
        1,
        "the first file, in part"
    );
    assert_eq!(reads(DAY_START + HOUR).await, 1, "it has come to be older");
    assert_eq!(reads(DAY_START + HOUR).await, 0);
    assert_eq!(reads(DAY_START + 2 * HOUR).await, 1, "the second");
    assert_eq!(reads(DAY_START + 3 * HOUR).await, 0);
}

/// Whatever is stored last before the process dies: no row is lost that should be there, and after the next try all that should
/// leave has left, was told once, and is accounted for. A reader that began before goes on.
#[tokio::test]
async fn an_expiry_that_is_cut_short_is_made_to_its_end() {
    let stays = |device: &str, at: i64| device == "pump" && at >= 4;
    let spec = spec(&[
        ("fan", Some(DAY_START + 2 * HOUR)),
        ("*", Some(DAY_START + 4 * SECOND)),
    ]);
    let mut cuts = 0;
    loop {
        let bench = bench(Sealed::Columns).await;
        let table = bench.readings().clone();
        let reader = session(&[table], &bench.writer.decrypter()).await.unwrap();
        bench.store.fail_put("lake/", cuts, Fault::Hang);
        let hung = bench.store.hung();
        let mut swept = Swept::default();
        let now = at(DAY_START + 3 * HOUR);
        let is_cut = tokio::select! {
            () = hung.notified() => true,
            _ = expire(&bench.writer, &spec, &mut swept, now) => false,
        };
        bench.store.fail_put("nothing", 0, Fault::Hang);
        let again = bench.another().await.unwrap();
        let there = left(&again).await;
        let done = expected(stays);
        assert!(
            there == expected(|_, _| true) || there == done,
            "after {cuts} objects"
        );
        expire_again(&again, &spec).await;
        assert_eq!(left(&again).await, done, "after {cuts} objects");
        let sum = texts(&again, &DELETIONS, "select sum(rows) from deletions").await;
        assert_eq!(sum, ["22"], "after {cuts} objects");
        let rows = reader.sql("select count(*) from readings").await.unwrap();
        let rows = rows.collect().await.unwrap();
        let count = rows[0].column(0).as_primitive::<Int64Type>().value(0);
        assert_eq!(count, 40, "the reader's version is still there");
        if !is_cut {
            break;
        }
        cuts += 1;
    }
    assert!(
        cuts >= 6,
        "two files, a state, two log entries and a file of deletions: {cuts}"
    );
}
