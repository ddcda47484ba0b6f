//! TLS to a receiver: rustls with ring, chosen for this connection and not for the process.
//!
//! The file of authorities is read again for each connection, so that one that was replaced is used without a restart.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rumqttc::tokio_rustls::{TlsConnector, client::TlsStream};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::spawn_blocking,
};

use super::{SendError, failed};

/// A byte stream.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Which authorities may vouch for a receiver.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trust {
    /// A file of certificates in PEM; none takes the system's.
    pub(crate) ca_file: Option<PathBuf>,
}

impl Trust {
    /// Puts TLS on a connection to this host.
    pub(crate) async fn secured<S: Stream>(
        &self,
        stream: S,
        host: &str,
    ) -> Result<TlsStream<S>, SendError> {
        let config = self.client_config().await?;
        let bare = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let name = ServerName::try_from(bare).map_err(|error| failed("TLS", error))?;
        let secured = TlsConnector::from(config).connect(name, stream).await;
        secured.map_err(|error| failed("TLS", error))
    }

    /// What a client needs for TLS.
    pub(crate) async fn client_config(&self) -> Result<Arc<ClientConfig>, SendError> {
        let ca_file = self.ca_file.clone();
        let roots = spawn_blocking(move || match ca_file {
            Some(file) => roots_in(&file),
            None => system_roots(),
        });
        let roots = roots
            .await
            .map_err(|error| failed("reading certificates", error))?
            .map_err(SendError::Failed)?;
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| failed("TLS", error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::new(config))
    }
}

fn roots_in(file: &Path) -> Result<RootCertStore, String> {
    let unreadable = |error| format!("cannot read certificates in {}: {error}", file.display());
    let found: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(file)
        .map_err(unreadable)?
        .collect::<Result<_, _>>()
        .map_err(unreadable)?;
    let mut roots = RootCertStore::empty();
    for certificate in found {
        roots
            .add(certificate)
            .map_err(|error| format!("a certificate in {} is refused: {error}", file.display()))?;
    }
    if roots.is_empty() {
        return Err(format!("there is no certificate in {}", file.display()));
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Old systems hold certificates that rustls cannot read; the others still count.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let missing = "the system has no trusted certificate authorities: set ca_file";
        return Err(missing.to_owned());
    }
    Ok(roots)
}
