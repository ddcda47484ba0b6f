//! What makes jobs run, and what becomes of fires that nobody was there for.

use super::*;

fn day(key: &str, more: &str) -> String {
    format!("job = [{{ name = \"day\", kind = \"test\", schedule = \"{key}\"{more} }}]")
}

#[tokio::test]
async fn catch_up_says_which_of_the_missed_times_are_run() {
    let late = "2026-01-01T06:00:00Z";
    for (more, expected) in [
        (
            ", catch_up = \"latest\"",
            vec![late, "2026-01-04T06:00:00Z"],
        ),
        (
            ", catch_up = \"all\"",
            vec![
                late,
                "2026-01-02T06:00:00Z",
                "2026-01-03T06:00:00Z",
                "2026-01-04T06:00:00Z",
            ],
        ),
        (", catch_up = \"none\"", vec![late]),
    ] {
        let plant = Plant::new().await;
        let text = day("0 6 * * *", more);
        let scheduler = plant.start(&text).await;
        plant.set(at(6 * 3600 + 30));
        assert_eq!(scheduler.step().await.unwrap(), 1, "{more}: half a minute");
        drop(scheduler);
        plant.set(hour(3 * 24 + 7));
        plant.start(&text).await.step().await.unwrap();
        assert_eq!(plant.log.of("day"), expected, "{more}");
    }
}

/// Berlin's clocks go forward on 2026-03-29 and back on 2026-10-25.
#[tokio::test]
async fn what_is_caught_up_on_runs_once_on_nights_on_which_clocks_change() {
    let text = "job = [{ name = \"day\", kind = \"test\", schedule = \"30 2 * * *\", timezone = \"Europe/Berlin\", catch_up = \"all\" }]";
    for (from, to, expected) in [
        (
            86,
            90,
            [
                "2026-03-28T01:30:00Z",
                "2026-03-29T01:00:00Z",
                "2026-03-30T00:30:00Z",
                "2026-03-31T00:30:00Z",
            ],
        ),
        (
            296,
            300,
            [
                "2026-10-24T00:30:00Z",
                "2026-10-25T00:30:00Z",
                "2026-10-26T01:30:00Z",
                "2026-10-27T01:30:00Z",
            ],
        ),
    ] {
        let plant = Plant::new().await;
        plant.set(hour(from * 24));
        drop(plant.start(text).await);
        plant.set(hour(to * 24));
        assert_eq!(plant.start(text).await.step().await.unwrap(), 4);
        assert_eq!(plant.log.of("day"), expected);
    }
}

#[tokio::test]
async fn a_schedule_that_is_changed_while_a_run_is_queued_neither_drops_nor_doubles_it() {
    for (changed, until, expected) in [
        (
            "0 7 * * *",
            8,
            vec!["2026-01-01T06:00:00Z", "2026-01-01T07:00:00Z"],
        ),
        ("0 5 * * *", 8, vec!["2026-01-01T06:00:00Z"]),
        (
            "0 5 * * *",
            30,
            vec!["2026-01-01T06:00:00Z", "2026-01-02T05:00:00Z"],
        ),
        ("0 6 * * *", 8, vec!["2026-01-01T06:00:00Z"]),
    ] {
        let plant = Plant::new().await;
        let scheduler = plant.start(&day("0 6 * * *", "")).await;
        plant.set(hour(6));
        assert_eq!(scheduler.enqueue_due().await.unwrap(), 1);
        drop(scheduler);
        let scheduler = plant.start(&day(changed, "")).await;
        scheduler.step().await.unwrap();
        plant.set(hour(until));
        scheduler.step().await.unwrap();
        scheduler.step().await.unwrap();
        assert_eq!(
            plant.log.of("day"),
            expected,
            "{changed}, until hour {until}"
        );
    }
}

#[tokio::test]
async fn a_window_that_is_not_complete_enough_waits_until_it_is() {
    let text =
        "job = [{ name = \"w\", kind = \"test\", on = \"window_closed\", completeness_min = 0.9 }]";
    let plant = Plant::new().await;
    let scheduler = plant.start(text).await;
    let close = async |end: i64, revision: i32, share: Option<f64>| {
        let window = Window {
            revision,
            ..testing::window(hour(end), HOUR)
        };
        let closed_at = at(end * 3600 + i64::from(revision));
        plant.lake.close_all(&[window], closed_at, share).await;
        plant.set(at(end * 3600 + 60));
    };
    for (end, revision, share, runs) in [
        (1, 1, Some(0.9), 1),
        (2, 1, Some(0.89), 0),
        (3, 1, None, 0),
        (2, 2, Some(1.0), 1),
    ] {
        close(end, revision, share).await;
        assert_eq!(scheduler.step().await.unwrap(), runs, "{end}/{revision}");
    }
}

