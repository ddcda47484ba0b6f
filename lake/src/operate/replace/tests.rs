//! Replacements alone, beside merges, and cut short at every step.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};
use forebay_schemas::table::READINGS_1M;

use super::*;
use crate::{
    MergePolicy, Sealed, merge, plan, session,
    testing::{Bench, DAY_START, Fault, SITE, at},
};

const MINUTE: i64 = 60_000_000;

/// Rows of one device: minute and mean.
fn rows(of: &[(i64, f64)]) -> RecordBatch {
    let texts = |text: &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(of.iter().map(|_| text)))
    };
    let values = || -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(
            of.iter().map(|(_, mean)| *mean),
        ))
    };
    let times = of.iter().map(|(minute, _)| DAY_START + minute * MINUTE);
    let counts = |count: i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(of.iter().map(|_| count)))
    };
    let columns = vec![
        texts("pump"),
        texts("temp"),
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC")),
        values(),
        values(),
        values(),
        values(),
        counts(60),
        counts(0),
        texts("Cel"),
    ];
    RecordBatch::try_new(file_schema(&READINGS_1M), columns).unwrap()
}

fn spec(from: i64, to: i64, of: &[(i64, f64)]) -> ReplaceSpec {
    ReplaceSpec {
        table: &READINGS_1M,
        site: SiteId::new(SITE).unwrap(),
        stretches: vec![(DAY_START + from * MINUTE, DAY_START + to * MINUTE)],
        rows: rows(of),
        fixed_before: None,
    }
}

async fn replaced(lake: &LakeWriter, spec: &ReplaceSpec) -> Replaced {
    replace(lake, spec, at(DAY_START)).await.unwrap()
}

/// Minute and mean of every row, as a plain query has them.
async fn shown(lake: &LakeWriter) -> Vec<(i64, f64)> {
    let table = lake.table(&READINGS_1M).unwrap().clone();
    let context = session(&[table], &lake.decrypter()).await.unwrap();
    let sql = format!(
        "select (cast(time_start as bigint) - {DAY_START}) / {MINUTE}, mean from readings_1m order by time_start"
    );
    let batches = context.sql(&sql).await.unwrap().collect().await.unwrap();
    let mut found = Vec::new();
    for batch in batches {
        let minutes = batch
            .column(0)
            .as_primitive::<arrow::datatypes::Int64Type>();
        let means = batch
            .column(1)
            .as_primitive::<arrow::datatypes::Float64Type>();
        found.extend(
            minutes
                .values()
                .iter()
                .copied()
                .zip(means.values().iter().copied()),
        );
    }
    found
}

#[tokio::test]
async fn new_rows_take_the_place_of_old_ones_and_equal_ones_change_nothing() {
    for sealed in [Sealed::Columns, Sealed::None] {
        let bench = Bench::new(sealed).await;
        let lake = &bench.writer;
        let first = spec(0, 3, &[(0, 1.0), (1, 2.0), (2, 3.0)]);
        let changed = Replaced::Changed {
            rows: 3,
            removed: 0,
        };
        assert_eq!(replaced(lake, &first).await, changed);
        assert_eq!(replaced(lake, &first).await, Replaced::Unchanged);
        let table = lake.table(&READINGS_1M).unwrap();
        let version = table.snapshot().await.unwrap().version();

        let late = spec(1, 2, &[(1, 2.5)]);
        let changed = Replaced::Changed {
            rows: 1,
            removed: 1,
        };
        assert_eq!(replaced(lake, &late).await, changed);
        assert_eq!(shown(lake).await, [(0, 1.0), (1, 2.5), (2, 3.0)]);
        assert_eq!(
            table.snapshot().await.unwrap().version(),
            version + 1,
            "one commit"
        );

        let nothing = spec(1, 3, &[]);
        let changed = Replaced::Changed {
            rows: 0,
            removed: 2,
        };
        assert_eq!(replaced(lake, &nothing).await, changed);
        assert_eq!(shown(lake).await, [(0, 1.0)]);
        assert_eq!(replaced(lake, &nothing).await, Replaced::Unchanged);
    }
}

#[tokio::test]
async fn what_was_merged_gives_way_too() {
    let bench = Bench::new(Sealed::Columns).await;
    let lake = &bench.writer;
    for minute in 0..8 {
        replaced(lake, &spec(minute, minute + 1, &[(minute, minute as f64)])).await;
    }
    let table = lake.table(&READINGS_1M).unwrap();
    let files = table.snapshot().await.unwrap().files();
    let policy = MergePolicy::settled_before(at(DAY_START + MINUTE));
    let specs = plan(lake, &READINGS_1M, &files, &policy);
    assert_eq!((files.len(), specs.len()), (8, 1));
    merge(lake, &specs[0], at(DAY_START + MINUTE))
        .await
        .unwrap();
    let merged = table.snapshot().await.unwrap().files();
    let hour = Some((DAY_START, DAY_START + 7 * MINUTE));
    assert_eq!(merged.len(), 1);
    assert_eq!(lake.event_times(&READINGS_1M, &merged[0]), hour);

    replaced(lake, &spec(3, 5, &[(3, -3.0)])).await;
    let expected = [
        (0, 0.0),
        (1, 1.0),
        (2, 2.0),
        (3, -3.0),
        (5, 5.0),
        (6, 6.0),
        (7, 7.0),
    ];
    assert_eq!(shown(lake).await, expected);
}

#[tokio::test]
async fn rows_before_a_fixed_time_stay_and_new_ones_come_beside_them() {
    let bench = Bench::new(Sealed::Columns).await;
    let lake = &bench.writer;
    replaced(lake, &spec(0, 3, &[(0, 1.0), (2, 3.0)])).await;
    let fixed = ReplaceSpec {
        fixed_before: Some(DAY_START + 2 * MINUTE),
        ..spec(0, 3, &[(0, 9.0), (1, 9.0), (2, 9.0)])
    };
    replaced(lake, &fixed).await;
    assert_eq!(shown(lake).await, [(0, 1.0), (1, 9.0), (2, 9.0)]);
    assert_eq!(replaced(lake, &fixed).await, Replaced::Unchanged);
}

/// Whatever is stored last before the process dies, the rows are the old or the new ones, and the next try makes them new.
#[tokio::test]
async fn a_replacement_that_is_cut_short_is_made_again() {
    let (old, new) = (
        [(0, 1.0), (1, 2.0), (2, 3.0)],
        [(0, 1.0), (1, 7.0), (2, 3.0)],
    );
    let mut cuts = 0;
    loop {
        let bench = Bench::new(Sealed::Columns).await;
        replaced(&bench.writer, &spec(0, 3, &old)).await;
        let late = spec(1, 2, &[(1, 7.0)]);
        bench.store.fail_put("readings_1m/", cuts, Fault::Hang);
        let hung = bench.store.hung();
        let is_cut = tokio::select! {
            () = hung.notified() => true,
            _ = replace(&bench.writer, &late, at(DAY_START)) => false,
        };
        bench.store.fail_put("nothing", 0, Fault::Hang);
        let again = bench.another().await.unwrap();
        let there = shown(&again).await;
        assert!(
            there == old || there == new,
            "after {cuts} objects: {there:?}"
        );
        replaced(&again, &late).await;
        assert_eq!(shown(&again).await, new, "after {cuts} objects");
        if !is_cut {
            break;
        }
        cuts += 1;
    }
    assert!(cuts >= 3, "two files and a log entry: {cuts}");
}
