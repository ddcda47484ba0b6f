//! The keys of a `[[connector]]` of kind "opcua" and of its `[[connector.tag]]`s.

use std::{path::PathBuf, time::Duration};

use forebay_config::{Choice, Defaulted, DefaultedChoice, Optional, Required, Secret, TableKeys};
use forebay_connectors::{ConnectorKeys, NAME};
use forebay_schemas::{DeviceId, TagName};
use opcua::{
    crypto::SecurityPolicy,
    types::{DataChangeTrigger, MessageSecurityMode},
};

use crate::settings::{Acquisition, Compound, EnumerationForm, ServerDeadband};

/// All of them.
pub(crate) const KEYS: ConnectorKeys = ConnectorKeys {
    connector: CONNECTOR,
    tag: TAG,
};

const CONNECTOR: TableKeys = TableKeys::many(
    "connector",
    "Subscribes to variables of an OPC UA server. A notification is acknowledged when its readings are safe in the spool.",
    &[
        &NAME,
        &DEVICE,
        &URL,
        &REVERSE_CONNECT,
        &SECURITY,
        &MODE,
        &USER,
        &PASSWORD,
        &USER_CERT_FILE,
        &USER_KEY_FILE,
        &PUBLISHING_INTERVAL,
        &SAMPLING,
        &ACQUISITION,
        &QUEUE_SIZE,
        &TRIGGER,
        &SERVER_DEADBAND,
        &COMPOUND,
        &ENUMERATION,
        &HISTORY,
        &HISTORY_DEPTH,
        &HISTORY_SPAN,
        &HISTORY_PAUSE,
        &HISTORY_DELAY,
        &TIMEOUT,
        &SESSION_TIMEOUT,
        &CHANNEL_LIFETIME,
        &PKI_DIR,
        &CERT_FILE,
        &KEY_FILE,
        &APPLICATION_URI,
        &TRUST,
        &SERVER_CERT_FILE,
        &TRUST_ANY,
        &EVENT,
        &TAG,
    ],
);

pub(crate) const DEVICE: Required<DeviceId> =
    Required::new("device", "The device of tags that name none of their own.");

pub(crate) const URL: Required<String> = Required::new(
    "url",
    "The server's address: \"opc.tcp://host:4840/path\". Without a port it is 4840.",
);

pub(crate) const REVERSE_CONNECT: Optional<String> = Optional::new(
    "reverse_connect",
    "Where to wait for the server's connection (Reverse Connect), such as \"opc.tcp://0.0.0.0:4841\"; url is then the endpoint that the \
     server announces. For servers behind a firewall that lets nobody in. Each connector has a port of its own.",
)
.absent("the connector connects to url");

pub(crate) const SECURITY: Choice<SecurityPolicy> = Choice::new(
    "security",
    &[
        ("None", SecurityPolicy::None),
        ("Basic256Sha256", SecurityPolicy::Basic256Sha256),
        ("Aes128_Sha256_RsaOaep", SecurityPolicy::Aes128Sha256RsaOaep),
        ("Aes256_Sha256_RsaPss", SecurityPolicy::Aes256Sha256RsaPss),
    ],
    "The security policy, which the server must offer. None sends everything in clear.",
)
.absent("None towards this machine; any other url needs the key");

pub(crate) const MODE: Choice<MessageSecurityMode> = Choice::new(
    "mode",
    &[
        ("sign", MessageSecurityMode::Sign),
        ("sign_and_encrypt", MessageSecurityMode::SignAndEncrypt),
    ],
    "Whether messages are signed only, or encrypted too. Not with security = \"None\".",
)
.absent("sign_and_encrypt with any security but None");

pub(crate) const USER: Optional<String> = Optional::new(
    "user",
    "The user's name on the server; password goes with it.",
)
.absent("anonymous, or the user's certificate");

pub(crate) const PASSWORD: Optional<Secret> = Optional::new(
    "password",
    "The user's password, best as \"${VARIABLE}\" or \"${file:PATH}\".",
);

pub(crate) const USER_CERT_FILE: Optional<PathBuf> = Optional::new(
    "user_cert_file",
    "Certificate with which the user logs in, in place of user and password; user_key_file goes with it.",
);

pub(crate) const USER_KEY_FILE: Optional<PathBuf> =
    Optional::new("user_key_file", "The private key of user_cert_file.");

pub(crate) const PUBLISHING_INTERVAL: Defaulted<Duration> = Defaulted::new(
    "publishing_interval",
    Duration::from_millis(500),
    "How often the server sends what has changed, from 10ms to 1h.",
);

pub(crate) const SAMPLING: Defaulted<Duration> = Defaulted::new(
    "sampling",
    Duration::from_millis(500),
    "How often the server samples the variables of tags that say nothing else.",
);

