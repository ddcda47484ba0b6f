//! Several streams that know one lane: each forgets its epochs, and `verify` counts each reading once.

use forebay_lake::{EraseSpec, Retells, erase};
use forebay_stream::LastSeq;

use super::{repairs::Left, *};
use crate::{
    consume::{
        contiguity::{Contiguity, Rules},
        moment::Moment,
    },
    ingest::{Step, commit},
};

const SPOOL: &str = "spool/gw/1";
const TOPIC: &str = "kafka/c/a";
const OTHER_TOPIC: &str = "kafka/c/b";

fn end(epoch: u64, last: u64) -> Entry {
    Entry::EpochEnd {
        epoch: Epoch(epoch),
        nonce: NONCE,
        last: LastSeq::Known(Some(Seq(last))),
    }
}

/// Epochs of as many readings as their number says, with their ends.
fn whole(epochs: impl IntoIterator<Item = u64>) -> Vec<Entry> {
    epochs
        .into_iter()
        .flat_map(|epoch| [batch(epoch, 1, epoch), end(epoch, epoch)])
        .collect()
}

/// What a stream holds, all of it.
fn named(stream: &'static str, log: &[Entry]) -> Arc<dyn LogSource> {
    Arc::new(MemoryLog::named(stream, log.to_vec()))
}

impl Bench {
    async fn number(&self, source: &dyn LogSource) -> (String, i64) {
        let app_id = self
            .lake
            .keeper()
            .app_id(source.stream(), source.partition());
        let snapshot = self
            .lake
            .table(&READINGS)
            .unwrap()
            .snapshot()
            .await
            .unwrap();
        let number = snapshot.state_of(&app_id).await.unwrap().unwrap();
        (app_id, number)
    }

    /// Takes what a stream holds, and forgets what is done; answers the epochs that keep their mark.
    async fn take_and_forget(&self, stream: &'static str, log: &[Entry]) -> Vec<u64> {
        let source = named(stream, log);
        let stop = CancellationToken::new();
        stop.cancel();
        timeout(PATIENCE, self.partition(&source, &stop).consume())
            .await
            .unwrap()
            .unwrap();
        let before = self.state(&*source).await;
        let now = Moment::new((self.clock)(), Duration::ZERO);
        let ConsumeSettings {
            gap_wait,
            held_bytes_max,
            max_skew,
            ..
        } = settings();
        let mut contiguity = Contiguity::new(
            &before,
            Rules {
                gap_wait,
                held_bytes_max,
                max_skew,
            },
            now,
        )
        .unwrap();
        contiguity.tick(now);
        let state = contiguity.state(&before);
        let (app_id, number) = self.number(&*source).await;
        let step = Step {
            app_id: &app_id,
            from_state: Some(number),
            state: &state,
            rows: &[],
        };
        commit(&self.lake, step, (self.clock)()).await.unwrap();
        state.epochs.iter().map(|epoch| epoch.epoch).collect()
    }

    /// Takes the readings of an epoch out of the files of the table; no state says so.
    async fn lose_readings_of(&self, epoch: u64, stream: &'static str) {
        let source = named(stream, &[]);
        let (app_id, from_state) = self.number(&*source).await;
        let state = self.state(&*source).await;
        let (site, times) = (SiteId::new("plant").unwrap(), (i64::MIN, i64::MAX));
        let spec = EraseSpec {
            site,
            lane: lane(),
            epoch: Epoch(epoch),
            times,
            app_id,
            from_state,
            state,
        };
        assert_eq!(
            erase(&self.lake, &spec, (self.clock)())
                .await
                .unwrap()
                .readings,
            epoch
        );
    }

    async fn check_sound(&self, readings: u64) {
        assert_eq!(self.seqs().await.len() as u64, readings);
        let verdict = self.verdict().await;
        assert!(
            verdict.starts_with(&format!("ok readings={readings} ")),
            "{verdict}"
        );
        assert!(verdict.contains("doubled=0 missing=0"), "{verdict}");
    }

    async fn check_missing(&self, missing: u64) {
        let verdict = self.verdict().await;
        assert!(verdict.starts_with("FAULT "), "{verdict}");
        assert!(
            verdict.contains(&format!(" doubled=0 missing={missing} ")),
            "{verdict}"
        );
    }
}

