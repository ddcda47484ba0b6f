//! What a reader meets that our publishers did not write, or that is there no more.

use std::time::Duration;

use forebay_schemas::ErrorKind;
use forebay_stream::{Damage, Entry, Offset};
use rdkafka::{
    ClientConfig,
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::support::{
    Publishing, WITHIN, append, broker, drain, join, lane, read_until, spool, topic,
};

async fn send(topic: &str, partition: i32, kind: Option<&str>, payload: Option<&[u8]>) {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", broker().await.address())
        .create()
        .unwrap();
    let mut record = FutureRecord::<str, [u8]>::to(topic).partition(partition);
    if let Some(kind) = kind {
        record = record.headers(OwnedHeaders::new().insert(Header {
            key: "forebay-record",
            value: Some(kind),
        }));
    }
    record = match payload {
        Some(payload) => record.payload(payload),
        None => record.key("only a key"),
    };
    producer
        .send(record, Duration::from_secs(30))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_ours_is_yielded_and_passed() {
    let (broker, dir, topic) = (broker().await, TempDir::new().unwrap(), topic(1).await);
    let lane = lane("gw", 0);
    let spool = spool(&dir.path().join("spool"), lane.clone()).await;
    send(&topic, 0, None, Some(b"{\"temperature\": 21}")).await;
    send(&topic, 0, Some("readings"), Some(&[0xff; 100_000])).await;
    send(&topic, 0, None, None).await;
    let epoch = append(&spool.writer(), 1, 5).await;
    let publishing = Publishing::start(
        broker.settings(&topic),
        &spool,
        lane.clone(),
        dir.path().join("places"),
    );
    let (group, sources) = join(broker.settings(&topic), 1).await;
    read_until(&sources, &[(lane, epoch, 5)]).await;
    let all = drain(&*sources[&0], Offset(0)).await;
    let undecodable: Vec<_> = all
        .iter()
        .filter_map(|delivered| match &delivered.record.entry {
            Entry::Undecodable { bytes, why } => {
                Some((delivered.record.offset.0, bytes.len(), why.as_str()))
            }
            _ => None,
        })
        .collect();
    let kind = "the header forebay-record is None, not \"readings\", \"outages\", \"epoch_end\", \"gap\" or \"spool_loss\"";
    assert_eq!(
        undecodable,
        [
            (0, 19, kind),
            (1, 100_000, "not a protobuf message"),
            (2, 0, kind)
        ]
    );
    assert!(matches!(all.last().unwrap().record.entry, Entry::Batch(_)));
    publishing.stop().await.unwrap();
    group.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_a_later_release_stops_its_partition_only() {
    let (broker, topic) = (broker().await, topic(2).await);
    // Field 1, the version, is 2; small and large, as both are decoded in places of their own.
    let large: Vec<u8> = [8, 2]
        .into_iter()
        .chain([0x52, 0x80, 0x80, 0x08])
        .chain([0; 1 << 17])
        .collect();
    send(&topic, 0, Some("readings"), Some(&large)).await;
    send(&topic, 0, Some("readings"), Some(&[8, 2])).await;
    send(&topic, 1, None, Some(b"rubbish")).await;
    let (group, sources) = join(broker.settings(&topic), 2).await;
    for (from, offset) in [(0, 0), (1, 1)] {
        let mut stopped = sources[&0].open(Offset(from)).await.unwrap();
        for _ in 0..2 {
            let error = timeout(WITHIN, stopped.next()).await.unwrap().unwrap_err();
            assert_eq!(
                (error.kind(), error.to_string()),
                (
                    ErrorKind::Fatal,
                    format!("record at offset {offset} cannot be read")
                )
            );
            let source = std::error::Error::source(&error).unwrap().to_string();
            assert!(
                source.contains("wire version 2 is newer than 1"),
                "{source}"
            );
        }
    }
    let mut other = sources[&1].open(Offset(0)).await.unwrap();
    assert!(matches!(
        timeout(WITHIN, other.next())
            .await
            .unwrap()
            .unwrap()
            .record
            .entry,
        Entry::Undecodable { .. }
    ));
    group.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_records_are_a_damaged_place() {
    let (broker, topic) = (broker().await, topic(1).await);
    for number in 0..10 {
        send(&topic, 0, None, Some(format!("{number}").as_bytes())).await;
    }
    let (group, sources) = join(broker.settings(&topic), 1).await;
    let mut early = sources[&0].open(Offset(2)).await.unwrap();
    assert_eq!(
        timeout(WITHIN, early.next())
            .await
            .unwrap()
            .unwrap()
            .record
            .offset,
        Offset(2)
    );
    broker.delete_below(&topic, 0, 6).await;
    let all = drain(&*sources[&0], Offset(2)).await;
    let missing = Entry::Damaged {
        segment: Offset(2),
        bytes: 0..0,
        why: Damage::Missing,
    };
    assert_eq!(
        (
            all[0].record.entry.clone(),
            all[0].record.offset,
            all[0].record.next
        ),
        (missing, Offset(2), Offset(6))
    );
    let offsets: Vec<_> = all[1..]
        .iter()
        .map(|delivered| delivered.record.offset.0)
        .collect();
    assert_eq!(offsets, [6, 7, 8, 9]);
    let exact = drain(&*sources[&0], Offset(6)).await;
    assert_eq!(exact.len(), 4, "nothing is missing from the oldest on");
    group.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_under_a_reader_is_told_to_it() {
    let (broker, topic) = (broker().await, topic(1).await);
    let (group, sources) = join(broker.settings(&topic), 1).await;
    let mut reader = sources[&0].open(Offset(0)).await.unwrap();
    // More than a reader fetches ahead, so that the rest is asked for after it was deleted.
    let block = [b'x'; 900_000];
    for _ in 0..24 {
        send(&topic, 0, None, Some(&block)).await;
    }
    assert_eq!(
        timeout(WITHIN, reader.next())
            .await
            .unwrap()
            .unwrap()
            .record
            .offset,
        Offset(0)
    );
    broker.delete_below(&topic, 0, 22).await;
    let (mut next, mut lost) = (1, 0);
    while next < 24 {
        let record = timeout(WITHIN, reader.next())
            .await
            .unwrap()
            .unwrap()
            .record;
        assert_eq!(record.offset.0, next, "no offset is passed in silence");
        if let Entry::Damaged {
            why: Damage::Missing,
            ..
        } = record.entry
        {
            lost += record.next.0 - record.offset.0;
        }
        next = record.next.0;
    }
    assert!(lost > 0);
    group.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_group_remembers_offsets_for_dashboards() {
    use rdkafka::consumer::{BaseConsumer, Consumer as _};

    let (broker, topic) = (broker().await, topic(1).await);
    for _ in 0..5 {
        send(&topic, 0, None, Some(b"x")).await;
    }
    let settings = broker.settings(&topic);
    let (group, sources) = join(settings.clone(), 1).await;
    let reader = sources[&0].open(Offset(0)).await.unwrap();
    reader.committed(Offset(3)).await.unwrap();
    let asked = async {
        loop {
            let (address, name, topic) = (broker.address(), settings.group.clone(), topic.clone());
            let asking = tokio::task::spawn_blocking(move || {
                let mut config = ClientConfig::new();
                let consumer: BaseConsumer = config
                    .set("bootstrap.servers", address)
                    .set("group.id", name)
                    .create()
                    .unwrap();
                let mut list = rdkafka::TopicPartitionList::new();
                list.add_partition(&topic, 0);
                let found = consumer
                    .committed_offsets(list, Duration::from_secs(5))
                    .ok()?;
                found.elements_for_topic(&topic).first()?.offset().to_raw()
            });
            if asking.await.unwrap() == Some(3) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(WITHIN, asked)
        .await
        .expect("the group does not remember the offset");
    group.leave().await;
}
