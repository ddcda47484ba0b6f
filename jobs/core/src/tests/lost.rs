//! A database that is new, lost or of an earlier release: what the lake says was run is not run again, what was not is caught
//! up with or named.

use super::*;

const ON_WINDOW: &str = "job = [{ name = \"w\", kind = \"test\", on = \"window_closed\" }]";

fn lose_database(plant: &Plant) {
    for entry in std::fs::read_dir(plant.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path
            .file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with("jobs.")
        {
            std::fs::remove_file(path).unwrap();
        }
    }
}

#[tokio::test]
async fn a_new_job_begins_with_the_newest_window_and_a_lost_database_repeats_nothing() {
    let plant = Plant::new().await;
    for n in 1..4 {
        plant.close(hour(n), 0, hour(n)).await;
    }
    plant.set(hour(4));
    let scheduler = plant.start(ON_WINDOW).await;
    assert_eq!(scheduler.step().await.unwrap(), 1);
    plant.close(hour(4), 0, hour(4)).await;
    assert_eq!(
        scheduler.step().await.unwrap(),
        1,
        "what was left out stays out"
    );
    drop(scheduler);
    lose_database(&plant);
    let scheduler = plant.start(ON_WINDOW).await;
    assert_eq!(
        scheduler.step().await.unwrap(),
        0,
        "the lake tells what has been done, and what lies before it"
    );
    plant.close(hour(5), 0, hour(5)).await;
    assert_eq!(scheduler.step().await.unwrap(), 1);
    assert_eq!(
        plant.count("scores").await,
        (3, 3),
        "numbers go on above those in the lake"
    );
    assert_eq!(
        plant.runs(ON_WINDOW, "w").await.len(),
        3,
        "the runs before the loss are shown"
    );
}

#[tokio::test]
async fn a_lost_database_is_caught_up_with_from_the_runs_in_the_lake() {
    let text = "job = [{ name = \"w\", kind = \"test\", on = \"window_closed\" }, { name = \"day\", kind = \"test\",
        schedule = \"0 6 * * *\" }, { name = \"behind\", kind = \"test\", after = [\"w\"] }]";
    let plant = Plant::new().await;
    let scheduler = plant.start(text).await;
    plant.close(hour(1), 0, hour(1)).await;
    plant.set(hour(7));
    assert_eq!(scheduler.step().await.unwrap(), 3);
    plant.close(hour(2), 0, hour(7)).await;
    scheduler.enqueue_due().await.unwrap();
    let claimed = scheduler.claim(&Default::default(), 1).await.unwrap();
    assert_eq!(claimed[0].job.as_str(), "w");
    scheduler
        .attempt(claimed.into_iter().next().unwrap())
        .await
        .unwrap();
    drop(scheduler);
    lose_database(&plant);
    for n in 3..6 {
        plant.close(hour(n), 0, hour(24 + n)).await;
    }
    plant.close(hour(1), 1, hour(30)).await;
    plant.set(hour(24 + 7));
    let scheduler = plant.start(text).await;
    // Windows three to five and the amended one, each with the job behind; the second one's too; the day's.
    assert_eq!(scheduler.step().await.unwrap(), 2 * 4 + 1 + 1);
    assert_eq!(scheduler.step().await.unwrap(), 0);
    assert_eq!(plant.count("scores").await, (14, 14));
    let failed = plant
        .lake
        .query("SELECT count(*) AS n FROM job_runs WHERE state <> 'succeeded'")
        .await;
    assert!(
        failed.contains("| 0 |"),
        "a job finds the run that it comes after: {failed}"
    );
}

#[tokio::test]
async fn runs_for_warnings_and_events_are_put_back_and_what_was_missed_is_run() {
    let text =
        "job = [{ name = \"e\", kind = \"test\", schedule = \"0 6 * * *\", deed = \"event\" },
        { name = \"on-event\", kind = \"test\", on = { event = \"leak\" } }]";
    let plant = Plant::new().await;
    let scheduler = plant.start(text).await;
    for day in 0..3 {
        plant.set(hour(24 * day + 7));
        while scheduler.step().await.unwrap() > 0 {}
    }
    assert_eq!(plant.log.of("on-event").len(), 3);
    drop(scheduler);
    // A leak that nobody ran for.
    let alone =
        "job = [{ name = \"e\", kind = \"test\", schedule = \"0 6 * * *\", deed = \"event\" }]";
    plant.set(hour(24 * 3 + 7));
    plant.start(alone).await.step().await.unwrap();
    lose_database(&plant);
    plant.set(hour(24 * 3 + 9));
    let scheduler = plant.start(text).await;
    while scheduler.step().await.unwrap() > 0 {}
    let runs = plant.log.of("on-event");
    assert_eq!(
        runs.len(),
        4,
        "the fourth leak, and no other again: {runs:?}"
    );
    assert_eq!(plant.runs(text, "on-event").await.len(), 4);
}

#[tokio::test]
async fn windows_that_are_not_caught_up_with_are_counted() {
    let plant = Plant::new().await;
    let progress = Arc::new(JobProgress::default());
    let scheduler = plant.start(ON_WINDOW).await.counting(progress.clone());
    let skipped = |windows| vec![(JobName::new("w").unwrap(), windows)];
    plant.close(hour(1), 0, hour(1)).await;
    plant.set(hour(1));
    scheduler.step().await.unwrap();
    assert_eq!(progress.windows_skipped(), skipped(0));
    let waiting: Vec<Window> = (2..172).map(|n| testing::window(hour(n), HOUR)).collect();
    plant.lake.close_all(&waiting, hour(172), None).await;
    plant.set(hour(172));
    assert_eq!(scheduler.enqueue_due().await.unwrap(), 168);
    assert_eq!(progress.windows_skipped(), skipped(2));
    plant.close(hour(172), 0, hour(172)).await;
    assert_eq!(
        scheduler.enqueue_due().await.unwrap(),
        1,
        "what was skipped is not looked at again"
    );
    assert_eq!(progress.windows_skipped(), skipped(2));
    plant.close(hour(2), 1, hour(173)).await;
    assert_eq!(
        scheduler.enqueue_due().await.unwrap(),
        1,
        "unless it is amended"
    );
}

#[tokio::test]
async fn a_database_of_an_earlier_release_goes_on() {
    let plant = Plant::new().await;
    for n in 1..4 {
        plant.close(hour(n), 0, hour(n)).await;
    }
    plant.set(hour(4));
    let scheduler = plant.start(ON_WINDOW).await;
    assert_eq!(scheduler.step().await.unwrap(), 1);
    drop(scheduler);
    let url = format!("sqlite://{}", plant.database().display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    for statement in [
        "ALTER TABLE runs DROP COLUMN track",
        "ALTER TABLE runs DROP COLUMN cancel",
        "DROP TABLE backfills",
        "DROP TABLE left_out",
        "PRAGMA user_version = 1",
    ] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    pool.close().await;
    let scheduler = plant.start(ON_WINDOW).await;
    plant.close(hour(4), 0, hour(4)).await;
    assert_eq!(scheduler.step().await.unwrap(), 1);
}
