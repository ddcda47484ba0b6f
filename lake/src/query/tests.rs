//! A query opens the files that it needs and no others.

use forebay_schemas::Timestamp;

use crate::{
    Sealed,
    testing::{Bench, DAY_START, at, batch},
};

const HOUR: i64 = 3_600_000_000;
const PER_HOUR: u64 = 60;

fn sql(from: &str, to: &str) -> String {
    format!(
        "SELECT count(*), min(seq), max(seq) FROM readings WHERE event_time >= TIMESTAMP '{from}' AND event_time < \
         TIMESTAMP '{to}'"
    )
}

async fn day_of_hours(sealed: Sealed) -> Bench {
    let bench = Bench::new(sealed).await;
    let now: Timestamp = at(DAY_START);
    for hour in 0..24 {
        let first = hour as u64 * PER_HOUR + 1;
        bench
            .ingest("s", &batch(first, PER_HOUR, DAY_START + hour * HOUR), now)
            .await;
    }
    bench
}

#[tokio::test]
async fn a_query_for_an_hour_opens_that_hours_file() {
    for sealed in [Sealed::Columns, Sealed::None] {
        let bench = day_of_hours(sealed).await;
        let files = bench.readings().snapshot().await.unwrap().files();
        assert_eq!(files.len(), 24);
        bench.store.files_read();
        for (from, to, opened, expected) in [
            (
                "2024-05-01T07:00:00Z",
                "2024-05-01T08:00:00Z",
                1,
                "| 60       | 421      | 480      |",
            ),
            (
                "2024-05-01T07:00:30Z",
                "2024-05-01T09:00:00Z",
                2,
                "| 90       | 451      | 540      |",
            ),
            // Between the last reading of an hour and the next hour.
            (
                "2024-05-01T07:30:00Z",
                "2024-05-01T07:40:00Z",
                0,
                "| 0        |          |          |",
            ),
            (
                "2024-05-02T07:00:00Z",
                "2024-05-02T08:00:00Z",
                0,
                "| 0        |          |          |",
            ),
            (
                "2024-05-01T00:00:00Z",
                "2024-05-02T00:00:00Z",
                24,
                "| 1440     | 1        | 1440     |",
            ),
        ] {
            let found = bench.query(&sql(from, to)).await;
            let compact = |text: &str| text.split_whitespace().collect::<String>();
            assert_eq!(compact(&found), compact(expected), "{sealed:?} {from}");
            assert_eq!(
                bench.store.files_read().len(),
                opened,
                "{sealed:?} {from} to {to}"
            );
        }
    }
}

#[tokio::test]
async fn the_log_of_a_sealed_table_names_no_event_time() {
    let bench = day_of_hours(Sealed::Columns).await;
    let log = bench.folder.path().join("lake/readings/_delta_log");
    for entry in std::fs::read_dir(log).unwrap() {
        let text =
            String::from_utf8_lossy(&std::fs::read(entry.unwrap().path()).unwrap()).into_owned();
        assert!(
            !text.contains("event_time\":1") && !text.contains(&DAY_START.to_string()),
            "{text}"
        );
        // The bounds of the day, which a partition by date would show too, and no hour of it.
        let hours = (1..24).map(|hour| format!("2024-05-01T{hour:02}:0"));
        assert!(
            hours.into_iter().all(|hour| !text.contains(&hour)),
            "{text}"
        );
    }
}

#[tokio::test]
async fn without_the_tags_key_the_day_decides() {
    use std::sync::Arc;

    use ring::rand::SystemRandom;

    let bench = day_of_hours(Sealed::Columns).await;
    // Another keyring's tags do not open, nor would its files; the pruning alone must not lose any.
    let other = tempfile::tempdir().unwrap();
    let keyring =
        crate::keys::FileKeyring::create(other.path(), Arc::new(SystemRandom::new())).unwrap();
    let decrypter = Arc::new(crate::keys::KeyDecrypter::new(Arc::new(keyring)));
    let context = crate::session(std::slice::from_ref(bench.readings()), &decrypter)
        .await
        .unwrap();
    let query = context
        .sql(&sql("2024-05-01T07:00:00Z", "2024-05-01T08:00:00Z"))
        .await
        .unwrap();
    let error = query.collect().await.unwrap_err().to_string();
    assert!(
        error.contains("forebay.table.v1") || error.contains("key"),
        "{error}"
    );
}

#[tokio::test]
async fn a_footer_that_claims_more_than_its_file_is_told_as_damage() {
    let bench = day_of_hours(Sealed::Columns).await;
    let files = bench.readings().snapshot().await.unwrap().files();
    for add in &files {
        let path = bench.folder.path().join("lake/readings").join(&add.path);
        let bytes = std::fs::metadata(&path).unwrap().len();
        std::fs::write(
            &path,
            [vec![b'x'; bytes as usize - 4], b"PAR1".to_vec()].concat(),
        )
        .unwrap();
    }
    let context = crate::session(
        std::slice::from_ref(bench.readings()),
        &bench.writer.decrypter(),
    )
    .await
    .unwrap();
    let query = context
        .sql("select count(value) from readings")
        .await
        .unwrap();
    let error = query.collect().await.unwrap_err().to_string();
    assert!(
        error.contains("table readings: file site=") && error.contains("`forebay verify` tells"),
        "{error}"
    );
}
