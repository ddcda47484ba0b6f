//! The keys of an `opcua` connector, read and checked once.
//!
//! Kept here: traffic is unencrypted only towards this machine or where `security = "None"` is written. Keys common to
//! all protocols are the gateway's.

mod events;
mod history;
mod tags;

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use forebay_config::{Defaulted, Describe, Optional, Secret, Table};
use forebay_connectors::NAME;
use forebay_schemas::path_segment;
use opcua::{
    crypto::SecurityPolicy,
    types::{DataChangeTrigger, MessageSecurityMode},
};
use url::Url;

pub(crate) use self::{
    events::EventSource,
    history::HistorySettings,
    tags::{Compound, EnumerationForm, ServerDeadband, Tag},
};
use crate::keys;

const PORT: u16 = 4840;

/// One configured connector.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) name: String,
    pub(crate) url: Url,
    /// Where the server connects to, host and port, if it does.
    pub(crate) reverse_connect: Option<String>,
    pub(crate) policy: SecurityPolicy,
    pub(crate) mode: MessageSecurityMode,
    pub(crate) identity: Identity,
    pub(crate) pki: PkiSettings,
    pub(crate) publishing_interval: Duration,
    pub(crate) acquisition: Acquisition,
    pub(crate) trigger: DataChangeTrigger,
    pub(crate) history: HistorySettings,
    /// Where stands up to when the values of tags with history are durable.
    pub(crate) history_file: PathBuf,
    pub(crate) session_timeout: Duration,
    pub(crate) timeout: Duration,
    pub(crate) channel_lifetime: Duration,
    /// Shared by all that knows them: there may be a hundred thousand.
    pub(crate) tags: Arc<[Tag]>,
    pub(crate) events: Vec<EventSource>,
}

/// Who logs in.
#[derive(Debug, Clone)]
pub(crate) enum Identity {
    Anonymous,
    Password {
        user: String,
        password: Secret,
    },
    Certificate {
        cert_file: PathBuf,
        key_file: PathBuf,
    },
}

/// Certificates.
#[derive(Debug, Clone)]
pub(crate) struct PkiSettings {
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

/// How values are taken from the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acquisition {
    /// By a subscription.
    Subscribe,
    /// By reading.
    Poll,
}

impl Settings {
    /// Reads a connector's tables, notes every problem in them, and answers none if there was one.
    pub(crate) fn read(
        connector: &mut Table<'_>,
        tags: &mut [Table<'_>],
        data_dir: &Path,
    ) -> Option<Self> {
        let nothing = |connector: &Table<'_>| {
            connector.problem(
                &keys::KEYS.tag,
                "nothing to read: add a [[connector.tag]] with name and node, or a [[connector.event]]",
            );
        };
        let has_none = tags.is_empty() && !connector.has(&keys::EVENT);
        if has_none {
            nothing(connector);
        }
        let settings = Self::read_link(connector, tags, data_dir)?;
        if !settings.tags.is_empty() || !settings.events.is_empty() {
            return Some(settings);
        }
        if !has_none {
            nothing(connector);
        }
        None
    }

