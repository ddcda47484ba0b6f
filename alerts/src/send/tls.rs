//! TLS to a receiver: rustls with ring, chosen for this connection and not for the process.
//!
//! The file of authorities is read again for each connection, so that one that was replaced is used without a restart.

use std::{path::PathBuf, sync::Arc};

use rumqttc::tokio_rustls::{TlsConnector, client::TlsStream};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
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
        let read = spawn_blocking(move || forebay_tls::client_config(ca_file.as_deref(), None));
        read.await
            .map_err(|error| failed("reading certificates", error))?
            .map_err(|error| SendError::Failed(error.to_string()))
    }
}
