//! A compactor that is killed anywhere: nothing is lost or doubled.

use super::*;

/// Polls a future so often, then drops it wherever it stands; answers whether it ended before.
pub(super) async fn killed_after(
    polls: u64,
    future: impl Future<Output = Result<(), CompactorError>>,
) -> bool {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        future.as_mut().poll(context).map(|ended| {
            ended.unwrap();
            true
        })
    })
    .await
}

/// Numbers that look random and are the same in each run (Knuth's MMIX generator).
pub(super) fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |below| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_anywhere_nothing_is_lost_or_doubled() {
    let bench = Bench::new().await;
    let spool = bench.spool().await;
    let epoch = spool.opened().epoch.0;
    let source: Arc<dyn LogSource> = Arc::new(SpoolSource::new(spool.clone(), lane()));
    let mut random = numbers(7);
    let (mut next, mut rubbish) = (1, Vec::new());
    for _ in 0..30 {
        let mut some = readings(next, next + 1 + random(40));
        if random(2) == 0 {
            rubbish.push(next);
            some[0].event_time = Timestamp::from_nanos(0);
        }
        next += some.len() as u64;
        spool.writer().append(some).await.unwrap();
        let partition = bench.partition(&source, &CancellationToken::new());
        let polls = 1 + random(60);
        timeout(
            Duration::from_millis(200),
            killed_after(polls, partition.consume()),
        )
        .await
        .unwrap_or(false);
    }
    let stop = CancellationToken::new();
    stop.cancel();
    // A stop before the start still takes what is there.
    timeout(PATIENCE, bench.partition(&source, &stop).consume())
        .await
        .unwrap()
        .unwrap();
    let expected: Vec<(u64, u64)> = (1..next)
        .filter(|seq| !rubbish.contains(seq))
        .map(|seq| (epoch, seq))
        .collect();
    assert_eq!(bench.seqs().await, expected);
    let quarantined = bench
        .rows("select \"offset\" from quarantine order by 1")
        .await;
    assert_eq!(
        quarantined,
        rubbish.iter().map(u64::to_string).collect::<Vec<_>>()
    );
    assert!(
        bench.verdict().await.starts_with("ok "),
        "{}",
        bench.verdict().await
    );
    let sums = ledger::sums_of_sound(bench.folder.path()).await;
    assert_eq!(
        (sums.received, sums.quarantined, sums.pending),
        (next - 1, rubbish.len() as u64, 0)
    );
    assert!(
        bench.progress.commits.load(Ordering::SeqCst) > 3,
        "no run got as far as a commit: the kills come too early"
    );
}

/// A Kafka partition at its worst: repeats, two jumps of which one is filled late, rubbish, an
/// epoch without an end.
fn bad_log() -> Vec<Entry> {
    let rubbish = |byte| Entry::Undecodable {
        bytes: vec![byte],
        why: "not a protobuf message".into(),
    };
    vec![
        batch(7, 1, 5),
        rubbish(1),
        batch(7, 9, 12),
        batch(7, 3, 7),
        batch(7, 9, 14),
        rubbish(2),
        batch(7, 18, 20),
        batch(8, 1, 3),
        batch(7, 15, 16),
        batch(8, 2, 9),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_log_gives_each_reading_and_each_fault_once_whenever_killed() {
    for seed in 1..=3 {
        let bench = Bench::new().await;
        let source: Arc<dyn LogSource> = Arc::new(MemoryLog::new(0, bad_log()));
        let mut random = numbers(seed);
        for _ in 0..30 {
            let partition = bench.partition(&source, &CancellationToken::new());
            timeout(
                Duration::from_millis(100),
                killed_after(1 + random(120), partition.consume()),
            )
            .await
            .unwrap_or(false);
        }
        let group = Box::new(MemoryGroup::new(vec![GroupEvent::Assigned(source.clone())]));
        let settled = |gaps: &StreamState| gaps.gaps.len() == 3 && gaps.next_offset == 10;
        let stop = CancellationToken::new();
        let running = run(
            bench.lake.clone(),
            group,
            settings(),
            bench.clock.clone(),
            bench.progress.clone(),
            stop.clone(),
        );
        let stopping = async {
            while !settled(&bench.state(&*source).await) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            stop.cancel();
        };
        timeout(PATIENCE, async { tokio::join!(running, stopping).0 })
            .await
            .unwrap()
            .unwrap();

        let sevens = (1..=20)
            .filter(|seq| ![8, 17].contains(seq))
            .map(|seq| (7, seq));
        let expected: Vec<(u64, u64)> = sevens.chain((1..=9).map(|seq| (8, seq))).collect();
        assert_eq!(bench.seqs().await, expected, "seed {seed}");
        let quarantined = bench
            .rows("select \"offset\", why from quarantine order by 1")
            .await;
        assert_eq!(
            quarantined,
            ["1 not a protobuf message", "5 not a protobuf message"],
            "seed {seed}"
        );
        let gaps = "select epoch, first_seq, last_seq, why, count(*) from gaps where state = 'open' \
                    group by 1, 2, 3, 4 order by 1, 2";
        let open = bench.rows(gaps).await;
        assert!(
            open.iter().all(|gap| gap.ends_with(" 1")),
            "a gap is told twice: {open:?}"
        );
        let latest = "select first_seq, last_seq from (select *, row_number() over \
                      (partition by epoch, first_seq, last_seq order by changed_at desc) as nth from gaps) \
                      where nth = 1 and state = 'open' order by 1";
        assert_eq!(
            bench.rows(latest).await,
            ["8 8", "17 17", "21"],
            "seed {seed}"
        );
        assert!(
            bench.verdict().await.starts_with("ok readings=27 "),
            "{}",
            bench.verdict().await
        );
        assert!(
            bench.verdict().await.contains(" gaps=3 "),
            "{}",
            bench.verdict().await
        );
    }
}
