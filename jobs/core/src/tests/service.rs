use tokio_util::sync::CancellationToken;

use super::*;

/// Long enough for a slow machine, and never waited for when all is well.
const PATIENCE: Duration = Duration::from_secs(60);

const HOURLY: &str =
    "job = [{ name = \"h\", kind = \"test\", schedule = \"0 * * * *\", deed = \"panic\" }]";

#[tokio::test]
async fn the_service_runs_what_is_due_survives_a_panic_and_stops() {
    let plant = Plant::new().await;
    plant.log.failures_left.store(1, Ordering::SeqCst);
    let stop = CancellationToken::new();
    let (lake, path, clock) = (plant.lake.writer.clone(), plant.database(), plant.clock());
    let (jobs, progress, stopped) = (
        plant.jobs(HOURLY),
        Arc::new(JobProgress::default()),
        stop.clone(),
    );
    let counted = progress.clone();
    let service =
        tokio::spawn(async move { run(jobs, lake, &path, clock, counted, stopped).await });
    let done = tokio::time::timeout(PATIENCE, async {
        let mut now = 0;
        while plant.count("job_runs").await.0 == 0 {
            // Each look moves the clock on: first to the job's time, then past the wait after its panic.
            now += 600;
            plant.set(at(now.min(3600 + 1800)));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let beside = run_now(
            plant.jobs(HOURLY),
            plant.lake.writer.clone(),
            &plant.database(),
            plant.clock(),
            "h",
            None,
        )
        .await;
        assert_eq!(
            beside.unwrap()[0].state,
            RunState::Succeeded,
            "the service runs it in our stead"
        );
        let second = Scheduler::open(
            plant.jobs(HOURLY),
            plant.lake.writer.clone(),
            &plant.database(),
            plant.clock(),
        )
        .await;
        let held = second.map(drop).unwrap_err().to_string();
        assert!(
            held.starts_with(&format!(
                "jobs are run by process {}, which holds ",
                std::process::id()
            )),
            "{held}"
        );
        stop.cancel();
        service.await.unwrap().unwrap();
    });
    done.await.expect("the service runs its job and stops");
    let finished: Vec<_> = progress
        .finished()
        .into_iter()
        .map(|(_, state, runs)| (state, runs))
        .collect();
    assert_eq!(
        finished,
        [
            ("cancelled", 0),
            ("failed", 0),
            ("succeeded", 2),
            ("timed_out", 0)
        ],
        "a panic with a retry left ends no run"
    );
    let attempts = plant.log.of("h");
    assert_eq!(
        (attempts.len(), &attempts[0]),
        (3, &attempts[1]),
        "a panic, its second attempt, and the run by hand"
    );
    assert_eq!(plant.count("scores").await, (2, 2));
}

#[tokio::test]
async fn a_run_by_hand_is_over_the_newest_window_or_up_to_now() {
    let text = "job = [{ name = \"w\", kind = \"test\", on = \"window_closed\" }, { name = \"day\", kind = \"test\", schedule = \"0 6 * * *\" }]";
    let plant = Plant::new().await;
    let by_hand = |name: &'static str| {
        run_now(
            plant.jobs(text),
            plant.lake.writer.clone(),
            Box::leak(plant.database().into_boxed_path()),
            plant.clock(),
            name,
            None,
        )
    };
    let error = by_hand("w").await.unwrap_err().to_string();
    assert_eq!(
        error,
        "job w runs over closed windows, and none has closed yet"
    );
    assert_eq!(
        by_hand("dya").await.unwrap_err().to_string(),
        "there is no job \"dya\"; did you mean \"day\"?"
    );
    for n in 1..3 {
        plant.close(hour(n), 0, hour(n)).await;
    }
    plant.set(hour(3));
    let run = by_hand("w").await.unwrap().remove(0);
    assert_eq!(
        (run.state, run.fire_key.as_str()),
        (RunState::Succeeded, "manual/2026-01-01T03:00:00Z/plant")
    );
    assert_eq!(by_hand("day").await.unwrap()[0].state, RunState::Succeeded);
    let told = plant
        .lake
        .query("SELECT event_time FROM scores ORDER BY event_time")
        .await;
    assert!(
        told.contains("2026-01-01T02:00:00Z") && told.contains("2026-01-01T03:00:00Z"),
        "{told}"
    );
    let statuses = list(&plant.jobs(text), &plant.database(), &plant.clock())
        .await
        .unwrap();
    assert_eq!(statuses[1].next, Some(hour(6)));
    assert_eq!(
        (statuses[0].trigger.as_str(), statuses[0].runs.len()),
        ("window_closed", 1)
    );
}

#[tokio::test]
async fn a_database_of_a_later_release_is_refused() {
    let plant = Plant::new().await;
    drop(plant.start(HOURLY).await);
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(plant.database());
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    sqlx::query("PRAGMA user_version = 9")
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
    let error = Scheduler::open(
        plant.jobs(HOURLY),
        plant.lake.writer.clone(),
        &plant.database(),
        plant.clock(),
    )
    .await;
    assert!(
        error
            .map(drop)
            .unwrap_err()
            .to_string()
            .contains("has format 9, newer than 3")
    );
}
