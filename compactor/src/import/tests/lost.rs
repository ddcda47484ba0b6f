//! Imports whose states are lost.

use super::{bench::*, *};

#[tokio::test]
async fn an_import_whose_state_or_note_is_lost_is_named_and_the_others_are_listed() {
    let bench = Bench::new().await;
    let mut ids = Vec::new();
    for (name, value) in [("a.csv", 1), ("b.csv", 2), ("c.csv", 3)] {
        ids.push(bench.import(name, &hours(0..3, value), |_| {}).await.id);
    }
    let states = bench.folder.path().join("lake/readings/_forebay/state");
    fs::remove_dir_all(states.join(imported_app_id(bench.lake.keeper(), Epoch(ids[0])))).unwrap();
    let notes = bench.lake.keeper().app_id("imports", 0);
    let note = states.join(notes).join(format!("{:020}", ids[2]));
    fs::write(&note, b"rubbish").unwrap();
    let Imports { found, lost } = bench.list().await;
    assert_eq!(
        found
            .iter()
            .map(|import| (import.info.id, import.readings))
            .collect::<Vec<_>>(),
        [(ids[1], Some(3))]
    );
    assert_eq!(lost.len(), 2, "{lost:?}");
    let of = |id: u64| lost.iter().find(|import| import.id == id).unwrap();
    assert!(
        of(ids[0]).info.as_ref().unwrap().file.ends_with("a.csv"),
        "{lost:?}"
    );
    assert!(
        of(ids[0])
            .why
            .contains("it is missing: `forebay repair state`"),
        "{lost:?}"
    );
    assert_eq!(of(ids[2]).info, None);
    assert!(
        of(ids[2])
            .why
            .contains("cannot be read: it does not start like one"),
        "{lost:?}"
    );
}

/// Its offset is a row, which no table tells: the file's readings are counted again, and go on
/// behind those that are there.
#[tokio::test]
async fn an_import_whose_state_was_lost_goes_on_from_the_rebuilt_one_and_each_reading_is_there_once()
 {
    let bench = Bench::new().await;
    let text = "time,v,w\n2025-04-01T00:00:00Z,1,2\n2025-04-01T01:00:00Z,4,\nyesterday,8,8\n2025-04-01T02:00:00Z,,16\n";
    let file = bench.folder.path().join("a.csv");
    fs::write(&file, text).unwrap();
    bench.killed_after_two_rows(&spec(file)).await;
    assert_eq!(bench.query(SUM).await, ["3 7.0"]);
    let [Some(epoch)] = bench.lose_and_repair().await[..] else {
        panic!("it is an import's state")
    };
    let rest = bench.import("a.csv", text, |_| {}).await;
    assert_eq!(
        (rest.id, rest.committed, rest.readings, rest.quarantined),
        (epoch.0, 1, 4, 1)
    );
    assert_eq!(bench.query(SUM).await, ["4 23.0"]);

    // Nor does one that had ended begin again, whichever of its states is lost.
    let other = bench.import("b.csv", &hours(3..5, 100), |_| {}).await;
    assert_eq!(bench.lose_and_repair().await.len(), 2);
    for _ in 0..2 {
        let again = bench.import("a.csv", text, |_| {}).await;
        assert_eq!(
            (again.committed, again.readings, again.quarantined),
            (0, 4, 1)
        );
    }
    assert_eq!(
        bench
            .import("b.csv", &hours(3..5, 100), |_| {})
            .await
            .committed,
        0
    );
    assert_eq!(bench.query(SUM).await, ["6 223.0"]);
    assert_eq!(bench.query("select count(*) from quarantine").await, ["1"]);
    assert!(
        bench.verify().await.starts_with("ok readings=6 "),
        "{}",
        bench.verify().await
    );
    assert_eq!(
        bench.undo(other.id).await.unwrap().erased.readings,
        2,
        "it is noted again"
    );
}

/// What an import has left out, because another had brought it, is not added by the same file
/// without the option.
#[tokio::test]
async fn an_import_that_skipped_and_whose_state_was_lost_adds_nothing_either() {
    let bench = Bench::new().await;
    bench.import("a.csv", &hours(0..3, 1), |_| {}).await;
    let skip = |spec: &mut ImportSpec| spec.on_existing = OnExisting::Skip;
    assert_eq!(
        bench.import("b.csv", &hours(0..5, 1), skip).await.committed,
        2
    );
    bench.lose_and_repair().await;
    let again = bench.import("b.csv", &hours(0..5, 1), |_| {}).await;
    assert_eq!((again.committed, again.readings), (0, 2));
    assert_eq!(bench.query(SUM).await, ["5 5.0"]);
}
