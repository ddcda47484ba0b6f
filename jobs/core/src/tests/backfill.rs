//! Fires of times that have passed, run as of those times.

use super::{
    mortal::{Chance, Mortal},
    *,
};

const DAILY: &str = "job = [{ name = \"day\", kind = \"test\", schedule = \"0 6 * * *\" }]";
const COUNTING: &str =
    "job = [{ name = \"day\", kind = \"test\", schedule = \"0 6 * * *\", deed = \"count\" }]";

/// What a back-fill told.
#[derive(Default)]
pub(super) struct Told {
    pub(super) total: usize,
    pub(super) done_before: usize,
    pub(super) rows: usize,
    pub(super) failed: Vec<String>,
    pub(super) held_back: Vec<String>,
}

impl BackfillWatch for Told {
    fn begins(&mut self, total: usize, done_before: usize) {
        (self.total, self.done_before) = (total, done_before);
    }

    fn ran(&mut self, _: &Fire, results: &Results, _: usize) {
        self.rows += results.rows();
    }

    fn failed(&mut self, fire: &Fire, why: &str) {
        self.failed.push(format!("{}: {why}", fire.key));
    }

    fn held_back(&mut self, fire: &Fire, why: &str) {
        self.held_back.push(format!("{}: {why}", fire.key));
    }
}

pub(super) fn range(name: &str, from: i64, to: i64) -> BackfillSpec {
    BackfillSpec {
        name: name.into(),
        start: BackfillStart::At(hour(from)),
        to: Some(hour(to)),
        sink: Sink::Lake,
    }
}

pub(super) async fn fill(plant: &Plant, text: &str, spec: &BackfillSpec) -> (BackfillReport, Told) {
    let mut told = Told::default();
    let path = plant.database();
    let (jobs, lake) = (plant.jobs(text), plant.lake.writer.clone());
    let report = backfill(jobs, lake, &path, plant.clock(), spec, &mut told);
    (report.await.unwrap(), told)
}

#[tokio::test]
async fn each_fire_runs_once_as_of_its_own_time_and_a_repetition_adds_nothing() {
    let plant = Plant::new().await;
    plant.set(hour(20 * 24));
    let (report, told) = fill(&plant, DAILY, &range("day", 6, 10 * 24 + 6)).await;
    assert_eq!((report.succeeded, report.failed, report.rows), (10, 0, 10));
    assert_eq!((told.total, told.done_before, told.rows), (10, 0, 10));
    let times = "SELECT min(event_time) AS a, max(event_time) AS z, count(DISTINCT event_time) AS n FROM scores";
    let found = plant.lake.query(times).await;
    let expected = "| 2026-01-01T06:00:00Z | 2026-01-10T06:00:00Z | 10 |";
    assert!(found.contains(expected), "{found}");
    // More of the range, and what the scheduler runs beside it.
    let scheduler = plant.start(DAILY).await;
    plant.set(hour(20 * 24 + 7));
    assert_eq!(scheduler.step().await.unwrap(), 1);
    let (report, told) = fill(&plant, DAILY, &range("day", 0, 30 * 24)).await;
    assert_eq!(
        (report.succeeded, told.done_before),
        (10, 11),
        "days 11 to 20; the scheduler's day 21 and the first ten have run"
    );
    assert_eq!(plant.count("scores").await, (21, 21));
    assert_eq!(plant.count("job_runs").await, (21, 21));
}

#[tokio::test]
async fn what_a_fire_finds_depends_neither_on_batches_nor_on_kills() {
    let plant = Plant::new().await;
    plant.set(hour(40 * 24));
    let spec = range("day", 0, 30 * 24);
    let mut chance = Chance(7);
    let mut deaths = 0;
    loop {
        let mut told = Told::default();
        let (path, clock) = (plant.database(), plant.clock());
        let (jobs, lake) = (plant.jobs(COUNTING), plant.lake.writer.clone());
        let life = backfill(jobs, lake, &path, clock, &spec, &mut told);
        match Mortal::new(life, 20 + chance.below(160)).await {
            Some(Ok(report)) => {
                assert_eq!((report.failed, told.failed), (0, vec![]));
                // What a dead one had begun in the database may have come to its end behind this one's back.
                if plant.runs_recorded().await == 30 {
                    break;
                }
            }
            // What a dead one had begun on disk came to its end, as if two had run: refused, and right the next time.
            Some(Err(SchedulerError::Lake(_))) | None => deaths += 1,
            Some(Err(error)) => panic!("{error}"),
        }
        assert!(deaths < 200, "no life comes further than the one before it");
    }
    assert!(deaths > 3, "{deaths} deaths");
    assert_eq!(plant.count("scores").await, (30, 30));
    assert_eq!(plant.count("job_runs").await, (30, 30));
    let wrong = plant
        .lake
        .query(
            "SELECT count(*) AS n FROM (SELECT score, row_number() OVER (ORDER BY event_time) - 1 AS before FROM scores)
             WHERE score <> before",
        )
        .await;
    assert!(
        wrong.contains("| 0 |"),
        "each fire sees the scores of all fires before it"
    );
}

