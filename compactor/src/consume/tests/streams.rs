//! Several streams, one after the other or side by side, that bring a lane's readings; and commits that stop in their midst.

use forebay_lake::{StateKeeper, partition_rows};
use forebay_stream::{Damage, LastSeq};

use super::*;
use crate::{
    consume::{
        contiguity::Quarantined,
        side::{self, Origin},
    },
    ingest::{Step, Upload},
};

fn end(epoch: u64, last: u64) -> Entry {
    Entry::EpochEnd {
        epoch: Epoch(epoch),
        nonce: NONCE,
        last: LastSeq::Known(Some(Seq(last))),
    }
}

fn upto(epoch: u64, last: u64) -> impl Iterator<Item = (u64, u64)> {
    (1..=last).map(move |seq| (epoch, seq))
}

impl Bench {
    /// Takes what a stream holds now.
    async fn take(&self, source: impl LogSource + 'static) -> StreamState {
        let source: Arc<dyn LogSource> = Arc::new(source);
        let stop = CancellationToken::new();
        stop.cancel();
        timeout(PATIENCE, self.partition(&source, &stop).consume())
            .await
            .unwrap()
            .unwrap();
        self.state(&*source).await
    }

    async fn check(&self, readings: impl Iterator<Item = (u64, u64)>, gaps: u64) {
        let readings: Vec<(u64, u64)> = readings.collect();
        assert_eq!(self.seqs().await, readings);
        let (verdict, count) = (self.verdict().await, readings.len());
        assert!(
            verdict.starts_with(&format!("ok readings={count} ")),
            "{verdict}"
        );
        assert!(
            verdict.contains(&format!(" gaps={gaps} doubled=0 missing=0")),
            "{verdict}"
        );
    }

    /// Lays a folder where the next log entry of `readings` is to stand: everything up to it succeeds.
    fn in_the_way_of_the_next_entry(&self) -> std::path::PathBuf {
        let log = self.folder.path().join("lake/readings/_delta_log");
        let names = std::fs::read_dir(&log)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let newest = names
            .filter_map(|name| name.strip_suffix(".json")?.parse::<u64>().ok())
            .max()
            .unwrap();
        let path = log.join(format!("{:020}.json", newest + 1));
        std::fs::create_dir(&path).unwrap();
        path
    }

