//! Why a connection could not be set up or kept, in words that tell a person what to mend.

use std::{path::PathBuf, time::Duration};

use forebay_schemas::ErrorKind;
use opcua::types::StatusCode;
use thiserror::Error;

use crate::{value, wire};

/// What went wrong between us and a server.
#[derive(Debug, Error)]
pub(crate) enum OpcuaError {
    /// No answer in time.
    #[error("{step}: no answer within {} ms", limit.as_millis())]
    Timeout { step: &'static str, limit: Duration },
    /// The server, or the library, refused a step.
    #[error("{step}: {}", with_detail(*status, detail))]
    Service {
        step: &'static str,
        status: StatusCode,
        detail: String,
    },
    /// No endpoint is as configured.
    #[error(
        "the server has no endpoint with security {wanted}; it offers {offered}: set security and mode to one of these"
    )]
    NoEndpoint { wanted: String, offered: String },
    /// The server does not take this kind of identity.
    #[error("the server takes no {wanted} on this endpoint; it takes {offered}")]
    NoIdentity {
        wanted: &'static str,
        offered: String,
    },
    /// A password would be readable on the way.
    #[error(
        "the server asks for the password unencrypted on a channel that is only signed: set mode = \"sign_and_encrypt\""
    )]
    PasswordInClear,
    /// The identity was refused.
    #[error("the server refused {who} with {}: check {fix}", value::name(*status))]
    Refused {
        who: String,
        status: StatusCode,
        fix: &'static str,
    },
    /// A certificate that nobody has trusted.
    #[error(
        "the server's certificate {subject} with SHA-1 thumbprint {thumbprint} is not trusted{}: compare the thumbprint \
         with the server's, then move {} to {}",
        behind(why.as_deref()), rejected.display(), trusted.display()
    )]
    Untrusted {
        subject: String,
        thumbprint: String,
        rejected: PathBuf,
        trusted: PathBuf,
        /// Why no authority vouches for it, where one is trusted.
        why: Option<String>,
    },
    /// Another certificate than the pinned one.
    #[error(
        "the server shows another certificate than server_cert_file {}: its SHA-1 thumbprint is {thumbprint}, and it is \
         kept in {}; if the server has a new certificate, give that file",
        pinned.display(), rejected.display()
    )]
    NotThePinned {
        pinned: PathBuf,
        thumbprint: String,
        rejected: PathBuf,
    },
    /// A server that speaks of security and shows no certificate, or a broken one.
    #[error("the server's certificate cannot be used: {0}")]
    BadCertificate(String),
    /// A server that does not prove to be the one whose certificate was accepted.
    #[error("the server does not prove who it is: {0}; someone may be posing as it")]
    Unproven(String),
    /// The address on which the server is waited for.
    #[error("cannot listen on {address} for the server's connection: {error}")]
    Listen {
        address: String,
        error: std::io::Error,
    },
    /// No server has opened a connection.
    #[error("no server has connected to {address} within {} ms: let the server's reverse connect call it, with the endpoint in url", limit.as_millis())]
    NobodyCame { address: String, limit: Duration },
    /// A file of the certificate store.
    #[error("{}: {what}", path.display())]
    Pki { path: PathBuf, what: String },
    /// The endpoints told over the secure channel are not those told before it.
    #[error(
        "the server offers other user tokens on the secure channel than before it: someone may be changing its answers"
    )]
    Tampered,
    /// The connection ended.
    #[error("the connection ended: {0}")]
    Ended(String),
}

impl OpcuaError {
    /// All of these may pass, or be mended while the connector keeps trying, except for files of our own.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Pki { .. } => ErrorKind::Fatal,
            _ => ErrorKind::Retry,
        }
    }

    /// A service's refusal.
    pub(crate) fn service(step: &'static str, error: &opcua::types::Error) -> Self {
        let detail = std::error::Error::source(error).map_or_else(String::new, ToString::to_string);
        Self::Service {
            step,
            status: error.status(),
            detail: readable(detail),
        }
    }
}

fn behind(why: Option<&str>) -> String {
    why.map_or_else(String::new, |why| {
        format!(", nor is it by an authority ({why})")
    })
}

fn with_detail(status: StatusCode, detail: &str) -> String {
    let name = value::name(status);
    if detail.is_empty() {
        return name;
    }
    format!("{name} ({detail})")
}

/// The library prints what it got in place of a greeting as its own types print; that says nothing to an operator.
fn readable(detail: String) -> String {
    if !detail.starts_with("Unexpected error while waiting for server ACK") {
        return detail;
    }
    if let Some(reason) = wire::too_large(&detail) {
        return reason.to_owned();
    }
    let plain = if detail.ends_with("got None") {
        "the peer closed the connection in place of an answer: is it an OPC UA server?"
    } else if detail.contains("ErrorMessage") {
        "the server refused the connection: it may be busy, or know no such endpoint"
    } else {
        wire::NO_OPCUA
    };
    plain.to_owned()
}
