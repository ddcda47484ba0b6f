//! How many readings have come into a topic of Kafka.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context as _, ensure};
use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    message::{BorrowedMessage, Headers as _},
};
use serde::{Deserialize, de::IgnoredAny};
use tokio::time::Instant;

/// Nothing comes for so long once all is there.
const QUIET: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(200);
/// Readings come at least so often while some are missing.
const SILENCE_MAX: Duration = Duration::from_secs(120);
/// What Telegraf says of a value of OPC UA beside it.
const OF_VALUES: [&str; 1] = ["Quality"];

/// Follows the topic's only partition.
pub(crate) struct Received {
    consumer: BaseConsumer,
    readings: u64,
    last: Instant,
}

impl Received {
    pub(crate) fn of(kafka: &str, topic: &str) -> anyhow::Result<Self> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", kafka)
            .set("group.id", "bench-edge")
            .set("enable.auto.commit", "false");
        let consumer: BaseConsumer = config.create()?;
        let mut from = TopicPartitionList::new();
        from.add_partition_offset(topic, 0, Offset::Beginning)?;
        consumer.assign(&from)?;
        Ok(Self {
            consumer,
            readings: 0,
            last: Instant::now(),
        })
    }

    /// So far, after a short wait for more.
    pub(crate) fn count(&mut self) -> anyhow::Result<u64> {
        let until = Instant::now() + LOOK;
        while let Some(message) = self
            .consumer
            .poll(until.saturating_duration_since(Instant::now()))
        {
            self.readings += readings(&message?)?;
            self.last = Instant::now();
        }
        ensure!(
            self.last.elapsed() < SILENCE_MAX,
            "nothing has come for {SILENCE_MAX:?}, {} readings are there",
            self.readings
        );
        Ok(self.readings)
    }

    /// What is there once nothing more comes.
    pub(crate) fn until_quiet(&mut self) -> anyhow::Result<u64> {
        loop {
            let readings = self.count()?;
            if self.last.elapsed() >= QUIET {
                return Ok(readings);
            }
        }
    }
}

/// A metric of Telegraf in JSON, as far as it is counted.
#[derive(Deserialize)]
struct Metric<'m> {
    #[serde(borrow)]
    fields: HashMap<&'m str, IgnoredAny>,
}

/// A record of ours says how many it has; one of Telegraf has one for each field.
fn readings(message: &BorrowedMessage<'_>) -> anyhow::Result<u64> {
    let Some(headers) = message.headers() else {
        let metric: Metric<'_> = serde_json::from_slice(message.payload().unwrap_or_default())?;
        let values = metric.fields.keys();
        return Ok(values.filter(|name| !OF_VALUES.contains(name)).count() as u64);
    };
    let value = |key: &str| {
        headers
            .iter()
            .find(|header| header.key == key)
            .and_then(|header| header.value)
    };
    if value("forebay-record") != Some(b"readings") {
        return Ok(0);
    }
    let count = value("count").context("a record without a count")?;
    Ok(std::str::from_utf8(count)?.parse()?)
}
