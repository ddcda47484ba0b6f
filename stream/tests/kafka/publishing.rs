//! What is published arrives, whatever dies meanwhile.

use std::{
    io::Write as _,
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use forebay_schemas::ErrorKind;
use forebay_stream::{
    Entry, LastSeq, LogWriter as _, Offset, Record,
    local::{Limits, OnFull, Spool},
};
use tempfile::TempDir;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use crate::{
    kafka_broker::Broker,
    support::{
        Publishing, WITHIN, append, broker, drain, join, lane, read_until, spool, spool_with,
        topic, topic_name,
    },
};

/// The broker is down at first, and killed twice while four lanes publish 20 000 readings in small batches; each time half of
/// what is written then is written before it dies. At last it dies for good, and what it did not take stays in the spool.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_the_broker_dies_and_comes_back() {
    const LANES: u64 = 4;
    const PER_LANE: u64 = 5_000;
    const APPEND: u64 = 10;
    const PHASES: u64 = 3;
    let (mut broker, dir, topic) = (Broker::new(), TempDir::new().unwrap(), topic_name());
    let mut settings = broker.settings(&topic);
    settings.partitions = Some(4);
    let (mut publishing, mut spools, mut expected) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..LANES {
        let lane = lane("werk", number as u32);
        let spool = spool(&dir.path().join(format!("spool-{number}")), lane.clone()).await;
        let places = dir.path().join(format!("places-{number}"));
        publishing.push(Publishing::start(
            settings.clone(),
            &spool,
            lane.clone(),
            places,
        ));
        expected.push((lane, spool.opened().epoch, PER_LANE));
        spools.push(spool);
    }
    let joining = tokio::spawn(join(settings.clone(), 4));
    broker.start();
    broker.up().await;
    let written = Arc::new(AtomicU64::new(0));
    let (phase, _) = watch::channel(0);
    let writing: Vec<_> = spools
        .iter()
        .map(|spool| {
            let (writer, written, mut phase) = (spool.writer(), written.clone(), phase.subscribe());
            tokio::spawn(async move {
                for first in (1..=PER_LANE).step_by(APPEND as usize) {
                    phase
                        .wait_for(|phase| first * PHASES / PER_LANE <= *phase)
                        .await
                        .unwrap();
                    append(&writer, first, APPEND).await;
                    written.fetch_add(APPEND, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for number in 1..PHASES {
        let half = LANES * PER_LANE * (2 * number - 1) / (2 * PHASES);
        while written.load(Ordering::Relaxed) < half {
            sleep(Duration::from_millis(2)).await;
        }
        broker.kill();
        broker.start();
        broker.up().await;
        phase.send_replace(number);
    }
    for writer in writing {
        writer.await.unwrap();
    }
    let (group, sources) = joining.await.unwrap();
    let (_, doubles) = read_until(&sources, &expected).await;
    println!("{doubles} batches came twice");
    for spool in &spools {
        forgotten(spool).await;
    }
    broker.kill();
    append(&spools[0].writer(), PER_LANE + 1, 5).await;
    let stopped = futures_of(publishing.into_iter().map(Publishing::stop));
    for stopped in timeout(Duration::from_secs(20), stopped)
        .await
        .expect("the end waits for a dead broker")
    {
        stopped.unwrap();
    }
    let left = forebay_stream::conformance::drain(&mut spools[0].reader(Offset(0)))
        .await
        .unwrap();
    assert!(
        matches!(&left[..], [Record { entry: Entry::Batch(batch), .. }] if batch.readings.len() == 5),
        "{left:?}"
    );
    timeout(Duration::from_secs(20), group.leave())
        .await
        .expect("leaving waits for a dead broker");
}

/// Waits until the spool holds nothing any more.
async fn forgotten(spool: &Spool) {
    let empty = async {
        while !forebay_stream::conformance::drain(&mut spool.reader(Offset(0)))
            .await
            .unwrap()
            .is_empty()
        {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(WITHIN, empty)
        .await
        .expect("the spool does not forget what is acknowledged");
}

async fn futures_of<F: Future + Send + 'static>(all: impl Iterator<Item = F>) -> Vec<F::Output>
where
    F::Output: Send,
{
    let tasks: Vec<_> = all.map(tokio::spawn).collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_publisher_leaves_no_hole() {
    let (broker, dir, topic) = (broker().await, TempDir::new().unwrap(), topic(3).await);
    let (lane, places) = (lane("gw", 7), dir.path().join("places"));
    let mut expected = Vec::new();
    for _ in 0..3 {
        let spool = spool(&dir.path().join("spool"), lane.clone()).await;
        let mut publishing = Publishing::start(
            broker.settings(&topic),
            &spool,
            lane.clone(),
            places.clone(),
        );
        for first in (1..=600).step_by(3) {
            append(&spool.writer(), first, 3).await;
            if first % 200 == 1 {
                publishing.kill().await;
                publishing = Publishing::start(
                    broker.settings(&topic),
                    &spool,
                    lane.clone(),
                    places.clone(),
                );
            }
        }
        expected.push((lane.clone(), spool.opened().epoch, 600));
        publishing.kill().await;
        // The spool's own crash: no end record yet.
    }
    let spool = spool(&dir.path().join("spool"), lane.clone()).await;
    let publishing = Publishing::start(broker.settings(&topic), &spool, lane.clone(), places);
    let (group, sources) = join(broker.settings(&topic), 3).await;
    read_until(&sources, &expected).await;
    spool.writer().close().await.unwrap();
    publishing.ended().await.unwrap();
    let mut ends = Vec::new();
    for source in sources.values() {
        let all = drain(&**source, Offset(0)).await;
        ends.extend(
            all.into_iter()
                .filter_map(|delivered| match delivered.record.entry {
                    Entry::EpochEnd {
                        epoch,
                        last: LastSeq::Known(last),
                        ..
                    } => Some((epoch, last.map_or(0, |last| last.0))),
                    _ => None,
                }),
        );
    }
    ends.sort();
    ends.dedup();
    let mut closed: Vec<_> = expected
        .iter()
        .map(|(_, epoch, last)| (*epoch, *last))
        .collect();
    closed.push((spool.opened().epoch, 0));
    assert_eq!(
        ends, closed,
        "each epoch has its end, where its readings are"
    );
    group.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_spool_says_what_it_dropped() {
    let (broker, dir, topic) = (broker().await, TempDir::new().unwrap(), topic(1).await);
    let lane = lane("gw", 0);
    let limits = Limits::new(6 << 10, 2 << 10, OnFull::DropOldest).unwrap();
    let spool = spool_with(&dir.path().join("spool"), lane.clone(), limits).await;
    for first in (1..=400).step_by(4) {
        append(&spool.writer(), first, 4).await;
    }
    let publishing = Publishing::start(
        broker.settings(&topic),
        &spool,
        lane.clone(),
        dir.path().join("places"),
    );
    let (group, sources) = join(broker.settings(&topic), 1).await;
    let mut reader = sources[&0].open(Offset(0)).await.unwrap();
    let (mut next, mut dropped) = (1, 0);
    while next <= 400 {
        let delivered = timeout(WITHIN, reader.next()).await.unwrap().unwrap();
        assert_eq!(delivered.lane, Some(lane.clone()));
        match delivered.record.entry {
            Entry::Batch(batch) => {
                assert_eq!(batch.first_seq.0, next);
                next = batch.last_seq().unwrap().0 + 1;
            }
            Entry::Gap {
                first_seq,
                last_seq,
                why,
                ..
            } => {
                assert_eq!((first_seq.0, why.as_str()), (next, "dropped"));
                dropped += last_seq.0 - first_seq.0 + 1;
                next = last_seq.0 + 1;
            }
            other => panic!("neither readings nor gap: {other:?}"),
        }
    }
    assert!(dropped > 100, "{dropped}");
    publishing.stop().await.unwrap();
    group.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_is_waited_for() {
    let (broker, dir, topic) = (broker().await, TempDir::new().unwrap(), topic_name());
    let lane = lane("gw", 0);
    let spool = spool(&dir.path().join("spool"), lane.clone()).await;
    let epoch = append(&spool.writer(), 1, 5).await;
    let mut settings = broker.settings(&topic);
    settings.partitions = None;
    let publishing = Publishing::start(
        settings.clone(),
        &spool,
        lane.clone(),
        dir.path().join("places"),
    );
    let joining = tokio::spawn(join(settings, 2));
    sleep(Duration::from_millis(800)).await;
    broker.create(&topic, 2, &[]).await;
    let (group, sources) = joining.await.unwrap();
    read_until(&sources, &[(lane, epoch, 5)]).await;
    let acknowledged = async {
        while publishing.published() < 5 || spool.waiting() > 0 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(WITHIN, acknowledged)
        .await
        .expect("what is there is acknowledged and forgotten");
    assert_eq!(publishing.published(), 5);
    publishing.stop().await.unwrap();
    group.leave().await;
}

/// Something else listens where Kafka should be.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_in_kafkas_place_is_waited_out() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let met = Arc::new(AtomicU64::new(0));
    let counted = met.clone();
    let stranger = std::thread::spawn(move || {
        // The test ends this by a high count and a last call.
        for peer in listener.incoming() {
            // Its beginning is read as the length of an answer of more than a gigabyte.
            drop(peer.unwrap().write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
            if counted.fetch_add(1, Ordering::Relaxed) >= 1_000_000 {
                return;
            }
        }
    });
    let (dir, lane) = (TempDir::new().unwrap(), lane("gw", 0));
    let spool = spool(&dir.path().join("spool"), lane.clone()).await;
    let settings = forebay_stream::kafka::KafkaSettings::new(vec![address.clone()]);
    let publishing = Publishing::start(settings, &spool, lane, dir.path().join("places"));
    let again = async {
        while met.load(Ordering::Relaxed) < 3 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(WITHIN, again).await.expect("it does not try again");
    timeout(Duration::from_secs(10), publishing.stop())
        .await
        .expect("the end waits for a stranger")
        .unwrap();
    met.store(1_000_000, Ordering::Relaxed);
    drop(TcpStream::connect(address).unwrap());
    stranger.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_do_not_work_are_an_error() {
    let (broker, dir) = (broker().await, TempDir::new().unwrap());
    let lane = lane("gw", 0);
    let spool = spool(&dir.path().join("spool"), lane.clone()).await;
    let mut settings = broker.settings("any");
    settings.tls = Some(forebay_stream::kafka::Tls {
        ca_file: Some("/nowhere/ca.pem".into()),
        identity: None,
    });
    let error = Publishing::start(settings, &spool, lane, dir.path().join("places"))
        .ended()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
    assert!(
        error
            .to_string()
            .starts_with("fix [stream]: ca_file /nowhere/ca.pem cannot be read"),
        "{error}"
    );
}
