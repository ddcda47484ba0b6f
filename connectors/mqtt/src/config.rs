//! The keys of a `[[connector]]` of kind "mqtt" and of its `[[connector.tag]]`s.

mod format;
mod rule;
mod sparkplug;
#[cfg(test)]
mod tests;

use std::time::Duration;

use forebay_config::{Defaulted, Table};
use forebay_connectors::{Connector, ConnectorKeys, ConnectorKind, Context, NAME};
use forebay_schemas::{DeviceId, GatewayId, TagName, path_segment};
use forebay_tls::{ClientFiles, OwnCertificate};
use rustls_pki_types::ServerName;
use url::{Host, ParseError, Url};

use crate::{
    client::{Session, Settings},
    connector::{Content, Mqtt},
    decode::{Fallback, Rules},
    keys::{self, PayloadFormat},
    packet::{Outgoing, Version},
    topic,
};

/// A packet of MQTT has at most 256 MiB.
const PACKET_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// The kind "mqtt".
#[derive(Debug, Clone, Copy, Default)]
pub struct MqttKind;

impl ConnectorKind for MqttKind {
    fn name(&self) -> &'static str {
        "mqtt"
    }

    fn keys(&self) -> &'static ConnectorKeys {
        &keys::KEYS
    }

    fn configure(
        &self,
        connector: &mut Table<'_>,
        tags: &mut [Table<'_>],
        context: &Context,
    ) -> Option<Box<dyn Connector>> {
        mqtt(connector, tags, context).map(|mqtt| Box::new(mqtt) as Box<dyn Connector>)
    }
}

/// Reads all keys, so that all problems are noted, and only then gives up.
fn mqtt(connector: &mut Table<'_>, tags: &mut [Table<'_>], context: &Context) -> Option<Mqtt> {
    let name = connector.given(&NAME).unwrap_or_else(|| "mqtt".to_owned());
    let version = version(connector);
    let broker = broker(connector);
    let content = content(connector, tags, &name, context);
    let topics = topics(connector, content.as_ref());
    let session = session(connector, version);
    let keep_alive = keep_alive(connector);
    let qos = qos(connector, &keys::QOS);
    let in_flight_max = connector.read(&keys::MAX_IN_FLIGHT);
    if in_flight_max == 0 {
        connector.problem(&keys::MAX_IN_FLIGHT, "at least 1 is expected");
    }
    let client_id = client_id(connector, &context.gateway, &name);
    let user = connector.read(&keys::USER);
    let password = connector.read(&keys::PASSWORD);
    if password.is_some() && user.is_none() {
        connector.problem(&keys::PASSWORD, "user is missing");
    }
    let will = will(connector);
    let Broker {
        host,
        port,
        tls,
        websocket,
    } = broker?;
    let (version, session) = (version?, session?);
    let settings = Settings {
        name,
        host,
        port,
        tls,
        websocket,
        version,
        topics: topics?,
        qos: qos?,
        client_id: client_id?,
        session,
        user,
        password,
        will: will?,
        keep_alive: keep_alive?,
        in_flight_max,
    };
    let content = content?;
    (in_flight_max > 0).then(|| {
        let (clock, uniform) = (context.clock.clone(), context.uniform.clone());
        Mqtt::new(settings, content, clock, uniform)
    })
}

