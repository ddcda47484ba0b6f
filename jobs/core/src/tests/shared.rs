//! What the fires of a back-fill share, and which jobs they wait for.

use super::{
    backfill::{fill, range},
    *,
};

/// Not a whole number of hours, so that fires cut steps.
const STEP: Duration = Duration::from_secs(3000);
const BACK: i64 = 6 * 3600;

/// Scores the sum of the means of steps, of each series that there is.
pub(super) async fn means(context: &RunContext) -> Result<Outcome, JobError> {
    let pattern = SeriesPattern {
        devices: vec!["pump-*".into()],
        tags: vec!["gs".into()],
    };
    let from = Timestamp::from_nanos(context.cutoff().nanos() - BACK * 1_000_000_000);
    let series = context.buckets(&pattern, from, STEP).await?;
    // A second question within a fire.
    let last = context.buckets(&pattern, context.cutoff(), STEP).await?;
    let sum = |series: &std::collections::BTreeMap<SeriesKey, Vec<Bucket>>| -> f64 {
        series.values().flatten().map(|bucket| bucket.mean).sum()
    };
    let mut results = score(context.cutoff());
    results.scores[0].score = sum(&series) + 1000.0 * sum(&last);
    Ok(Outcome {
        results,
        note: None,
    })
}

/// A reading each ten minutes: how many there were before.
fn readings(hours: i64) -> Vec<(Timestamp, f64)> {
    let reading = |n: i64| (at(n * 600), n as f64);
    (0..hours * 6).map(reading).collect()
}

/// The same as [`means`], from the readings.
fn expected(readings: &[(Timestamp, f64)], cutoff: Timestamp) -> f64 {
    let step = STEP.as_secs() as i64;
    let index = |at: Timestamp| at.nanos().div_euclid(1_000_000_000).div_euclid(step);
    let cutoff_index = index(cutoff);
    let first = index(Timestamp::from_nanos(cutoff.nanos() - BACK * 1_000_000_000));
    let mean = |wanted: i64| {
        let seen = readings
            .iter()
            .filter(|(at, _)| *at < cutoff && index(*at) == wanted);
        let values: Vec<f64> = seen.map(|(_, value)| *value).collect();
        values.iter().sum::<f64>() / values.len().max(1) as f64
    };
    let all: f64 = (first..=cutoff_index).map(mean).sum();
    all + 1000.0 * mean(cutoff_index)
}

#[tokio::test]
async fn steps_that_are_read_once_are_those_that_each_fire_would_read() {
    let text =
        "job = [{ name = \"m\", kind = \"test\", schedule = \"0 * * * *\", deed = \"means\" }]";
    let plant = Plant::new().await;
    let readings = readings(60);
    plant.lake.put_readings("pump-1", "gs", &readings).await;
    plant.lake.put_readings("press-1", "gs", &readings).await;
    plant.set(hour(100));
    let (report, told) = fill(&plant, text, &range("m", 3, 70)).await;
    assert_eq!((report.succeeded, &told.failed), (67, &vec![]));
    for n in 3..70 {
        let score = format!(
            "SELECT score FROM scores WHERE cast(event_time as bigint) = {}",
            hour(n).micros()
        );
        let found = plant.lake.query(&score).await;
        let wanted = format!("| {:?} ", expected(&readings, hour(n)));
        assert!(
            found.contains(&wanted),
            "at hour {n}: {found} instead of {wanted}"
        );
    }
}

const CHAIN: &str = "job = [{ name = \"a\", kind = \"test\", schedule = \"0 6 * * *\", deed = \"fail\", retries = 0 },
    { name = \"b\", kind = \"test\", schedule = \"0 8 * * *\", after = [\"a\"] }]";

#[tokio::test]
async fn a_fire_waits_for_the_jobs_before_it_and_is_held_back_where_they_have_not_succeeded() {
    let plant = Plant::new().await;
    plant.set(hour(10 * 24));
    let (report, told) = fill(&plant, CHAIN, &range("b", 0, 4 * 24)).await;
    assert_eq!(
        (report.succeeded, report.failed, report.held_back),
        (0, 0, 4)
    );
    assert_eq!(
        told.held_back[0],
        "2026-01-01T08:00:00Z: job a, which comes before it, has not run for it: back-fill a first"
    );
    assert_eq!(plant.count("job_runs").await, (0, 0), "it has no run");
    // The first day fails, the second and third succeed, the fourth has no run.
    plant.log.failures_left.store(1, Ordering::SeqCst);
    fill(&plant, CHAIN, &range("a", 0, 3 * 24)).await;
    let (report, told) = fill(&plant, CHAIN, &range("b", 0, 4 * 24)).await;
    assert_eq!(
        (report.succeeded, report.failed, report.held_back),
        (2, 0, 2)
    );
    let first = "2026-01-01T08:00:00Z: job a, which comes before it, has failed";
    assert_eq!(told.held_back[0], first);
    fill(&plant, CHAIN, &range("a", 0, 4 * 24)).await;
    let (report, told) = fill(&plant, CHAIN, &range("b", 0, 4 * 24)).await;
    assert_eq!(
        (report.succeeded, told.done_before, report.held_back),
        (2, 2, 0)
    );
}

#[tokio::test]
async fn a_run_before_it_that_is_under_way_is_waited_for() {
    let text = "job = [{ name = \"a\", kind = \"test\", on = \"window_closed\" },
        { name = \"b\", kind = \"test\", after = [\"a\"] }]";
    let plant = Plant::new().await;
    plant.close(hour(1), 0, hour(1)).await;
    plant.set(hour(2));
    let scheduler = plant.start(text).await;
    scheduler.enqueue_due().await.unwrap();
    let claimed = scheduler.claim(&Default::default(), 1).await.unwrap();
    let run = claimed.into_iter().next().unwrap();
    assert_eq!(run.job.as_str(), "a");
    // The scheduler has queued b too, which is left to it: this is another process's view of a window that b lacks.
    let ended = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        scheduler.attempt(run).await.unwrap();
    };
    let spec = range("b", 0, 2);
    let cancelled = cancel_queued(&plant, "b").await;
    assert_eq!(cancelled, 1);
    let ((report, _), ()) = tokio::join!(fill(&plant, text, &spec), ended);
    assert_eq!((report.succeeded, report.held_back), (1, 0));
}

/// Ends what the scheduler has queued of a job, so that a back-fill may take it.
async fn cancel_queued(plant: &Plant, job: &str) -> u64 {
    let url = format!("sqlite://{}", plant.database().display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    let ended = "UPDATE runs SET state = 'cancelled', recorded = 1, finished = due WHERE job = ? AND state = 'queued'";
    let done = sqlx::query(ended).bind(job).execute(&pool).await.unwrap();
    pool.close().await;
    done.rows_affected()
}
