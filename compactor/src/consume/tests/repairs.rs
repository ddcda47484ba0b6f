//! Streams whose state is lost: rebuilt from the tables, they go on, and each reading is there once.

use forebay_lake::{ExpireSpec, ExpiryRule, Retells, Swept, expire, imported_app_id};
use forebay_stream::LastSeq;

use super::*;
use crate::consume::repair::{RepairMode, Repaired, repair_states};

fn end(epoch: u64, last: u64) -> Entry {
    Entry::EpochEnd {
        epoch: Epoch(epoch),
        nonce: NONCE,
        last: LastSeq::Known(Some(Seq(last))),
    }
}

/// A reading whose event time no device can mean.
fn implausible(epoch: u64, seq: u64) -> Entry {
    let Entry::Batch(mut one) = batch(epoch, seq, seq) else {
        unreachable!()
    };
    one.readings[0].event_time = Timestamp::from_nanos(0);
    Entry::Batch(one)
}

/// What is left of a stream's state objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// Those before the one that counts.
    Older,
    Nothing,
}

impl Bench {
    async fn consume(&self, source: &Arc<dyn LogSource>) -> Result<(), CompactorError> {
        let stop = CancellationToken::new();
        stop.cancel();
        timeout(PATIENCE, self.partition(source, &stop).consume())
            .await
            .unwrap()
    }

    /// Consumes until so many gaps were told.
    async fn consume_until_gaps(&self, source: &Arc<dyn LogSource>, gaps: u64) {
        let group = Box::new(MemoryGroup::new(vec![GroupEvent::Assigned(source.clone())]));
        self.run_until(group, |progress| {
            progress.gaps.load(Ordering::SeqCst) >= gaps
        })
        .await
        .unwrap();
    }

    /// Loses a stream's state; answers its app id.
    pub(super) async fn lose(&self, source: &dyn LogSource, left: Left) -> String {
        let app_id = self
            .lake
            .keeper()
            .app_id(source.stream(), source.partition());
        let folder = self
            .folder
            .path()
            .join("lake/readings/_forebay/state")
            .join(&app_id);
        match left {
            Left::Nothing => std::fs::remove_dir_all(folder).unwrap(),
            Left::Older => {
                let snapshot = self
                    .lake
                    .table(&READINGS)
                    .unwrap()
                    .snapshot()
                    .await
                    .unwrap();
                let number = snapshot.state_of(&app_id).await.unwrap().unwrap();
                std::fs::remove_file(folder.join(format!("{number:020}"))).unwrap();
                assert!(
                    std::fs::read_dir(folder).unwrap().count() > 0,
                    "there was one commit alone"
                );
            }
        }
        app_id
    }

    /// Deletes the readings before the one of this number.
    async fn delete_before(&self, number: u64) -> u64 {
        let spec = ExpireSpec {
            table: &READINGS,
            site: SiteId::new("plant").unwrap(),
            rules: vec![ExpiryRule {
                rule: "readings, 1h".into(),
                fits: Arc::new(|_, _| true),
                before: Some(taken_at(number).micros()),
            }],
            protected: Vec::new(),
        };
        let done = expire(&self.lake, &spec, &mut Swept::default(), (self.clock)()).await;
        done.unwrap().rows()
    }

    pub(super) async fn repair(&self, retells: Retells) -> Repaired {
        repair_states(
            &self.lake,
            None,
            retells,
            RepairMode::Commit,
            (self.clock)(),
        )
        .await
        .unwrap()
    }
}

/// What was said of a stream, and what comes after its state was lost.
fn told() -> (Vec<Entry>, Vec<Entry>) {
    let before = vec![
        batch(5, 1, 4),
        end(5, 4),
        batch(6, 1, 3),
        implausible(6, 4),
        batch(6, 5, 6),
        batch(6, 9, 9),
    ];
    let after = vec![end(6, 9), batch(7, 1, 2)];
    let rubbish = Entry::Undecodable {
        bytes: vec![1],
        why: "not a protobuf message".into(),
    };
    (before.into_iter().chain([rubbish]).collect(), after)
}

