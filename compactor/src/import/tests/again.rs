//! The same rows again, and rows that are bad.

use super::{bench::*, *};

#[tokio::test]
async fn the_same_content_is_the_same_import_compressed_or_not() {
    let bench = Bench::new().await;
    let first = bench.import("a.csv", &hours(0..3, 1), |_| {}).await;
    let again = bench.import("b.csv.gz", &hours(0..3, 1), |_| {}).await;
    assert_eq!(
        (first.committed, again.committed, again.readings),
        (3, 0, 3)
    );
    assert_eq!((again.id, again.existing), (first.id, 0));
    assert_eq!(bench.query(SUM).await, ["3 3.0"]);
}

#[tokio::test]
async fn readings_of_a_file_that_has_grown_are_counted_and_skipped_when_told() {
    let bench = Bench::new().await;
    bench.import("a.csv", &hours(0..3, 1), |_| {}).await;
    let skip = |spec: &mut ImportSpec| spec.on_existing = OnExisting::Skip;
    let grown = bench.import("a.csv", &hours(0..5, 1), skip).await;
    assert_eq!((grown.existing, grown.committed), (3, 2));
    assert_eq!(bench.query(SUM).await, ["5 5.0"]);
    let again = bench.import("a.csv", &hours(0..5, 1), |_| {}).await;
    assert_eq!(
        (again.existing, again.committed),
        (0, 0),
        "the same file adds nothing, whatever is said of others"
    );

    let kept = bench.import("a.csv", &hours(4..6, 1), |_| {}).await;
    assert_eq!(
        (kept.existing, kept.committed),
        (1, 2),
        "kept unless told, and counted"
    );
    assert_eq!(bench.query(SUM).await, ["7 7.0"]);
    let other = bench
        .import("a.csv", &hours(0..5, 1).replace(",v", ",w"), |_| {})
        .await;
    assert_eq!(
        (other.existing, other.committed),
        (0, 5),
        "another series is none of these"
    );
    assert!(
        bench.verify().await.starts_with("ok readings=12 "),
        "{}",
        bench.verify().await
    );
}

#[tokio::test]
async fn reasons_in_quarantine_are_few_and_details_stand_apart() {
    let bench = Bench::new().await;
    let text = "time,v\nyesterday,1\ntoday,1\n2025-04-01T00:00:00Z,1,2\n1999-04-01T00:00:00Z,1\n2025-04-01T00:00:00Z,1\n";
    let outcome = bench.import("a.csv", text, |_| {}).await;
    assert_eq!(
        (outcome.quarantined, outcome.bad["the time cannot be read"]),
        (4, 2)
    );
    let found = bench
        .query("select why, count(*), count(detail) from quarantine group by why order by why")
        .await;
    assert_eq!(
        found,
        [
            "the time cannot be read 2 2",
            "the time is before the year 2000 or more than a day ahead of the clock here 1 1",
            "wrong number of fields 1 1",
        ]
    );
    let details = bench
        .query("select detail from quarantine where detail like '%yesterday%'")
        .await;
    assert_eq!(details.len(), 1, "{details:?}");
}
