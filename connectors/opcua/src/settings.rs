//! The keys of an `opcua` connector, read and checked once.
//!
//! Kept here: traffic is unencrypted only towards this machine or where `security = "None"` is written. Keys common to
//! all protocols are the gateway's.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use forebay_config::{Secret, Table};
use forebay_connectors::RuleId;
use forebay_schemas::{DeviceId, TagName, path_segment};
use opcua::{crypto::SecurityPolicy, types::MessageSecurityMode};
use url::Url;

use crate::{node::NodeAddress, value::Target};

const PORT: u16 = 4840;
const PUBLISHING_INTERVAL: Duration = Duration::from_millis(500);
const SAMPLING: Duration = Duration::from_millis(500);
const QUEUE_SIZE: u32 = 100;
/// After three quarters of it the channel's keys are renewed.
const CHANNEL_LIFETIME: Duration = Duration::from_secs(600);
const SESSION_TIMEOUT: Duration = Duration::from_secs(60);
/// Every request but a publish request. Below 5 s, so that a server that falls silent in the middle of one is told of in time.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(4);

const POLICIES: [(&str, SecurityPolicy); 4] = [
    ("None", SecurityPolicy::None),
    ("Basic256Sha256", SecurityPolicy::Basic256Sha256),
    ("Aes128_Sha256_RsaOaep", SecurityPolicy::Aes128Sha256RsaOaep),
    ("Aes256_Sha256_RsaPss", SecurityPolicy::Aes256Sha256RsaPss),
];
const MODES: [(&str, MessageSecurityMode); 2] =
    [("sign", MessageSecurityMode::Sign), ("sign_and_encrypt", MessageSecurityMode::SignAndEncrypt)];

/// One configured connector.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) name: String,
    pub(crate) url: Url,
    pub(crate) policy: SecurityPolicy,
    pub(crate) mode: MessageSecurityMode,
    pub(crate) identity: Identity,
    pub(crate) pki: PkiSettings,
    pub(crate) publishing_interval: Duration,
    pub(crate) queue_size: u32,
    pub(crate) session_timeout: Duration,
    pub(crate) timeout: Duration,
    pub(crate) channel_lifetime: Duration,
    pub(crate) tags: Vec<Tag>,
}

/// Who logs in.
#[derive(Debug, Clone)]
pub(crate) enum Identity {
    Anonymous,
    Password { user: String, password: Secret },
    Certificate { cert_file: PathBuf, key_file: PathBuf },
}

/// Certificates.
#[derive(Debug, Clone)]
pub(crate) struct PkiSettings {
    /// The connector's name for a path: connectors may share a folder.
    pub(crate) segment: String,
    pub(crate) dir: PathBuf,
    pub(crate) own: Option<(PathBuf, PathBuf)>,
    pub(crate) application_uri: String,
    pub(crate) trust: Trust,
}

/// Which server certificates are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Those in `<pki_dir>/trusted`.
    Pinned,
    /// This one.
    File(PathBuf),
    /// All.
    Any,
}

/// One configured tag.
#[derive(Debug, Clone)]
pub(crate) struct Tag {
    pub(crate) target: Target,
    pub(crate) node_text: String,
    pub(crate) node: NodeAddress,
    pub(crate) sampling: Duration,
}

