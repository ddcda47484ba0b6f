//! What stands around the gateway: Kafka, a bucket, and a folder for each process of ours.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer as _},
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};
use serde_json::Value as Json;
use tokio::runtime::Runtime;

use super::kafka_broker::{self, PASSWORD, USER};
use crate::site::{Alone, Peer, Running, S3_USER, Site, asked_of_bucket, text, until};

pub(crate) const TOPIC: &str = "plant.readings";
pub(crate) const PARTITIONS: u32 = 4;
/// Enough that each partition has one.
const LANES: u32 = 8;
const BUCKET: &str = "plant";
const LAKE: &str = "north/lake";
/// Longer than anything takes on a machine that does much else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// How Kafka is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// In clear.
    Clear,
    /// Over TLS, with a user and a password.
    Secure,
}

/// One gateway and two compactors, each with a data folder; one keyring, one topic, one lake for all.
pub(crate) struct Plant {
    pub(crate) kafka: Kafka,
    store: Peer,
    pub(crate) edge: Site,
    pub(crate) compactors: [Site; 2],
    _alone: Alone,
}

/// The head of a configuration: which gateway it is, and how many lanes it has.
pub(crate) fn head(id: &str, lanes: u32) -> String {
    format!("[gateway]\nid = \"{id}\"\nsite = \"werk\"\ndata_dir = \"data\"\nlanes = {lanes}\n")
}

/// Apache Kafka with the plant's topic.
pub(crate) struct Kafka {
    runtime: Runtime,
    broker: kafka_broker::Broker,
}

impl Kafka {
    fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let broker = runtime.block_on(async {
            let broker = kafka_broker::Broker::started().await;
            broker.create(TOPIC, PARTITIONS, &[]).await;
            broker
        });
        Self { runtime, broker }
    }

    /// Killed as by a power cut, and up again.
    pub(crate) fn restart(&mut self) {
        self.broker.kill();
        self.broker.start();
        self.runtime.block_on(self.broker.up());
    }

    pub(crate) fn grow(&self, partitions: u32) {
        self.runtime
            .block_on(self.broker.grow(TOPIC, partitions as usize));
    }
}

impl Plant {
    /// Starts Kafka and the store; `stream`, `lake` and `connectors` are more lines of the configuration.
    pub(crate) fn start(link: Link, stream: &str, lake: &str, connectors: &str) -> Self {
        let alone = Alone::at_last();
        let plant = Self {
            kafka: Kafka::start(),
            store: Peer::start("lake/tests/s3/server.py", BUCKET),
            edge: Site::new(),
            compactors: [Site::new(), Site::new()],
            _alone: alone,
        };
        let common = format!(
            "{}{stream}\n{}",
            plant.stream(link),
            plant.keys_and_lake(lake, &plant.endpoint())
        );
        plant
            .edge
            .configure(&format!("{}{common}{connectors}", head("g1", LANES)));
        for (site, id) in plant.compactors.iter().zip(["c1", "c2"]) {
            site.configure(&format!("{}{common}", head(id, 1)));
        }
        let made = plant.edge.forebay(&["keys", "init"]);
        assert!(made.status.success(), "{}", text(&made.stderr));
        plant
    }

    pub(crate) fn stream(&self, link: Link) -> String {
        let broker = &self.kafka.broker;
        let (address, security) = match link {
            Link::Clear => (broker.address(), String::new()),
            Link::Secure => {
                let (address, ca_file) = broker.secure_address();
                let security = format!(
                    "[stream.tls]\nca_file = {ca_file:?}\n\
                     [stream.sasl]\nmechanism = \"SCRAM-SHA-512\"\nuser = \"{USER}\"\npassword = \"{PASSWORD}\"\n"
                );
                (address, security)
            }
        };
        format!(
            "{security}[stream]\nkind = \"kafka\"\nbrokers = [\"{address}\"]\ntopic = \"{TOPIC}\"\n"
        )
    }

