//! The keys of a `[[connector]]` of kind "http" and of its `[[connector.tag]]`s.

use std::{path::PathBuf, time::Duration};

use forebay_config::{
    Bytes, Choice, Defaulted, DefaultedChoice, Optional, Required, Secret, TableKeys,
};
use forebay_connectors::{ConnectorKeys, NAME};
use forebay_payload::keys::{QUALITY, TIME, TIME_FORMAT, TIME_UNIT, TIME_ZONE, TYPE, VALUE};
use forebay_schemas::{DeviceId, TagName};

use crate::route::Format;

/// All of them.
pub(crate) const KEYS: ConnectorKeys = ConnectorKeys {
    connector: CONNECTOR,
    tag: TAG,
};

const CONNECTOR: TableKeys = TableKeys::many(
    "connector",
    "Listens for devices that POST JSON, InfluxDB line protocol, CSV or plain values over HTTP/1.1. A request is answered with 204 when \
     its readings are safe in the spool.",
    &[
        &NAME,
        &LISTEN,
        &DEVICE,
        &TOKEN,
        &MAX_BODY,
        &MAX_CONNECTIONS,
        &SILENT_AFTER,
        &TLS,
        &TAG,
    ],
);

pub(crate) const LISTEN: Required<String> = Required::new(
    "listen",
    "Address and port to listen on, such as \"127.0.0.1:8080\" or \"[::]:8080\". Other than loopback it needs token or client_ca_file.",
);

pub(crate) const DEVICE: Optional<DeviceId> = Optional::new(
    "device",
    "The device of readings that name none: neither in the path nor in the body.",
);

pub(crate) const TOKEN: Optional<Secret> = Optional::new(
    "token",
    "What clients send as \"Authorization: Bearer …\" (or \"Token …\", as InfluxDB's clients do); at least 16 characters, best as \
     \"${file:PATH}\".",
)
.absent("no token is asked for");

pub(crate) const MAX_BODY: Defaulted<Bytes> = Defaulted::new(
    "max_body",
    Bytes(1 << 20),
    "Largest body, before and after gzip, from 1B to 16MiB. A larger one is refused with 413.",
);

pub(crate) const MAX_CONNECTIONS: Defaulted<u32> = Defaulted::new(
    "max_connections",
    64,
    "Connections at once, from 1 to 4096; more wait to be taken.",
);

pub(crate) const SILENT_AFTER: Optional<Duration> = Optional::new(
    "silent_after",
    "A device that has sent nothing for this long is reported as lost: its series are bad until it sends again.",
)
.absent("silence says nothing");

pub(crate) const TLS: TableKeys = TableKeys::one(
    "tls",
    "Certificates; without this table it listens without encryption.",
    &[&CERT_FILE, &KEY_FILE, &CLIENT_CA_FILE],
);

pub(crate) const CERT_FILE: Required<PathBuf> =
    Required::new("cert_file", "PEM file of the gateway's certificate chain.");

pub(crate) const KEY_FILE: Required<PathBuf> =
    Required::new("key_file", "PEM file of the certificate's private key.");

pub(crate) const CLIENT_CA_FILE: Optional<PathBuf> = Optional::new(
    "client_ca_file",
    "PEM file of the authorities that vouch for clients: a client without a certificate of theirs is not let in.",
)
.absent("clients need no certificate");

pub(crate) const TAG: TableKeys = TableKeys::many(
    "tag",
    "What is taken from the bodies that are posted to a path.",
    &[
        &PATH,
        &FORMAT,
        &TAG_NAME,
        &TAG_DEVICE,
        &DEVICE_TAG,
        &VALUE,
        &TYPE,
        &TIME,
        &TIME_UNIT,
        &TIME_FORMAT,
        &TIME_ZONE,
        &QUALITY,
    ],
);

pub(crate) const PATH: Required<String> = Required::new(
    "path",
    "The path that devices post to, such as \"/ingest/{device}/{tag}\": {device} and {tag} each stand for one segment that names it.",
);

pub(crate) const FORMAT: DefaultedChoice<Format> = Choice::new(
    "format",
    &[
        ("json", Format::Json),
        ("line", Format::Line),
        ("csv", Format::Csv),
        ("raw", Format::Raw),
    ],
    "How bodies are written: json; line, which is InfluxDB's line protocol; csv with a header; or raw for one number, true, false or \
     another text.",
)
.or_first();

pub(crate) const TAG_NAME: Optional<TagName> = Optional::new(
    "name",
    "The tag, where the path does not name it; names from the body follow it, joined by a dot.",
);

pub(crate) const TAG_DEVICE: Optional<DeviceId> = Optional::new(
    "device",
    "The device, where neither the path nor the body names it.",
)
.absent("the connector's device");

pub(crate) const DEVICE_TAG: Defaulted<String> = Defaulted::new(
    "device_tag",
    "device",
    "What names the device within a body: a tag's key of line protocol, a column of CSV.",
);
