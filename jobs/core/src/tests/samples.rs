//! Readings one by one.

use super::*;

/// More than the engine has in one batch: it hands them to several threads where it may.
#[tokio::test(flavor = "multi_thread")]
async fn samples_come_in_order_however_many_there_are() {
    const COUNT: i64 = 30_000;
    let plant = Plant::new().await;
    let readings: Vec<(Timestamp, f64)> = (0..COUNT).map(|n| (at(n), n as f64)).collect();
    plant.lake.put_readings("pump-1", "gs", &readings).await;
    // Events on their way are no series that a job could miss.
    let (lake, tag) = (&plant.lake, forebay_schemas::EVENTS_TAG);
    lake.put_readings("pump-1", tag, &readings[..3]).await;
    let context = plant.lake.context("m", at(COUNT + 1));
    let pattern = SeriesPattern {
        devices: vec!["*".into()],
        tags: vec!["*".into()],
    };
    let series = context.inventory(&pattern, at(0)).await.unwrap();
    assert_eq!(series.len(), 1);
    let series = series.keys().next().unwrap();
    for _ in 0..20 {
        let samples = context.samples(series, at(0), 100_000).await.unwrap();
        let numbers = samples.iter().map(|sample| sample.value.unwrap() as i64);
        assert!(numbers.eq(0..COUNT));
    }
}