    /// Sizes of the files below a folder of the lake.
    fn sizes(&self, folder: &str) -> Vec<u64> {
        let mut folders = vec![self.folder.path().join("lake").join(folder)];
        let mut sizes = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    sizes.push(path.metadata().unwrap().len());
                }
            }
        }
        sizes
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_that_moves_to_another_stream_leaves_no_gap_and_no_double() {
    let bench = Bench::new().await;
    let mut spool = vec![batch(6, 1, 3), end(6, 3), batch(7, 1, 5)];
    bench
        .take(MemoryLog::named("spool/gw/1", spool.clone()))
        .await;
    // The end record of the running epoch goes where the next one goes; what was not forgotten in time comes again.
    let state = bench
        .take(MemoryLog::named(
            "kafka/c/a",
            vec![batch(7, 4, 5), end(7, 5), batch(8, 1, 2)],
        ))
        .await;
    assert_eq!(
        (state.next_offset, state.epochs.len()),
        (3, 3),
        "nothing waits"
    );
    assert_eq!(bench.progress.duplicates.load(Ordering::SeqCst), 2);
    bench
        .check(upto(6, 3).chain(upto(7, 5)).chain(upto(8, 2)), 0)
        .await;

    let state = bench
        .take(MemoryLog::named(
            "kafka/c/b",
            vec![end(8, 2), batch(9, 1, 1)],
        ))
        .await;
    assert_eq!(state.next_offset, 2);
    // And back to a stream that knows the lane, but not all of it.
    spool.extend([end(9, 1), batch(10, 1, 1)]);
    let state = bench.take(MemoryLog::named("spool/gw/1", spool)).await;
    assert_eq!(state.next_offset, 5);
    assert!(
        state.epochs.iter().rev().skip(1).all(|epoch| epoch.closed),
        "{state:?}"
    );
    assert!(bench.rows("select * from gaps").await.is_empty());
    let moved = upto(6, 3)
        .chain(upto(7, 5))
        .chain(upto(8, 2))
        .chain(upto(9, 1))
        .chain(upto(10, 1));
    let mut moved: Vec<_> = moved.collect();
    moved.sort_unstable();
    bench.check(moved.into_iter(), 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gap_of_the_old_stream_is_filled_by_the_new_one() {
    let bench = Bench::new().await;
    let group = MemoryGroup::new(vec![GroupEvent::Assigned(Arc::new(MemoryLog::named(
        "spool/gw/1",
        vec![batch(7, 3, 5)],
    )))]);
    bench
        .run_until(Box::new(group), |progress| {
            progress.gaps.load(Ordering::SeqCst) == 1
        })
        .await
        .unwrap();
    bench.check((3..=5).map(|seq| (7, seq)), 1).await;
    bench
        .take(MemoryLog::named(
            "kafka/c/a",
            vec![batch(7, 1, 5), end(7, 5)],
        ))
        .await;
    bench.check(upto(7, 5), 0).await;
    assert_eq!(
        bench
            .rows("select state, first_seq, last_seq from gaps order by changed_at")
            .await,
        ["open 1 2", "closed 1 2"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_copies_of_a_gateway_lose_nothing() {
    let bench = Bench::new().await;
    let copy = |first, last| batch_of(EpochNonce(0xB), 7, first, last);
    bench
        .take(MemoryLog::new(
            0,
            vec![
                batch(7, 1, 4),
                copy(1, 3),
                batch(7, 5, 9),
                copy(4, 9),
                end(7, 9),
            ],
        ))
        .await;
    bench.check(upto(7, 9), 0).await;
    let quarantined = "select count(*), count(distinct \"offset\"), max(why) from quarantine";
    let why = "another opening of this gateway's spool has numbered other readings alike: a restored or copied data folder";
    assert_eq!(bench.rows(quarantined).await, [format!("9 9 {why}")]);
    // Nor where each copy publishes to a stream of its own.
    bench
        .take(MemoryLog::named(
            "kafka/c/other",
            vec![copy(1, 9), copy(10, 12)],
        ))
        .await;
    bench.check(upto(7, 9), 0).await;
    assert_eq!(bench.rows(quarantined).await, [format!("12 12 {why}")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_of_a_spool_on_one_lake_forget_only_what_they_read() {
    let bench = Bench::new().await;
    let log = |epoch| {
        (1..=9)
            .map(move |seq| batch(epoch, seq, seq))
            .collect::<Vec<_>>()
    };
    let one = MemoryLog::spool("spool/gw/1", log(7));
    bench.take(one).await;
    // The other's offsets mean other records, of which the table has none.
    let other: Arc<MemoryLog> = Arc::new(MemoryLog::spool("spool/gw/1", log(8)[..5].to_vec()));
    let source: Arc<dyn LogSource> = other.clone();
    let stop = CancellationToken::new();
    stop.cancel();
    timeout(PATIENCE, bench.partition(&source, &stop).consume())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(other.forgotten(), 5);
    assert_eq!(
        bench.seqs().await,
        upto(7, 9).chain(upto(8, 5)).collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epoch_without_an_end_is_a_gap_also_where_the_stream_has_forgotten_it() {
    let bench = Bench::new().await;
    let spool = MemoryLog::spool("spool/gw/1", vec![batch(7, 1, 2), batch(8, 1, 1)]);
    let group = MemoryGroup::new(vec![GroupEvent::Assigned(Arc::new(spool))]);
    bench
        .run_until(Box::new(group), |progress| {
            progress.gaps.load(Ordering::SeqCst) == 1
        })
        .await
        .unwrap();
    assert_eq!(
        bench
            .rows("select epoch, first_seq, last_seq, why from gaps")
            .await,
        ["7 3 unfinished"]
    );
    bench.check(upto(7, 2).chain(upto(8, 1)), 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_place_is_told_once() {
    let bench = Bench::new().await;
    let damaged = Entry::Damaged {
        segment: Offset(0),
        bytes: 0..9,
        why: Damage::Record,
    };
    let log = || {
        MemoryLog::new(
            0,
            vec![batch(7, 1, 2), end(7, 2), damaged.clone(), batch(9, 1, 1)],
        )
    };
    bench.take(log()).await;
    bench.take(log()).await;
    let rows = bench
        .rows("select \"offset\", source, why from quarantine")
        .await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert!(
        rows[0].starts_with("2 memory, partition 0 offsets 2..3 of the stream are damaged"),
        "{rows:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_fails_is_tried_again_with_the_same_files() {
    let bench = Bench::new().await;
    let Entry::Batch(batch) = batch(7, 1, 3) else {
        unreachable!()
    };
    let (rows, state) = (
        partition_rows(&[batch]).unwrap(),
        StreamState::new(1, Vec::new()),
    );
    let step = || Step {
        app_id: "stream",
        from_state: None,
        state: &state,
        rows: &rows,
    };
    let mut upload = Upload::default();
    let now = || (bench.clock)();
    let in_the_way = bench.in_the_way_of_the_next_entry();
    // As often as a commit tries by itself, which takes a while.
    let failed = upload.commit(&bench.lake, step(), now()).await.unwrap_err();
    assert!(failed.can_be_waited_out(), "{failed}");
    assert_eq!(
        (
            bench.sizes("readings/site=plant").len(),
            bench.sizes("readings/_forebay/state").len()
        ),
        (1, 1)
    );
    std::fs::remove_dir(in_the_way).unwrap();
    upload.commit(&bench.lake, step(), now()).await.unwrap();
    assert_eq!(
        (
            bench.seqs().await.len(),
            bench.sizes("readings/site=plant").len()
        ),
        (3, 1)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_commit_left_behind_is_not_told_twice() {
    let bench = Bench::new().await;
    let rubbish = Entry::Undecodable {
        bytes: vec![1],
        why: "not a protobuf message".into(),
    };
    let source: Arc<dyn LogSource> = Arc::new(MemoryLog::new(0, vec![batch(7, 1, 3), rubbish]));
    let keeper: &StateKeeper = bench.lake.keeper();
    let app_id = keeper.app_id(source.stream(), source.partition());
    // Killed after the quarantine, and after the state object.
    let row = Quarantined {
        key: "record 1".into(),
        why: "not a protobuf message".into(),
        lane: None,
        at: 1,
        raw: vec![1],
        detail: None,
    };
    let origin = Origin {
        app_id: &app_id,
        source: "memory, partition 0",
        base: None,
    };
    side::quarantine(&bench.lake, origin, &[row], (bench.clock)())
        .await
        .unwrap();
    let readings = bench.lake.table(&READINGS).unwrap();
    let left = StreamState::new(2, Vec::new());
    let left = keeper
        .store(readings, &app_id, None, &left, bench.lake.random())
        .await
        .unwrap();
    // Killed after the log entry: the stream has forgotten nothing, and is read again.
    for _ in 0..2 {
        let stop = CancellationToken::new();
        stop.cancel();
        timeout(PATIENCE, bench.partition(&source, &stop).consume())
            .await
            .unwrap()
            .unwrap();
        bench.check(upto(7, 3), 0).await;
        assert_eq!(bench.rows("select \"offset\" from quarantine").await, ["1"]);
    }
    assert_ne!(
        readings
            .snapshot()
            .await
            .unwrap()
            .state_of(&app_id)
            .await
            .unwrap(),
        Some(left)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_devices_do_not_grow_each_commit() {
    let bench = Bench::new().await;
    let devices = 2_000_u64;
    let heard = |seq: u64| {
        let mut reading = reading("plant", 1);
        reading.series.device = DeviceId::new(&format!("pump {}", seq % devices)).unwrap();
        reading
    };
    let record = |first: u64, count: u64| {
        let Entry::Batch(mut batch) = batch(7, first, first) else {
            unreachable!()
        };
        batch.readings = (first..first + count).map(heard).collect();
        Entry::Batch(batch)
    };
    let log: Vec<Entry> = std::iter::once(record(1, devices))
        .chain((1..=20).map(|seq| record(devices + seq, 1)))
        .collect();
    let settings = ConsumeSettings {
        commit_readings_max: 1,
        ..settings()
    };
    let source: Arc<dyn LogSource> = Arc::new(MemoryLog::new(0, log));
    let stop = CancellationToken::new();
    stop.cancel();
    let mut partition = bench.partition(&source, &stop);
    partition.settings = Arc::new(settings);
    timeout(PATIENCE, partition.consume())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(bench.progress.commits.load(Ordering::SeqCst), 21);
    let sizes: Vec<u64> = bench.sizes("readings/_forebay/state");
    assert!(
        sizes.len() == 21 && sizes.iter().all(|size| *size < 1_000),
        "{sizes:?}"
    );
    // A restart knows every device.
    assert_eq!(
        bench.state(&*source).await.sites[0].devices.len() as u64,
        devices
    );
    assert_eq!(bench.sizes("readings/_forebay/times").len(), 1);
}
