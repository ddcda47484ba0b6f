//! The promises that every kind keeps.

use std::{collections::BTreeMap, sync::Arc};

use forebay_jobs::{Fire, Job, Results};
use forebay_lake::Transaction;
use forebay_schemas::{
    Timestamp,
    table::{MODELS, TABLES},
};
use ring::rand::SystemRandom;
use tempfile::TempDir;

use crate::{Case, SeriesReadings, TestLake, rows_of};

type Rows = BTreeMap<&'static str, Vec<String>>;

const DAY: i64 = 86_400_000_000_000;

/// Tries a kind: the same fire twice gives the same rows; what comes after a fire changes nothing; a run that is done again
/// after a crash gives the rows that are not stored yet as they were; missing data is not health.
///
/// # Panics
/// At the first promise that is broken.
pub async fn suite(case: &Case<'_>) {
    let job = case.job();
    let whole = Plant::of(case, None).await;
    let mut found = Vec::new();
    for fire in &case.fires {
        found.push(whole.run(job.as_ref(), fire).await);
    }
    assert!(
        found.iter().any(|results| results.rows() > 0),
        "{}: no fire of the case gives a row, so that it shows nothing",
        case.kind.name()
    );
    same_fire_twice(case, &whole, job.as_ref(), &found).await;
    nothing_after_the_cutoff(case, &whole, job.as_ref(), &found).await;
    a_crash_between_result_and_state(case, job.as_ref(), &found).await;
    missing_data_is_not_health(case, job.as_ref()).await;
}

/// A lake with a case's readings.
struct Plant {
    lake: TestLake,
    _folder: TempDir,
}

impl Plant {
    /// With `moved`, all readings from that instant on are other ones at other times, but for what is known ahead.
    async fn of(case: &Case<'_>, moved: Option<Timestamp>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let lake = TestLake::open(folder.path(), Arc::new(SystemRandom::new())).await;
        for series in &case.readings {
            let moved = moved.filter(|_| !case.is_known_ahead(series));
            let readings: Vec<(Timestamp, f64)> = series
                .readings
                .iter()
                .map(|reading| match moved {
                    Some(from) if reading.0 >= from => another(*reading),
                    _ => *reading,
                })
                .collect();
            lake.put_readings(&series.device, &series.tag, &readings)
                .await;
        }
        Self {
            lake,
            _folder: folder,
        }
    }

    async fn run(&self, job: &dyn Job, fire: &Fire) -> Results {
        let context = self.lake.context_of("job", fire.clone());
        match job.run(&context).await {
            Ok(outcome) => outcome.results,
            Err(error) => panic!("the run of {} failed: {error}", fire.key),
        }
    }

    /// The bytes of the models that a run has trained.
    async fn models(&self, results: &Results) -> Vec<Vec<u8>> {
        let mut models = Vec::new();
        for name in results
            .models
            .iter()
            .filter_map(|model| model.object.as_ref())
        {
            let kept = self.lake.writer.kept_object(&MODELS, name).await;
            models.push(kept.expect("a trained model is kept"));
        }
        models
    }

    /// Appends the rows of these tables, as a run does.
    async fn store(&self, results: &Results, number: i64, tables: &[&str]) {
        let writer = &self.lake.writer;
        for (table, rows) in results.batches("job", "run").expect("rows fit their table") {
            if !tables.contains(&table.name) {
                continue;
            }
            let app_id = writer.keeper().app_id(&format!("suite/{}", table.name), 0);
            let snapshot = writer.table(table).expect("a table").snapshot().await;
            let from_state = snapshot.expect("a snapshot").state_of(&app_id).await;
            let transaction = Transaction {
                app_id,
                from_state: from_state.expect("a state"),
                to_state: number,
            };
            let stored = writer.append(table, rows, transaction, Timestamp::from_nanos(DAY));
            stored.await.expect("rows are stored");
        }
    }
}

/// Another value, a little later.
fn another((at, value): (Timestamp, f64)) -> (Timestamp, f64) {
    (
        Timestamp::from_nanos(at.nanos() + 7_000_000),
        3.0 * value + 1_000.0,
    )
}

