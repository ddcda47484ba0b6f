//! The certificate of both ports.

use std::{path::Path, sync::Arc};

use datafusion_postgres::pgwire::tokio::TlsAcceptor;
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use crate::{ServeError, settings::TlsFiles};

/// As RFC 7301 has it, for clients that begin with TLS at once.
const POSTGRESQL: &[u8] = b"postgresql";

/// What makes a connection a TLS connection: for PostgreSQL's clients, and for HTTP's.
///
/// # Errors
/// [`ServeError::Secret`] for files that hold no certificate, no key, or two that do not belong together.
pub(crate) fn acceptors(files: &TlsFiles) -> Result<(TlsAcceptor, TlsAcceptor), ServeError> {
    let certs: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.cert)
        .map_err(|error| unusable(&files.cert, &error))?
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(&files.cert, &error))?;
    let key = PrivateKeyDer::from_pem_file(&files.key);
    let key = key.map_err(|error| unusable(&files.key, &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&files.cert, &error))?
        .with_no_client_auth()
        .with_single_cert(certs, key)
        .map_err(|error| unusable(&files.cert, &error))?;
    let mut postgres = config.clone();
    postgres.alpn_protocols = vec![POSTGRESQL.to_vec()];
    Ok((
        TlsAcceptor::from(Arc::new(postgres)),
        TlsAcceptor::from(Arc::new(config)),
    ))
}

fn unusable(file: &Path, error: &impl ToString) -> ServeError {
    ServeError::Secret {
        file: file.to_owned(),
        why: error.to_string(),
    }
}