/// As two copies of a data folder that has written to Kafka meanwhile: they are one spool, whose state knows epochs that the
/// topic's has forgotten, and takes over the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spool_that_takes_its_lane_back_from_kafka_counts_no_reading_twice() {
    let bench = Bench::new().await;
    let mut spool = whole([1]);
    spool.push(batch(2, 1, 2));
    bench.take_and_forget(SPOOL, &spool).await;
    let mut topic = vec![end(2, 2)];
    topic.extend(whole(3..=5));
    topic.push(batch(6, 1, 6));
    assert_eq!(bench.take_and_forget(TOPIC, &topic).await, [3, 4, 5, 6]);
    bench.check_sound(21).await;
    spool.push(end(6, 6));
    spool.extend(whole(7..=8));
    assert_eq!(bench.take_and_forget(SPOOL, &spool).await, [2, 5, 6, 7, 8]);
    bench.check_sound(36).await;
    // And again: the topic forgets what the spool has forgotten before.
    topic.extend(whole(9..=12));
    assert_eq!(
        bench.take_and_forget(TOPIC, &topic).await,
        [6, 9, 10, 11, 12]
    );
    bench.check_sound(78).await;

    // Forgotten by both, twice; by the topic, where the spool has its mark; by neither.
    let mut missing = 0;
    for (epoch, stream) in [(1, SPOOL), (4, TOPIC), (5, TOPIC), (7, SPOOL)] {
        bench.lose_readings_of(epoch, stream).await;
        missing += epoch;
        bench.check_missing(missing).await;
    }
}

/// Each copy publishes to a topic of its own, and neither hears what the other goes on with.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_whose_epochs_alternate_in_two_streams_forget_each_its_own() {
    let bench = Bench::new().await;
    bench.take_and_forget(TOPIC, &whole([1, 3])).await;
    assert_eq!(
        bench
            .take_and_forget(OTHER_TOPIC, &whole([2, 4, 6, 8, 10]))
            .await,
        [4, 6, 8, 10]
    );
    bench.check_sound(34).await;
    assert_eq!(
        bench
            .take_and_forget(TOPIC, &whole([1, 3, 5, 7, 9, 11]))
            .await,
        [5, 7, 9, 11]
    );
    bench.check_sound(66).await;
    assert_eq!(
        bench
            .take_and_forget(OTHER_TOPIC, &whole([2, 4, 6, 8, 10, 12, 14, 16, 18]))
            .await,
        [12, 14, 16, 18]
    );
    bench.check_sound(126).await;

    let mut missing = 0;
    for (epoch, stream) in [
        (1, TOPIC),
        (3, TOPIC),
        (6, OTHER_TOPIC),
        (9, TOPIC),
        (18, OTHER_TOPIC),
    ] {
        bench.lose_readings_of(epoch, stream).await;
        missing += epoch;
        bench.check_missing(missing).await;
    }
}

/// What the lost one brought of epochs that the other has forgotten stands in no state: it counts what nobody else says it brought.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_streams_of_a_lane_that_lost_its_state_counts_again_what_it_brought() {
    for lost in [SPOOL, TOPIC] {
        let bench = Bench::new().await;
        bench.take_and_forget(SPOOL, &whole(1..=2)).await;
        assert_eq!(
            bench.take_and_forget(TOPIC, &whole(3..=7)).await,
            [4, 5, 6, 7]
        );
        bench.check_sound(28).await;
        bench.lose(&*named(lost, &[]), Left::Nothing).await;
        assert!(bench.verdict().await.contains("it is missing"), "{lost}");
        assert_eq!(
            bench.repair(Retells::WhatIsLeft).await.states.len(),
            1,
            "{lost}"
        );
        bench.check_sound(28).await;
        // It goes on behind what was taken, and forgets.
        bench.take_and_forget(lost, &whole(8..=8)).await;
        bench.check_sound(36).await;
        bench.lose_readings_of(2, TOPIC).await;
        bench.check_missing(2).await;
    }
}

/// The spool knows the beginning of an epoch, and the topic's state, which knew the rest, is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epoch_that_a_lost_stream_went_on_with_is_not_taken_again() {
    for retells in [Retells::WhatIsLeft, Retells::Everything] {
        let bench = Bench::new().await;
        bench
            .take_and_forget(SPOOL, &[batch(1, 1, 1), end(1, 1), batch(2, 1, 1)])
            .await;
        let mut topic = vec![batch(2, 2, 2), end(2, 2)];
        topic.extend(whole(3..=7));
        assert_eq!(bench.take_and_forget(TOPIC, &topic).await, [4, 5, 6, 7]);
        bench.lose(&*named(TOPIC, &[]), Left::Nothing).await;
        bench.repair(retells).await;
        bench.check_sound(28).await;
        // What was given out once is read again, from the oldest record or behind what was forgotten.
        let log = if retells == Retells::Everything {
            topic
        } else {
            whole(8..=8)
        };
        let readings = if retells == Retells::Everything {
            28
        } else {
            36
        };
        bench.take_and_forget(TOPIC, &log).await;
        bench.check_sound(readings).await;
        bench.lose_readings_of(2, SPOOL).await;
        bench.check_missing(2).await;
    }
}
