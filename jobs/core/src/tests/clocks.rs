//! Clocks that are ahead once, or set back: nothing waits for them to be right, and nothing runs twice.

use super::*;

const DAILY: &str = "job = [{ name = \"day\", kind = \"test\", schedule = \"0 6 * * *\" }]";
const ON_WINDOW: &str = "job = [{ name = \"w\", kind = \"test\", on = \"window_closed\" }]";

#[tokio::test]
async fn a_clock_that_was_days_ahead_keeps_no_time_of_a_schedule_from_its_run() {
    let plant = Plant::new().await;
    let mut scheduler = plant.start(DAILY).await;
    // Each day at seven, and how many runs it brings; the clock is four days ahead once.
    for (day, runs, why) in [
        (0, 1, "its first day"),
        (4, 1, "ahead"),
        (1, 1, "right again"),
        (1, 0, "the same day"),
        (0, 0, "set back to a day that was run"),
        (2, 1, "the next day"),
        (3, 1, "the day after"),
        (4, 0, "the day that was run ahead"),
        (5, 1, "all has been caught up with"),
    ] {
        drop(scheduler);
        plant.set(hour(day * 24 + 5));
        scheduler = plant.start(DAILY).await;
        plant.set(hour(day * 24 + 7));
        assert_eq!(scheduler.step().await.unwrap(), runs, "day {day}: {why}");
    }
    assert_eq!(plant.count("scores").await, (6, 6));
}

#[tokio::test]
async fn a_job_that_was_registered_by_a_clock_ahead_runs_at_the_next_time() {
    let plant = Plant::new().await;
    plant.set(hour(400 * 24));
    drop(plant.start(DAILY).await);
    plant.set(hour(1));
    let scheduler = plant.start(DAILY).await;
    assert_eq!(
        scheduler.step().await.unwrap(),
        0,
        "no time has come since it is there"
    );
    plant.set(hour(7));
    assert_eq!(scheduler.step().await.unwrap(), 1);
}

#[tokio::test]
async fn a_clock_that_was_a_day_ahead_keeps_no_window_from_its_run() {
    let plant = Plant::new().await;
    let mut scheduler = plant.start(ON_WINDOW).await;
    let mut closed = 0;
    // By the clock: the windows that close, by the hour of their end, and how many runs they bring.
    let story: [(i64, &[i64], usize); 11] = [
        (1, &[1], 1),
        (25, &[2, 25], 2),
        (26, &[26], 1),
        // The clock is right again.
        (3, &[3], 1),
        (4, &[4], 1),
        // The hours that were run ahead come, and others between and after them.
        (23, &[23], 1),
        (24, &[24], 1),
        (25, &[], 0),
        (26, &[], 0),
        (27, &[27], 1),
        (28, &[28], 1),
    ];
    for (now, ends, runs) in story {
        drop(scheduler);
        plant.set(hour(now));
        scheduler = plant.start(ON_WINDOW).await;
        for end in ends {
            plant.close(hour(*end), 0, hour(now)).await;
        }
        assert_eq!(scheduler.step().await.unwrap(), runs, "at {now}");
        assert_eq!(
            scheduler.step().await.unwrap(),
            0,
            "at {now}, nothing twice"
        );
        closed += ends.len();
    }
    assert_eq!(plant.count("scores").await, (closed, closed));
}

/// It reads and closes while nobody runs jobs; then the clock is right.
#[tokio::test]
async fn windows_that_a_clock_ahead_has_closed_are_run_over_at_once() {
    let plant = Plant::new().await;
    let scheduler = plant.start(ON_WINDOW).await;
    plant.set(hour(2));
    assert_eq!(scheduler.step().await.unwrap(), 0);
    plant.close(hour(2), 0, hour(50)).await;
    plant.close(hour(50), 0, hour(50)).await;
    assert_eq!(scheduler.step().await.unwrap(), 2);
    plant.close(hour(3), 0, hour(3)).await;
    plant.close(hour(2), 1, hour(3)).await;
    assert_eq!(
        scheduler.step().await.unwrap(),
        2,
        "one that has closed, and one that was amended"
    );
}

#[tokio::test]
async fn an_attempt_that_a_clock_ahead_has_put_off_is_made_at_once() {
    let text = "job = [{ name = \"day\", kind = \"test\", schedule = \"0 6 * * *\", deed = \"fail\", retries = 2 }]";
    let plant = Plant::new().await;
    let scheduler = plant.start(text).await;
    plant.log.failures_left.store(1, Ordering::SeqCst);
    plant.set(hour(24 + 7));
    assert_eq!(scheduler.step().await.unwrap(), 1);
    plant.set(hour(7));
    assert_eq!(
        scheduler.step().await.unwrap(),
        2,
        "the one that was put off, and today's"
    );
}

/// A year and more ahead, the runs of today look as if they had ended long ago.
#[tokio::test]
async fn what_a_clock_ahead_has_forgotten_is_not_run_again() {
    let text = format!("{DAILY}\n").replace(
        "}]",
        "}, { name = \"w\", kind = \"test\", on = \"window_closed\" }]",
    );
    let plant = Plant::new().await;
    assert_eq!(plant.start(&text).await.step().await.unwrap(), 0);
    plant.set(hour(7));
    for end in 5..8 {
        plant.close(hour(end), 0, hour(7)).await;
    }
    let scheduler = plant.start(&text).await;
    assert_eq!(scheduler.step().await.unwrap(), 4);
    drop(scheduler);
    plant.set(hour(500 * 24));
    let scheduler = plant.start(&text).await;
    plant.close(hour(500 * 24), 0, hour(500 * 24)).await;
    assert_eq!(scheduler.step().await.unwrap(), 2);
    drop(scheduler);
    plant.set(hour(501 * 24));
    plant.start(&text).await.step().await.unwrap();
    plant.set(hour(8));
    let scheduler = plant.start(&text).await;
    assert_eq!(scheduler.step().await.unwrap(), 0, "all of it was run");
    plant.close(hour(8), 0, hour(8)).await;
    assert_eq!(scheduler.step().await.unwrap(), 1);
}
