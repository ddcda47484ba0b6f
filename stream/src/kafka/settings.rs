//! The `[stream]` table for Kafka, and the client properties that follow from it.
//!
//! Everything is checked here but what only the broker knows. Paths are handed to the client library as they are written.

use std::{path::PathBuf, time::Duration};

use forebay_config::{Secret, Table};
use rdkafka::ClientConfig;

use super::keys::{self, Compression, Mechanism};
use crate::StreamError;

/// Below this a broker refuses us unless its `group.min.session.timeout.ms` is changed; above, the client library does.
const SESSION_TIMEOUT_RANGE: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(6)..=Duration::from_secs(300);
/// A member says at least so often that it lives, and thrice within its session.
const HEARTBEAT_MAX: Duration = Duration::from_secs(3);
/// Below this no single reading is sure to fit; above it the broker's own memory is at stake.
const MAX_RECORD_RANGE: std::ops::RangeInclusive<u64> = (4 << 10)..=(64 << 20);
const TOPIC_BYTES_MAX: usize = 249;

/// How Kafka is reached and used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaSettings {
    /// Where to begin, each `host:port`; never empty.
    pub brokers: Vec<String>,
    /// The topic of all gateways.
    pub topic: String,
    /// Partitions of the topic if it has to be created; none (0 in the file): it is not created but waited for.
    pub partitions: Option<u16>,
    /// The consumer group of the compactors.
    pub group: String,
    /// How long a jump in an epoch's seqs is waited for (E4); used by the compactor.
    pub gap_wait: Duration,
    /// How records are packed.
    pub compression: Compression,
    /// Most bytes of one record; larger ones are split.
    pub max_record: u64,
    /// Most bytes that wait for the broker's acknowledgement.
    pub queue: u64,
    /// How soon new partitions and moved leaders are seen.
    pub metadata_refresh: Duration,
    /// After how long a silence of a compactor its partitions go to the others.
    pub session_timeout: Duration,
    /// Encryption; none: in clear.
    pub tls: Option<Tls>,
    /// Who we are; none: nobody, or who our certificate says.
    pub sasl: Option<Sasl>,
}

/// Encryption and certificates.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// Who may sign the brokers' certificates (PEM); none: the system's list.
    pub ca_file: Option<PathBuf>,
    /// Our certificate and its key (PEM).
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sasl {
    /// How we prove it.
    pub mechanism: Mechanism,
    /// The user.
    pub user: String,
    /// Its password.
    pub password: Secret,
}

impl KafkaSettings {
    /// The defaults, in clear and as nobody.
    pub fn new(brokers: Vec<String>) -> Self {
        Self {
            brokers,
            topic: keys::TOPIC.default(),
            partitions: Some(keys::PARTITIONS.default()),
            group: keys::GROUP.default(),
            gap_wait: keys::GAP_WAIT.default(),
            compression: keys::COMPRESSION.default(),
            max_record: keys::MAX_RECORD.default().0,
            queue: keys::QUEUE.default().0,
            metadata_refresh: keys::METADATA_REFRESH.default(),
            session_timeout: keys::SESSION_TIMEOUT.default(),
            tls: None,
            sasl: None,
        }
    }

    /// Reads a `[stream]` table of kind "kafka"; the caller has read `kind`, and finishes the table.
    pub fn read(table: &mut Table<'_>) -> Option<Self> {
        let brokers = brokers(table);
        let tls = table.table(&keys::TLS).map(tls);
        let sasl = table
            .table(&keys::SASL)
            .map(|sasl_table| sasl(sasl_table, tls.is_some()));
        let settings = Self {
            topic: topic(table),
            partitions: Some(table.read(&keys::PARTITIONS)).filter(|partitions| *partitions > 0),
            group: table.read(&keys::GROUP),
            gap_wait: table.read(&keys::GAP_WAIT),
            compression: table.read(&keys::COMPRESSION),
            max_record: table.read(&keys::MAX_RECORD).0,
            queue: table.read(&keys::QUEUE).0,
            metadata_refresh: table.read(&keys::METADATA_REFRESH),
            session_timeout: table.read(&keys::SESSION_TIMEOUT),
            brokers: brokers?,
            tls: tls.flatten_none()?,
            sasl: sasl.flatten_none()?,
        };
        settings.check(table);
        Some(settings)
    }

