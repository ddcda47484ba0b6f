//! The keys of a `[[connector]]` of kind "mqtt" and of its `[[connector.tag]]`s.

use std::{path::PathBuf, time::Duration};

use forebay_config::{Bytes, Defaulted, Optional, Required, Secret, TableKeys};
use forebay_connectors::{ConnectorKeys, NAME};
pub(crate) use forebay_payload::keys::FORMAT;
use forebay_payload::keys::{QUALITY, TIME, TIME_FORMAT, TIME_UNIT, TIME_ZONE, TYPE, VALUE};
use forebay_schemas::{DeviceId, TagName};

/// All of them.
pub(crate) const KEYS: ConnectorKeys = ConnectorKeys {
    connector: CONNECTOR,
    tag: TAG,
};

const CONNECTOR: TableKeys = TableKeys::many(
    "connector",
    "Subscribes to topics of an MQTT broker, versions 3.1.1 and 5. A message is acknowledged when its readings are safe in the spool.",
    &[
        &NAME,
        &URL,
        &VERSION,
        &TOPICS,
        &FORMAT,
        &DEVICE,
        &QOS,
        &CLIENT_ID,
        &USER,
        &PASSWORD,
        &CLEAN_SESSION,
        &SESSION_EXPIRY,
        &KEEP_ALIVE,
        &MAX_IN_FLIGHT,
        &MAX_PAYLOAD,
        &TLS,
        &TAG,
    ],
);

pub(crate) const URL: Required<String> = Required::new(
    "url",
    "The broker's address: \"mqtt://host:1883\", or \"mqtts://host:8883\" with TLS. Without a port it is 1883 or 8883.",
);

pub(crate) const VERSION: Defaulted<u8> = Defaulted::new(
    "version",
    5,
    "The version of MQTT: 5, or 4 for MQTT 3.1.1 (3 means the same).",
);

pub(crate) const TOPICS: Optional<Vec<String>> = Optional::new(
    "topics",
    "The topic filters that are subscribed to, such as [\"site/+/cell/#\"]. No two of them may match the same topic.",
)
.absent("what the tags' topics match");

pub(crate) const DEVICE: Optional<DeviceId> = Optional::new(
    "device",
    "The device of tags whose topic does not name one and that have no device of their own.",
);

pub(crate) const QOS: Defaulted<u8> = Defaulted::new(
    "qos",
    1,
    "Quality of service of the subscriptions: 1 loses nothing while the gateway or the link is down, 0 is delivered at most once.",
);

pub(crate) const CLIENT_ID: Optional<String> = Optional::new(
    "client_id",
    "The name under which the broker keeps the session, 1 to 65535 bytes. Two clients with one name disconnect each other.",
)
.absent("forebay-<gateway>-<connector>");

pub(crate) const USER: Optional<String> =
    Optional::new("user", "The user's name at the broker.").absent("no login");

pub(crate) const PASSWORD: Optional<Secret> = Optional::new(
    "password",
    "The user's password, best as \"${VARIABLE}\" or \"${file:PATH}\"; user goes with it.",
);

pub(crate) const CLEAN_SESSION: Defaulted<bool> = Defaulted::new(
    "clean_session",
    false,
    "Whether the broker forgets the session at each disconnection. With true, messages that are published meanwhile are lost.",
);

pub(crate) const SESSION_EXPIRY: Defaulted<Duration> = Defaulted::new(
    "session_expiry",
    Duration::from_secs(86_400),
    "How long the broker keeps the session, and messages for it, after the connection has ended; at least 1s. Only with version 5 \
     and without clean_session.",
);

pub(crate) const KEEP_ALIVE: Defaulted<Duration> = Defaulted::new(
    "keep_alive",
    Duration::from_secs(10),
    "The longest silence on the connection before the broker is asked for a sign of life, from 1s to 65535s. A longer one finds a lost \
     link later.",
);

pub(crate) const MAX_IN_FLIGHT: Defaulted<u16> = Defaulted::new(
    "max_in_flight",
    1024,
    "Most messages that the broker may send before one of them is acknowledged; at least 1. Only with version 5.",
)
.unit("messages");

pub(crate) const MAX_PAYLOAD: Defaulted<Bytes> = Defaulted::new(
    "max_payload",
    Bytes(256 << 10),
    "Largest payload that is decoded, from 1B to 256MiB. A larger one becomes a bad reading with its first bytes.",
);

pub(crate) const TLS: TableKeys = TableKeys::one(
    "tls",
    "Certificates for a url with mqtts. Without this table the broker's certificate is checked against the system's list.",
    &[&CA_FILE, &CERT_FILE, &KEY_FILE, &SERVER_NAME],
);

pub(crate) const CA_FILE: Optional<PathBuf> = Optional::new(
    "ca_file",
    "Certificates (PEM) of the authorities that may sign the broker's certificate.",
)
.absent("the system's list");

pub(crate) const CERT_FILE: Optional<PathBuf> = Optional::new(
    "cert_file",
    "The client's own certificate (PEM), where the broker asks for one; key_file goes with it.",
);

pub(crate) const KEY_FILE: Optional<PathBuf> =
    Optional::new("key_file", "The private key (PEM) of cert_file.");

pub(crate) const SERVER_NAME: Optional<String> = Optional::new(
    "server_name",
    "The name that the broker's certificate must hold.",
)
.absent("the host of url");

const TAG: TableKeys = TableKeys::many(
    "tag",
    "Which messages become readings, and what of them is the value, the time and the quality.",
    &[
        &TOPIC,
        &TAG_NAME,
        &TAG_DEVICE,
        &VALUE,
        &TYPE,
        &TIME,
        &TIME_UNIT,
        &TIME_FORMAT,
        &TIME_ZONE,
        &QUALITY,
    ],
);

pub(crate) const TOPIC: Required<String> = Required::new(
    "topic",
    "The topics that this rule reads. A level may be + for any text, and {device} and {tag} in it name the device and the tag, as in \
     \"site/{device}/cell/{tag}\".",
);

pub(crate) const TAG_NAME: Optional<TagName> =
    Optional::new("name", "The tag's name, where the topic holds no {tag}.")
        .absent("the topic's {tag}, or the names in the payload that value leaves open");

pub(crate) const TAG_DEVICE: Optional<DeviceId> =
    Optional::new("device", "The device, where the topic holds no {device}.")
        .absent("the connector's device");
