//! The keys of a `[[connector]]` of kind "http".

use std::{net::SocketAddr, sync::Arc};

use forebay_config::Table;
use forebay_connectors::{Connector, ConnectorKeys, ConnectorKind, Context, RuleId};
use forebay_payload::{Format as PayloadFormat, Selection};
use forebay_schemas::DeviceId;
use forebay_tls::OwnCertificate;

use crate::{
    auth::TOKEN_CHARS_MIN,
    connector::{Http, TlsFiles},
    keys,
    route::{Format, Rule, Template},
    server::Settings,
};

const BODY_BYTES_MAX: u64 = 16 << 20;
const CONNECTIONS_MAX: u32 = 4_096;

/// The kind "http".
#[derive(Debug, Clone, Copy, Default)]
pub struct HttpKind;

impl ConnectorKind for HttpKind {
    fn name(&self) -> &'static str {
        "http"
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
        http(connector, tags, context).map(|http| Box::new(http) as Box<dyn Connector>)
    }
}

/// Reads all keys, so that all problems are noted, and only then gives up.
fn http(connector: &mut Table<'_>, tags: &mut [Table<'_>], context: &Context) -> Option<Http> {
    let device = connector.read(&keys::DEVICE);
    let tls = tls(connector);
    let token = token(connector);
    let is_guarded = connector.has(&keys::TOKEN)
        || matches!(&tls, Some(Some(files)) if files.client_ca.is_some());
    let address = address(connector, is_guarded);
    let body_bytes_max = connector.read(&keys::MAX_BODY).0;
    if !(1..=BODY_BYTES_MAX).contains(&body_bytes_max) {
        connector.problem(&keys::MAX_BODY, "a size from 1B to 16MiB is expected");
    }
    let connections_max = connector.read(&keys::MAX_CONNECTIONS);
    if !(1..=CONNECTIONS_MAX).contains(&connections_max) {
        connector.problem(&keys::MAX_CONNECTIONS, "1 to 4096 connections are expected");
    }
    let silent_after = connector.read(&keys::SILENT_AFTER);
    if silent_after.is_some_and(|time| time.is_zero()) {
        connector.problem(&keys::SILENT_AFTER, "a time above 0 is expected");
    }
    if tags.is_empty() {
        connector.problem(
            &keys::KEYS.tag,
            "at least one [[connector.tag]] with a path is expected",
        );
    }
    let rules: Vec<Option<Rule>> = tags
        .iter_mut()
        .enumerate()
        .map(|(place, tag)| rule(RuleId(place), tag, device.as_ref()))
        .collect();
    let settings = Settings {
        rules: rules.into_iter().collect::<Option<Vec<Rule>>>()?,
        token: token?,
        body_bytes_max: usize::try_from(body_bytes_max).unwrap_or(usize::MAX).max(1),
        connections_max: connections_max as usize,
    };
    Some(Http {
        address: address?,
        tls: tls?,
        silent_after,
        settings: Arc::new(settings),
        uniform: context.uniform.clone(),
    })
}

fn address(connector: &mut Table<'_>, is_guarded: bool) -> Option<SocketAddr> {
    let listen = connector.read(&keys::LISTEN)?;
    let Ok(address) = listen.parse::<SocketAddr>() else {
        connector.problem(&keys::LISTEN, no_address(&listen));
        return None;
    };
    if !address.ip().is_loopback() && !is_guarded {
        connector.problem(
            &keys::LISTEN,
            "anyone who reaches this address could write: set token, or client_ca_file in [connector.tls], or listen on 127.0.0.1",
        );
        return None;
    }
    Some(address)
}

/// Why a text is no address to listen on.
fn no_address(listen: &str) -> String {
    let port = listen.rsplit_once(':').map_or("", |(_, port)| port);
    let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    if is_number && port.parse::<u16>().is_err() {
        return format!("{listen:?}: port {port} is too large, 65535 is the largest");
    }
    format!("{listen:?} is not an address and port such as \"127.0.0.1:8080\"")
}

/// The token; the outer none where it is wrong, the inner where none is asked for.
fn token(connector: &mut Table<'_>) -> Option<Option<forebay_config::Secret>> {
    if !connector.has(&keys::TOKEN) {
        return Some(None);
    }
    let token = connector.read(&keys::TOKEN)?;
    if token.expose().trim().chars().count() < TOKEN_CHARS_MIN {
        let what = format!("a token of at least {TOKEN_CHARS_MIN} characters is expected");
        connector.problem(&keys::TOKEN, what);
        return None;
    }
    Some(Some(token))
}

/// The certificates; the outer none where they are wrong, the inner where there is no table.
fn tls(connector: &mut Table<'_>) -> Option<Option<TlsFiles>> {
    let Some(mut table) = connector.table(&keys::TLS) else {
        return if connector.has(&keys::TLS) {
            None
        } else {
            Some(None)
        };
    };
    let chain = table.read(&keys::CERT_FILE);
    let key = table.read(&keys::KEY_FILE);
    let client_ca = table.read(&keys::CLIENT_CA_FILE);
    table.finish();
    let own = OwnCertificate {
        chain: chain?,
        key: key?,
    };
    Some(Some(TlsFiles { own, client_ca }))
}

fn rule(id: RuleId, tag: &mut Table<'_>, connector_device: Option<&DeviceId>) -> Option<Rule> {
    let path = tag.read(&keys::PATH);
    let format = tag.read(&keys::FORMAT);
    let name = tag.read(&keys::TAG_NAME);
    let device = tag.read(&keys::TAG_DEVICE);
    let device_tag = tag.read(&keys::DEVICE_TAG);
    let of_payload = match format {
        Format::Raw => PayloadFormat::Raw,
        _ => PayloadFormat::Json,
    };
    let selection = Selection::configure(tag, of_payload);
    let path = path?;
    let template = match Template::parse(&path) {
        Ok(template) => template,
        Err(error) => {
            tag.problem(&keys::PATH, format!("{path:?}: {error}"));
            return None;
        }
    };
    let names_series = matches!(format, Format::Line | Format::Csv);
    if names_series && (template.has_tag() || name.is_some()) {
        let key: &dyn forebay_config::Describe = if name.is_some() {
            &keys::TAG_NAME
        } else {
            &keys::PATH
        };
        tag.problem(
            key,
            "lines and tables name their tags themselves: leave out the tag",
        );
        return None;
    }
    if format == Format::Raw && !template.has_tag() && name.is_none() {
        tag.problem(
            &keys::PATH,
            "the tag is not known: write {tag} in the path, or the key name",
        );
        return None;
    }
    let device = device.or_else(|| connector_device.cloned());
    if !names_series && !template.has_device() && device.is_none() {
        tag.problem(
            &keys::PATH,
            "the device is not known: write {device} in the path, or the key device here or in the connector",
        );
        return None;
    }
    Some(Rule {
        id,
        template,
        format,
        device,
        tag: name,
        device_tag,
        selection: selection?,
    })
}
