//! TLS to a server of Modbus/TCP Security: rustls with ring, chosen for this connection and not for the process.
//!
//! The files are read again for each connection, so that a certificate that was replaced is used without a restart.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use thiserror::Error;

/// Where certificates lie, and by which name the server is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// Authorities that may vouch for the server; the system's where there is none.
    pub(crate) ca: Option<PathBuf>,
    /// Own certificate chain and key.
    pub(crate) own: Option<OwnCertificate>,
    pub(crate) server_name: ServerName<'static>,
}

/// A certificate to show to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnCertificate {
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
}

/// Why TLS cannot be set up.
#[derive(Debug, Error)]
pub(crate) enum TlsError {
    #[error("cannot read certificates in {}: {error}", path.display())]
    Certificates {
        path: PathBuf,
        error: rustls_pki_types::pem::Error,
    },
    #[error("there is no certificate in {}", .0.display())]
    NoCertificate(PathBuf),
    #[error("cannot read a private key in {}: {error}", path.display())]
    Key {
        path: PathBuf,
        error: rustls_pki_types::pem::Error,
    },
    #[error("the system has no trusted certificate authorities: set ca_file in [connector.tls]{0}")]
    NoRoots(String),
    #[error("the certificate or key is refused: {0}")]
    Refused(#[from] rustls::Error),
}

impl TlsFiles {
    /// Reads the files.
    pub(crate) fn client_config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let roots = match &self.ca {
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path)? {
                    roots.add(certificate)?;
                }
                roots
            }
            None => system_roots()?,
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let config = match &self.own {
            Some(OwnCertificate { chain, key }) => {
                let private = PrivateKeyDer::from_pem_file(key).map_err(|error| TlsError::Key {
                    path: key.clone(),
                    error,
                })?;
                builder.with_client_auth_cert(certificates(chain)?, private)?
            }
            None => builder.with_no_client_auth(),
        };
        Ok(Arc::new(config))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable = |error| TlsError::Certificates {
        path: path.to_owned(),
        error,
    };
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(unreadable)?
        .collect::<Result<_, _>>()
        .map_err(unreadable)?;
    if found.is_empty() {
        Err(TlsError::NoCertificate(path.to_owned()))
    } else {
        Ok(found)
    }
}

fn system_roots() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Old systems hold certificates that rustls cannot read; the others still count.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found
            .errors
            .first()
            .map(|error| format!(" ({error})"))
            .unwrap_or_default();
        return Err(TlsError::NoRoots(why));
    }
    Ok(roots)
}
