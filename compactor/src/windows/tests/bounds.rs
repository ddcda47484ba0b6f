//! What a look at windows reads: no more than what has changed since the last one.

use forebay_schemas::table::READINGS;

use super::*;

const DAY: i64 = 86_400;

impl Bench {
    fn lake_folder(&self) -> std::path::PathBuf {
        self._folder.path().join("lake")
    }

    /// Takes away the data files whose event times all lie within these seconds: who opens one fails.
    async fn remove_files(&self, from: i64, to: i64) -> usize {
        let table = self.lake.table(&READINGS).unwrap();
        let within = (at(from).micros(), at(to).micros());
        let mut removed = 0;
        for add in table.snapshot().await.unwrap().files() {
            let (first, last) = self.lake.event_times(&READINGS, &add).unwrap();
            if within.0 <= first && last < within.1 {
                std::fs::remove_file(self.lake_folder().join("readings").join(&add.path)).unwrap();
                removed += 1;
            }
        }
        removed
    }
}

#[tokio::test]
async fn one_reading_of_long_ago_has_its_own_window_counted_and_none_between() {
    for looked in [None, Some(Looked::default())] {
        let good = Status::GOOD;
        let mut bench = Bench {
            looked,
            ..Bench::new().await
        };
        bench
            .commit(&[("a", 10, good.clone()), ("a", 70, good.clone())])
            .await;
        assert_eq!(bench.close(71).await, 1);
        bench
            .commit(&[
                ("a", DAY + 10, good.clone()),
                ("a", DAY + 130, good.clone()),
            ])
            .await;
        assert_eq!(bench.close(DAY + 131).await, 2);
        bench
            .commit(&[
                ("a", 2 * DAY + 10, good.clone()),
                ("a", 2 * DAY + 130, good.clone()),
            ])
            .await;
        assert_eq!(bench.close(2 * DAY + 131).await, 2);
        assert_eq!(bench.remove_files(DAY, 2 * DAY).await, 1);

        // Years before all that there is, in one file with what is read now; and again, which makes a revision.
        for (n, rows) in [(0, 2), (1, 2)] {
            let now = 2 * DAY + 190 + n * 60;
            bench
                .commit(&[
                    ("a", 5 - 3_000 * DAY, good.clone()),
                    ("a", now, good.clone()),
                ])
                .await;
            assert_eq!(
                bench.close(now + 1).await,
                rows,
                "no file of the day between is opened"
            );
        }
        let rows = bench.rows().await;
        let old = -3_000 * DAY;
        assert_eq!(
            rows[..2],
            [
                format!("{old} {} 1 1 1 100.0", old + 60),
                format!("{old} {} 2 2 1 100.0", old + 60)
            ]
        );
    }
}

#[tokio::test]
async fn what_is_left_for_later_is_counted_without_what_lies_between() {
    let good = Status::GOOD;
    let mut bench = Bench {
        looked: Some(Looked::default()),
        ..Bench::new().await
    };
    bench.commit(&[("a", 10, good.clone())]).await;
    bench.commit(&[("a", DAY + 10, good.clone())]).await;
    bench
        .commit(&[
            ("a", 2 * DAY + 10, good.clone()),
            ("a", 2 * DAY + 70, good.clone()),
        ])
        .await;
    assert_eq!(bench.close(2 * DAY + 71).await, 3);
    assert_eq!(bench.remove_files(DAY, 2 * DAY).await, 1);
    let late = |n: i64, now: i64| {
        [
            ("a", 500 + n, good.clone()),
            ("a", 2 * DAY - 600 + n, good.clone()),
            ("a", now, good.clone()),
        ]
    };
    bench.commit(&late(0, 2 * DAY + 71)).await;
    assert_eq!(bench.close(2 * DAY + 110).await, 2);
    bench.commit(&late(1, 2 * DAY + 124)).await;
    assert_eq!(
        bench.close(2 * DAY + 125).await,
        1,
        "the two were closed just now"
    );
    assert_eq!(bench.close(2 * DAY + 146).await, 2, "their turn");
}

/// An import's stream never commits again: its state says the same for ever.
#[tokio::test]
async fn a_state_is_read_once_and_not_at_each_look() {
    let mut bench = Bench::new().await;
    bench.commit(&[("a", 10, Status::GOOD)]).await;
    for import in ["import-1", "import-2"] {
        commit_beside(&bench.lake, import, "plant", &[20], Vec::new()).await;
    }
    let (progress, mut looked) = (WindowProgress::default(), Looked::default());
    let mut look = async |bench: &Bench, seconds| {
        let written = pass(
            &bench.lake,
            &settings(),
            at(seconds),
            &progress,
            &mut looked,
        )
        .await
        .unwrap();
        (written, progress.unreadable_states())
    };
    assert_eq!(look(&bench, 11).await, (0, 0));
    for import in ["import-1", "import-2"] {
        remove_all(
            &bench
                .lake_folder()
                .join("readings/_forebay/state")
                .join(import),
        );
    }
    assert_eq!(
        look(&bench, 12).await,
        (0, 0),
        "nothing has changed, nothing is read"
    );
    bench.commit(&[("a", 70, Status::GOOD)]).await;
    assert_eq!(
        look(&bench, 71).await,
        (1, 0),
        "only the state that is new is read"
    );
}
