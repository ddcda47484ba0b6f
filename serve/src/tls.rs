//! The certificate of both ports.

use std::sync::{Arc, PoisonError, RwLock};

use datafusion_postgres::pgwire::tokio::TlsAcceptor;
use forebay_tls::{OwnCertificate, TlsError, certified_key};
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

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
    let own = OwnCertificate {
        chain: files.cert.clone(),
        key: files.key.clone(),
    };
    certified_key(&own, provider).map_err(|error| unusable(error, files))
}

fn unusable(error: TlsError, files: &TlsFiles) -> ServeError {
    let (file, why) = match error {
        TlsError::Certificates { path, error } | TlsError::Key { path, error } => {
            (path, error.to_string())
        }
        TlsError::Refused(error) => (files.cert.clone(), error.to_string()),
        other => (files.cert.clone(), other.to_string()),
    };
    ServeError::Secret { file, why }
}
