//! The certificate of both ports.

use std::{
    path::Path,
    sync::{Arc, PoisonError, RwLock},
};

use datafusion_postgres::pgwire::tokio::TlsAcceptor;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use crate::{ServeError, settings::TlsFiles};

/// As RFC 7301 has it, for clients that begin with TLS at once.
const POSTGRESQL: &[u8] = b"postgresql";

/// A certificate that may be replaced; a connection has the one that is there when it begins.
pub(crate) struct Certificate {
    provider: Arc<CryptoProvider>,
    current: Arc<Current>,
}

#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Some(current.clone())
    }
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// [`ServeError::Secret`] for files that hold no certificate, no key, or two that do not belong together.
    pub(crate) fn load(files: &TlsFiles) -> Result<Self, ServeError> {
        let provider = Arc::new(ring::default_provider());
        let key = Arc::new(certified(files, &provider)?);
        Ok(Self {
            provider,
            current: Arc::new(Current(RwLock::new(key))),
        })
    }

    /// Reads the files again, for connections that come.
    ///
    /// # Errors
    /// As [`Certificate::load`]; nothing has changed then.
    pub(crate) fn reload(&self, files: &TlsFiles) -> Result<(), ServeError> {
        let key = Arc::new(certified(files, &self.provider)?);
        let current = &self.current.0;
        *current.write().unwrap_or_else(PoisonError::into_inner) = key;
        Ok(())
    }

    /// What makes a connection a TLS connection: for PostgreSQL's clients, and for HTTP's.
    ///
    /// # Errors
    /// [`ServeError::Engine`] when the library refuses its own defaults: a defect.
    pub(crate) fn acceptors(&self) -> Result<(TlsAcceptor, TlsAcceptor), ServeError> {
        let config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| ServeError::Engine(error.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(self.current.clone());
        let mut postgres = config.clone();
        postgres.alpn_protocols = vec![POSTGRESQL.to_vec()];
        Ok((
            TlsAcceptor::from(Arc::new(postgres)),
            TlsAcceptor::from(Arc::new(config)),
        ))
    }
}

fn certified(files: &TlsFiles, provider: &CryptoProvider) -> Result<CertifiedKey, ServeError> {
    let certs: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.cert)
        .map_err(|error| unusable(&files.cert, &error))?
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(&files.cert, &error))?;
    let key = PrivateKeyDer::from_pem_file(&files.key);
    let key = key.map_err(|error| unusable(&files.key, &error))?;
    CertifiedKey::from_der(certs, key, provider).map_err(|error| unusable(&files.cert, &error))
}

fn unusable(file: &Path, error: &impl ToString) -> ServeError {
    ServeError::Secret {
        file: file.to_owned(),
        why: error.to_string(),
    }
}