pub(crate) const ACQUISITION: DefaultedChoice<Acquisition> = Choice::new(
    "acquisition",
    &[
        ("subscribe", Acquisition::Subscribe),
        ("poll", Acquisition::Poll),
    ],
    "How values are taken: subscribe has the server send what has changed; poll reads every tag each sampling, for servers \
     without subscriptions. A poll that finds the same source time, value and status gives no reading.",
)
.or_first();

pub(crate) const TRIGGER: DefaultedChoice<DataChangeTrigger> = Choice::new(
    "trigger",
    &[
        ("status_value", DataChangeTrigger::StatusValue),
        (
            "status_value_timestamp",
            DataChangeTrigger::StatusValueTimestamp,
        ),
        ("status", DataChangeTrigger::Status),
    ],
    "What counts as a change on the server: with status_value_timestamp an equal value under a new source time is sent too.",
)
.or_first();

pub(crate) const SERVER_DEADBAND: Optional<ServerDeadband> = Optional::new(
    "server_deadband",
    "How far a number must move before the server sends it: in its own unit, or in per cent of the variable's EURange. A server that \
     refuses it sends every change, which the log says.",
)
.absent("every change is sent");

const COMPOUND_WORDS: &[(&str, Compound)] = &[("split", Compound::Split), ("json", Compound::Json)];

const ENUMERATION_WORDS: &[(&str, EnumerationForm)] = &[
    ("number", EnumerationForm::Number),
    ("number_and_text", EnumerationForm::NumberAndText),
];

pub(crate) const COMPOUND: DefaultedChoice<Compound> = Choice::new(
    "compound",
    COMPOUND_WORDS,
    "How arrays and structures are taken: split gives each element and field a series (`tag[0]`, `tag[1,2]`, `tag.field`), \
     json gives one text for the whole value.",
)
.or_first();

pub(crate) const ENUMERATION: DefaultedChoice<EnumerationForm> = Choice::new(
    "enumeration",
    ENUMERATION_WORDS,
    "How enumerations are taken: as their number, or with the server's name for it in a series `tag.text` beside it.",
)
.or_first();

pub(crate) const HISTORY: Defaulted<bool> = Defaulted::new(
    "history",
    false,
    "Reads from the server's history what was not delivered while the link or the gateway was down (Historical Access).",
);

pub(crate) const HISTORY_DEPTH: Optional<Duration> = Optional::new(
    "history_depth",
    "How far back history is read for a tag that was never read before, at most 3650d.",
)
.absent("only gaps are filled");

pub(crate) const HISTORY_SPAN: Defaulted<Duration> = Defaulted::new(
    "history_span",
    Duration::from_secs(3600),
    "The longest stretch of time that one request for history asks for, at least 1s.",
);

pub(crate) const HISTORY_PAUSE: Defaulted<Duration> = Defaulted::new(
    "history_pause",
    Duration::from_millis(100),
    "The pause between two requests for history, so that live values go first.",
);

pub(crate) const HISTORY_DELAY: Defaulted<Duration> = Defaulted::new(
    "history_delay",
    Duration::from_secs(5),
    "How long after a connection history is read, for servers that write their history late.",
);

pub(crate) const QUEUE_SIZE: Defaulted<u32> = Defaulted::new(
    "queue_size",
    100,
    "How many values of a tag the server keeps between two notifications; at least 1. Raise it when the log says that the server's \
     queue overflowed.",
)
.unit("values");

pub(crate) const TIMEOUT: Defaulted<Duration> = Defaulted::new(
    "timeout",
    // Below 5 s, so that a server that falls silent in the middle of a request is noticed in time.
    Duration::from_secs(4),
    "The longest wait for the answer to a request, from 10ms to 1h.",
);

pub(crate) const SESSION_TIMEOUT: Defaulted<Duration> = Defaulted::new(
    "session_timeout",
    Duration::from_secs(60),
    "How long the server keeps the session after the link has broken, from 10ms to 1h; the server may choose another time.",
);

pub(crate) const CHANNEL_LIFETIME: Defaulted<Duration> = Defaulted::new(
    "channel_lifetime",
    Duration::from_secs(600),
    "How long the keys of the secure channel hold, from 10ms to 1h; they are renewed after three quarters of it.",
);

pub(crate) const PKI_DIR: Optional<PathBuf> = Optional::new(
    "pki_dir",
    "Folder of certificates: own and private for the client's, trusted and rejected for servers', issuers and crl for authorities'. \
     Connectors may share it.",
)
.absent("pki/opcua/<name> in data_dir");

pub(crate) const CERT_FILE: Optional<PathBuf> = Optional::new(
    "cert_file",
    "The client's own certificate, a file whose name ends in .der or .pem; key_file goes with it.",
)
.absent("one is made in pki_dir at the first connection");