    fn check(&self, table: &Table<'_>) {
        if !MAX_RECORD_RANGE.contains(&self.max_record) {
            table.problem(
                &keys::MAX_RECORD,
                "a size from \"4KiB\" to \"64MiB\" is expected",
            );
        }
        if self.queue < self.max_record {
            table.problem(
                &keys::QUEUE,
                "at least max_record is expected, or the largest record could never be sent",
            );
        }
        if self.group.is_empty() {
            table.problem(&keys::GROUP, "a name is expected");
        }
        if self.metadata_refresh < Duration::from_secs(1) {
            table.problem(&keys::METADATA_REFRESH, "1s or more is expected");
        }
        if !SESSION_TIMEOUT_RANGE.contains(&self.session_timeout) {
            table.problem(
                &keys::SESSION_TIMEOUT,
                "a time from \"6s\" to \"5m\" is expected",
            );
        }
    }

    /// The brokers as one text, for messages.
    pub(super) fn brokers_shown(&self) -> String {
        self.brokers.join(", ")
    }

    /// What every client of ours is made with.
    pub(super) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.brokers.join(","));
        config.set("client.id", "forebay");
        config.set(
            "topic.metadata.refresh.interval.ms",
            self.metadata_refresh.as_millis().to_string(),
        );
        config
            .set("reconnect.backoff.ms", "100")
            .set("reconnect.backoff.max.ms", "5000");
        config.set("log.connection.close", "false");
        let protocol = match (&self.tls, &self.sasl) {
            (None, None) => "PLAINTEXT",
            (Some(_), None) => "SSL",
            (None, Some(_)) => "SASL_PLAINTEXT",
            (Some(_), Some(_)) => "SASL_SSL",
        };
        config.set("security.protocol", protocol);
        if let Some(tls) = &self.tls {
            let ca = tls
                .ca_file
                .as_ref()
                .map_or("probe".to_owned(), |file| file.display().to_string());
            config.set("ssl.ca.location", ca);
            if let Some((certificate, key)) = &tls.identity {
                config.set(
                    "ssl.certificate.location",
                    certificate.display().to_string(),
                );
                config.set("ssl.key.location", key.display().to_string());
            }
        }
        if let Some(sasl) = &self.sasl {
            config.set("sasl.mechanism", sasl.mechanism.as_str());
            config
                .set("sasl.username", &sasl.user)
                .set("sasl.password", sasl.password.expose());
        }
        config
    }

    /// What a member of the consumer group is made with.
    pub(super) fn member(&self) -> ClientConfig {
        let mut config = self.client();
        let heartbeat = HEARTBEAT_MAX.min(self.session_timeout / 3);
        config.set("group.id", &self.group);
        config.set(
            "session.timeout.ms",
            self.session_timeout.as_millis().to_string(),
        );
        config.set("heartbeat.interval.ms", heartbeat.as_millis().to_string());
        config
    }

    /// The error for a client that could not be made of these settings.
    pub(super) fn refused(source: rdkafka::error::KafkaError) -> StreamError {
        StreamError::KafkaSettings {
            why: source.to_string(),
        }
    }

    /// The client library would name the key of a file that it cannot read, but not the file.
    pub(super) fn check_files(&self) -> Result<(), StreamError> {
        let Some(tls) = &self.tls else { return Ok(()) };
        let identity = tls
            .identity
            .iter()
            .flat_map(|(certificate, key)| [("cert_file", certificate), ("key_file", key)]);
        for (key, path) in tls
            .ca_file
            .iter()
            .map(|file| ("ca_file", file))
            .chain(identity)
        {
            if let Err(error) = std::fs::File::open(path) {
                let why = format!("{key} {} cannot be read: {error}", path.display());
                return Err(StreamError::KafkaSettings { why });
            }
        }
        Ok(())
    }
}

/// A table that is missing is no error; one that is wrong is.
trait FlattenNone<T> {
    fn flatten_none(self) -> Option<Option<T>>;
}

