//! Certificates in PEM files, read for clients and servers of TLS: rustls with ring, chosen for a connection and not for
//! the process.
//!
//! Files are read at each call and nothing is kept, so that a caller that asks again uses a certificate that was
//! replaced without a restart. Calls block: they read files.

mod refusal;
#[cfg(test)]
mod tests;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    server::{VerifierBuilderError, WebPkiClientVerifier},
    sign::CertifiedKey,
};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer, ServerName,
    pem::{self, PemObject as _},
};
use thiserror::Error;

/// A certificate to show to the other side, and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnCertificate {
    /// The certificate, then those that vouch for it.
    pub chain: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// What a client's configuration names: where certificates lie, and by which name the server is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFiles {
    /// Authorities that may vouch for the server; the system's where there is none.
    pub ca: Option<PathBuf>,
    /// What is shown to the server.
    pub own: Option<OwnCertificate>,
    /// The name that the server's certificate must hold.
    pub server_name: ServerName<'static>,
}

impl ClientFiles {
    /// Reads the files.
    ///
    /// # Errors
    /// As [`client_config`].
    pub fn client_config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        client_config(self.ca.as_deref(), self.own.as_ref())
    }

    /// Why a handshake failed; where the server's certificate was refused, with what mends it and the key to set.
    pub fn explain(&self, error: &io::Error) -> String {
        refusal::explain(error, self.ca.as_deref())
    }
}

/// Why TLS cannot be set up.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file of certificates is missing or is no PEM.
    #[error("cannot read certificates in {}: {error}", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: pem::Error,
    },
    /// A file holds something else.
    #[error("there is no certificate in {}", .0.display())]
    NoCertificate(PathBuf),
    /// A file of a key is missing or is no PEM.
    #[error("cannot read a private key in {}: {error}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: pem::Error,
    },
    /// No file of authorities is named, and the system has none.
    #[error("the system has no trusted certificate authorities: set ca_file{0}")]
    NoRoots(String),
    /// A certificate of a file cannot be used.
    #[error("a certificate in {} is refused: {error}", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: rustls::Error,
    },
    /// Own certificate and key do not belong together or cannot be used.
    #[error("the certificate or key is refused: {0}")]
    Refused(#[from] rustls::Error),
    /// The authorities that vouch for clients cannot be used.
    #[error("client_ca_file is refused: {0}")]
    ClientAuthorities(#[from] VerifierBuilderError),
}

/// What a client needs: the authorities that may vouch for the server (without a file the system's), and the certificate
/// that it shows.
///
/// # Errors
/// A [`TlsError`] for each file that cannot be used.
pub fn client_config(
    ca: Option<&Path>,
    own: Option<&OwnCertificate>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let roots = match ca {
        Some(path) => authorities(path)?,
        None => system_authorities()?,
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let config = match own {
        Some(own) => {
            builder.with_client_auth_cert(certificates(&own.chain)?, private_key(&own.key)?)?
        }
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

/// For a client that speaks in clear, and is asked for a configuration all the same: no certificate passes.
///
/// # Errors
/// None that are known: the versions of TLS are the library's own.
pub fn trusting_nobody() -> Result<Arc<ClientConfig>, TlsError> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// What a server needs: its certificate, and the authorities that vouch for clients; without them, no client is asked for
/// a certificate.
///
/// # Errors
/// A [`TlsError`] for each file that cannot be used.
pub fn server_config(
    own: &OwnCertificate,
    client_ca: Option<&Path>,
) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?;
    let builder = match client_ca {
        Some(path) => {
            let roots = Arc::new(authorities(path)?);
            builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(roots, provider).build()?,
            )
        }
        None => builder.with_no_client_auth(),
    };
    Ok(builder.with_single_cert(certificates(&own.chain)?, private_key(&own.key)?)?)
}

/// A certificate with its key, for a server that picks one at each connection.
///
/// # Errors
/// A [`TlsError`] for each file that cannot be used.
pub fn certified_key(
    own: &OwnCertificate,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(&own.chain)?;
    Ok(CertifiedKey::from_der(
        chain,
        private_key(&own.key)?,
        provider,
    )?)
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
        return Err(TlsError::NoCertificate(path.to_owned()));
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| TlsError::Key {
        path: path.to_owned(),
        error,
    })
}

fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|error| TlsError::Authority {
                path: path.to_owned(),
                error,
            })?;
    }
    Ok(roots)
}

fn system_authorities() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Old systems hold certificates that rustls cannot read; the others still count.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let first = found.errors.first();
        let why = first.map(|error| format!(" ({error})")).unwrap_or_default();
        return Err(TlsError::NoRoots(why));
    }
    Ok(roots)
}