async fn same_fire_twice(case: &Case<'_>, whole: &Plant, job: &dyn Job, found: &[Results]) {
    for (fire, first) in case.fires.iter().zip(found) {
        let again = whole.run(job, fire).await;
        assert_same("twice", fire, &rows_of(first), &rows_of(&again));
    }
}

async fn nothing_after_the_cutoff(
    case: &Case<'_>,
    whole: &Plant,
    job: &dyn Job,
    found: &[Results],
) {
    for (fire, results) in case.fires.iter().zip(found) {
        let moved = Plant::of(case, Some(fire.cutoff())).await;
        let unmoved = moved.run(job, fire).await;
        let what = "with all later readings moved";
        let expected = without_ids(rows_of(results));
        assert_same(what, fire, &expected, &without_ids(rows_of(&unmoved)));
        assert_eq!(
            whole.models(results).await,
            moved.models(&unmoved).await,
            "the run of {} {what} trains other models",
            fire.key
        );
    }
}

/// Rows without the ids of warnings, events and models' objects, which a secret of the lake makes: two lakes give one thing
/// two ids.
fn without_ids(mut rows: Rows) -> Rows {
    let is_id = |cell: &&str| {
        ["alert_id=", "event_id=", "object="]
            .iter()
            .any(|id| cell.starts_with(id))
    };
    for texts in rows.values_mut() {
        for row in &mut *texts {
            let cells: Vec<&str> = row.split(' ').filter(|cell| !is_id(cell)).collect();
            *row = cells.join(" ");
        }
        texts.sort();
    }
    rows
}

/// Power is lost after some tables have a run's rows and before the run is noted as done.
async fn a_crash_between_result_and_state(case: &Case<'_>, job: &dyn Job, found: &[Results]) {
    let Some(at) = found.iter().rposition(|results| results.rows() > 0) else {
        return;
    };
    let (fire, results) = (&case.fires[at], &found[at]);
    let rows = without_ids(rows_of(results));
    let names: Vec<&str> = TABLES.iter().map(|table| table.name).collect();
    let written = results.batches("job", "run").expect("rows fit their table");
    let plant = Plant::of(case, None).await;
    for (n, (table, _)) in (1..).zip(&written) {
        plant.store(results, n, &[table.name]).await;
        let again = without_ids(rows_of(&plant.run(job, fire).await));
        let stored: Vec<&str> = written[..n as usize].iter().map(|(t, _)| t.name).collect();
        // What is stored is not stored again, whatever the run says of it; the rest must be as it was.
        let rest = names.iter().filter(|name| !stored.contains(name));
        for name in rest {
            assert_eq!(
                again.get(name),
                rows.get(name),
                "the rows of {name} for {} after a crash that left those of {stored:?}",
                fire.key
            );
        }
    }
}

async fn missing_data_is_not_health(case: &Case<'_>, job: &dyn Job) {
    let plant = Plant::of(case, None).await;
    for (number, fire) in (1..).zip(&case.fires) {
        let results = plant.run(job, fire).await;
        let all: Vec<&str> = TABLES.iter().map(|table| table.name).collect();
        plant.store(&results, number, &all).await;
    }
    let newest = |series: &SeriesReadings| series.readings.iter().map(|(at, _)| *at).max();
    let last = case.readings.iter().filter_map(newest).max();
    let last = last.expect("a case has readings");
    let fire = &case.after_silence;
    assert!(last < fire.due, "the last reading lies before the silence");
    let silent = plant.run(job, fire).await;
    for alert in &silent.alerts {
        let state = alert.state.name();
        assert_ne!(
            state, "resolved",
            "a warning ended without data: {}",
            alert.reason
        );
    }
    for score in &silent.scores {
        assert!(
            score.anomalous || score.event_time <= last,
            "{} is called sound at {} µs, when it was silent",
            score.device,
            score.event_time.micros()
        );
    }
}

fn assert_same(what: &str, fire: &Fire, expected: &Rows, found: &Rows) {
    assert_eq!(
        expected, found,
        "the run of {} {what} gives other rows",
        fire.key
    );
}