/// The database as a kill leaves it between noting a batch and writing it.
#[tokio::test]
async fn a_batch_that_a_kill_has_left_noted_is_made_again_but_for_what_failed() {
    let plant = Plant::new().await;
    plant.set(hour(10 * 24));
    drop(plant.start(DAILY).await);
    let store = crate::store::Store::open(&plant.database()).await.unwrap();
    let job = JobName::new("day").unwrap();
    let first = store.reserve(&job, 3).await.unwrap();
    let run = |n: i64, state, message: Option<&str>| crate::store::Run {
        job: job.clone(),
        number: crate::outbox::RunNumber(first + n),
        track: crate::outbox::Track::Backfill,
        kind: "test".into(),
        fire: Fire::cron(hour(n * 24 + 6)),
        state,
        attempt: 1,
        not_before: hour(240),
        started: Some(hour(240)),
        finished: Some(hour(240)),
        rows: None,
        message: message.map(str::to_owned),
        is_cancelled: false,
    };
    let noted = vec![
        run(0, RunState::Succeeded, None),
        run(1, RunState::Failed, Some("wet")),
        run(2, RunState::Succeeded, None),
    ];
    assert_eq!(store.note_batch(noted).await.unwrap().len(), 3);
    let (report, told) = fill(&plant, DAILY, &range("day", 0, 4 * 24)).await;
    assert_eq!(
        (report.succeeded, told.done_before),
        (2, 2),
        "two were made again before; the failed one and the last are left"
    );
    assert_eq!(plant.count("scores").await, (4, 4));
    let failed = "SELECT run_id, error FROM job_runs WHERE state = 'failed'";
    let failed = plant.lake.query(failed).await;
    assert!(failed.contains("day-backfill-2 | wet"), "{failed}");
}

#[tokio::test]
async fn windows_that_end_in_the_range_are_run_over_and_the_missing_ones_are_found() {
    let text = "job = [{ name = \"w\", kind = \"test\", on = \"window_closed\" }]";
    let plant = Plant::new().await;
    for end in 1..9 {
        plant.close(hour(end), 0, hour(end)).await;
    }
    plant.set(hour(9));
    let scheduler = plant.start(text).await;
    assert_eq!(
        scheduler.step().await.unwrap(),
        1,
        "a new job begins with the newest window"
    );
    let (report, _) = fill(&plant, text, &range("w", 2, 4)).await;
    assert_eq!(report.succeeded, 2, "those that end at 02:00 and 03:00");
    plant.close(hour(3), 1, hour(9)).await;
    let missing = BackfillSpec {
        start: BackfillStart::FirstRun,
        to: None,
        ..range("w", 0, 0)
    };
    let (report, told) = fill(&plant, text, &missing).await;
    assert_eq!(
        (report.succeeded, told.done_before),
        (5, 2),
        "an amended one, and those between the first and the last run"
    );
    assert_eq!(plant.count("scores").await, (8, 8));
}

#[tokio::test]
async fn fires_that_failed_are_run_again_and_the_others_are_left_alone() {
    let text = "job = [{ name = \"day\", kind = \"test\", schedule = \"0 6 * * *\", deed = \"fail\", retries = 0 }]";
    let plant = Plant::new().await;
    plant.set(hour(10 * 24));
    plant.log.failures_left.store(2, Ordering::SeqCst);
    let spec = range("day", 0, 6 * 24);
    let (report, told) = fill(&plant, text, &spec).await;
    assert_eq!((report.succeeded, report.failed), (4, 2));
    assert_eq!(
        told.failed[0],
        "2026-01-01T06:00:00Z: the pump is wet: water"
    );
    let (report, told) = fill(&plant, text, &spec).await;
    assert_eq!((report.succeeded, told.done_before), (2, 4));
    assert_eq!(plant.count("scores").await, (6, 6));
    let states = "SELECT state, count(*) AS n FROM job_runs GROUP BY state ORDER BY state";
    let states = plant.lake.query(states).await;
    assert!(
        states.contains("| failed    | 2 |") && states.contains("| succeeded | 6 |"),
        "{states}"
    );
}

#[tokio::test]
async fn a_warning_of_the_past_begins_at_the_fire_that_first_saw_it() {
    let text =
        "job = [{ name = \"day\", kind = \"test\", schedule = \"0 * * * *\", deed = \"warn\" }]";
    let plant = Plant::new().await;
    plant.set(hour(60 * 24));
    let (report, _) = fill(&plant, text, &range("day", 5, 20)).await;
    assert_eq!(report.succeeded, 15);
    let first = "SELECT count(DISTINCT alert_id) AS n, min(first_seen) AS a, max(last_seen) AS z FROM alerts";
    let first = plant.lake.query(first).await;
    let expected = "| 1 | 2026-01-01T05:00:00Z | 2026-01-01T19:00:00Z |";
    assert!(first.contains(expected), "{first}");
}

#[tokio::test]
async fn a_dry_run_writes_nothing_and_sees_what_it_has_found() {
    let plant = Plant::new().await;
    plant.set(hour(40 * 24));
    let spec = BackfillSpec {
        sink: Sink::Caller,
        ..range("day", 0, 9 * 24)
    };
    let (report, told) = fill(&plant, COUNTING, &spec).await;
    assert_eq!((report.succeeded, told.rows), (9, 9));
    assert_eq!(plant.count("scores").await, (0, 0));
    assert!(!plant.database().exists(), "no database is made");
    let (jobs, lake) = (plant.jobs(COUNTING), plant.lake.writer.clone());
    let found = run_dry(jobs, lake, plant.clock(), "day", Some(hour(9)))
        .await
        .unwrap();
    assert_eq!(
        found[0].1.results.scores[0].event_time,
        hour(9),
        "as of the time that was asked for"
    );
}