impl Settings {
    /// Reads a connector's tables, notes every problem in them, and answers none if there was one.
    pub(crate) fn read(connector: &mut Table<'_>, tags: &mut [Table<'_>], data_dir: &Path) -> Option<Self> {
        let name = connector.required::<String>("name");
        let device = connector.required::<DeviceId>("device");
        let url = url(connector);
        let security = security(connector, url.as_ref());
        let identity = identity(connector);
        let pki = pki(connector, name.as_deref().unwrap_or_default(), data_dir);
        let publishing_interval = interval(connector, "publishing_interval", PUBLISHING_INTERVAL);
        let sampling = connector.optional("sampling");
        let queue_size = connector.or("queue_size", QUEUE_SIZE);
        if queue_size == 0 {
            connector.problem("queue_size", "0 lets the server keep nothing between two publications: at least 1");
        }
        let session_timeout = interval(connector, "session_timeout", SESSION_TIMEOUT);
        let timeout = interval(connector, "timeout", REQUEST_TIMEOUT);
        let channel_lifetime = interval(connector, "channel_lifetime", CHANNEL_LIFETIME);
        if tags.is_empty() {
            connector.problem("tag", "nothing to read: add a [[connector.tag]] with name and node");
        }
        let tags = read_tags(tags, device.as_ref(), sampling.unwrap_or(SAMPLING));
        let (policy, mode) = security?;
        Some(Self {
            name: name?,
            url: url?,
            policy,
            mode,
            identity: identity?,
            pki: pki?,
            publishing_interval: publishing_interval?,
            queue_size: (queue_size > 0).then_some(queue_size)?,
            session_timeout: session_timeout?,
            timeout: timeout?,
            channel_lifetime: channel_lifetime?,
            tags: tags.filter(|tags| !tags.is_empty())?,
        })
    }

    /// The host, as a socket address or a resolver wants it.
    pub(crate) fn host(&self) -> &str {
        host(&self.url)
    }

    /// The port.
    pub(crate) fn port(&self) -> u16 {
        self.url.port().unwrap_or(PORT)
    }
}

/// The name of a policy in the configuration.
pub(crate) fn policy_name(policy: SecurityPolicy) -> &'static str {
    POLICIES.iter().find(|(_, known)| *known == policy).map_or("unknown", |(name, _)| name)
}

fn url(connector: &mut Table<'_>) -> Option<Url> {
    let text = connector.required::<String>("url")?;
    let problem = match Url::parse(&text) {
        Err(error) => error.to_string(),
        Ok(url) if url.scheme() != "opc.tcp" => format!("{}:// is not spoken here", url.scheme()),
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            "a user does not belong in a URL: set user and password".to_owned()
        }
        Ok(url) if url.host_str().is_none_or(str::is_empty) => "the host is missing".to_owned(),
        Ok(url) => return Some(url),
    };
    connector.problem("url", format!("{problem}; \"opc.tcp://10.0.0.9:4840\" is expected"));
    None
}

fn host(url: &Url) -> &str {
    url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}

