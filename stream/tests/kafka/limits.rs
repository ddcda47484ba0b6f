//! What a log may hold besides whole batches: damage, gaps, records that the broker finds too large.

use std::sync::Arc;

use async_trait::async_trait;
use forebay_schemas::{Epoch, EpochNonce, LaneId, Seq, Value, wire::ReadingBatch};
use forebay_stream::{
    Damage, Delivered, Entry, GapWhy, LastSeq, LogReader, Offset, Record, StreamError,
    conformance::readings,
    kafka::{KafkaSettings, publish},
};
use tempfile::TempDir;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::support::{WITHIN, broker, drain, join, lane, topic, topic_name};

/// A log of these entries, one at each offset, and then closed.
#[derive(Clone)]
struct Script {
    entries: Vec<Entry>,
    at: usize,
}

#[async_trait]
impl LogReader for Script {
    async fn next(&mut self) -> Result<Record, StreamError> {
        self.try_next().await?.ok_or(StreamError::Closed)
    }

    async fn try_next(&mut self) -> Result<Option<Record>, StreamError> {
        let Some(entry) = self.entries.get(self.at).cloned() else {
            return Ok(None);
        };
        let offset = Offset(self.at as u64);
        self.at += 1;
        Ok(Some(Record {
            offset,
            next: Offset(self.at as u64),
            entry,
        }))
    }

    async fn forget(&self, _: Offset) -> Result<(), StreamError> {
        Ok(())
    }
}

/// Publishes the entries to a topic of one partition, and reads what came.
async fn through(settings: KafkaSettings, lane: LaneId, entries: Vec<Entry>) -> Vec<Delivered> {
    let dir = TempDir::new().unwrap();
    let script = Script { entries, at: 0 };
    let log = Box::new(move |from: Offset| {
        Box::new(Script {
            at: from.0 as usize,
            ..script.clone()
        }) as Box<dyn LogReader>
    });
    let published = publish(
        settings.clone(),
        log,
        lane,
        dir.path().join("places"),
        Arc::default(),
        CancellationToken::new(),
    );
    timeout(WITHIN, published).await.unwrap().unwrap();
    let (group, sources) = join(settings, 1).await;
    let all = drain(&*sources[&0], Offset(0)).await;
    group.leave().await;
    all
}

