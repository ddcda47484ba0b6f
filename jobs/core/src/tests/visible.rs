//! What a run sees beside the readings before it: events as they were known, what is known ahead, and models.

use super::*;
use crate::outbox::{Outbox, RunNumber, Track};

async fn count(context: &RunContext, query: &str) -> String {
    let session = context.session().await.unwrap();
    let rows = session.sql(query).await.unwrap().collect().await.unwrap();
    arrow::util::pretty::pretty_format_batches(&rows)
        .unwrap()
        .to_string()
}

#[tokio::test]
async fn an_event_is_seen_as_it_was_known_at_the_fire() {
    let plant = Plant::new().await;
    let job = JobName::new("e").unwrap();
    let outbox = Outbox::new(&plant.lake.writer, &job, Track::Live);
    for (n, to_time) in [(1, None), (3, Some(hour(3)))] {
        let context = plant.lake.context("e", hour(1));
        let mut results = leak(&context).results;
        results.events[0].to_time = to_time;
        results.events[0].changed_at = hour(n);
        outbox
            .write(RunNumber(n), "e", &results, hour(n))
            .await
            .unwrap();
    }
    let query = "SELECT count(*) AS n, count(to_time) AS ended, count(DISTINCT event_id) AS ids FROM events";
    for (at, expected) in [
        (hour(0), "| 0 | 0     | 0   |"),
        (hour(2), "| 1 | 0     | 1   |"),
        (hour(3), "| 2 | 1     | 1   |"),
    ] {
        let found = count(&plant.lake.context("look", at), query).await;
        assert!(found.contains(expected), "{found}");
    }
}

#[tokio::test]
async fn what_is_known_ahead_is_that_of_named_series_alone() {
    let plant = Plant::new().await;
    let readings: Vec<(Timestamp, f64)> = (0..180)
        .map(|minute| (at(minute * 60), minute as f64))
        .collect();
    for tag in ["temp_c", "load"] {
        plant.lake.put_readings("feeder", tag, &readings).await;
    }
    let context = plant.lake.context("ahead", hour(2));
    let named = [SeriesPattern {
        devices: vec!["feeder".into()],
        tags: vec!["temp_c".into()],
    }];
    let ahead = context.known_ahead(&named).await.unwrap();
    assert_eq!(ahead.count().await.unwrap(), 60, "from 02:00 on, one tag");
    let none = context.known_ahead(&[]).await.unwrap();
    assert_eq!(none.count().await.unwrap(), 0);
    let buckets = context
        .buckets_ahead(&named, at(170 * 60), Duration::from_secs(1800))
        .await
        .unwrap();
    let (series, buckets) = buckets.iter().next().unwrap();
    let means: Vec<f64> = buckets.iter().map(|bucket| bucket.mean).collect();
    assert_eq!((series.tag.as_str(), means), ("temp_c", vec![134.5, 159.5]));
}

#[tokio::test]
async fn a_model_is_kept_once_and_promoted_in_place_of_the_champion() {
    let plant = Plant::new().await;
    let context = plant.lake.context("m", hour(1));
    let object = context.keep_model(b"weights").await.unwrap();
    assert_eq!(context.keep_model(b"weights").await.unwrap(), object);
    assert_eq!(context.model_bytes(&object).await.unwrap(), b"weights");
    assert!(context.model_bytes("no such").await.is_err());
    let model = |version: &str, state| ModelRow {
        version: version.into(),
        site: None,
        device: None,
        trained_at: hour(1),
        train_from: hour(0),
        train_to: hour(1),
        data_cutoff: hour(1),
        metrics: "{\"mape\":3.1}".into(),
        state,
        changed_at: hour(1),
        object: Some(object.clone()),
    };
    let results = Results {
        models: vec![
            model("1", ModelState::Champion),
            model("2", ModelState::Challenger),
        ],
        ..Results::default()
    };
    let job = JobName::new("m").unwrap();
    Outbox::new(&plant.lake.writer, &job, Track::Live)
        .write(RunNumber(1), "m-1", &results, hour(1))
        .await
        .unwrap();
    let lake = &plant.lake.writer;
    set_model_state(lake, &job, "2", ModelState::Champion, hour(2))
        .await
        .unwrap();
    let seen = plant.lake.context("m", hour(3)).models().await.unwrap();
    let states: Vec<(&str, ModelState)> = seen
        .iter()
        .map(|model| (model.row.version.as_str(), model.row.state))
        .collect();
    assert_eq!(
        states,
        [("1", ModelState::Retired), ("2", ModelState::Champion)]
    );
    let before = plant.lake.context("m", at(60)).models().await.unwrap();
    assert!(before.is_empty(), "neither was trained yet");
    let unknown = set_model_state(lake, &job, "3", ModelState::Retired, hour(2)).await;
    assert_eq!(
        unknown.unwrap_err().to_string(),
        "job m has no model \"3\": see `forebay jobs models list`"
    );
}
