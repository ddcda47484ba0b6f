//! The keys of `[stream]`.

use std::{path::PathBuf, time::Duration};

use forebay_config::{
    Bytes, Choice, Defaulted, DefaultedChoice, Optional, Required, Secret, TableKeys,
};

/// How records are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// Zstandard.
    Zstd,
    /// LZ4.
    Lz4,
    /// Gzip.
    Gzip,
    /// Snappy.
    Snappy,
}

/// How a password is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// It is sent, so only through TLS.
    Plain,
    /// SCRAM with SHA-256.
    ScramSha256,
    /// SCRAM with SHA-512.
    ScramSha512,
}

/// The table.
pub const STREAM: TableKeys = TableKeys::one(
    "stream",
    "Apache Kafka between gateways and the lake. Without this table the spool is the stream, and one process reads, \
     keeps and commits.",
    &[
        &KIND,
        &BROKERS,
        &TOPIC,
        &PARTITIONS,
        &GROUP,
        &GAP_WAIT,
        &COMPRESSION,
        &MAX_RECORD,
        &QUEUE,
        &METADATA_REFRESH,
        &SESSION_TIMEOUT,
        &TLS,
        &SASL,
    ],
);

/// What the stream is.
pub const KIND: Choice<()> = Choice::new(
    "kind",
    &[("kafka", ())],
    "The log that carries readings from the gateways to the lake.",
)
.required();

pub(super) const BROKERS: Required<Vec<String>> = Required::new(
    "brokers",
    "Brokers to begin with, each \"host:port\", such as [\"kafka-1:9092\", \"kafka-2:9092\"]; the others are learnt from them.",
);

pub(super) const TOPIC: Defaulted<String> = Defaulted::new(
    "topic",
    "forebay.readings",
    "Topic that carries the readings of all gateways: 1 to 249 of the characters a-z, A-Z, 0-9, '.', '_' and '-'.",
);

/// Enough for a few compactors, and few enough for any broker.
pub(super) const PARTITIONS: Defaulted<u16> = Defaulted::new(
    "partitions",
    6,
    "Number of partitions with which a publishing gateway creates the topic if it does not exist, replicated as the \
     brokers' default says. A topic that exists is left as it is. With 0 the topic is waited for.",
);

pub(super) const GROUP: Defaulted<String> = Defaulted::new(
    "group",
    "forebay",
    "Consumer group of the compactors: those of one lake share the topic's partitions among them, those of another lake \
     need another group.",
);

pub(super) const GAP_WAIT: Defaulted<Duration> = Defaulted::new(
    "gap_wait",
    Duration::from_secs(30),
    "How long the compactor waits for readings that are missing in a lane before it reads their partition again from \
     its start and then records a gap.",
);

pub(super) const COMPRESSION: DefaultedChoice<Compression> = Choice::new(
    "compression",
    &[
        ("zstd", Compression::Zstd),
        ("lz4", Compression::Lz4),
        ("gzip", Compression::Gzip),
        ("snappy", Compression::Snappy),
        ("none", Compression::None),
    ],
    "How records are compressed on their way to the broker.",
)
.or_first();

pub(super) const MAX_RECORD: Defaulted<Bytes> = Defaulted::new(
    "max_record",
    Bytes(1 << 20),
    "Largest record that is sent, from 4KiB to 64MiB; larger batches are split. Where the broker refuses this size, smaller \
     records are sent.",
);

pub(super) const QUEUE: Defaulted<Bytes> = Defaulted::new(
    "queue",
    Bytes(16 << 20),
    "Most bytes of each lane that may wait in memory for the broker's acknowledgement; at least max_record. More helps on \
     links with a long delay.",
);

pub(super) const METADATA_REFRESH: Defaulted<Duration> = Defaulted::new(
    "metadata_refresh",
    Duration::from_secs(30),
    "How often the topic's partitions and their leaders are looked up, at least 1s: new partitions are found within this time.",
);

pub(super) const SESSION_TIMEOUT: Defaulted<Duration> = Defaulted::new(
    "session_timeout",
    Duration::from_secs(45),
    "How long a compactor may be silent before the broker gives its partitions to the others, from 6s to 5m. The broker's \
     group.min.session.timeout.ms and group.max.session.timeout.ms must allow it.",
);

pub(super) const TLS: TableKeys = TableKeys::one(
    "tls",
    "Encrypts the connections to the brokers. The empty table uses the system's list of certificate authorities.",
    &[&CA_FILE, &CERT_FILE, &KEY_FILE],
);

pub(super) const CA_FILE: Optional<PathBuf> = Optional::new(
    "ca_file",
    "Certificates (PEM) of the authorities that may sign the brokers' certificates.",
)
.absent("the system's list");

pub(super) const CERT_FILE: Optional<PathBuf> = Optional::new(
    "cert_file",
    "The client's own certificate (PEM), where the brokers ask for one; key_file goes with it.",
);

pub(super) const KEY_FILE: Optional<PathBuf> =
    Optional::new("key_file", "The private key (PEM) of cert_file.");

pub(super) const SASL: TableKeys = TableKeys::one(
    "sasl",
    "The user and password with which the brokers are logged in to. Without this table there is no login, or the client's \
     certificate is one.",
    &[&MECHANISM, &USER, &PASSWORD],
);

pub(super) const MECHANISM: Choice<Mechanism> = Choice::new(
    "mechanism",
    &[
        ("PLAIN", Mechanism::Plain),
        ("SCRAM-SHA-256", Mechanism::ScramSha256),
        ("SCRAM-SHA-512", Mechanism::ScramSha512),
    ],
    "How the password is proved. PLAIN sends it and therefore needs [stream.tls]; the SCRAM mechanisms never send it.",
)
.required();

pub(super) const USER: Required<String> = Required::new("user", "The user's name.");

pub(super) const PASSWORD: Required<Secret> = Required::new(
    "password",
    "The user's password, best as \"${VARIABLE}\" or \"${file:PATH}\".",
);

impl Compression {
    /// As Kafka calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Zstd => "zstd",
            Self::Lz4 => "lz4",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
        }
    }
}

impl Mechanism {
    /// As SASL calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}
