//! Two owners of one site's windows, and an owner that dies: one row for each window and revision (E6, E9).

use super::*;
use crate::windows::close::{Closing, look_at, write};

const PLANT: &str = "plant";

impl Bench {
    /// The lake as another process opens it.
    async fn another(&self) -> LakeWriter {
        let random: Random = Arc::new(SystemRandom::new());
        let keyring =
            Arc::new(FileKeyring::open(&self._folder.path().join("keys"), random.clone()).unwrap());
        let lake = Lake::local(&self._folder.path().join("lake")).unwrap();
        LakeWriter::open(&lake, keyring, Sealed::Columns, random)
            .await
            .unwrap()
    }

    async fn look(&self, lake: &LakeWriter, seconds: i64) -> Closing {
        look_at(
            lake,
            &settings(),
            PLANT,
            at(seconds).micros(),
            at(seconds),
            None,
        )
        .await
        .unwrap()
    }
}

#[tokio::test]
async fn of_two_owners_that_have_seen_the_same_one_writes() {
    let mut bench = Bench::new().await;
    let other = bench.another().await;
    bench
        .commit(&[("a", 10, Status::GOOD), ("a", 70, Status::GOOD)])
        .await;
    let (ours, theirs) = (
        bench.look(&bench.lake, 71).await,
        bench.look(&other, 71).await,
    );
    assert_eq!((ours.rows.len(), &ours.rows), (1, &theirs.rows));
    assert!(
        write(&other, &settings(), PLANT, theirs)
            .await
            .unwrap()
            .is_some()
    );
    assert!(
        write(&bench.lake, &settings(), PLANT, ours)
            .await
            .unwrap()
            .is_none(),
        "the other was faster"
    );
    assert_eq!(bench.rows().await, ["0 60 1 1 1 100.0"]);

    // A late reading is in the table before the second look of one and after that of the other.
    bench.commit(&[("a", 130, Status::GOOD)]).await;
    let ours = bench.look(&bench.lake, 131).await;
    bench
        .commit(&[("a", 20, Status::GOOD), ("a", 131, Status::GOOD)])
        .await;
    let theirs = bench.look(&other, 132).await;
    assert_eq!((ours.rows.len(), theirs.rows.len()), (1, 2));
    assert!(
        write(&other, &settings(), PLANT, theirs)
            .await
            .unwrap()
            .is_some()
    );
    assert!(
        write(&bench.lake, &settings(), PLANT, ours)
            .await
            .unwrap()
            .is_none()
    );
    let rows = ["0 60 1 1 1 100.0", "0 60 2 2 1 100.0", "60 120 1 1 1 100.0"];
    assert_eq!(bench.rows().await, rows);
    assert_eq!(bench.close(133).await, 0, "nothing is left to close");
}

#[tokio::test]
async fn owners_that_race_for_a_site_close_each_window_once() {
    let mut bench = Bench::new().await;
    let other = bench.another().await;
    for round in 0..8 {
        let now = round * 60 + 70;
        // What came late to the first window makes it close again in each round.
        bench
            .commit(&[
                ("a", 5, Status::GOOD),
                ("a", now - 60, Status::GOOD),
                ("a", now, Status::GOOD),
            ])
            .await;
        let settings = settings();
        let closing = tokio::join!(
            close_windows(&bench.lake, &settings, at(now)),
            close_windows(&other, &settings, at(now))
        );
        assert_eq!(
            closing.0.unwrap() + closing.1.unwrap(),
            if round == 0 { 1 } else { 2 },
            "round {round}"
        );
    }
    let rows = bench.rows().await;
    let mut windows: Vec<_> = rows
        .iter()
        .map(|row| row.split(' ').take(3).collect::<Vec<_>>())
        .collect();
    windows.dedup();
    assert_eq!(
        windows.len(),
        rows.len(),
        "one row for each window and revision: {rows:?}"
    );
}

/// As a kill does after the state is stored: nothing refers to it, and nobody is held up by it.
#[tokio::test]
async fn a_state_whose_rows_were_never_written_holds_nothing_back() {
    let mut bench = Bench::new().await;
    bench
        .commit(&[("a", 10, Status::GOOD), ("a", 70, Status::GOOD)])
        .await;
    let Closing {
        app_id,
        from_state,
        after,
        ..
    } = bench.look(&bench.lake, 71).await;
    let table = bench.lake.table(&WINDOWS).unwrap();
    bench
        .lake
        .keeper()
        .store(table, &app_id, from_state, &after, bench.lake.random())
        .await
        .unwrap();
    assert_eq!(bench.close(72).await, 1);
    assert_eq!(bench.close(73).await, 0);
    assert_eq!(bench.rows().await, ["0 60 1 1 1 100.0"]);
}
