//! The first limit: librdkafka with its own defaults, and the decoding of every record, on one thread of ours.

use std::{hint::black_box, time::Duration};

use anyhow::{Context as _, ensure};
use forebay_schemas::wire::SeriesDecoder;
use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    message::Headers as _,
};

use crate::{
    meter::{Cost, Meter},
    place::Topic,
};

const ANSWER_MAX: Duration = Duration::from_secs(20);

/// Reads a topic from its beginning to its end.
pub(crate) fn measure(topic: &Topic) -> anyhow::Result<Cost> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &topic.broker)
        .set("group.id", "bench-raw");
    config
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.create()?;
    let metadata = consumer.fetch_metadata(Some(&topic.name), ANSWER_MAX)?;
    let partitions = metadata
        .topics()
        .first()
        .context("the topic is not there")?
        .partitions();
    let mut from = TopicPartitionList::new();
    for partition in partitions {
        from.add_partition_offset(&topic.name, partition.id(), Offset::Beginning)?;
    }
    let meter = Meter::start()?;
    consumer.assign(&from)?;
    let (mut readings, mut open) = (0, partitions.len());
    let mut decoder = SeriesDecoder::default();
    while open > 0 {
        match consumer.poll(ANSWER_MAX).context("kafka sends nothing")? {
            Ok(message) => {
                let headers = message.headers().context("a record without headers")?;
                let is_batch = headers
                    .iter()
                    .any(|header| header.value == Some(&b"readings"[..]));
                if is_batch {
                    let batch = decoder.decode(message.payload().unwrap_or_default())?;
                    readings += black_box(batch).len() as u64;
                }
            }
            Err(KafkaError::PartitionEOF(_)) => open -= 1,
            Err(error) => return Err(error.into()),
        }
    }
    ensure!(
        readings == topic.readings,
        "{readings} readings instead of {}",
        topic.readings
    );
    meter.stop(readings)
}