/// What messages are: payloads by rules, or Sparkplug B.
fn content(
    connector: &mut Table<'_>,
    tags: &mut [Table<'_>],
    name: &str,
    context: &Context,
) -> Option<Content> {
    let device = connector.read(&keys::DEVICE);
    let format = connector.read(&keys::FORMAT);
    let payload_max = connector.read(&keys::MAX_PAYLOAD);
    if payload_max.0 == 0 || payload_max.0 > PACKET_BYTES_MAX {
        connector.problem(&keys::MAX_PAYLOAD, "from \"1B\" to \"256MiB\" is expected");
    }
    let payload_bytes_max = usize::try_from(payload_max.0).ok()?;
    if format == PayloadFormat::SparkplugB {
        let device = device.as_ref();
        let settings = sparkplug::sparkplug(connector, tags, device, payload_bytes_max, context)?;
        return Some(Content::Sparkplug(settings));
    }
    sparkplug::refuse(connector, tags);
    let formats = format::Formats::of_connector(connector, format);
    let rules = rule::rules(connector, tags, &formats, device.as_ref())?;
    let fallback = Fallback {
        device: device
            .or_else(|| DeviceId::new(name).ok())
            .or_else(|| DeviceId::new("mqtt").ok())?,
        tag: TagName::new("payload").ok()?,
    };
    Some(Content::Rules(Rules {
        rules,
        fallback,
        payload_bytes_max,
    }))
}

/// The will; the outer none where it is wrong.
fn will(connector: &mut Table<'_>) -> Option<Option<Outgoing>> {
    let Some(mut table) = connector.table(&keys::WILL) else {
        return (!connector.has(&keys::WILL)).then_some(None);
    };
    let topic = table.read(&keys::WILL_TOPIC);
    let payload = table.read(&keys::WILL_PAYLOAD);
    let qos = qos(&mut table, &keys::WILL_QOS);
    let retain = table.read(&keys::WILL_RETAIN);
    let is_filter = topic
        .as_ref()
        .is_some_and(|topic| topic.contains(['+', '#']));
    let error = topic
        .as_ref()
        .and_then(|topic| topic::check_filter(topic).err());
    if is_filter || error.is_some() {
        let why = error.map_or_else(String::new, |error| format!(": {error}"));
        table.problem(
            &keys::WILL_TOPIC,
            format!("a topic without + and # is expected{why}"),
        );
        return None;
    }
    table.finish();
    Some(Some(Outgoing {
        topic: topic?,
        payload: payload.into_bytes(),
        qos: qos?,
        retain,
    }))
}

fn version(connector: &mut Table<'_>) -> Option<Version> {
    match connector.read(&keys::VERSION) {
        3 | 4 => Some(Version::V311),
        5 => Some(Version::V5),
        other => {
            connector.problem(
                &keys::VERSION,
                format!("{other} is not a version of MQTT: 4 (3.1.1) or 5 is expected"),
            );
            None
        }
    }
}

struct Broker {
    host: String,
    port: u16,
    tls: Option<ClientFiles>,
    websocket: Option<String>,
}

/// The scheme of an address.
#[derive(Clone, Copy)]
struct Scheme {
    name: &'static str,
    port: u16,
    has_tls: bool,
    is_websocket: bool,
}

const SCHEMES: [Scheme; 4] = [
    Scheme {
        name: "mqtt",
        port: 1883,
        has_tls: false,
        is_websocket: false,
    },
    Scheme {
        name: "mqtts",
        port: 8883,
        has_tls: true,
        is_websocket: false,
    },
    Scheme {
        name: "ws",
        port: 80,
        has_tls: false,
        is_websocket: true,
    },
    Scheme {
        name: "wss",
        port: 443,
        has_tls: true,
        is_websocket: true,
    },
];

const NO_PORT: &str = "the port is not a number from 1 to 65535: an address is expected";

fn broker(connector: &mut Table<'_>) -> Option<Broker> {
    let text = connector.read(&keys::URL);
    let tls_table = connector.table(&keys::TLS);
    let wrong = |message: &str| {
        connector.problem(
            &keys::URL,
            format!("{message}, such as mqtt://host:1883 or mqtts://host:8883"),
        );
        None::<Broker>
    };
    let url = match Url::parse(&text?) {
        Ok(url) if url.port() == Some(0) => return wrong(NO_PORT),
        Ok(url) => url,
        Err(ParseError::InvalidPort) => return wrong(NO_PORT),
        Err(_) => return wrong("an address is expected"),
    };
    let scheme = SCHEMES.iter().find(|scheme| scheme.name == url.scheme());
    let Some(scheme) = scheme else {
        let other = url.scheme();
        return wrong(&format!(
            "the scheme {other:?} is not one of \"mqtt\", \"mqtts\", \"ws\", \"wss\"; an address is expected"
        ));
    };
    if !url.username().is_empty() || url.password().is_some() {
        return wrong("write the keys user and password, and an address without them");
    }
    let has_path = !matches!(url.path(), "" | "/") || url.query().is_some();
    if (has_path && !scheme.is_websocket) || url.fragment().is_some() {
        return wrong("an address without a path is expected");
    }
    let host = match url.host() {
        Some(Host::Domain(name)) if !name.is_empty() => name.to_owned(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        _ => return wrong("an address with a host is expected"),
    };
    let port = url.port().unwrap_or(scheme.port);
    if !scheme.has_tls && tls_table.is_some() {
        return wrong("[connector.tls] needs an address with the scheme mqtts or wss");
    }
    let tls = if scheme.has_tls {
        Some(tls_files(connector, tls_table, &host)?)
    } else {
        None
    };
    Some(Broker {
        host,
        port,
        tls,
        websocket: scheme.is_websocket.then(|| websocket_path(&url)),
    })
}

/// The path to ask for; `/mqtt`, where brokers have it, without one.
fn websocket_path(url: &Url) -> String {
    let path = match url.path() {
        "" | "/" => "/mqtt",
        path => path,
    };
    match url.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    }
}

fn tls_files(connector: &Table<'_>, table: Option<Table<'_>>, host: &str) -> Option<ClientFiles> {
    let (mut ca, mut chain, mut key, mut name) = (None, None, None, None);
    if let Some(mut table) = table {
        ca = table.read(&keys::CA_FILE);
        chain = table.read(&keys::CERT_FILE);
        key = table.read(&keys::KEY_FILE);
        name = table.read(&keys::SERVER_NAME);
        if chain.is_some() != key.is_some() {
            let there = if chain.is_some() {
                &keys::CERT_FILE
            } else {
                &keys::KEY_FILE
            };
            table.problem(there, "cert_file and key_file are expected together");
            return None;
        }
        table.finish();
    }
    let own = chain
        .zip(key)
        .map(|(chain, key)| OwnCertificate { chain, key });
    let name = name.unwrap_or_else(|| host.to_owned());
    let Ok(server_name) = ServerName::try_from(name.clone()) else {
        connector.problem(
            &keys::TLS,
            format!("{name:?} is not a server name: set server_name"),
        );
        return None;
    };
    let files = ClientFiles {
        ca,
        own,
        server_name,
    };
    // Read once now, so that a wrong file is found before the first connection.
    match files.client_config() {
        Ok(_) => Some(files),
        Err(error) => {
            connector.problem(&keys::TLS, error.to_string());
            None
        }
    }
}

/// The subscriptions; without the key, what the rules name.
///
/// They must not overlap: a broker may send a message once for each subscription that it matches.
fn topics(connector: &mut Table<'_>, content: Option<&Content>) -> Option<Vec<String>> {
    let given = connector.read(&keys::TOPICS);
    if given.is_none() && connector.has(&keys::TOPICS) {
        return None;
    }
    let topics = match (given, content) {
        (given, Some(Content::Sparkplug(settings))) => {
            sparkplug::topics(given, settings.host_id.as_deref())
        }
        (Some(topics), _) => topics,
        (None, None) => return None,
        (None, Some(Content::Rules(rules))) => {
            let all = rules.rules.iter().map(|rule| rule.template.filter());
            outermost(all.collect())
        }
    };
    if topics.is_empty() {
        connector.problem(
            &keys::TOPICS,
            "at least one topic filter is expected, such as [\"site/+/cell/#\"]",
        );
        return None;
    }
    let mut good = true;
    for (i, filter) in topics.iter().enumerate() {
        if let Err(error) = topic::check_filter(filter) {
            connector.problem(&keys::TOPICS, format!("{filter:?}: {error}"));
            good = false;
        }
        if let Some(other) = topics[..i]
            .iter()
            .find(|other| topic::overlap(other, filter))
        {
            let way_out = "a message could come twice: write filters that do not overlap";
            connector.problem(
                &keys::TOPICS,
                format!("{other:?} and {filter:?} overlap, {way_out}"),
            );
            good = false;
        }
    }
    good.then_some(topics)
}

/// The filters that no other filter covers.
fn outermost(mut filters: Vec<String>) -> Vec<String> {
    filters.sort();
    filters.dedup();
    let covered = |filter: &String| {
        filters
            .iter()
            .any(|other| other != filter && topic::covers(other, filter))
    };
    filters
        .iter()
        .filter(|filter| !covered(filter))
        .cloned()
        .collect()
}

fn session(connector: &mut Table<'_>, version: Option<Version>) -> Option<Session> {
    let clean = connector.read(&keys::CLEAN_SESSION);
    let expiry = connector.read(&keys::SESSION_EXPIRY);
    if connector.has(&keys::SESSION_EXPIRY) && (clean || version == Some(Version::V311)) {
        let why = if clean {
            "clean_session = true keeps no session"
        } else {
            "it needs version = 5"
        };
        connector.problem(&keys::SESSION_EXPIRY, why);
        return None;
    }
    if clean {
        return Some(Session::Clean);
    }
    if expiry.as_secs() == 0 {
        connector.problem(&keys::SESSION_EXPIRY, "at least \"1s\" is expected");
        return None;
    }
    // The largest number means for ever (MQTT 5.0, section 3.1.2.11.2).
    Some(Session::Kept {
        expiry_seconds: u32::try_from(expiry.as_secs()).unwrap_or(u32::MAX),
    })
}

fn keep_alive(connector: &mut Table<'_>) -> Option<Duration> {
    let keep_alive = connector.read(&keys::KEEP_ALIVE);
    let fits = (Duration::from_secs(1)..=Duration::from_secs(65_535)).contains(&keep_alive);
    if !fits {
        connector.problem(&keys::KEEP_ALIVE, "from \"1s\" to \"65535s\" is expected");
    }
    fits.then_some(keep_alive)
}

fn qos(table: &mut Table<'_>, key: &Defaulted<u8>) -> Option<u8> {
    match table.read(key) {
        qos @ 0..=2 => Some(qos),
        other => {
            table.problem(key, format!("{other} is not a QoS: 0, 1 or 2 is expected"));
            None
        }
    }
}

/// One name for one connector of one gateway: two sessions of the same name end each other.
fn client_id(connector: &mut Table<'_>, gateway: &GatewayId, name: &str) -> Option<String> {
    let given = connector.read(&keys::CLIENT_ID);
    let id = given
        .unwrap_or_else(|| format!("forebay-{}-{}", gateway.path_segment(), path_segment(name)));
    if id.is_empty() || id.len() > 65_535 || id.contains('\0') {
        connector.problem(
            &keys::CLIENT_ID,
            "a text of 1 to 65535 bytes without U+0000 is expected",
        );
        return None;
    }
    Some(id)
}