pub(crate) const KEY_FILE: Optional<PathBuf> = Optional::new(
    "key_file",
    "The private key of cert_file: RSA, as PEM (PKCS #8).",
);

pub(crate) const APPLICATION_URI: Optional<String> = Optional::new(
    "application_uri",
    "The URI under which the client introduces itself; it must stand in the client's certificate.",
)
.absent("urn:forebay:<name>");

pub(crate) const TRUST: Choice<()> = Choice::new(
    "trust",
    &[("pinned", ())],
    "Which server certificates are accepted: pinned takes those whose files lie in pki_dir/trusted, and those that an authority there \
     vouches for. A refused one is put into pki_dir/rejected.",
)
.absent("pinned");

pub(crate) const SERVER_CERT_FILE: Optional<PathBuf> = Optional::new(
    "server_cert_file",
    "The one certificate that the server must show, in place of those in pki_dir/trusted.",
);

pub(crate) const TRUST_ANY: Defaulted<bool> = Defaulted::new(
    "trust_any",
    false,
    "Accepts any certificate, so that anyone on the network can pose as the server: for first tests only.",
);

pub(crate) const EVENT: TableKeys = TableKeys::many(
    "event",
    "Events, conditions and alarms of the server, each change of which becomes a row of the table `events`. Only with acquisition = \
     \"subscribe\". At each connection the server is asked for the conditions that hold (ConditionRefresh).",
    &[&EVENT_NODE, &EVENT_DEVICE, &EVENT_SEVERITY_MIN, &EVENT_TYPE],
);

pub(crate) const EVENT_NODE: Defaulted<String> = Defaulted::new(
    "node",
    "i=2253",
    "The node id of the object that reports events; i=2253 is the server itself, which reports all.",
);

pub(crate) const EVENT_DEVICE: Optional<DeviceId> = Optional::new(
    "device",
    "The device that events belong to. An event whose source is the node of a tag belongs to that tag and its device.",
)
.absent("the connector's");

pub(crate) const EVENT_SEVERITY_MIN: Defaulted<u16> = Defaulted::new(
    "severity_min",
    1,
    "Events below this severity are left out, but for changes of a condition that was taken before; from 1 to 1000.",
);

pub(crate) const EVENT_TYPE: Optional<String> = Optional::new(
    "type",
    "The node id of a type of events: only events of it and of its subtypes are taken. i=2915 is AlarmConditionType.",
)
.absent("events of every type");

const TAG: TableKeys = TableKeys::many(
    "tag",
    "A variable of the server.",
    &[
        &TAG_NAME,
        &NODE,
        &TAG_DEVICE,
        &TAG_SAMPLING,
        &TAG_QUEUE_SIZE,
        &TAG_SERVER_DEADBAND,
        &TAG_COMPOUND,
        &TAG_ENUMERATION,
        &TAG_HISTORY,
    ],
);

pub(crate) const TAG_NAME: Required<TagName> =
    Required::new("name", "The tag's name, unique within its device.");

pub(crate) const NODE: Required<String> = Required::new(
    "node",
    "The variable's node id, such as \"ns=2;s=Press.Force\" or \"i=2258\". \"nsu=URI;s=…\" names the namespace by its URI, which stays \
     the same when the server numbers its namespaces differently.",
);

pub(crate) const TAG_DEVICE: Optional<DeviceId> =
    Optional::new("device", "The device that the tag belongs to.").absent("the connector's");

pub(crate) const TAG_SAMPLING: Optional<Duration> =
    Optional::new("sampling", "How often the server samples the variable.")
        .absent("the connector's");

pub(crate) const TAG_QUEUE_SIZE: Optional<u32> = Optional::new(
    "queue_size",
    "How many values of the tag the server keeps between two notifications; at least 1.",
)
.unit("values")
.absent("the connector's");

pub(crate) const TAG_SERVER_DEADBAND: Optional<ServerDeadband> = Optional::new(
    "server_deadband",
    "How far the variable must move before the server sends it.",
)
.absent("the connector's");

pub(crate) const TAG_COMPOUND: Choice<Compound> = Choice::new(
    "compound",
    COMPOUND_WORDS,
    "How the variable's array or structure is taken.",
)
.absent("the connector's");

pub(crate) const TAG_ENUMERATION: Choice<EnumerationForm> = Choice::new(
    "enumeration",
    ENUMERATION_WORDS,
    "How the variable's enumeration is taken.",
)
.absent("the connector's");

pub(crate) const TAG_HISTORY: Optional<bool> = Optional::new(
    "history",
    "Whether gaps are filled from the server's history of the variable.",
)
.absent("the connector's");
