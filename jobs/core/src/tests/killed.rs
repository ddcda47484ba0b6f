//! Two schedulers on one store, killed again and again: each fire is run once.

use super::{
    mortal::{Chance, Mortal},
    *,
};

/// Windows that close, each one fire.
const FIRES: i64 = 200;

const ON_WINDOW: &str =
    "job = [{ name = \"w\", kind = \"test\", on = \"window_closed\", retries = 1000 }]";

/// One life of one scheduler: it takes over if nobody runs the jobs, and does what there is to do.
async fn live(plant: &Plant, polls: usize) -> Option<usize> {
    let path = plant.database();
    let life = async {
        let opened = Scheduler::open(
            plant.jobs(ON_WINDOW),
            plant.lake.writer.clone(),
            &path,
            plant.clock(),
        );
        opened.await?.step().await
    };
    match Mortal::new(life, polls).await {
        Some(Ok(attempts)) => Some(attempts),
        // The other one runs them, or it is dead; what it had begun on disk may have come to its end behind it.
        Some(Err(SchedulerError::Held { .. } | SchedulerError::Lake(_))) | None => None,
        Some(Err(error)) => panic!("{error}"),
    }
}

#[tokio::test]
async fn two_schedulers_that_are_killed_at_random_run_each_fire_once() {
    let plant = Plant::new().await;
    // It begins with a window before them, so that all others are due.
    plant.close(hour(1), 0, hour(1)).await;
    plant.set(hour(1));
    live(&plant, usize::MAX).await.unwrap();
    let mut chance = Chance(20_261_129);
    let mut deaths = 0;
    let mut lives = 0;
    let mut closed = 1;
    while closed < FIRES {
        let windows: Vec<Window> = (closed + 1..=closed + 20)
            .map(|end| testing::window(hour(end), HOUR))
            .collect();
        closed += 20;
        plant.set(hour(closed));
        plant.lake.close_all(&windows, hour(closed), None).await;
        loop {
            // A run that a death has cut short waits a while before it is made again.
            plant.set(plus_minutes(&plant, 2));
            let one = live(&plant, 200 + chance.below(1200));
            let other = live(&plant, 200 + chance.below(1200));
            let ended = tokio::join!(one, other);
            lives += 1;
            match ended {
                // What a dead one had begun in the database may have come to its end behind this one's back.
                (Some(0), _) | (_, Some(0)) if plant.runs_recorded().await == closed => break,
                (None, None) => deaths += 1,
                _ => {}
            }
            assert!(lives < 1000, "no life comes further than the one before it");
        }
    }
    assert!(deaths > 3, "{deaths} deaths");
    let fires = usize::try_from(closed).unwrap();
    assert_eq!(plant.count("scores").await, (fires, fires));
    assert_eq!(plant.count("job_runs").await, (fires, fires));
    let times = "SELECT count(DISTINCT event_time) AS n FROM scores";
    let times = plant.lake.query(times).await;
    assert!(times.contains(&format!("| {fires} |")), "{times}");
}

fn plus_minutes(plant: &Plant, minutes: i64) -> Timestamp {
    let now = plant.now.load(Ordering::SeqCst);
    Timestamp::from_nanos(now + minutes * 60_000_000_000)
}
