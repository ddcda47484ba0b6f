use std::{path::Path, sync::Arc, time::Duration};

use forebay_config::Document;
use forebay_jobs::Fire;
use forebay_jobs_conformance::{Case, SeriesReadings, TestLake, suite, window};
use forebay_schemas::{ErrorKind, Timestamp};
use ring::rand::SystemRandom;

use super::*;

const HOUR: i64 = 3_600;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_nanos((1_700_000_000 / HOUR * HOUR + seconds) * 1_000_000_000)
}

async fn lake(folder: &Path) -> TestLake {
    let lake = TestLake::open(folder, Arc::new(SystemRandom::new())).await;
    let hour: Vec<(Timestamp, f64)> = (0..120)
        .map(|minute| (at(minute * 60), minute as f64))
        .collect();
    lake.put_readings("pump", "rpm", &hour).await;
    lake
}

fn job(query: &str, into: Into) -> SqlJob {
    SqlJob {
        query: query.to_owned(),
        into,
    }
}

const SCORE: &str =
    "SELECT site, device, {window_end} AS event_time, avg(value) AS score, 50 AS limit, avg(value) > 50 AS anomalous
    FROM readings WHERE site = {site} AND event_time >= {window_start} GROUP BY site, device";

#[tokio::test]
async fn a_window_becomes_scores_and_sees_nothing_after_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path()).await;
    // The lake holds two hours; the run is about the first.
    let context = lake.window_context("mean", at(HOUR), Duration::from_secs(3600));
    let outcome = job(SCORE, Into::Scores).run(&context).await.unwrap();
    let scores = &outcome.results.scores;
    assert_eq!(scores.len(), 1);
    assert_eq!(
        (scores[0].score, scores[0].limit, scores[0].anomalous),
        (29.5, 50.0, false)
    );
    assert_eq!(
        (scores[0].event_time, scores[0].device.as_str()),
        (at(HOUR), "pump")
    );
    let later = lake.window_context("mean", at(2 * HOUR), Duration::from_secs(3600));
    assert_eq!(
        job(SCORE, Into::Scores)
            .run(&later)
            .await
            .unwrap()
            .results
            .scores[0]
            .score,
        89.5
    );
}

#[tokio::test]
async fn predictions_may_leave_their_bounds_out() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path()).await;
    let query =
        "SELECT site, device, tag, {now} AS issued_at, {now} + INTERVAL '1 hour' AS target_time, max(value) AS value,
        'last/1' AS model_version, {now} AS data_cutoff FROM readings GROUP BY site, device, tag";
    let outcome = job(query, Into::Predictions)
        .run(&lake.context("last", at(HOUR)))
        .await
        .unwrap();
    let [prediction] = outcome.results.predictions.as_slice() else {
        panic!("{outcome:?}")
    };
    assert_eq!(
        (prediction.value, prediction.lo, prediction.target_time),
        (59.0, None, at(2 * HOUR))
    );
}

#[tokio::test]
async fn what_does_not_fit_is_refused_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path()).await;
    let context = lake.context("wrong", at(HOUR));
    let columns = "site, device, event_time, value AS score, 1 AS limit";
    for (query, message) in [
        (
            format!("SELECT {columns} FROM readings"),
            "has no column \"anomalous\", which scores needs (true or false)",
        ),
        (
            format!("SELECT {columns}, 'no' AS anomalous FROM readings"),
            "column \"anomalous\" is Utf8, scores.anomalous is true or false",
        ),
        (
            format!("SELECT {columns}, true AS anomalous, 1 AS colour FROM readings"),
            "column \"colour\" is not one of scores's",
        ),
        (
            "SELECT nothing FROM readings".to_owned(),
            "does not fit the lake",
        ),
        (
            "SELECT * FROM quarantine".to_owned(),
            "does not fit the lake",
        ),
        ("DROP TABLE readings".to_owned(), "does not fit the lake"),
        (
            format!("SELECT {columns}, CAST(NULL AS boolean) AS anomalous FROM readings"),
            "has no anomalous, which scores needs",
        ),
        (SCORE.to_owned(), "asks for {window_end}"),
    ] {
        let error = job(&query, Into::Scores).run(&context).await.unwrap_err();
        assert!(
            error.to_string().contains(message) && error.kind() == ErrorKind::Reject,
            "{query}: {error}"
        );
    }
}

