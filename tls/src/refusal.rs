//! Why a client refuses a server's certificate, in words that say what to do.
//!
//! rustls's own words stay in front: they are what people search for.

use std::{io, path::Path, time::Duration};

use rustls::{CertificateError, Error};

const HOUR_SECONDS: u64 = 3_600;
const DAY_SECONDS: u64 = 24 * HOUR_SECONDS;

/// Names of a certificate that are shown: it may hold thousands.
const NAMES_MAX: usize = 5;

/// What ended a handshake, for a client that trusts the authorities in `ca`, or without it the system's.
pub(crate) fn explain(error: &io::Error, ca: Option<&Path>) -> String {
    let inner = error.get_ref();
    match inner.and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(refused)) => refusal(refused, ca),
        _ => error.to_string(),
    }
}

fn refusal(refused: &CertificateError, ca: Option<&Path>) -> String {
    let why = match refused {
        CertificateError::UnknownIssuer => unknown_issuer(ca),
        // Of the certificate or of the handshake: another authority's certificate would not help where somebody shows a certificate
        // that is not his.
        CertificateError::BadSignature => {
            "BadSignature: the server does not hold the certificate's key, or an authority has signed it that only has the name of a trusted one"
                .to_owned()
        }
        CertificateError::Expired => expired(""),
        CertificateError::ExpiredContext { time, not_after } => {
            let since = time.as_secs().saturating_sub(not_after.as_secs());
            let since = Duration::from_secs(since);
            expired(&format!(" {} ago", span(since)))
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "NotValidYet: by this machine's clock its time has not come: set the clock".to_owned()
        }
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => other_name(&expected.to_str(), presented),
        other => other.to_string(),
    };
    format!("invalid peer certificate: {why}")
}

fn unknown_issuer(ca: Option<&Path>) -> String {
    match ca {
        Some(path) => format!(
            "UnknownIssuer: no authority in ca_file {} has signed it: add the certificate of the one that has",
            path.display()
        ),
        None => "UnknownIssuer: no authority of the system's list has signed it: set ca_file to a file with the certificate of the one that has"
            .to_owned(),
    }
}

fn expired(since: &str) -> String {
    format!("certificate expired{since}: renew it on the server, or set this machine's clock")
}

fn other_name(expected: &str, presented: &[String]) -> String {
    let names: Vec<&str> = presented
        .iter()
        .take(NAMES_MAX)
        .map(|name| bare(name))
        .collect();
    let others = match presented.len() - names.len() {
        0 => String::new(),
        others => format!(" and {others} more"),
    };
    match names[..] {
        [] => format!(
            "not valid for name {expected:?}: it holds no name, the server needs another one"
        ),
        _ => format!(
            "not valid for name {expected:?}, only for {}{others}: set server_name to a name that it holds, if that is the right server",
            names.join(", ")
        ),
    }
}

/// The name in `DnsName("localhost")` or `IpAddress(127.0.0.1)`, with its quotes.
fn bare(name: &str) -> &str {
    let inside = name.split_once('(').map(|(_, inside)| inside);
    inside
        .and_then(|inside| inside.strip_suffix(')'))
        .unwrap_or(name)
}

/// A time for people, cut to whole days, hours or minutes.
fn span(time: Duration) -> String {
    match time.as_secs() {
        seconds if seconds >= 2 * DAY_SECONDS => format!("{} days", seconds / DAY_SECONDS),
        seconds if seconds >= 2 * HOUR_SECONDS => format!("{} h", seconds / HOUR_SECONDS),
        seconds => format!("{} min", seconds / 60),
    }
}
