use super::*;

const DAILY: &str = "job = [{ name = \"day\", kind = \"test\", schedule = \"0 6 * * *\" }]";

#[tokio::test]
async fn a_time_fires_once_and_of_missed_times_only_the_latest() {
    let plant = Plant::new().await;
    let scheduler = plant.start(DAILY).await;
    assert_eq!(
        scheduler.step().await.unwrap(),
        0,
        "a new job does not run for times before it"
    );
    plant.set(hour(6));
    assert_eq!(scheduler.step().await.unwrap(), 1);
    assert_eq!(scheduler.step().await.unwrap(), 0);
    // Two days off, and a clock that is then set back.
    drop(scheduler);
    plant.set(hour(3 * 24 + 7));
    let scheduler = plant.start(DAILY).await;
    assert_eq!(scheduler.step().await.unwrap(), 1);
    plant.set(hour(7));
    assert_eq!(
        scheduler.step().await.unwrap(),
        0,
        "a clock that is set back"
    );
    assert_eq!(
        plant.log.of("day"),
        ["2026-01-01T06:00:00Z", "2026-01-04T06:00:00Z"]
    );
    assert_eq!(plant.count("scores").await, (2, 2));
    assert_eq!(plant.count("job_runs").await, (2, 2));
}

/// A service may be at work for years.
#[tokio::test]
async fn runs_of_long_ago_are_forgotten_without_a_restart() {
    let plant = Plant::new().await;
    let scheduler = plant.start(DAILY).await;
    for day in 0..3 {
        plant.set(hour(day * 24 + 6));
        assert_eq!(scheduler.step().await.unwrap(), 1);
    }
    assert_eq!(plant.runs(DAILY, "day").await.len(), 3);
    plant.set(hour(401 * 24 + 7));
    assert_eq!(
        scheduler.step().await.unwrap(),
        1,
        "the latest of the times that were missed"
    );
    let kept: Vec<String> = plant
        .runs(DAILY, "day")
        .await
        .iter()
        .map(|run| run.fire_key.to_string())
        .collect();
    assert_eq!(kept, ["2027-02-06T06:00:00Z", "2026-01-03T06:00:00Z"]);
}

#[tokio::test]
async fn a_failed_attempt_is_made_again_after_a_wait_and_then_given_up() {
    let text = "job = [{ name = \"day\", kind = \"test\", schedule = \"0 6 * * *\", deed = \"fail\", retries = 2 }]";
    let plant = Plant::new().await;
    let scheduler = plant.start(text).await;
    plant.log.failures_left.store(2, Ordering::SeqCst);
    plant.set(hour(6));
    assert_eq!(scheduler.step().await.unwrap(), 1);
    assert_eq!(scheduler.step().await.unwrap(), 0, "it waits a second");
    plant.set(at(6 * 3600 + 1));
    assert_eq!(scheduler.step().await.unwrap(), 1);
    plant.set(at(6 * 3600 + 2));
    assert_eq!(scheduler.step().await.unwrap(), 0, "it waits two seconds");
    plant.set(at(6 * 3600 + 3));
    assert_eq!(scheduler.step().await.unwrap(), 1);
    let runs = plant.runs(text, "day").await;
    assert_eq!(
        (runs[0].state, runs[0].attempts, runs[0].rows),
        (RunState::Succeeded, 3, Some(1))
    );

    plant.log.failures_left.store(9, Ordering::SeqCst);
    for minute in 0..5 {
        plant.set(at(30 * 3600 + minute * 60));
        scheduler.step().await.unwrap();
    }
    let runs = plant.runs(text, "day").await;
    assert_eq!((runs[0].state, runs[0].attempts), (RunState::Failed, 3));
    assert_eq!(runs[0].message.as_deref(), Some("the pump is wet: water"));
    assert_eq!(plant.count("scores").await, (1, 1));
    let told = plant
        .lake
        .query("SELECT state, attempt, error FROM job_runs ORDER BY finished_at")
        .await;
    assert!(
        told.contains("succeeded")
            && told.contains("| failed")
            && told.contains("the pump is wet: water"),
        "{told}"
    );
}

#[tokio::test]
async fn what_another_attempt_would_not_mend_is_not_tried_again() {
    let text =
        "job = [{ name = \"day\", kind = \"test\", schedule = \"0 6 * * *\", deed = \"refuse\" }]";
    let plant = Plant::new().await;
    let scheduler = plant.start(text).await;
    plant.set(hour(6));
    scheduler.step().await.unwrap();
    let runs = plant.runs(text, "day").await;
    assert_eq!((runs[0].state, runs[0].attempts), (RunState::Failed, 1));
}

#[tokio::test]
async fn an_attempt_that_hangs_is_cut_and_ends_as_timed_out() {
    let text = "job = [{ name = \"day\", kind = \"test\", schedule = \"0 6 * * *\", deed = \"hang\", retries = 1, timeout = \"20ms\" }]";
    let plant = Plant::new().await;
    let scheduler = plant.start(text).await;
    plant.log.failures_left.store(2, Ordering::SeqCst);
    plant.set(hour(6));
    assert_eq!(scheduler.step().await.unwrap(), 1);
    plant.set(hour(7));
    assert_eq!(scheduler.step().await.unwrap(), 1);
    let runs = plant.runs(text, "day").await;
    assert_eq!((runs[0].state, runs[0].attempts), (RunState::TimedOut, 2));
    assert_eq!(
        runs[0].message.as_deref(),
        Some("took longer than its timeout of 20ms")
    );
    assert!(
        plant
            .lake
            .query("SELECT state FROM job_runs")
            .await
            .contains("timed_out")
    );
}

