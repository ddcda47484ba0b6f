//! Topics that are not there when the first gateway publishes.

use std::{path::Path, time::Duration};

use forebay_schemas::{ErrorKind, LaneId};
use forebay_stream::{
    StreamError,
    kafka::{KafkaSettings, Mechanism},
};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, ResourceSpecifier},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer as _},
};
use tempfile::TempDir;
use tokio::{
    task::spawn_blocking,
    time::{sleep, timeout},
};

use crate::{
    kafka_broker::{Broker, PASSWORD},
    support::{Publishing, WITHIN, append, broker, lane, spool, topic_name},
};

/// A topic's partitions and its clean-up policy.
async fn described(broker: &Broker, topic: &str) -> (usize, Option<String>) {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", broker.address());
    let consumer: BaseConsumer = client.create().unwrap();
    let name = topic.to_owned();
    let partitions = spawn_blocking(move || {
        let metadata = consumer.fetch_metadata(Some(&name), WITHIN).unwrap();
        metadata.topics()[0].partitions().len()
    });
    let admin: AdminClient<DefaultClientContext> = client.create().unwrap();
    let resource = ResourceSpecifier::Topic(topic);
    let described = admin
        .describe_configs([&resource], &AdminOptions::new())
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    let policy = described
        .get("cleanup.policy")
        .and_then(|entry| entry.value.clone());
    (partitions.await.unwrap(), policy)
}

/// Five readings of a lane, published to the end.
async fn publish(settings: KafkaSettings, dir: &Path, lane: LaneId) -> Result<u64, StreamError> {
    let spool = spool(&dir.join(lane.lane.to_string()), lane.clone()).await;
    append(&spool.writer(), 1, 5).await;
    let places = dir.join(format!("places-{}", lane.lane));
    let publishing = Publishing::start(settings, &spool, lane, places);
    let done = async {
        while publishing.published() < 5 && !publishing.is_ended() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(WITHIN, done)
        .await
        .expect("neither published nor refused");
    let published = publishing.published();
    publishing.stop().await.map(|()| published)
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_that_start_at_once_create_one_topic() {
    let (broker, dir, topic) = (broker().await, TempDir::new().unwrap(), topic_name());
    let settings = broker.settings(&topic);
    let one = |number| publish(settings.clone(), dir.path(), lane("gw", number));
    let published = tokio::join!(one(0), one(1), one(2), one(3));
    for published in [published.0, published.1, published.2, published.3] {
        assert_eq!(published.unwrap(), 5);
    }
    assert_eq!(
        described(broker, &topic).await,
        (6, Some("delete".to_owned()))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_create_topics_is_told_and_uses_what_another_creates() {
    let (broker, dir, topic) = (
        Broker::guarded().await,
        TempDir::new().unwrap(),
        topic_name(),
    );
    let denied = broker.secure_settings(&topic, Mechanism::ScramSha512, PASSWORD);
    let refused = publish(denied.clone(), dir.path(), lane("gw", 0))
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Fatal);
    let expected = "allow this user CREATE on the topic, or create the topic and set partitions = 0 in [stream]";
    assert!(refused.to_string().ends_with(expected), "{refused}");
    let allowed = KafkaSettings {
        partitions: Some(2),
        ..broker.settings(&topic)
    };
    assert_eq!(
        publish(allowed, dir.path(), lane("gw", 1)).await.unwrap(),
        5
    );
    let delete = Some("delete".to_owned());
    assert_eq!(
        described(&broker, &topic).await,
        (2, delete),
        "not compacted, though the broker's default is"
    );
    assert_eq!(publish(denied, dir.path(), lane("gw", 2)).await.unwrap(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_kafka_does_not_take_is_refused() {
    let (broker, dir, number) = (broker().await, TempDir::new().unwrap(), topic_name());
    broker.create(&format!("{number}.a"), 1, &[]).await;
    let settings = broker.settings(&format!("{number}_a"));
    let refused = publish(settings, dir.path(), lane("gw", 0))
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Fatal);
    assert!(
        refused
            .to_string()
            .contains("choose another topic in [stream]"),
        "{refused}"
    );
}