fn expected() -> Vec<(u64, u64)> {
    let (fives, sixes) = (
        (1..=4).map(|seq| (5, seq)),
        [1, 2, 3, 5, 6, 9].map(|seq| (6, seq)),
    );
    fives
        .chain(sixes)
        .chain((1..=2).map(|seq| (7, seq)))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_whose_state_was_lost_goes_on_from_the_rebuilt_one_and_each_reading_is_there_once()
{
    for (spool, left) in [
        (true, Left::Older),
        (true, Left::Nothing),
        (false, Left::Older),
        (false, Left::Nothing),
    ] {
        let story = format!("spool {spool}, left {left:?}");
        let bench = Bench::new().await;
        let (mut log, after) = told();
        let forgotten = Arc::default();
        let source = |log: &[Entry]| -> Arc<dyn LogSource> {
            match spool {
                true => Arc::new(MemoryLog::spool_that_forgot(
                    "spool/gw/1",
                    log.to_vec(),
                    &forgotten,
                )),
                false => Arc::new(MemoryLog::named("kafka/c/topic", log.to_vec())),
            }
        };
        let retells = if spool {
            Retells::WhatIsLeft
        } else {
            Retells::Everything
        };
        bench.consume(&source(&log[..2])).await.unwrap();
        bench.consume_until_gaps(&source(&log), 1).await;
        let lost = source(&log);
        let app_id = bench.lose(&*lost, left).await;
        log.extend(after);
        let error = bench.consume(&source(&log)).await.unwrap_err();
        assert!(
            error.to_string().contains("`forebay repair state`"),
            "{story}: {error}"
        );
        let repaired = bench.repair(retells).await;
        let [rebuilt] = &repaired.states[..] else {
            panic!("{story}: {repaired:?}")
        };
        assert_eq!(
            (&rebuilt.app_id, rebuilt.import, rebuilt.untold.len()),
            (&app_id, None, 0),
            "{story}"
        );
        assert_eq!(
            rebuilt.state.next_offset > 0,
            left == Left::Older,
            "{story}"
        );
        assert!(
            bench.verdict().await.starts_with("ok readings=10 "),
            "{story}: {}",
            bench.verdict().await
        );

        bench.consume(&source(&log)).await.unwrap();
        assert_eq!(bench.seqs().await, expected(), "{story}");
        let verdict = bench.verdict().await;
        assert!(
            verdict.starts_with("ok readings=12 ") && verdict.contains(" gaps=1 "),
            "{story}: {verdict}"
        );
        assert_eq!(
            bench.state(&*source(&log)).await.stream,
            lost.stream(),
            "{story}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_can_be_read_is_not_rebuilt() {
    let bench = Bench::new().await;
    let source: Arc<dyn LogSource> = Arc::new(MemoryLog::new(0, vec![batch(7, 1, 3)]));
    bench.consume(&source).await.unwrap();
    let app_id = bench.lake.keeper().app_id(source.stream(), 0);
    let now = (bench.clock)();
    let asked = |stream: String| {
        let lake = bench.lake.clone();
        async move {
            repair_states(
                &lake,
                Some(&stream),
                Retells::WhatIsLeft,
                RepairMode::Commit,
                now,
            )
            .await
        }
    };
    let before = bench.state(&*source).await;
    let sound = asked(app_id.clone()).await.unwrap_err().to_string();
    assert_eq!(
        sound,
        format!("the state of stream {app_id} can be read: nothing is rebuilt")
    );
    assert!(
        asked("nobody".into())
            .await
            .unwrap_err()
            .to_string()
            .contains("no stream nobody")
    );
    assert!(bench.repair(Retells::WhatIsLeft).await.states.is_empty());
    assert_eq!(bench.state(&*source).await, before);

    // Nor is anything written by a trial.
    bench.lose(&*source, Left::Nothing).await;
    let trial = repair_states(&bench.lake, None, Retells::WhatIsLeft, RepairMode::Try, now)
        .await
        .unwrap();
    assert_eq!(trial.states[0].state.epochs[0].mark, 3);
    assert!(
        bench.verdict().await.contains("it is missing"),
        "{}",
        bench.verdict().await
    );
    assert_eq!(
        asked(app_id).await.unwrap().states[0].state.epochs[0].mark,
        3
    );
    assert!(
        bench.verdict().await.starts_with("ok readings=3 "),
        "{}",
        bench.verdict().await
    );
}

/// As after a copy of a lake that left out everything whose name begins with `_forebay`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_shared_a_lane_and_lost_all_they_noted_are_rebuilt_together() {
    let bench = Bench::new().await;
    let named = |stream, log: &[Entry]| -> Arc<dyn LogSource> {
        Arc::new(MemoryLog::named(stream, log.to_vec()))
    };
    let spool = [batch(6, 1, 3), implausible(6, 4), end(6, 4), batch(7, 3, 5)];
    bench
        .consume_until_gaps(&named("spool/gw/1", &spool), 1)
        .await;
    let mut kafka = vec![batch(7, 6, 7), batch(7, 9, 9)];
    bench
        .consume_until_gaps(&named("kafka/c/a", &kafka), 2)
        .await;
    for table in ["readings", "gaps", "quarantine"] {
        std::fs::remove_dir_all(
            bench
                .folder
                .path()
                .join("lake")
                .join(table)
                .join("_forebay"),
        )
        .unwrap();
    }
    let repaired = bench.repair(Retells::WhatIsLeft).await;
    assert_eq!(
        (repaired.states.len(), repaired.notes.len()),
        (2, 3),
        "{repaired:?}"
    );
    assert!(
        bench.verdict().await.starts_with("ok readings=9 "),
        "{}",
        bench.verdict().await
    );

    kafka.extend([end(7, 9), batch(8, 1, 2)]);
    bench.consume(&named("kafka/c/a", &kafka)).await.unwrap();
    let readings = [
        (6, 1),
        (6, 2),
        (6, 3),
        (7, 3),
        (7, 4),
        (7, 5),
        (7, 6),
        (7, 7),
        (7, 9),
        (8, 1),
        (8, 2),
    ];
    assert_eq!(bench.seqs().await, readings);
    assert!(
        bench.verdict().await.starts_with("ok readings=11 "),
        "{}",
        bench.verdict().await
    );
    let import = imported_app_id(bench.lake.keeper(), Epoch(6));
    assert!(
        repaired
            .states
            .iter()
            .all(|state| state.app_id != import && state.import.is_none())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readings_that_retention_has_deleted_are_no_gap_of_a_rebuilt_state() {
    for (left, before, deleted) in [
        (Left::Older, 4, 6),
        (Left::Nothing, 4, 6),
        (Left::Older, 100, 10),
        (Left::Nothing, 100, 10),
    ] {
        let story = format!("left {left:?}, {deleted} deleted");
        let bench = Bench::new().await;
        let (mut log, after) = told();
        let source = |log: &[Entry]| -> Arc<dyn LogSource> {
            Arc::new(MemoryLog::named("kafka/c/topic", log.to_vec()))
        };
        bench.consume(&source(&log[..2])).await.unwrap();
        bench.consume_until_gaps(&source(&log), 1).await;
        assert_eq!(bench.delete_before(before).await, deleted, "{story}");
        bench.lose(&*source(&log), left).await;
        let repaired = bench.repair(Retells::Everything).await;
        let [rebuilt] = &repaired.states[..] else {
            panic!("{story}: {repaired:?}")
        };
        assert_eq!(rebuilt.untold, [], "{story}");
        let verdict = bench.verdict().await;
        let there = format!("ok readings={} ", 10 - deleted);
        assert!(verdict.starts_with(&there), "{story}: {verdict}");

        // What the stream tells again is known, and what is new is taken.
        log.extend(after);
        bench.consume(&source(&log)).await.unwrap();
        let all = expected().into_iter();
        let kept: Vec<(u64, u64)> = all
            .filter(|(epoch, seq)| *epoch == 7 || *seq >= before)
            .collect();
        assert_eq!(bench.seqs().await, kept, "{story}");
        let verdict = bench.verdict().await;
        let there = format!("ok readings={} ", 12 - deleted);
        assert!(
            verdict.starts_with(&there) && verdict.contains(" gaps=1 "),
            "{story}: {verdict}"
        );
    }
}
