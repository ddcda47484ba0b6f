//! The keys of a `[[connector]]` of kind "mqtt" and of its `[[connector.tag]]`s.

use std::{path::PathBuf, time::Duration};

use forebay_config::{
    Bytes, Choice, Defaulted, DefaultedChoice, Optional, Required, Secret, TableKeys,
};
use forebay_connectors::{ConnectorKeys, NAME};
use forebay_payload::{
    Format,
    keys::{ARRAYS, QUALITY, TIME, TIME_FORMAT, TIME_UNIT, TIME_ZONE, TYPE, UNIT_PATH, VALUE},
};
use forebay_schemas::{DeviceId, TagName};

use crate::sparkplug::Rebirth;

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
        &DESCRIPTOR_FILE,
        &MESSAGE,
        &HOST_ID,
        &REBIRTH,
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
        &WILL,
        &TLS,
        &TAG,
    ],
);

pub(crate) const URL: Required<String> = Required::new(
    "url",
    "The broker's address: \"mqtt://host:1883\", or \"mqtts://host:8883\" with TLS; over WebSocket \"ws://host:8083/mqtt\" or \
     \"wss://host/mqtt\". Without a port it is 1883, 8883, 80 or 443; without a path /mqtt.",
);

pub(crate) const VERSION: Defaulted<u8> = Defaulted::new(
    "version",
    5,
    "The version of MQTT: 5, or 4 for MQTT 3.1.1 (3 means the same).",
);

pub(crate) const TOPICS: Optional<Vec<String>> = Optional::new(
    "topics",
    "The topic filters that are subscribed to, such as [\"site/+/cell/#\"]. No two of them may match the same topic. A filter \
     $share/GROUP/FILTER is shared with the other subscribers of its group.",
)
.absent("what the tags' topics match; with sparkplug_b spBv1.0/#");

/// How payloads are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PayloadFormat {
    Plain(Format),
    Protobuf,
    SparkplugB,
}

pub(crate) const FORMAT: DefaultedChoice<PayloadFormat> = Choice::new(
    "format",
    &[JSON, CBOR, MESSAGE_PACK, PROTOBUF, RAW, ("sparkplug_b", PayloadFormat::SparkplugB)],
    "How payloads are written: json, cbor, msgpack, protobuf with descriptor_file and message, raw for a payload that is one number, \
     true, false or another text, or sparkplug_b for all of a connector. A tag may have a format of its own.",
)
.or_first();

const JSON: (&str, PayloadFormat) = ("json", PayloadFormat::Plain(Format::Json));
const CBOR: (&str, PayloadFormat) = ("cbor", PayloadFormat::Plain(Format::Cbor));
const MESSAGE_PACK: (&str, PayloadFormat) = ("msgpack", PayloadFormat::Plain(Format::MessagePack));
const PROTOBUF: (&str, PayloadFormat) = ("protobuf", PayloadFormat::Protobuf);
const RAW: (&str, PayloadFormat) = ("raw", PayloadFormat::Plain(Format::Raw));

pub(crate) const TAG_FORMAT: Choice<PayloadFormat> = Choice::new(
    "format",
    &[JSON, CBOR, MESSAGE_PACK, PROTOBUF, RAW],
    "How the payloads of this rule's topics are written, where it is not the connector's format.",
)
.refused(&[(
    "sparkplug_b",
    "a whole connector has it: make a [[connector]] of its own for Sparkplug B",
)])
.absent("the connector's format");

pub(crate) const HOST_ID: Optional<String> = Optional::new(
    "host_id",
    "With format = \"sparkplug_b\": the name under which this gateway publishes its STATE, online and offline, so that nodes can wait for \
     it as their primary host.",
)
.absent("no STATE is published");

pub(crate) const REBIRTH: DefaultedChoice<Rebirth> = Choice::new(
    "rebirth",
    &[("ask", Rebirth::Ask), ("never", Rebirth::Never)],
    "With format = \"sparkplug_b\": whether nodes are asked for their births where messages are missing or not understood.",
)
.or_first();

pub(crate) const WILL: TableKeys = TableKeys::one(
    "will",
    "A message that the broker publishes when the connection breaks without a farewell.",
    &[&WILL_TOPIC, &WILL_PAYLOAD, &WILL_QOS, &WILL_RETAIN],
);

pub(crate) const WILL_TOPIC: Required<String> =
    Required::new("topic", "Where it is published, a topic without + and #.");

pub(crate) const WILL_PAYLOAD: Defaulted<String> = Defaulted::new("payload", "", "What it says.");

pub(crate) const WILL_QOS: Defaulted<u8> =
    Defaulted::new("qos", 0, "Its quality of service, 0 to 2.");

pub(crate) const WILL_RETAIN: Defaulted<bool> = Defaulted::new(
    "retain",
    false,
    "Whether the broker keeps it for those who subscribe later.",
);

pub(crate) const DESCRIPTOR_FILE: Optional<PathBuf> = Optional::new(
    "descriptor_file",
    "With format = \"protobuf\": a FileDescriptorSet, as protoc --include_imports --descriptor_set_out=FILE writes it.",
);

pub(crate) const MESSAGE: Optional<String> = Optional::new(
    "message",
    "With format = \"protobuf\": the full name of the message, with its package, such as \"plant.Reading\".",
);

pub(crate) const DEVICE: Optional<DeviceId> = Optional::new(
    "device",
    "The device of tags whose topic does not name one and that have no device of their own. With format = \"sparkplug_b\" a pattern with \
     {group}, {node} and {device}: for what a node says of itself, {device} and what stands between it and the name before are left out.",
)
.absent("with sparkplug_b {group}/{node}/{device}");

pub(crate) const QOS: Defaulted<u8> = Defaulted::new(
    "qos",
    1,
    "Quality of service of the subscriptions: 1 and 2 lose nothing while the gateway or the link is down, 0 is delivered at most once.",
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
    "Certificates for a url with mqtts or wss. Without this table the broker's certificate is checked against the system's list.",
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
        &METRIC,
        &TAG_NAME,
        &TAG_DEVICE,
        &TAG_FORMAT,
        &DESCRIPTOR_FILE,
        &MESSAGE,
        &VALUE,
        &ARRAYS,
        &TYPE,
        &TIME,
        &TIME_UNIT,
        &TIME_FORMAT,
        &TIME_ZONE,
        &QUALITY,
        &UNIT_PATH,
    ],
);

pub(crate) const TOPIC: Optional<String> = Optional::new(
    "topic",
    "The topics that this rule reads; it must be there in all formats but sparkplug_b. A level may be + for any text, and {device} and {tag} in it name the device and the tag, as in \
     \"site/{device}/cell/{tag}\".",
);

pub(crate) const METRIC: Optional<String> = Optional::new(
    "metric",
    "With format = \"sparkplug_b\" it must be there: the metrics that this rule takes, a pattern in which * stands for any text, such as \
     \"*\" or \"Line 1/*\". The first rule that matches a metric takes it; what none matches is left out.",
);

pub(crate) const TAG_NAME: Optional<TagName> =
    Optional::new("name", "The tag's name, where the topic holds no {tag}.")
        .absent("the topic's {tag}, or the names in the payload that value leaves open");

pub(crate) const TAG_DEVICE: Optional<DeviceId> =
    Optional::new("device", "The device, where the topic holds no {device}. With format = \"sparkplug_b\" a pattern of devices.")
        .absent("the connector's device");