impl<T> FlattenNone<T> for Option<Option<T>> {
    fn flatten_none(self) -> Option<Option<T>> {
        match self {
            None => Some(None),
            Some(None) => None,
            Some(some) => Some(some),
        }
    }
}

fn brokers(table: &mut Table<'_>) -> Option<Vec<String>> {
    let brokers: Vec<String> = table.read(&keys::BROKERS)?;
    if brokers.is_empty() {
        table.problem(
            &keys::BROKERS,
            "at least one is expected, such as [\"kafka-1:9092\"]",
        );
    }
    for broker in &brokers {
        let address = broker
            .rsplit_once(':')
            .filter(|(host, _)| !host.is_empty() && !host.contains(['/', ',', ' ']));
        let port = address
            .and_then(|(_, port)| port.parse::<u16>().ok())
            .filter(|port| *port > 0);
        if port.is_none() {
            table.problem(
                &keys::BROKERS,
                format!("{broker:?} is no \"host:port\", such as \"kafka-1:9092\""),
            );
        }
    }
    Some(brokers)
}

fn topic(table: &mut Table<'_>) -> String {
    let topic = table.read(&keys::TOPIC);
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let named =
        !topic.is_empty() && topic.len() <= TOPIC_BYTES_MAX && topic != "." && topic != "..";
    if !named || !topic.chars().all(legal) {
        let rule = format!(
            "{topic:?} is not a topic: 1 to {TOPIC_BYTES_MAX} of a-z, A-Z, 0-9, '.', '_' and '-' are expected"
        );
        table.problem(&keys::TOPIC, rule);
    }
    topic
}

fn tls(mut table: Table<'_>) -> Option<Tls> {
    let ca_file = table.read(&keys::CA_FILE);
    let (certificate, key) = (table.read(&keys::CERT_FILE), table.read(&keys::KEY_FILE));
    let identity = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) => {
            table.problem(
                &keys::CERT_FILE,
                "key_file is missing: a certificate is of use only with its key",
            );
            None
        }
        (None, Some(_)) => {
            table.problem(
                &keys::KEY_FILE,
                "cert_file is missing: a key is of use only with its certificate",
            );
            None
        }
    };
    table.finish();
    Some(Tls { ca_file, identity })
}

