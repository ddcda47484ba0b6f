//! The kind "beacon", and one beacon.

use std::time::Duration;

use async_trait::async_trait;
use forebay_config::{Defaulted, Required, Table, TableKeys};
use forebay_connectors::{
    Closed, Connector, ConnectorError, ConnectorKeys, ConnectorKind, Context, Declared, LinkChange,
    NAME, Outlet, RuleId, Sample, SampleKind, Uniform, finite,
};
use forebay_runtime::Backoff;
use forebay_schemas::{DeviceId, Status, TagName};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

const KEYS: ConnectorKeys = ConnectorKeys {
    connector: CONNECTOR,
    tag: TAG,
};
const CONNECTOR: TableKeys = TableKeys::many(
    "connector",
    "Reads the one value of a beacon.",
    &[&NAME, &ADDRESS, &DEVICE, &EVERY, &TAG],
);
const ADDRESS: Required<String> =
    Required::new("address", "Where the beacon listens: \"host:port\".");
const DEVICE: Required<DeviceId> = Required::new("device", "The beacon's name in the readings.");
const EVERY: Defaulted<Duration> = Defaulted::new(
    "every",
    Duration::from_secs(1),
    "How often the value is read.",
);
const TAG: TableKeys = TableKeys::many("tag", "The beacon's value.", &[&TAG_NAME]);
const TAG_NAME: Required<TagName> = Required::new("name", "The value's name in the readings.");

/// The kind "beacon".
#[derive(Debug, Clone, Copy, Default)]
pub struct BeaconKind;

impl ConnectorKind for BeaconKind {
    fn name(&self) -> &'static str {
        "beacon"
    }

    fn keys(&self) -> &'static ConnectorKeys {
        &KEYS
    }

    fn configure(
        &self,
        connector: &mut Table<'_>,
        tags: &mut [Table<'_>],
        context: &Context,
    ) -> Option<Box<dyn Connector>> {
        // Every key is read before any is missed, so that all problems are noted.
        let address = connector.read(&ADDRESS);
        let device = connector.read(&DEVICE);
        let every = connector.read(&EVERY);
        let names: Vec<_> = tags.iter_mut().map(|tag| tag.read(&TAG_NAME)).collect();
        if names.len() != 1 {
            connector.problem(
                &TAG,
                "a beacon has one value: exactly one [[connector.tag]] is expected",
            );
        }
        let [tag]: [TagName; 1] = names
            .into_iter()
            .collect::<Option<Vec<_>>>()?
            .try_into()
            .ok()?;
        Some(Box::new(Beacon {
            address: address?,
            device: device?,
            tag,
            every,
            uniform: context.uniform.clone(),
        }))
    }
}

/// One beacon.
struct Beacon {
    address: String,
    device: DeviceId,
    tag: TagName,
    every: Duration,
    uniform: Uniform,
}

/// The longest wait for an answer: a device that has gone is reported within 5 s.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// The longest answer: whatever a device sends, it takes no more memory than this.
const ANSWER_BYTES_MAX: u64 = 64;

#[async_trait]
impl Connector for Beacon {
    fn declared(&self) -> Vec<Declared> {
        vec![Declared {
            rule: RuleId(0),
            device: self.device.clone(),
            tag: self.tag.clone(),
        }]
    }

    async fn run(&self, outlet: Outlet, stop: CancellationToken) -> Result<(), ConnectorError> {
        let mut link = Link::default();
        // A stop ends the wait for the device, never the wait for a receipt.
        while let Some(answer) = stop
            .run_until_cancelled(timeout(ANSWER_MAX, self.ask()))
            .await
        {
            let answer = answer.unwrap_or_else(|_| Err("no answer in time".to_owned()));
            // A closed outlet means that the gateway has stopped.
            let Ok(wait) = self.hand_over(&outlet, &mut link, answer).await else {
                break;
            };
            if stop.run_until_cancelled(sleep(wait)).await.is_none() {
                break;
            }
        }
        Ok(())
    }
}

/// How the last polls went.
#[derive(Debug, Default)]
struct Link {
    is_up: bool,
    /// In a row.
    failures: u32,
}

impl Beacon {
    /// One answer, or why there is none.
    async fn ask(&self) -> Result<f64, String> {
        let stream = TcpStream::connect(&self.address)
            .await
            .map_err(|error| format!("cannot connect: {error}"))?;
        let mut line = String::new();
        BufReader::new(stream.take(ANSWER_BYTES_MAX))
            .read_line(&mut line)
            .await
            .map_err(|error| format!("the connection broke: {error}"))?;
        let is_whole = line.ends_with('\n');
        let number = line.trim().parse().ok().filter(|_| is_whole);
        number.ok_or_else(|| format!("{line:?} is not a line with a number"))
    }

    /// Hands over what came of a poll; answers how long to wait until the next one.
    async fn hand_over(
        &self,
        outlet: &Outlet,
        link: &mut Link,
        answer: Result<f64, String>,
    ) -> Result<Duration, Closed> {
        match answer {
            Ok(number) => {
                if !link.is_up {
                    outlet.link(change(None)).await?;
                }
                *link = Link {
                    is_up: true,
                    failures: 0,
                };
                outlet.deliver(vec![self.sample(number)]).await?;
                Ok(self.every)
            }
            Err(reason) => {
                link.is_up = false;
                link.failures += 1;
                let failures = link.failures;
                warn!(
                    address = self.address,
                    failures, reason, "poll failed, retrying"
                );
                outlet.link(change(Some(reason))).await?;
                Ok(Backoff::default().wait(failures, (self.uniform)()))
            }
        }
    }

    fn sample(&self, number: f64) -> Sample {
        // NaN and infinity are no values: they make the reading bad, and the link stays up.
        let (value, status) = match finite(number, number.to_bits()) {
            Ok(value) => (Some(value), Status::GOOD),
            Err(bad) => (None, bad),
        };
        Sample {
            rule: RuleId(0),
            device: self.device.clone(),
            tag: self.tag.clone(),
            event_time: None,
            value,
            unit: None,
            status,
            kind: SampleKind::Update,
        }
    }
}

/// The connector has one link, to its one device.
fn change(down: Option<String>) -> LinkChange {
    LinkChange { device: None, down }
}
