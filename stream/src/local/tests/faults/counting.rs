//! Counting what is forgotten stands in nobody's way.

use super::*;

/// Readings that the spool says it has received.
fn received(dir: &Path) -> u64 {
    let found = lane_ledger(dir, lane(), &SpoolKey::new([7; 32]), Behind::Lake)
        .unwrap()
        .unwrap();
    found.ledger.received.total()
}

/// A spool of forty readings in many segments, and the forgetting of all of them, whose counting
/// waits until it is released.
async fn counting(dir: &Path) -> (Spool, JoinHandle<Result<(), StreamError>>, mpsc::Sender<()>) {
    let faults = Arc::new(Faults::default());
    let limits = Limits::new(1 << 16, 1024, OnFull::Block).unwrap();
    let spool = open_on(dir, limits, Arc::new(Faulty(faults.clone()))).await;
    for number in 1..=40 {
        append(&spool, number, 1).await;
    }
    let end = all(&spool).await.last().unwrap().next;
    let (release, gate) = mpsc::channel();
    *faults.read_gate.lock().unwrap() = Some(gate);
    let reader = spool.reader(Offset(0));
    let forgetting = tokio::spawn(async move { reader.forget(end).await });
    while faults.read_gate.lock().map(|gate| gate.is_some()).unwrap() {
        tokio::task::yield_now().await;
    }
    (spool, forgetting, release)
}

/// A commit may pass a long backlog: what comes meanwhile is synced, and a power cut neither loses
/// nor doubles a count.
#[tokio::test]
async fn appends_do_not_wait_while_what_is_forgotten_is_counted() {
    let dir = TempDir::new().unwrap();
    let (spool, forgetting, release) = counting(dir.path()).await;
    let held = segments(dir.path()).len();
    let appended = timeout(Duration::from_secs(60), append(&spool, 41, 1))
        .await
        .expect("an append waits");
    assert_eq!(appended.last_seq, Seq(41));
    assert!(!forgetting.is_finished(), "nothing has gone yet");
    let cut = image(dir.path());
    release.send(()).unwrap();
    forgetting.await.unwrap().unwrap();
    assert!(
        held > 3 && segments(dir.path()).len() <= 2,
        "the one that is written, and one that ended meanwhile"
    );
    assert_eq!(received(dir.path()), 41);
    assert_eq!(received(cut.path()), 41, "as it lies");
    let spool = open(cut.path()).await;
    assert_eq!(received(cut.path()), 41, "opened again");
    assert_eq!(
        batches(&all(&spool).await).len(),
        1,
        "forgotten is forgotten"
    );
}

#[tokio::test]
async fn a_close_waits_for_the_counting_and_lets_go_of_the_folder() {
    let dir = TempDir::new().unwrap();
    let (spool, forgetting, release) = counting(dir.path()).await;
    let writer = spool.writer();
    let closing = tokio::spawn(async move { writer.close().await });
    forgetting.await.unwrap().unwrap();
    assert!(!closing.is_finished(), "the folder is still in use");
    release.send(()).unwrap();
    closing.await.unwrap().unwrap();
    let spool = open(dir.path()).await;
    assert_eq!(received(dir.path()), 40);
    assert!(batches(&all(&spool).await).is_empty());
}
