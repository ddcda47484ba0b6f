//! Partitions that come, go and grow.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use forebay_schemas::ErrorKind;
use forebay_stream::{
    GroupEvent, LogGroup as _, LogSource, LogWriter as _, Offset, StreamError, kafka::KafkaGroup,
};
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

use crate::support::{
    Publishing, WITHIN, append, broker, change, join, lane, read_until, spool, topic,
};

type Sources = BTreeMap<u32, Arc<dyn LogSource>>;

/// Follows two members until each has as many partitions as told and together they have all.
async fn settle(members: &mut [(KafkaGroup, Sources)], counts: &[usize]) {
    let deadline = Instant::now() + WITHIN;
    loop {
        for (group, sources) in members.iter_mut() {
            while let Ok(event) = timeout(Duration::from_millis(50), group.next()).await {
                match event.unwrap() {
                    GroupEvent::Assigned(source) => {
                        drop(sources.insert(source.partition(), source))
                    }
                    GroupEvent::Revoked(partition) => drop(sources.remove(&partition)),
                }
            }
        }
        let found: Vec<_> = members.iter().map(|(_, sources)| sources.len()).collect();
        let all: BTreeSet<_> = members
            .iter()
            .flat_map(|(_, sources)| sources.keys())
            .collect();
        if found == counts && all.len() == counts.iter().sum::<usize>() {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "partitions are not shared as {counts:?} but {found:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_is_taken_away_is_read_by_one_only() {
    let (broker, dir, topic) = (broker().await, TempDir::new().unwrap(), topic(4).await);
    let settings = broker.settings(&topic);
    let (first, sources) = join(settings.clone(), 4).await;
    let mut readers = BTreeMap::new();
    for (partition, source) in &sources {
        assert!(
            source.stream().starts_with("kafka/") && source.stream().ends_with(&topic),
            "{}",
            source.stream()
        );
        readers.insert(*partition, source.open(Offset(0)).await.unwrap());
    }
    let mut members = vec![(first, sources.clone())];
    let second = timeout(WITHIN, KafkaGroup::join(settings.clone()))
        .await
        .unwrap()
        .unwrap();
    members.push((second, Sources::new()));
    settle(&mut members, &[2, 2]).await;
    // Readings for every lane, so that all partitions have some.
    let lanes: Vec<_> = (0..8).map(|number| lane("gw", number)).collect();
    let (mut expected, mut publishing) = (Vec::new(), Vec::new());
    for lane in &lanes {
        let spool = spool(&dir.path().join(lane.lane.to_string()), lane.clone()).await;
        let epoch = append(&spool.writer(), 1, 10).await;
        expected.push((lane.clone(), epoch, 10));
        let places = dir.path().join(format!("places-{}", lane.lane));
        publishing.push(Publishing::start(
            settings.clone(),
            &spool,
            lane.clone(),
            places,
        ));
    }
    let all: Sources = members
        .iter()
        .flat_map(|(_, sources)| sources.clone())
        .collect();
    read_until(&all, &expected).await;
    for (partition, reader) in &mut readers {
        // Two lanes may share a partition and leave another without readings.
        let read = timeout(WITHIN, reader.try_next()).await.unwrap();
        if members[1].1.contains_key(partition) {
            assert!(
                matches!(read, Err(StreamError::Revoked { partition: revoked }) if revoked == *partition),
                "{read:?}"
            );
            assert_eq!(read.unwrap_err().kind(), ErrorKind::Fatal);
            let again = sources[partition].open(Offset(0)).await;
            assert!(matches!(again.err(), Some(StreamError::Revoked { .. })));
        } else {
            read.unwrap();
        }
    }
    // One leaves, and the other gets all.
    let (second, _) = members.pop().unwrap();
    second.leave().await;
    settle(&mut members, &[4]).await;
    for publishing in publishing {
        publishing.stop().await.unwrap();
    }
    let (first, sources) = members.pop().unwrap();
    let mut waiting = sources[&0].open(Offset(1 << 40)).await.unwrap();
    while waiting.try_next().await.unwrap().is_some() {}
    let (left, waited) = tokio::join!(first.leave(), timeout(WITHIN, waiting.next()));
    assert_eq!(left, ());
    assert!(
        matches!(waited.unwrap(), Err(StreamError::Revoked { partition: 0 })),
        "a waiting reader is woken"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn new_partitions_are_found_and_used_by_new_epochs() {
    let (broker, dir, topic) = (broker().await, TempDir::new().unwrap(), topic(4).await);
    let settings = broker.settings(&topic);
    let (mut group, mut sources) = join(settings.clone(), 4).await;
    let lanes: Vec<_> = (0..12).map(|number| lane("gw", number)).collect();
    let mut expected = Vec::new();
    for grown in [false, true] {
        if grown {
            broker.grow(&topic, 8).await;
            while sources.len() < 8 {
                match change(&mut group).await {
                    GroupEvent::Assigned(source) => {
                        drop(sources.insert(source.partition(), source))
                    }
                    GroupEvent::Revoked(partition) => drop(sources.remove(&partition)),
                }
            }
        }
        for lane in &lanes {
            let spool = spool(&dir.path().join(lane.lane.to_string()), lane.clone()).await;
            let places = dir.path().join(format!("places-{}", lane.lane));
            let publishing = Publishing::start(settings.clone(), &spool, lane.clone(), places);
            let epoch = append(&spool.writer(), 1, 3).await;
            expected.push((lane.clone(), epoch, 3));
            while !forebay_stream::conformance::drain(&mut spool.reader(Offset(0)))
                .await
                .unwrap()
                .is_empty()
            {
                sleep(Duration::from_millis(20)).await;
            }
            publishing.stop().await.unwrap();
            spool.writer().close().await.unwrap();
        }
    }
    read_until(&sources, &expected).await;
    let mut used = BTreeSet::new();
    for (partition, source) in &sources {
        if !crate::support::drain(&**source, Offset(0)).await.is_empty() {
            used.insert(*partition);
        }
    }
    assert!(used.iter().any(|partition| *partition >= 4), "{used:?}");
    group.leave().await;
}
