//! TLS for clients that post: rustls with ring. The files are read when listening begins.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    server::{VerifierBuilderError, WebPkiClientVerifier},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use thiserror::Error;

/// Where certificates lie.
#[derive(Debug, Clone)]
pub(crate) struct TlsFiles {
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
    /// Authorities that vouch for clients; none lets everybody in.
    pub(crate) client_ca: Option<PathBuf>,
}

/// Why TLS cannot be set up.
#[derive(Debug, Error)]
pub(crate) enum TlsError {
    #[error("reading certificates in {} failed: {error}", path.display())]
    Certificates {
        path: PathBuf,
        error: rustls_pki_types::pem::Error,
    },
    #[error("there is no certificate in {}", .0.display())]
    NoCertificate(PathBuf),
    #[error("reading the private key in {} failed: {error}", path.display())]
    Key {
        path: PathBuf,
        error: rustls_pki_types::pem::Error,
    },
    #[error("a certificate or key is refused: {0}")]
    Refused(#[from] rustls::Error),
    #[error("client_ca_file is refused: {0}")]
    ClientCa(#[from] VerifierBuilderError),
}

impl TlsFiles {
    /// Reads the files.
    pub(crate) fn server_config(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path)? {
                    roots.add(certificate)?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                        .build()?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|error| TlsError::Key {
            path: self.key.clone(),
            error,
        })?;
        Ok(Arc::new(
            builder.with_single_cert(certificates(&self.chain)?, key)?,
        ))
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