#[tokio::test]
async fn warnings_and_events_of_other_jobs_make_a_job_run_once_each() {
    let text =
        "job = [{ name = \"a\", kind = \"test\", schedule = \"0 * * * *\", deed = \"warn\" },
        { name = \"e\", kind = \"test\", schedule = \"30 * * * *\", deed = \"event\" },
        { name = \"on-alert\", kind = \"test\", on = { alert = \"a\" } },
        { name = \"on-event\", kind = \"test\", on = { event = \"leak\" } },
        { name = \"on-other\", kind = \"test\", on = { event = \"fire\" } },
        { name = \"by-hand\", kind = \"test\", on = \"manual\" }]";
    let plant = Plant::new().await;
    let scheduler = plant.start(text).await;
    for half_hour in 1..=6 {
        plant.set(at(half_hour * 1800));
        scheduler.step().await.unwrap();
        scheduler.step().await.unwrap();
    }
    let alerts = plant.log.of("on-alert");
    assert_eq!(alerts.len(), 1, "the warning goes on: {alerts:?}");
    assert!(alerts[0].starts_with("alert/"), "{alerts:?}");
    assert_eq!(plant.log.of("on-event").len(), 3);
    assert!(plant.log.of("on-other").is_empty() && plant.log.of("by-hand").is_empty());
    let due =
        "SELECT min(event_time) AS a, max(event_time) AS z FROM scores WHERE job = 'on-event'";
    let due = plant.lake.query(due).await;
    assert!(
        due.contains("| 2026-01-01T00:30:00Z | 2026-01-01T02:30:00Z |"),
        "{due}"
    );
    drop(scheduler);
    let (jobs, lake) = (plant.jobs(text), plant.lake.writer.clone());
    let path = plant.database();
    let run = run_now(jobs, lake, &path, plant.clock(), "by-hand", Some(hour(1)));
    assert_eq!(run.await.unwrap()[0].state, RunState::Succeeded);
    let seen = "SELECT event_time FROM scores WHERE job = 'by-hand'";
    let seen = plant.lake.query(seen).await;
    assert!(seen.contains("2026-01-01T01:00:00Z"), "{seen}");
}

#[tokio::test]
async fn a_failed_run_is_a_warning_until_the_next_success() {
    let text = day("0 6 * * *", ", deed = \"fail\", retries = 0");
    let plant = Plant::new().await;
    plant.log.failures_left.store(2, Ordering::SeqCst);
    let mut scheduler = plant.start(&text).await;
    for today in 0..4 {
        plant.set(hour(today * 24 + 6));
        scheduler.step().await.unwrap();
        // A start between knows of it from the lake.
        drop(scheduler);
        scheduler = plant.start(&text).await;
    }
    let rows =
        "SELECT state, first_seen, dedupe_key, device, reason FROM alerts ORDER BY changed_at";
    let rows = plant.lake.query(rows).await;
    let found: Vec<&str> = rows
        .lines()
        .filter(|line| line.contains("run/day"))
        .collect();
    assert_eq!(found.len(), 3, "{rows}");
    for (row, state) in found.iter().zip(["open", "open", "resolved"]) {
        assert!(
            row.contains(state) && row.contains("2026-01-01T06:00:00Z"),
            "{rows}"
        );
    }
    assert!(found[0].contains("the pump is wet: water"), "{rows}");
}

#[tokio::test]
async fn what_is_cancelled_ends_whether_it_waits_or_runs() {
    let text = day("0 6 * * *", ", deed = \"hang\"");
    let plant = Plant::new().await;
    plant.log.failures_left.store(1, Ordering::SeqCst);
    let scheduler = plant.start(&text).await;
    plant.set(hour(6));
    let path = plant.database();
    let stopping = async {
        while plant.log.of("day").is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        cancel(&plant.jobs(&text), &path, "day").await.unwrap()
    };
    let (attempts, cancelled) = tokio::join!(scheduler.step(), stopping);
    assert_eq!((attempts.unwrap(), cancelled.runs), (1, 1));
    plant.set(hour(30));
    scheduler.enqueue_due().await.unwrap();
    let id = plant.runs(&text, "day").await[0].run_id.clone();
    let cancelled = cancel(&plant.jobs(&text), &path, &id).await.unwrap();
    assert_eq!((cancelled.runs, cancelled.backfill), (1, false));
    assert_eq!(scheduler.step().await.unwrap(), 0);
    let runs = plant.runs(&text, "day").await;
    assert!(
        runs.iter().all(|run| run.state == RunState::Cancelled),
        "{runs:?}"
    );
    let recorded = plant.lake.query("SELECT state FROM job_runs").await;
    assert_eq!(recorded.matches("cancelled").count(), 2, "{recorded}");
    let none = cancel(&plant.jobs(&text), &path, &id).await.unwrap();
    assert_eq!(none.runs, 0, "it has ended");
}

#[tokio::test]
async fn the_higher_priority_goes_first_and_who_waits_is_told() {
    let text = "job = [{ name = \"low\", kind = \"test\", schedule = \"0 6 * * *\" },
        { name = \"high\", kind = \"test\", schedule = \"0 6 * * *\", priority = 5 }]";
    let plant = Plant::new().await;
    let progress = Arc::new(JobProgress::default());
    let scheduler = plant.start(text).await.counting(progress.clone());
    plant.set(at(6 * 3600 + 90));
    scheduler.enqueue_due().await.unwrap();
    let claimed = scheduler.claim(&Default::default(), 1).await.unwrap();
    assert_eq!(claimed[0].job.as_str(), "high");
    scheduler.look_at_waits().await.unwrap();
    let waits = [("high", 0), ("low", 90)]
        .map(|(job, seconds)| (job.to_owned(), Duration::from_secs(seconds)));
    assert_eq!(progress.waiting(), waits);
    let jobs = plant.jobs(text);
    let statuses = list(&jobs, &plant.database(), &plant.clock())
        .await
        .unwrap();
    let late: Vec<_> = statuses.iter().map(|status| status.waits_since).collect();
    assert_eq!(late, [Some(hour(6)), None]);
}
