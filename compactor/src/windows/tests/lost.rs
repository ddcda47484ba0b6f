//! Files and states that are gone stop no other site's windows.

use super::*;

#[tokio::test]
async fn a_missing_state_of_an_import_stops_no_windows() {
    let mut bench = Bench::new().await;
    bench
        .commit(&[("a", 10, Status::GOOD), ("a", 70, Status::GOOD)])
        .await;
    commit_beside(&bench.lake, "import", "plant", &[20], Vec::new()).await;
    remove_all(
        &bench
            ._folder
            .path()
            .join("lake/readings/_forebay/state/import"),
    );
    let progress = WindowProgress::default();
    let written = pass(
        &bench.lake,
        &settings(),
        at(71),
        &progress,
        &mut Looked::default(),
    )
    .await
    .unwrap();
    assert_eq!(
        (written, progress.unreadable_states(), progress.failures()),
        (1, 1, vec![("plant".to_owned(), 0)])
    );
    assert_eq!(bench.rows().await, ["0 60 1 2 1 100.0"]);
}

#[tokio::test]
async fn a_missing_file_stops_its_own_sites_windows_alone() {
    let mut bench = Bench::new().await;
    bench
        .commit(&[("a", 10, Status::GOOD), ("a", 70, Status::GOOD)])
        .await;
    let live = SiteTimes {
        site: "alpha".into(),
        ..site(&[("a", 70, 70)], None)
    };
    commit_beside(&bench.lake, "other", "alpha", &[10, 70], vec![live]).await;
    remove_all(&bench._folder.path().join("lake/readings/site=alpha"));
    let (progress, mut looked) = (WindowProgress::default(), Looked::default());
    for passes in 1..3 {
        let written = pass(&bench.lake, &settings(), at(71), &progress, &mut looked)
            .await
            .unwrap();
        assert_eq!(written, u64::from(passes == 1), "the other site's window");
        assert_eq!(
            progress.failures(),
            [("alpha".to_owned(), passes), ("plant".to_owned(), 0)]
        );
    }
}

/// What it held was counted from the table and can be again.
#[tokio::test]
async fn a_lost_state_of_windows_closes_nothing_twice() {
    let mut bench = Bench::new().await;
    bench
        .commit(&[("a", 10, Status::GOOD), ("a", 70, Status::GOOD)])
        .await;
    assert_eq!(bench.close(71).await, 1);
    remove_all(&bench._folder.path().join("lake/windows/_forebay/state"));
    assert_eq!(bench.close(72).await, 0);
    bench.commit(&[("a", 130, Status::GOOD)]).await;
    assert_eq!(bench.close(131).await, 1);
    assert_eq!(
        bench.rows().await,
        ["0 60 1 1 1 100.0", "60 120 1 1 1 100.0"]
    );
}