#[tokio::test]
async fn a_crash_loses_no_run_and_doubles_none() {
    let plant = Plant::new().await;
    let scheduler = plant.start(DAILY).await;
    plant.set(hour(6));
    scheduler.enqueue_due().await.unwrap();
    let claimed = scheduler.claim(&Default::default(), 1).await.unwrap();
    assert_eq!(claimed.len(), 1);
    drop(scheduler); // Power is lost before the attempt has done anything.
    let scheduler = plant.start(DAILY).await;
    let runs = plant.runs(DAILY, "day").await;
    assert_eq!((runs[0].state, runs[0].attempts), (RunState::Queued, 1));
    assert_eq!(scheduler.step().await.unwrap(), 1);
    let runs = plant.runs(DAILY, "day").await;
    assert_eq!(
        (runs.len(), runs[0].state, runs[0].attempts),
        (1, RunState::Succeeded, 2)
    );
    assert_eq!(plant.count("scores").await, (1, 1));
}

#[tokio::test]
async fn a_run_that_crashes_each_time_is_given_up() {
    let text = "job = [{ name = \"day\", kind = \"test\", schedule = \"0 6 * * *\", retries = 1 }]";
    let plant = Plant::new().await;
    for start in 0..2 {
        let scheduler = plant.start(text).await;
        plant.set(hour(6));
        scheduler.enqueue_due().await.unwrap();
        assert_eq!(
            scheduler.claim(&Default::default(), 1).await.unwrap().len(),
            1,
            "start {start}"
        );
    }
    let scheduler = plant.start(text).await;
    assert_eq!(scheduler.step().await.unwrap(), 0);
    assert_eq!(plant.runs(text, "day").await[0].state, RunState::Failed);
    assert_eq!(plant.count("job_runs").await, (1, 1));
}

#[tokio::test]
async fn jobs_run_after_others_and_not_after_their_failure() {
    let text = |deed: &str| {
        format!(
            "job = [{{ name = \"a\", kind = \"test\", schedule = \"0 6 * * *\", deed = \"{deed}\", retries = 0 }},
                {{ name = \"c\", kind = \"test\", after = [\"a\", \"b\"] }}, {{ name = \"b\", kind = \"test\", after = [\"a\"] }}]"
        )
    };
    let plant = Plant::new().await;
    let scheduler = plant.start(&text("score")).await;
    plant.set(hour(6));
    assert_eq!(scheduler.step().await.unwrap(), 3);
    let order: Vec<String> = plant
        .log
        .attempts()
        .into_iter()
        .map(|(job, _)| job)
        .collect();
    assert_eq!(order, ["a", "b", "c"]);
    drop(scheduler);
    let scheduler = plant.start(&text("refuse")).await;
    plant.set(hour(30));
    assert_eq!(scheduler.step().await.unwrap(), 1, "only a itself");
    let runs = plant.runs(&text("refuse"), "c").await;
    assert_eq!((runs[0].state, runs[0].attempts), (RunState::Failed, 0));
    assert_eq!(
        runs[0].message.as_deref(),
        Some("job a, which comes before it, has failed")
    );
    // A failure is of its day: the next goes on.
    drop(scheduler);
    let scheduler = plant.start(&text("score")).await;
    plant.set(hour(54));
    assert_eq!(scheduler.step().await.unwrap(), 3);
    assert_eq!(plant.count("job_runs").await.0, 9);
}

#[tokio::test]
async fn a_job_waits_while_the_one_before_it_is_tried_again() {
    let text = "job = [{ name = \"a\", kind = \"test\", schedule = \"0 6 * * *\", deed = \"fail\" }, { name = \"b\", kind = \"test\", after = [\"a\"] }]";
    let plant = Plant::new().await;
    let scheduler = plant.start(text).await;
    plant.log.failures_left.store(1, Ordering::SeqCst);
    plant.set(hour(6));
    assert_eq!(scheduler.step().await.unwrap(), 1);
    assert_eq!(plant.runs(text, "b").await[0].state, RunState::Queued);
    plant.set(hour(7));
    assert_eq!(scheduler.step().await.unwrap(), 2);
    assert_eq!(plant.runs(text, "b").await[0].state, RunState::Succeeded);
}

#[tokio::test]
async fn windows_fire_once_for_each_revision_that_a_job_cares_about() {
    let text = "job = [{ name = \"again\", kind = \"test\", on = \"window_closed\" },
        { name = \"once\", kind = \"test\", on = \"window_closed\", on_late = \"ignore\" },
        { name = \"behind\", kind = \"test\", after = [\"once\"] }]";
    let plant = Plant::new().await;
    let scheduler = plant.start(text).await;
    assert_eq!(scheduler.step().await.unwrap(), 0, "nothing has closed");
    plant.close(hour(1), 0, at(3600 + 5)).await;
    plant.set(at(3600 + 6));
    assert_eq!(scheduler.step().await.unwrap(), 3);
    assert_eq!(scheduler.step().await.unwrap(), 0);
    plant.close(hour(2), 0, at(2 * 3600 + 5)).await;
    plant.close(hour(1), 1, at(2 * 3600 + 6)).await;
    drop(scheduler);
    let scheduler = plant.start(text).await;
    plant.set(at(2 * 3600 + 7));
    scheduler.step().await.unwrap();
    let key =
        |start: &str, revision: i32| format!("window/plant/2026-01-01T{start}:00:00Z/{revision}");
    assert_eq!(
        plant.log.of("again"),
        [key("00", 0), key("00", 1), key("01", 0)]
    );
    assert_eq!(plant.log.of("once"), [key("00", 0), key("01", 0)]);
    // It follows the window as it first was, and the amended one too.
    assert_eq!(
        plant.log.of("behind"),
        [key("00", 0), key("00", 1), key("01", 0)]
    );
    assert_eq!(scheduler.step().await.unwrap(), 0);
}