    /// As [`Settings::read`], with or without tags.
    pub(crate) fn read_link(
        connector: &mut Table<'_>,
        tags: &mut [Table<'_>],
        data_dir: &Path,
    ) -> Option<Self> {
        let name = connector.read(&NAME);
        let url = url(connector);
        let reverse_connect = reverse_connect(connector);
        let peer = peer(url.as_ref(), reverse_connect.as_ref());
        let security = security(connector, peer);
        let identity = identity(connector);
        let pki = pki(connector, name.as_deref().unwrap_or_default(), data_dir);
        let publishing_interval = interval(connector, &keys::PUBLISHING_INTERVAL);
        let acquisition = connector.read(&keys::ACQUISITION);
        let trigger = connector.read(&keys::TRIGGER);
        let history = HistorySettings::read(connector);
        let session_timeout = interval(connector, &keys::SESSION_TIMEOUT);
        let timeout = interval(connector, &keys::TIMEOUT);
        let channel_lifetime = interval(connector, &keys::CHANNEL_LIFETIME);
        let tags = tags::read(connector, tags);
        let events = events::read(connector);
        let has_history = tags.iter().flatten().any(|tag| tag.has_history);
        if has_history && acquisition == Acquisition::Poll {
            connector.problem(
                &keys::ACQUISITION,
                "\"poll\" cannot fill gaps from history: remove history, or subscribe",
            );
            return None;
        }
        let has_events = events.as_ref().is_some_and(|events| !events.is_empty());
        if has_events && acquisition == Acquisition::Poll {
            connector.problem(
                &keys::ACQUISITION,
                "\"poll\" cannot hear events: remove [[connector.event]], or subscribe",
            );
            return None;
        }
        let (policy, mode) = security?;
        let name = name?;
        let folder = data_dir.join("opcua").join(path_segment(&name));
        Some(Self {
            name,
            url: url?,
            reverse_connect: reverse_connect?.map(|(host, port)| format!("{host}:{port}")),
            policy,
            mode,
            identity: identity?,
            pki: pki?,
            publishing_interval: publishing_interval?,
            acquisition,
            trigger,
            history: history?,
            history_file: folder.join("history"),
            session_timeout: session_timeout?,
            timeout: timeout?,
            channel_lifetime: channel_lifetime?,
            tags: tags?.into(),
            events: events?,
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
    keys::SECURITY
        .words()
        .iter()
        .find(|(_, known)| *known == policy)
        .map_or("unknown", |(name, _)| name)
}

fn url(connector: &mut Table<'_>) -> Option<Url> {
    let text = connector.read(&keys::URL)?;
    let problem = match Url::parse(&text) {
        Err(error) => error.to_string(),
        Ok(url) if url.scheme() != "opc.tcp" => format!("{}:// is not spoken here", url.scheme()),
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            "a user does not belong in a URL: set user and password".to_owned()
        }
        Ok(url) if url.host_str().is_none_or(str::is_empty) => "the host is missing".to_owned(),
        Ok(url) => return Some(url),
    };
    connector.problem(
        &keys::URL,
        format!("{problem}; \"opc.tcp://10.0.0.9:4840\" is expected"),
    );
    None
}

/// Where to listen. The outer none is a noted problem.
fn reverse_connect(connector: &mut Table<'_>) -> Option<Option<(String, u16)>> {
    if !connector.has(&keys::REVERSE_CONNECT) {
        return Some(None);
    }
    let text = connector.read(&keys::REVERSE_CONNECT)?;
    let found = Url::parse(&text)
        .ok()
        .filter(|url| url.scheme() == "opc.tcp");
    let address = found.and_then(|url| Some((url.host_str()?.to_owned(), url.port()?)));
    if address.is_none() {
        connector.problem(
            &keys::REVERSE_CONNECT,
            "is no address with a port to listen on; \"opc.tcp://0.0.0.0:4841\" is expected",
        );
    }
    address.map(Some)
}

/// Where the server may be.
enum Peer {
    Here,
    /// In words.
    Elsewhere(String),
    /// A noted problem keeps it from being known.
    Unknown,
}

fn peer(url: Option<&Url>, listens: Option<&Option<(String, u16)>>) -> Peer {
    let (host, words) = match (listens, url) {
        // Whoever reaches the listener may be it.
        (Some(Some((address, _))), _) => {
            let words = "another machine may connect to reverse_connect".to_owned();
            (bare(address), words)
        }
        (Some(None), Some(url)) => (host(url), format!("{} is another machine", host(url))),
        _ => return Peer::Unknown,
    };
    if is_loopback(host) {
        return Peer::Here;
    }
    Peer::Elsewhere(words)
}

fn host(url: &Url) -> &str {
    bare(url.host_str().unwrap_or_default())
}

/// An IPv6 address without its brackets.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

fn security(
    connector: &mut Table<'_>,
    peer: Peer,
) -> Option<(SecurityPolicy, MessageSecurityMode)> {
    let written = connector.has(&keys::SECURITY);
    let policy = connector.read(&keys::SECURITY);
    let mode_written = connector.has(&keys::MODE);
    let mode = connector.read(&keys::MODE);
    let policy = match (policy, peer) {
        (Some(policy), _) => policy,
        (None, _) if written => return None,
        (None, Peer::Here) => SecurityPolicy::None,
        (None, Peer::Unknown) => return None,
        (None, Peer::Elsewhere(words)) => {
            connector.problem(
                &keys::SECURITY,
                format!(
                    "is missing, and {words}: set \"Aes256_Sha256_RsaPss\", \"Aes128_Sha256_RsaOaep\" or \
                     \"Basic256Sha256\", or \"None\" to send everything in clear"
                ),
            );
            return None;
        }
    };
    if policy == SecurityPolicy::None {
        if mode_written {
            connector.problem(
                &keys::MODE,
                "has no meaning without security: set security too, or remove mode",
            );
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
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Both of a pair, or neither. The outer none is a noted problem.
fn pair<T, U>(
    connector: &mut Table<'_>,
    (first, one): (&dyn Describe, Option<T>),
    (second, two): (&dyn Describe, Option<U>),
) -> Option<Option<(T, U)>> {
    match (connector.has(first), connector.has(second)) {
        (false, false) => Some(None),
        (true, true) => Some(Some((one?, two?))),
        (true, false) => {
            connector.problem(first, format!("{} is missing beside it", second.name()));
            None
        }
        (false, true) => {
            connector.problem(second, format!("{} is missing beside it", first.name()));
            None
        }
    }
}

fn identity(connector: &mut Table<'_>) -> Option<Identity> {
    let user = connector.read(&keys::USER);
    let password = connector.read(&keys::PASSWORD);
    let password = pair(connector, (&keys::USER, user), (&keys::PASSWORD, password));
    let certificate = files(connector, &keys::USER_CERT_FILE, &keys::USER_KEY_FILE);
    match (password?, certificate?) {
        (Some(_), Some(_)) => {
            connector.problem(
                &keys::USER_CERT_FILE,
                "a session has one identity: remove user and password, or the files",
            );
            None
        }
        (Some((user, password)), None) => Some(Identity::Password { user, password }),
        (None, Some((cert_file, key_file))) => Some(Identity::Certificate {
            cert_file,
            key_file,
        }),
        (None, None) => Some(Identity::Anonymous),
    }
}

/// Two files that go together.
fn files(
    connector: &mut Table<'_>,
    first: &Optional<PathBuf>,
    second: &Optional<PathBuf>,
) -> Option<Option<(PathBuf, PathBuf)>> {
    let one = connector.read(first);
    let two = connector.read(second);
    pair(connector, (first, one), (second, two))
}

fn pki(connector: &mut Table<'_>, name: &str, data_dir: &Path) -> Option<PkiSettings> {
    // What is written belongs into the data folder: a service may not write beside its configuration.
    let dir = connector.read(&keys::PKI_DIR);
    let dir = dir.unwrap_or_else(|| data_dir.join("pki/opcua").join(path_segment(name)));
    let own = files(connector, &keys::CERT_FILE, &keys::KEY_FILE);
    let application_uri = connector.read(&keys::APPLICATION_URI);
    let application_uri =
        application_uri.unwrap_or_else(|| format!("urn:forebay:{}", path_segment(name)));
    let pinned = connector.has(&keys::TRUST);
    let trust_word = connector.read(&keys::TRUST);
    let file = connector.read(&keys::SERVER_CERT_FILE);
    let any = connector.read(&keys::TRUST_ANY);
    let file_is_given = connector.has(&keys::SERVER_CERT_FILE);
    if any && (file_is_given || pinned) {
        connector.problem(
            &keys::TRUST_ANY,
            "contradicts trust and server_cert_file: remove one of them",
        );
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
    Some(PkiSettings {
        dir,
        own: own?,
        application_uri,
        trust,
    })
}

fn interval(connector: &mut Table<'_>, key: &Defaulted<Duration>) -> Option<Duration> {
    let found = connector.read(key);
    if found < Duration::from_millis(10) || found > Duration::from_secs(3600) {
        connector.problem(
            key,
            format!("{found:?} is out of range: from \"10ms\" to \"1h\""),
        );
        return None;
    }
    Some(found)
}

#[cfg(test)]
mod tests;