fn batch(lane: &LaneId, epoch: u64, first: u64, count: u64) -> ReadingBatch {
    ReadingBatch {
        lane: lane.clone(),
        epoch: Epoch(epoch),
        nonce: EpochNonce::UNKNOWN,
        first_seq: Seq(first),
        readings: readings(first, count).unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gaps_and_ends_arrive_in_their_places() {
    let (topic, lane) = (topic(1).await, lane("Werk 1/ü", 3));
    let damaged = || Entry::Damaged {
        segment: Offset(0),
        bytes: 0..9,
        why: Damage::Record,
    };
    let nonce = EpochNonce::UNKNOWN;
    let dropped = |first, last| Entry::Dropped {
        epoch: Epoch(1),
        nonce,
        first_seq: Seq(first),
        last_seq: Seq(last),
    };
    let one = |first, count| Entry::Batch(batch(&lane, 1, first, count));
    let ended = Entry::EpochEnd {
        epoch: Epoch(1),
        nonce,
        last: LastSeq::Unknown {
            at_least: Some(Seq(30)),
        },
    };
    let second = Entry::Batch(batch(&lane, 2, 1, 2));
    // The first batch of an epoch without a known place may have been preceded by others, so its damage is not counted.
    let entries = vec![
        one(1, 2),
        damaged(),
        one(6, 1),
        dropped(7, 9),
        one(10, 1),
        ended.clone(),
        second.clone(),
        damaged(),
    ];
    let came = through(broker().await.settings(&topic), lane.clone(), entries).await;
    assert!(
        came.iter()
            .all(|delivered| delivered.lane.as_ref() == Some(&lane))
    );
    let came = by_rows(came);
    let gap = |first, last, why| Entry::Gap {
        epoch: Epoch(1),
        nonce,
        first_seq: Seq(first),
        last_seq: Seq(last),
        why,
    };
    let lost = Entry::SpoolLoss {
        from: Offset(1),
        to: Offset(2),
        why: Damage::Record,
    };
    let expected = [
        one(1, 2),
        lost,
        gap(3, 5, GapWhy::Damaged),
        one(6, 1),
        gap(7, 9, GapWhy::Dropped),
        one(10, 1),
        gap(11, 30, GapWhy::Damaged),
        ended,
        second,
    ];
    assert_eq!(came, expected);
}

/// What came, as it was given to the publisher.
fn by_rows(came: Vec<Delivered>) -> Vec<Entry> {
    let entries = came.into_iter().map(|delivered| delivered.record.entry);
    entries
        .map(|entry| entry.map_batch(|batch| ReadingBatch::from(&batch)))
        .collect()
}

/// Text that packs badly.
fn noise(bytes: usize) -> String {
    let mut state = 0x9E37_79B9_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        char::from(b'!' + (state % 90) as u8)
    };
    (0..bytes).map(|_| next()).collect()
}

fn seqs(came: &[Delivered]) -> Vec<(u64, u64, Option<GapWhy>)> {
    let seqs = came
        .iter()
        .filter_map(|delivered| match &delivered.record.entry {
            Entry::Batch(batch) => Some((batch.first_seq.0, batch.last_seq()?.0, None)),
            Entry::Gap {
                first_seq,
                last_seq,
                why,
                ..
            } => Some((first_seq.0, last_seq.0, Some(*why))),
            _ => None,
        });
    seqs.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn records_too_large_for_the_settings_are_split() {
    let (topic, lane) = (topic(1).await, lane("gw", 0));
    let mut settings = broker().await.settings(&topic);
    settings.max_record = 8 << 10;
    let mut large = batch(&lane, 1, 1, 3000);
    large.readings[1499].value = Some(Value::Text(noise(9000)));
    let came = through(settings, lane, vec![Entry::Batch(large)]).await;
    let seqs = seqs(&came);
    assert!(seqs.len() > 4, "{seqs:?}");
    assert!(
        seqs.contains(&(1500, 1500, Some(GapWhy::Refused))),
        "{seqs:?}"
    );
    assert_eq!((seqs[0].0, seqs[seqs.len() - 1].1), (1, 3000));
    assert!(
        seqs.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0),
        "{seqs:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_takes_less_gets_smaller_records() {
    let (broker, topic, lane) = (broker().await, topic_name(), lane("gw", 0));
    broker
        .create(&topic, 1, &[("max.message.bytes", "20000")])
        .await;
    let mut large = batch(&lane, 1, 1, 40);
    for reading in &mut large.readings {
        reading.value = Some(Value::Text(noise(2000)));
    }
    large.readings[20].value = Some(Value::Text(noise(50_000)));
    let came = through(broker.settings(&topic), lane, vec![Entry::Batch(large)]).await;
    let seqs = seqs(&came);
    assert!(seqs.contains(&(21, 21, Some(GapWhy::Refused))), "{seqs:?}");
    assert_eq!((seqs[0].0, seqs[seqs.len() - 1].1), (1, 40));
    assert!(
        seqs.windows(2).all(|pair| pair[0].1 + 1 >= pair[1].0),
        "{seqs:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn records_as_large_as_allowed_stay_whole() {
    let (broker, topic, lane) = (broker().await, topic_name(), lane("gw", 0));
    broker
        .create(&topic, 1, &[("max.message.bytes", "5000000")])
        .await;
    let mut settings = broker.settings(&topic);
    settings.max_record = 4 << 20;
    let mut large = batch(&lane, 1, 1, 30);
    for reading in &mut large.readings {
        reading.value = Some(Value::Text(noise(100_000)));
    }
    let small = batch(&lane, 1, 31, 1);
    let came = through(
        settings,
        lane,
        vec![Entry::Batch(large.clone()), Entry::Batch(small.clone())],
    )
    .await;
    let came = by_rows(came);
    assert!(
        came == [Entry::Batch(large), Entry::Batch(small)],
        "not as sent"
    );
}