    /// The lake's tables of the configuration, the store being reached at `endpoint`.
    pub(crate) fn keys_and_lake(&self, lake: &str, endpoint: &str) -> String {
        let (id, secret) = S3_USER;
        format!(
            "[keys]\npath = {:?}\n[lake]\nurl = \"s3://{BUCKET}/{LAKE}\"\n{lake}\n\
             [lake.s3]\nendpoint = \"{endpoint}\"\naccess_key_id = \"{id}\"\nsecret_access_key = \"{secret}\"\nallow_http = true\n",
            self.keys()
        )
    }

    fn endpoint(&self) -> String {
        format!("http://{}", self.store_address())
    }

    /// Where the store listens.
    pub(crate) fn store_address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.store.first_line.parse().unwrap()).into()
    }

    fn keys(&self) -> PathBuf {
        self.edge.path("keys")
    }

    pub(crate) fn run_edge(&self) -> Running {
        self.edge.run(&["--role", "edge"])
    }

    pub(crate) fn run_compactor(&self, of: usize) -> Running {
        self.compactors[of].run(&["--role", "compactor"])
    }

    /// Waits until each compactor reads a part of the partitions.
    pub(crate) fn until_shared(&self) {
        let shared = || {
            self.compactors
                .iter()
                .all(|site| site.log().contains("consuming"))
        };
        until(PATIENCE, shared).expect("both compactors get partitions");
    }

    /// Puts a record into a partition that says of itself that it holds readings; answers its offset.
    pub(crate) fn produce(&self, partition: i32, payload: &[u8]) -> i64 {
        let address = self.kafka.broker.address();
        let producer: FutureProducer = ClientConfig::new()
            .set("bootstrap.servers", address)
            .create()
            .unwrap();
        let kind = OwnedHeaders::new().insert(Header {
            key: "forebay-record",
            value: Some("readings"),
        });
        let record = FutureRecord::<(), _>::to(TOPIC)
            .partition(partition)
            .payload(payload)
            .headers(kind);
        let sent = self.kafka.runtime.block_on(producer.send(record, PATIENCE));
        sent.map_err(|(error, _)| error).unwrap().offset
    }

    /// How many partitions hold a record.
    pub(crate) fn partitions_in_use(&self, of: u32) -> usize {
        let address = self.kafka.broker.address();
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", address)
            .create()
            .unwrap();
        let used = |partition: &u32| {
            let marks = consumer
                .fetch_watermarks(TOPIC, partition.cast_signed(), PATIENCE)
                .unwrap();
            marks.1 > marks.0
        };
        (0..of).filter(used).count()
    }

    /// What PyArrow and the Delta log say of `readings`, without any code of ours.
    pub(crate) fn oracle(&self, more: &[&str]) -> Json {
        serde_json::from_str(&self.asked("lake/tests/oracle.py", more)).unwrap()
    }

    /// Does to `readings` what nobody should, or undoes it; answers the path of the file concerned.
    pub(crate) fn tamper(&self, deed: &str, kept: &Path) -> String {
        self.asked("lake/tests/tamper.py", &[deed, kept.to_str().unwrap()])
            .trim()
            .to_owned()
    }

    fn asked(&self, script: &str, more: &[&str]) -> String {
        let (table, keyring) = (
            format!("s3://{BUCKET}/{LAKE}/readings"),
            self.keys().join("keyring.json"),
        );
        asked_of_bucket(script, &table, &keyring, more, &self.endpoint())
    }
}

/// How many readings a compactor has committed, as its log has it.
pub(crate) fn committed(site: &Site) -> u64 {
    let log = site.log();
    let commits = log.lines().filter(|line| line.contains(" committed "));
    let readings = commits.filter_map(|line| {
        line.rsplit("readings=")
            .next()?
            .split(' ')
            .next()?
            .parse::<u64>()
            .ok()
    });
    readings.sum()
}
