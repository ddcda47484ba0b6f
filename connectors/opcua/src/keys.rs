//! The keys of a `[[connector]]` of kind "opcua" and of its `[[connector.tag]]`s.

use std::{path::PathBuf, time::Duration};

use forebay_config::{Choice, Defaulted, Optional, Required, Secret, TableKeys};
use forebay_connectors::{ConnectorKeys, NAME};
use forebay_schemas::{DeviceId, TagName};
use opcua::{crypto::SecurityPolicy, types::MessageSecurityMode};

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
        &SECURITY,
        &MODE,
        &USER,
        &PASSWORD,
        &USER_CERT_FILE,
        &USER_KEY_FILE,
        &PUBLISHING_INTERVAL,
        &SAMPLING,
        &QUEUE_SIZE,
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
        &TAG,
    ],
);

pub(crate) const DEVICE: Required<DeviceId> =
    Required::new("device", "The device of tags that name none of their own.");

pub(crate) const URL: Required<String> = Required::new(
    "url",
    "The server's address: \"opc.tcp://host:4840/path\". Without a port it is 4840.",
);

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
    "Folder of certificates: own and private for the client's, trusted and rejected for servers'. Connectors may share it.",
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
    "Which server certificates are accepted: pinned takes those whose files lie in pki_dir/trusted. A refused one is put into \
     pki_dir/rejected.",
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

const TAG: TableKeys = TableKeys::many(
    "tag",
    "A variable of the server.",
    &[&TAG_NAME, &NODE, &TAG_DEVICE, &TAG_SAMPLING],
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