fn security(connector: &mut Table<'_>, url: Option<&Url>) -> Option<(SecurityPolicy, MessageSecurityMode)> {
    let written = connector.has("security");
    let policy = connector.choice("security", &POLICIES);
    let mode_written = connector.has("mode");
    let mode = connector.choice("mode", &MODES);
    let policy = match (policy, url) {
        (Some(policy), _) => policy,
        (None, _) if written => return None,
        (None, Some(url)) if is_loopback(host(url)) => SecurityPolicy::None,
        (None, None) => return None,
        (None, Some(url)) => {
            connector.problem(
                "security",
                format!(
                    "is missing, and {} is another machine: set \"Aes256_Sha256_RsaPss\", \"Aes128_Sha256_RsaOaep\" or \
                     \"Basic256Sha256\", or \"None\" to send everything in clear",
                    host(url)
                ),
            );
            return None;
        }
    };
    if policy == SecurityPolicy::None {
        if mode_written {
            connector.problem("mode", "has no meaning without security: set security too, or remove mode");
            return None;
        }
        return Some((policy, MessageSecurityMode::None));
    }
    if mode_written && mode.is_none() {
        return None;
    }
    Some((policy, mode.unwrap_or(MessageSecurityMode::SignAndEncrypt)))
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Both of a pair, or neither. The outer none is a noted problem.
fn pair<T, U>(
    connector: &mut Table<'_>,
    (first, one): (&'static str, Option<T>),
    (second, two): (&'static str, Option<U>),
) -> Option<Option<(T, U)>> {
    match (connector.has(first), connector.has(second)) {
        (false, false) => Some(None),
        (true, true) => Some(Some((one?, two?))),
        (true, false) => {
            connector.problem(first, format!("{second} is missing beside it"));
            None
        }
        (false, true) => {
            connector.problem(second, format!("{first} is missing beside it"));
            None
        }
    }
}

fn identity(connector: &mut Table<'_>) -> Option<Identity> {
    let (user, password) = (connector.optional::<String>("user"), connector.optional::<Secret>("password"));
    let password = pair(connector, ("user", user), ("password", password));
    let certificate = files(connector, "user_cert_file", "user_key_file");
    match (password?, certificate?) {
        (Some(_), Some(_)) => {
            connector.problem("user_cert_file", "a session has one identity: remove user and password, or the files");
            None
        }
        (Some((user, password)), None) => Some(Identity::Password { user, password }),
        (None, Some((cert_file, key_file))) => Some(Identity::Certificate { cert_file, key_file }),
        (None, None) => Some(Identity::Anonymous),
    }
}

/// Two files that go together.
fn files(connector: &mut Table<'_>, first: &'static str, second: &'static str) -> Option<Option<(PathBuf, PathBuf)>> {
    let (one, two) = (connector.path(first), connector.path(second));
    pair(connector, (first, one), (second, two))
}

fn pki(connector: &mut Table<'_>, name: &str, data_dir: &Path) -> Option<PkiSettings> {
    // What is written belongs into the data folder: a service may not write beside its configuration.
    let dir = connector.path("pki_dir").unwrap_or_else(|| data_dir.join("pki/opcua").join(path_segment(name)));
    let own = files(connector, "cert_file", "key_file");
    let default_uri = format!("urn:forebay:{}", path_segment(name));
    let application_uri = connector.or("application_uri", default_uri);
    let pinned = connector.has("trust");
    let trust_word = connector.choice("trust", &[("pinned", ())]);
    let file = connector.path("server_cert_file");
    let any = connector.or("trust_any", false);
    let file_is_given = connector.has("server_cert_file");
    if any && (file_is_given || pinned) {
        connector.problem("trust_any", "contradicts trust and server_cert_file: remove one of them");
        return None;
    }
    if (pinned && trust_word.is_none()) || (file_is_given && file.is_none()) {
        return None;
    }
    let trust = match file {
        Some(file) => Trust::File(file),
        None if any => Trust::Any,
        None => Trust::Pinned,
    };
    Some(PkiSettings { segment: path_segment(name), dir, own: own?, application_uri, trust })
}

fn interval(connector: &mut Table<'_>, key: &'static str, default: Duration) -> Option<Duration> {
    let found = connector.or(key, default);
    if found < Duration::from_millis(10) || found > Duration::from_secs(3600) {
        connector.problem(key, format!("{found:?} is out of range: from \"10ms\" to \"1h\""));
        return None;
    }
    Some(found)
}

fn read_tags(tables: &mut [Table<'_>], device: Option<&DeviceId>, sampling: Duration) -> Option<Vec<Tag>> {
    let mut tags: Vec<Tag> = Vec::with_capacity(tables.len());
    let mut whole = true;
    for (rule, table) in tables.iter_mut().enumerate() {
        let tag = tag(table, RuleId(rule), device, sampling);
        let Some(tag) = tag else {
            whole = false;
            continue;
        };
        let twin = |other: &Tag| other.target.tag == tag.target.tag && other.target.device == tag.target.device;
        if tags.iter().any(twin) {
            table
                .problem("name", format!("{} of {} is read by another tag already", tag.target.tag, tag.target.device));
            whole = false;
        }
        tags.push(tag);
    }
    whole.then_some(tags)
}

fn tag(table: &mut Table<'_>, rule: RuleId, device: Option<&DeviceId>, sampling: Duration) -> Option<Tag> {
    let tag = table.required::<TagName>("name");
    let node_text = table.required::<String>("node");
    let own_sampling = table.optional("sampling");
    let own_device = table.optional::<DeviceId>("device");
    let broken = table.has("device") && own_device.is_none();
    let node_text = node_text?;
    let node = NodeAddress::parse(&node_text).map_err(|message| table.problem("node", message)).ok();
    let device = own_device.or_else(|| device.cloned()).filter(|_| !broken);
    let target = Target { rule, device: device?, tag: tag? };
    Some(Tag { target, node_text, node: node?, sampling: own_sampling.unwrap_or(sampling) })
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