fn sasl(mut table: Table<'_>, tls: bool) -> Option<Sasl> {
    let mechanism = table.read(&keys::MECHANISM);
    if !table.has(&keys::MECHANISM) {
        table.problem(
            &keys::MECHANISM,
            "is missing: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512 is expected",
        );
    }
    if mechanism == Some(Mechanism::Plain) && !tls {
        let rule = "PLAIN would send the password in clear: add [stream.tls], or use SCRAM-SHA-512";
        table.problem(&keys::MECHANISM, rule);
    }
    let (user, password) = (table.read(&keys::USER), table.read(&keys::PASSWORD));
    table.finish();
    Some(Sasl {
        mechanism: mechanism?,
        user: user?,
        password: password?,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use forebay_config::Document;

    use super::*;

    fn read(text: &str) -> Result<KafkaSettings, String> {
        let nothing = |_: &str| None;
        let document = Document::new(Path::new("/etc/forebay/forebay.toml"), text, &nothing);
        let read = document.read(|root| {
            let mut table = root.table(&keys::STREAM)?;
            let settings = KafkaSettings::read(&mut table);
            table.finish();
            settings
        });
        read.map_err(|errors| errors.to_string())
    }

    #[test]
    fn a_short_table_has_defaults() {
        let settings = read("[stream]\nbrokers = [\"k:9092\"]\n").unwrap();
        assert_eq!(settings, KafkaSettings::new(vec!["k:9092".to_owned()]));
        assert_eq!(
            settings.client().get("security.protocol"),
            Some("PLAINTEXT")
        );
        assert_eq!(
            (settings.topic.as_str(), settings.group.as_str()),
            ("forebay.readings", "forebay")
        );
        assert_eq!(
            (settings.max_record, settings.gap_wait),
            (1 << 20, Duration::from_secs(30))
        );
    }

    #[test]
    fn a_full_table_is_read_and_hides_its_password() {
        let text = "[stream]\nbrokers = [\"k:9092\", \"[::1]:9093\"]\ntopic = \"plant\"\npartitions = 8\ngroup = \"g\"\n\
            gap_wait = \"5s\"\ncompression = \"lz4\"\nmax_record = \"64KiB\"\nqueue = \"1MiB\"\nmetadata_refresh = \"2s\"\n\
             session_timeout = \"6s\"\n\
             [stream.tls]\nca_file = \"ca.pem\"\ncert_file = \"c.pem\"\nkey_file = \"/keys/k.pem\"\n\
            [stream.sasl]\nmechanism = \"SCRAM-SHA-512\"\nuser = \"gw\"\npassword = \"hunter2\"\n";
        let settings = read(text).unwrap();
        let config = settings.member();
        for (key, value) in [
            ("group.id", "g"),
            ("session.timeout.ms", "6000"),
            ("heartbeat.interval.ms", "2000"),
            ("security.protocol", "SASL_SSL"),
            ("bootstrap.servers", "k:9092,[::1]:9093"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.password", "hunter2"),
            ("ssl.ca.location", "/etc/forebay/ca.pem"),
            ("ssl.key.location", "/keys/k.pem"),
        ] {
            assert_eq!(config.get(key), Some(value), "{key}");
        }
        assert!(!format!("{settings:?}").contains("hunter2"));
        assert_eq!(settings.partitions, Some(8));
    }

    #[test]
    fn a_topic_is_created_unless_its_partitions_are_none() {
        assert_eq!(
            read("[stream]\nbrokers = [\"k:1\"]\n").unwrap().partitions,
            Some(6)
        );
        assert_eq!(
            read("[stream]\nbrokers = [\"k:1\"]\npartitions = 0\n")
                .unwrap()
                .partitions,
            None
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_its_mend() {
        for (text, expected) in [
            ("", "stream: brokers is missing"),
            ("brokers = []", "at least one is expected"),
            (
                "brokers = [\"k\"]",
                "\"k\" is no \"host:port\", such as \"kafka-1:9092\"",
            ),
            ("brokers = [\"k:0\"]", "\"k:0\" is no \"host:port\""),
            ("brokers = [\"http://k:1\"]", "is no \"host:port\""),
            (
                "brokers = [\"k:1\"]\ntopic = \"a b\"",
                "\"a b\" is not a topic",
            ),
            (
                "brokers = [\"k:1\"]\ntopc = \"a\"",
                "unknown key; did you mean \"topic\"?",
            ),
            (
                "brokers = [\"k:1\"]\nmax_record = \"1KiB\"",
                "a size from \"4KiB\" to \"64MiB\"",
            ),
            (
                "brokers = [\"k:1\"]\nqueue = \"1KiB\"",
                "at least max_record is expected",
            ),
            (
                "brokers = [\"k:1\"]\npartitions = -1",
                "a whole number from 0 to 65535",
            ),
            (
                "brokers = [\"k:1\"]\nsession_timeout = \"5s\"",
                "a time from \"6s\" to \"5m\" is expected",
            ),
            (
                "brokers = [\"k:1\"]\ncompression = \"zst\"",
                "did you mean \"zstd\"?",
            ),
            (
                "brokers = [\"k:1\"]\n[stream.tls]\ncert_file = \"c\"",
                "key_file is missing",
            ),
            (
                "brokers = [\"k:1\"]\n[stream.tls]\nkey_file = \"c\"",
                "cert_file is missing",
            ),
            (
                "brokers = [\"k:1\"]\n[stream.sasl]\nuser = \"u\"\npassword = \"p\"",
                "mechanism: is missing",
            ),
            (
                "brokers = [\"k:1\"]\n[stream.sasl]\nmechanism = \"PLAIN\"\nuser = \"u\"\npassword = \"p\"",
                "PLAIN would send the password in clear: add [stream.tls]",
            ),
            (
                "brokers = [\"k:1\"]\n[stream.sasl]\nmechanism = \"SCRAM-SHA-256\"\nuser = \"u\"",
                "password is missing",
            ),
        ] {
            let error = read(&format!("[stream]\n{text}\n")).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