/// A query that meets a number that is none fails: whoever has to find the device must be told which.
#[tokio::test]
async fn a_row_that_lacks_something_is_named_by_its_key_columns() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path()).await;
    lake.put_readings("fan", "rpm", &[(at(60), f64::NAN)]).await;
    let context = lake.window_context("wrong", at(2 * HOUR), Duration::from_secs(7200));
    let scores = "SELECT site, device, event_time, value AS score, 1 AS limit, true AS anomalous FROM readings
        ORDER BY device DESC, event_time";
    let error = job(scores, Into::Scores)
        .run(&context)
        .await
        .unwrap_err()
        .to_string();
    let named = "row 121 of the query (site \"plant\", device \"fan\", event_time 2023-11-14T22:01:00Z) has NaN as score";
    assert!(error.contains(named), "{error}");
    let predictions = "SELECT site, device, tag, event_time AS issued_at, event_time AS target_time, value,
        CAST(NULL AS text) AS model_version, event_time AS data_cutoff FROM readings WHERE device = 'fan'";
    let error = job(predictions, Into::Predictions)
        .run(&context)
        .await
        .unwrap_err()
        .to_string();
    for part in [
        "device \"fan\", tag \"rpm\", target_time 2023-11-14T22:01:00Z",
        "has NaN as value",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    let unnamed = "SELECT site, '' AS device, event_time, 1 AS score, 1 AS limit, true AS anomalous FROM readings";
    let error = job(unnamed, Into::Scores)
        .run(&context)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("row 1 of the query (site \"plant\", device \"\", "),
        "{error}"
    );
}

#[test]
fn a_query_is_planned_when_it_is_configured() {
    let columns = "site, device, {window_end} AS event_time, value AS score, 1 AS limit";
    let scores = |query: &str| format!("query = \"SELECT {query}\"\ninto = \"scores\"");
    let fits = scores(&format!(
        "{columns}, value > 1 AS anomalous FROM readings WHERE site = {{site}}"
    ));
    let lacks = scores(&format!("{columns} FROM readings"));
    let typo = scores(&format!("{columns}, vaule > 1 AS anomalous FROM readings"));
    for (keys, message) in [
        (fits.as_str(), None),
        (
            &lacks,
            Some(
                "job.query: the query has no column \"anomalous\", which scores needs (true or false)",
            ),
        ),
        (
            &typo,
            Some("job.query: the query does not fit the lake: Schema error: No field named vaule"),
        ),
        (
            "query = \"DROP TABLE readings\"\ninto = \"scores\"",
            Some("the query does not fit the lake"),
        ),
        (
            "query = \"SELEC 1\"\ninto = \"scores\"",
            Some("1:9: job.query: "),
        ),
        (
            "query = \"SELECT 1; SELECT 2\"\ninto = \"scores\"",
            Some("job.query: 2 statements, one SELECT is expected"),
        ),
        (
            "query = \"SELECT 1\"\ninto = \"score\"",
            Some(
                "job.into: \"score\" is not one of \"scores\", \"predictions\"; did you mean \"scores\"?",
            ),
        ),
        (
            &format!("{fits}\nschedule = \"0 6 * * *\""),
            Some(
                "job.query: the query asks for {window_end}, and only on = \"window_closed\" gives a run a window",
            ),
        ),
        (
            &format!(
                "{}\nschedule = \"0 6 * * *\"",
                fits.replace("{window_end}", "{now}")
            ),
            Some(
                "job.query: the query asks for {site}, and only on = \"window_closed\" gives a run a window",
            ),
        ),
        (
            &fits.replace("{window_end}", "{window_ende}"),
            Some("job.query: {window_ende} is not a parameter: "),
        ),
        ("query = \"SELECT 1\"", Some("into is missing")),
        ("into = \"scores\"", Some("query is missing")),
        (
            "query_file = \"nowhere.sql\"\ninto = \"scores\"",
            Some("cannot read nowhere.sql"),
        ),
        (
            "query = \"SELECT 1\"\nquery_file = \"a.sql\"\ninto = \"scores\"",
            Some("not both"),
        ),
    ] {
        let text = format!("job = {{ {} }}", keys.replace('\n', ", "));
        let nothing = |_: &str| None;
        let read = Document::new(Path::new("f.toml"), &text, &nothing).read(|root| {
            let mut table = root.table(SqlKind.keys())?;
            let job = SqlKind.configure(&mut table);
            table.finish();
            job.map(drop)
        });
        match message {
            None => assert_eq!(read, Ok(()), "{keys}"),
            Some(message) => {
                let error = read.unwrap_err().to_string();
                assert!(
                    error.contains(message.trim_start_matches("1:9: ")),
                    "{keys}: {error}"
                );
            }
        }
    }
}

#[tokio::test]
async fn it_keeps_the_promises_of_every_kind() {
    let window = |hour| Fire::window(window(at(hour * HOUR), Duration::from_secs(3600)));
    suite(&Case {
        kind: &SqlKind,
        keys: &format!("into = \"scores\", query = \"\"\"{SCORE}\"\"\""),
        readings: vec![SeriesReadings {
            device: "pump".into(),
            tag: "rpm".into(),
            readings: (0..180)
                .map(|minute| (at(minute * 60), minute as f64))
                .collect(),
        }],
        fires: vec![window(1), window(2)],
        known_ahead: &[],
        after_silence: window(5),
    })
    .await;
}
