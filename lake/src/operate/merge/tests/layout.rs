//! Which files a merge cuts its rows into.

use super::*;

/// Eight days of two devices an hour apart, as a backlog brings them: file after file holds all of the time.
async fn ingest_backlog(bench: &Bench, n: u64) {
    const HOURS: u64 = 8 * 24;
    let mut backlog = batch(n * HOURS + 1, HOURS, DAY_START);
    for (reading, hour) in backlog.readings.iter_mut().zip(0..) {
        // A stretch of eight days begins four days earlier.
        reading.event_time = at(DAY_START + (hour - 96) * 3_600 * SECOND);
    }
    bench.ingest("s", &backlog, at(DAY_START)).await;
}

#[tokio::test]
async fn files_that_hold_the_same_days_are_cut_so_that_a_query_opens_its_own_day() {
    for sealed in [Sealed::Columns, Sealed::None] {
        let bench = Bench::new(sealed).await;
        for n in 0..3 {
            ingest_backlog(&bench, n).await;
        }
        let before = bench.checksum().await;
        let files = bench.readings().snapshot().await.unwrap().files();
        assert_eq!(files.len(), 3, "a file each");
        let policy = MergePolicy {
            rows_max: 500,
            ..policy()
        };
        let specs = plan(&bench.writer, bench.readings().schema(), &files, &policy);
        assert_eq!(
            specs
                .iter()
                .map(|spec| (spec.files.len(), spec.cuts.len()))
                .collect::<Vec<_>>(),
            [(3, 7)]
        );
        let outcome = merge_now(&bench, &specs[0]).await.unwrap();
        assert!(
            matches!(outcome, MergeOutcome::Merged { rows: 576, .. }),
            "{outcome:?}"
        );

        assert_eq!(bench.checksum().await, before, "{sealed:?}");
        let files = bench.readings().snapshot().await.unwrap().files();
        let mut times: Vec<_> = files
            .iter()
            .filter_map(|add| bench.writer.event_times(&READINGS, add))
            .collect();
        times.sort();
        assert_eq!(times.len(), 8);
        assert!(
            times.windows(2).all(|pair| pair[0].1 < pair[1].0),
            "files share no time: {times:?}"
        );
        bench.store.files_read();
        let sql = "SELECT count(*) FROM readings WHERE event_time >= TIMESTAMP '2024-05-02T07:00:00Z' \
                   AND event_time < TIMESTAMP '2024-05-02T08:00:00Z'";
        assert_eq!(
            bench
                .query(sql)
                .await
                .split_whitespace()
                .collect::<String>(),
            "|3|"
        );
        assert_eq!(bench.store.files_read().len(), 1);
        assert!(
            plan(&bench.writer, &READINGS, &files, &policy).is_empty(),
            "what is cut is not merged again"
        );
    }
}

/// Half-hour readings of a meter over two years.
#[tokio::test]
async fn two_years_of_a_meter_are_one_small_file() {
    const READINGS_OF_TWO_YEARS: u64 = 2 * 365 * 48 + 48;
    let bench = Bench::new(Sealed::Columns).await;
    let mut meter = batch(1, READINGS_OF_TWO_YEARS, DAY_START);
    for (reading, slot) in meter.readings.iter_mut().zip(0_u32..) {
        reading.series.device = forebay_schemas::DeviceId::new("meter").unwrap();
        reading.event_time = at(DAY_START + i64::from(slot) * 1_800 * SECOND);
        reading.observed_time = at(DAY_START);
        // A day's course in steps of a tenth, and a little of chance.
        let course = (f64::from(slot % 48) / 48.0 * std::f64::consts::TAU).sin() * 20.0;
        let chance = f64::from(slot.wrapping_mul(2_654_435_761) >> 27);
        reading.value = Some(forebay_schemas::Value::F64(
            ((course + chance) * 10.0).round() / 10.0,
        ));
    }
    bench.ingest("s", &meter, at(DAY_START)).await;
    let files = bench.readings().snapshot().await.unwrap().files();
    let bytes: i64 = files.iter().map(|add| add.size).sum();
    let each = bytes as f64 / READINGS_OF_TWO_YEARS as f64;
    assert!(
        files.len() == 1 && each <= 4.0,
        "{} files, {each:.2} bytes a reading",
        files.len()
    );
    // Its statistics are a line of the log, and not one for each day.
    let tag = files[0].tags.as_ref().unwrap()[crate::file::stats::STATS_TAG]
        .as_ref()
        .unwrap();
    assert!(tag.len() < 400, "{} bytes", tag.len());
}
