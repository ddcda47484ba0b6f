//! Partitions that come, go and fail.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_gathered_from_a_revoked_partition_is_not_committed() {
    let bench = Bench::new().await;
    let mut settings = settings();
    settings.commit_interval = Duration::from_secs(3_600);
    let source: Arc<dyn LogSource> = Arc::new(MemoryLog::new(0, vec![batch(7, 1, 5)]));
    let (group, events) = MemoryGroup::channel();
    events.send(GroupEvent::Assigned(source)).unwrap();
    let stop = CancellationToken::new();
    let progress = bench.progress.clone();
    let running = run(
        bench.lake.clone(),
        Box::new(group),
        settings,
        bench.clock.clone(),
        progress.clone(),
        stop.clone(),
    );
    let revoking = async {
        until(|| progress.received.load(Ordering::SeqCst) == 5).await;
        events.send(GroupEvent::Revoked(0)).unwrap();
        until(|| progress.partitions.load(Ordering::SeqCst) == 0).await;
        stop.cancel();
    };
    timeout(PATIENCE, async { tokio::join!(running, revoking).0 })
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (
            bench.seqs().await.len(),
            progress.commits.load(Ordering::SeqCst)
        ),
        (0, 0)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compactor_that_loses_every_partition_waits_for_the_next() {
    let bench = Bench::new().await;
    let revoked = || forebay_stream::StreamError::Revoked { partition: 0 };
    let (group, events) = MemoryGroup::channel();
    events
        .send(GroupEvent::Assigned(Arc::new(MemoryLog::failing(
            0,
            Vec::new(),
            revoked,
        ))))
        .unwrap();
    let (stop, progress) = (CancellationToken::new(), bench.progress.clone());
    let running = run(
        bench.lake.clone(),
        Box::new(group),
        settings(),
        bench.clock.clone(),
        progress.clone(),
        stop.clone(),
    );
    let moving = async {
        let heard = || progress.partitions.load(Ordering::SeqCst) == 0;
        until(heard).await;
        events.send(GroupEvent::Revoked(0)).unwrap();
        events
            .send(GroupEvent::Assigned(Arc::new(MemoryLog::new(
                0,
                vec![batch(7, 1, 5)],
            ))))
            .unwrap();
        until(|| progress.committed.load(Ordering::SeqCst) == 5).await;
        stop.cancel();
    };
    timeout(PATIENCE, async { tokio::join!(running, moving).0 })
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        progress.failed.load(Ordering::SeqCst),
        0,
        "a partition that moves on is no failure"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_failed_is_tried_again_while_another_goes_on() {
    let bench = Bench::new().await;
    let refused = || forebay_stream::StreamError::KafkaSettings {
        why: "not yet".into(),
    };
    let failing: Arc<dyn LogSource> = Arc::new(MemoryLog::failing_times(
        2,
        0,
        vec![batch(7, 1, 5)],
        refused,
    ));
    let good: Arc<dyn LogSource> = Arc::new(MemoryLog::new(1, vec![batch(8, 1, 3)]));
    let group = MemoryGroup::new(vec![
        GroupEvent::Assigned(good),
        GroupEvent::Assigned(failing),
    ]);
    let recovered = |progress: &Progress| {
        progress.failed.load(Ordering::SeqCst) == 2
            && progress.partitions.load(Ordering::SeqCst) == 2
    };
    bench.run_until(Box::new(group), recovered).await.unwrap();
    assert_eq!(bench.seqs().await.len(), 8);
}
