//! `url`, and the keys that belong to one of its schemes only.

use std::{path::PathBuf, time::Duration};

use forebay_config::{Describe, Table};
use forebay_tls::{ClientFiles, OwnCertificate};
use rustls_pki_types::ServerName;
use url::{Host, Url};

use super::{Given, duration, within};
use crate::{
    endpoint::{Endpoint, SerialLine, Server, frame_gap},
    keys,
};

const EXAMPLES: &str = "\"tcp://10.0.0.5:502\", \"rtu+tcp://10.0.0.5:502\", \"tls://10.0.0.5:802\" or \"serial:///dev/ttyUSB0\" is expected";
const PORT_PLAIN: u16 = 502;
const PORT_TLS: u16 = 802;
const FRAME_GAP_MAX: Duration = Duration::from_secs(1);

/// An address, without what else its connection needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp(Server),
    RtuTcp(Server),
    Tls(Server),
    Serial(PathBuf),
}

/// Where the connector's device is; what is wrong is noted.
pub(super) fn read(connector: &mut Table<'_>) -> Option<Endpoint> {
    let text = connector.read(&keys::URL);
    let gap = Given::read(connector, &keys::FRAME_GAP);
    let address = text.and_then(|text| {
        parse(&text)
            .map_err(|message| connector.problem(&keys::URL, message))
            .ok()
    });
    let serial = serial(connector);
    let files = connector.table(&keys::TLS);
    let address = address?;
    refuse_foreign(connector, &address)?;
    let gap = match gap {
        Given::Value(gap) => Some(duration(
            connector,
            &keys::FRAME_GAP,
            gap,
            Duration::ZERO..=FRAME_GAP_MAX,
        )?),
        Given::Missing => None,
        Given::Wrong => return None,
    };
    Some(match address {
        Address::Tcp(server) => Endpoint::Tcp(server),
        Address::RtuTcp(server) => Endpoint::RtuTcp {
            server,
            frame_gap: gap.unwrap_or_default(),
        },
        Address::Tls(server) => Endpoint::Tls {
            files: tls_files(connector, files, &server.host)?,
            server,
        },
        Address::Serial(path) => {
            let line = serial?;
            let frame_gap = gap.unwrap_or_else(|| frame_gap(line.baud_rate));
            Endpoint::Serial(SerialLine {
                path,
                frame_gap,
                ..line
            })
        }
    })
}

/// Keys that this address makes nothing of.
fn refuse_foreign(connector: &mut Table<'_>, address: &Address) -> Option<()> {
    let serial: [&dyn Describe; 4] = [
        &keys::BAUD_RATE,
        &keys::PARITY,
        &keys::DATA_BITS,
        &keys::STOP_BITS,
    ];
    let is_serial = matches!(address, Address::Serial(_));
    let is_rtu = is_serial || matches!(address, Address::RtuTcp(_));
    let is_tls = matches!(address, Address::Tls(_));
    let of_serial = serial.map(|key| (key, is_serial, "is for a url with serial: remove it"));
    let others: [(&dyn Describe, bool, &str); 2] = [
        (
            &keys::FRAME_GAP,
            is_rtu,
            "is for a url with serial or rtu+tcp: remove it",
        ),
        (
            &keys::TLS,
            is_tls,
            "needs a url with tls, such as tls://10.0.0.5:802",
        ),
    ];
    let mut sound = Some(());
    for (key, is_known, message) in of_serial.into_iter().chain(others) {
        if !is_known && connector.has(key) {
            connector.problem(key, message);
            sound = None;
        }
    }
    sound
}

/// The settings of a serial line, whatever its path.
fn serial(connector: &mut Table<'_>) -> Option<SerialLine> {
    let baud_rate = connector.read(&keys::BAUD_RATE);
    let baud_rate = within(connector, &keys::BAUD_RATE, baud_rate, 300..=4_000_000);
    let parity = connector.read(&keys::PARITY);
    let data_bits = connector.read(&keys::DATA_BITS);
    let data_bits = within(connector, &keys::DATA_BITS, data_bits, 7..=8);
    let stop_bits = connector.read(&keys::STOP_BITS);
    let stop_bits = within(connector, &keys::STOP_BITS, stop_bits, 1..=2);
    Some(SerialLine {
        path: PathBuf::new(),
        baud_rate: baud_rate?,
        parity,
        data_bits: data_bits?,
        stop_bits: stop_bits?,
        frame_gap: Duration::ZERO,
    })
}

fn tls_files(connector: &Table<'_>, table: Option<Table<'_>>, host: &str) -> Option<ClientFiles> {
    let mut ca = None;
    let mut own = None;
    let mut name = host.to_owned();
    if let Some(mut table) = table {
        ca = table.read(&keys::CA_FILE);
        name = table.read(&keys::SERVER_NAME).unwrap_or(name);
        own = own_certificate(&mut table)?;
        table.finish();
    }
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

/// The outer none is a noted problem.
fn own_certificate(table: &mut Table<'_>) -> Option<Option<OwnCertificate>> {
    let chain = table.read(&keys::CERT_FILE);
    let key = table.read(&keys::KEY_FILE);
    match (chain, key) {
        (Some(chain), Some(key)) => Some(Some(OwnCertificate { chain, key })),
        (None, None) => Some(None),
        (chain, _) => {
            let there = chain.map_or(&keys::KEY_FILE, |_| &keys::CERT_FILE);
            table.problem(there, "cert_file and key_file are expected together");
            None
        }
    }
}

/// The address in a text, or what is wrong with it.
pub(crate) fn parse(text: &str) -> Result<Address, String> {
    let wrong = |why: String| format!("{text:?} {why}; {EXAMPLES}");
    let url = Url::parse(text).map_err(|error| wrong(format!("is not a URL ({error})")))?;
    let bare = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if url.scheme() == "serial" {
        let path = format!("{}{}", url.host_str().unwrap_or_default(), url.path());
        if path.trim_matches('/').is_empty() {
            return Err(wrong("names no serial line".into()));
        }
        if !bare || url.port().is_some() {
            return Err(wrong(
                "has more than a path: its settings are keys, such as baud_rate".into(),
            ));
        }
        return Ok(Address::Serial(PathBuf::from(path)));
    }
    let port_default = match url.scheme() {
        "tcp" | "rtu+tcp" => PORT_PLAIN,
        "tls" => PORT_TLS,
        other => return Err(wrong(format!("has the scheme {other:?}"))),
    };
    let host = match url.host() {
        Some(Host::Domain(name)) if !name.is_empty() => name.to_owned(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        _ => return Err(wrong("names no host".into())),
    };
    if !bare || !matches!(url.path(), "" | "/") {
        return Err(wrong("has more than a host and a port".into()));
    }
    let port = url.port().unwrap_or(port_default);
    if port == 0 {
        return Err(wrong("names port 0".into()));
    }
    let server = Server { host, port };
    Ok(match url.scheme() {
        "tls" => Address::Tls(server),
        "rtu+tcp" => Address::RtuTcp(server),
        _ => Address::Tcp(server),
    })
}

#[cfg(test)]
mod tests;
