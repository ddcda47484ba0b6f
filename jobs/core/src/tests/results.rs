use std::collections::BTreeMap;

use super::*;
use crate::outbox::{Outbox, Track};

const WINDOWED: &str = "job = [{ name = \"w\", kind = \"test\", on = \"window_closed\" }]";

#[tokio::test]
async fn a_crash_between_append_and_finish_doubles_no_row() {
    let plant = Plant::new().await;
    let scheduler = plant.start(WINDOWED).await;
    scheduler.step().await.unwrap();
    plant.close(hour(1), 0, hour(1)).await;
    scheduler.enqueue_due().await.unwrap();
    let run = scheduler
        .claim(&Default::default(), 1)
        .await
        .unwrap()
        .remove(0);
    let outbox = Outbox::new(&plant.lake.writer, &run.job, Track::Live);
    outbox
        .write(run.number, &run.id(), &score(hour(1)), hour(1))
        .await
        .unwrap();
    drop(scheduler); // The rows are in the lake, and nobody has noted it.
    let scheduler = plant.start(WINDOWED).await;
    plant.set(hour(1));
    assert_eq!(scheduler.step().await.unwrap(), 1);
    assert_eq!(plant.count("scores").await, (1, 1));
    assert_eq!(
        plant.runs(WINDOWED, "w").await[0].state,
        RunState::Succeeded
    );
    assert_eq!(plant.count("job_runs").await, (1, 1));
}

#[tokio::test]
async fn a_crash_between_the_record_and_its_note_doubles_no_record() {
    let plant = Plant::new().await;
    let scheduler = plant.start(WINDOWED).await;
    scheduler.step().await.unwrap();
    plant.close(hour(1), 0, hour(1)).await;
    scheduler.enqueue_due().await.unwrap();
    let run = scheduler
        .claim(&Default::default(), 1)
        .await
        .unwrap()
        .remove(0);
    let ended = scheduler
        .store()
        .step(&run, RunEvent::Done, Default::default(), hour(1))
        .await
        .unwrap();
    let outbox = Outbox::new(&plant.lake.writer, &run.job, Track::Live);
    outbox
        .record(run.number, std::slice::from_ref(&ended), hour(1))
        .await
        .unwrap();
    drop(scheduler);
    let scheduler = plant.start(WINDOWED).await;
    plant.close(hour(2), 0, hour(2)).await;
    assert_eq!(scheduler.step().await.unwrap(), 1);
    assert_eq!(plant.count("job_runs").await, (2, 2));
}

#[tokio::test]
async fn a_number_beyond_ones_own_is_fenced() {
    let plant = Plant::new().await;
    let job = JobName::new("w").unwrap();
    let outbox = Outbox::new(&plant.lake.writer, &job, Track::Live);
    outbox
        .write(crate::outbox::RunNumber(7), "w-7", &score(hour(1)), hour(1))
        .await
        .unwrap();
    assert_eq!(outbox.highest_number().await.unwrap(), 7);
    let error = outbox
        .write(crate::outbox::RunNumber(6), "w-6", &score(hour(1)), hour(1))
        .await
        .unwrap_err();
    assert!(
        matches!(error, forebay_lake::LakeError::Fenced { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn nothing_after_the_cutoff_is_seen() {
    let plant = Plant::new().await;
    let readings: Vec<(Timestamp, f64)> = (0..180)
        .map(|minute| (at(minute * 60), minute as f64))
        .collect();
    plant.lake.put_readings("pump", "rpm", &readings).await;
    for n in 1..4 {
        plant.close(hour(n), 0, hour(n)).await;
        let job = JobName::new("s").unwrap();
        let outbox = Outbox::new(&plant.lake.writer, &job, Track::Live);
        outbox
            .write(crate::outbox::RunNumber(n), "s", &score(hour(n)), hour(n))
            .await
            .unwrap();
    }
    let context = plant.lake.context("look", hour(2));
    let session = context.session().await.unwrap();
    for (query, expected) in [
        ("SELECT max(value) AS v FROM readings", "119.0"),
        (
            "SELECT max(value) AS v FROM readings WHERE event_time >= TIMESTAMP '2026-01-01T02:00:00Z' OR tag = 'rpm'",
            "119.0",
        ),
        ("SELECT count(*) AS v FROM windows", "| 2 "),
        ("SELECT count(*) AS v FROM scores", "| 2 "),
    ] {
        let rows = session.sql(query).await.unwrap().collect().await.unwrap();
        let text = arrow::util::pretty::pretty_format_batches(&rows)
            .unwrap()
            .to_string();
        assert!(text.contains(expected), "{query}\n{text}");
    }
    let pattern = SeriesPattern {
        devices: vec!["pu*".into(), "fan".into()],
        tags: vec!["rp?".into()],
    };
    let series = context
        .buckets(&pattern, at(30 * 60), Duration::from_secs(1800))
        .await
        .unwrap();
    let (key, buckets) = series.iter().next().unwrap();
    assert_eq!(
        (series.len(), key.device.as_str(), key.tag.as_str()),
        (1, "pump", "rpm")
    );
    let means: Vec<f64> = buckets.iter().map(|bucket| bucket.mean).collect();
    assert_eq!(
        means,
        [44.5, 74.5, 104.5],
        "thirty minutes each, from 00:30 to the cutoff"
    );
    assert_eq!(buckets[0].index, START / 1800 + 1);
    let none = SeriesPattern {
        devices: vec!["*".into()],
        tags: vec!["rp".into()],
    };
    assert!(
        context
            .buckets(&none, at(0), HOUR)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn bad_readings_and_values_that_are_no_numbers_are_left_out_of_means() {
    let plant = Plant::new().await;
    let values = [
        (at(0), 1.0),
        (at(60), f64::NAN),
        (at(120), f64::INFINITY),
        (at(180), 3.0),
    ];
    plant.lake.put_readings("pump", "rpm", &values).await;
    let pattern = SeriesPattern {
        devices: vec!["pump".into()],
        tags: vec!["rpm".into()],
    };
    let series = plant
        .lake
        .context("look", hour(1))
        .buckets(&pattern, at(0), HOUR)
        .await
        .unwrap();
    assert_eq!(
        series.values().next().unwrap(),
        &[Bucket {
            index: START / 3600,
            mean: 2.0
        }]
    );
}

#[tokio::test]
async fn a_warning_is_one_through_the_lake_until_it_is_resolved() {
    let plant = Plant::new().await;
    let life = Lifecycle {
        refractory: 24 * HOUR,
        resolve_after: 2 * HOUR,
    };
    let wrong = || {
        Verdict::Wrong(Condition {
            site: SiteId::new("plant").unwrap(),
            device: DeviceId::new("pump").unwrap(),
            tag: None,
            severity: Severity::Warning,
            score: 4.0,
            contributions: Some("[]".into()),
            reason: "too warm".into(),
        })
    };
    let job = JobName::new("watch").unwrap();
    let outbox = Outbox::new(&plant.lake.writer, &job, Track::Live);
    let mut states = Vec::new();
    for (n, verdict) in [
        (1, wrong()),
        (2, wrong()),
        (3, Verdict::Healthy),
        (4, Verdict::Healthy),
        (5, Verdict::Healthy),
    ] {
        let context = plant.lake.window_context("watch", hour(n), HOUR);
        let verdicts: BTreeMap<String, Verdict> = [("pump".to_owned(), verdict)].into();
        let alerts = context.advance_alerts(&life, verdicts).await.unwrap();
        states.extend(alerts.iter().map(|alert| (n, alert.state)));
        let results = Results {
            alerts,
            ..Results::default()
        };
        outbox
            .write(crate::outbox::RunNumber(n), "r", &results, hour(n))
            .await
            .unwrap();
    }
    assert_eq!(
        states,
        [
            (1, AlertState::Open),
            (2, AlertState::Open),
            (4, AlertState::Resolved)
        ]
    );
    let ids = plant
        .lake
        .query("SELECT count(DISTINCT alert_id) AS ids, count(*) AS n FROM alerts")
        .await;
    assert!(ids.contains("| 1   | 3 |"), "{ids}");
}
