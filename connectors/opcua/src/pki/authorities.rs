//! Certificates that an authority vouches for (OPC 10000-4, 6.1.3): a chain from the server's certificate to an authority in
//! `trusted`.
//!
//! The server shows its certificate, and behind it those of its issuers; what it leaves out is looked for in `issuers`, which are
//! not trusted for that. Paths, signatures, times, constraints and revocation are rustls's affair. Kept here: nothing in `trusted`
//! vouches for others unless it says that it is an authority, and an authority's word is good for one server alone: the
//! certificate has to name the host of `url` and the application that the server claims to be. Once a list of revoked
//! certificates lies in `crl`, one that has expired is refused.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use forebay_schemas::Timestamp;
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::ring,
};
use rustls_pki_types::{
    CertificateDer, CertificateRevocationListDer, ServerName, UnixTime, pem::PemObject,
};
use tracing::warn;
use x509_cert::{
    Certificate,
    der::{Decode, Reader, SliceReader},
    ext::pkix::{BasicConstraints, SubjectAltName, name::GeneralName},
};

use super::{CERTIFICATE_BYTES_MAX, failed};
use crate::error::OpcuaError;

/// Certificates in one chain.
const CHAIN_MAX: usize = 10;
/// Of a list of revoked certificates: some 400,000 of them.
const REVOCATIONS_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What a server is known by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim<'a> {
    /// The host of `url`.
    pub(crate) host: &'a str,
    /// What it calls itself.
    pub(crate) application_uri: &'a str,
}

/// The certificates that a server shows, its own first.
pub(crate) fn chain(shown: &[u8]) -> Result<Vec<&[u8]>, OpcuaError> {
    let mut certificates = Vec::new();
    let mut rest = shown;
    while !rest.is_empty() {
        if certificates.len() == CHAIN_MAX {
            let what = format!("more than {CHAIN_MAX} certificates in one chain");
            return Err(OpcuaError::BadCertificate(what));
        }
        let first = first_certificate(rest)?;
        certificates.push(first);
        rest = &rest[first.len()..];
    }
    Ok(certificates)
}

/// The first of the certificates that stand one behind the other.
pub(crate) fn first_certificate(shown: &[u8]) -> Result<&[u8], OpcuaError> {
    let read = SliceReader::new(shown).and_then(|mut reader| reader.tlv_bytes());
    read.map_err(|error| OpcuaError::BadCertificate(error.to_string()))
}

/// Whether an authority vouches for a chain; where none does, why. No reason where there is no authority.
pub(crate) fn vouch(
    pki: &Path,
    chain: &[&[u8]],
    claim: Claim<'_>,
    now: Timestamp,
) -> Result<Result<(), Option<String>>, OpcuaError> {
    let Some((own, above)) = chain.split_first() else {
        return Ok(Err(None));
    };
    let mut roots = RootCertStore::empty();
    let mut skipped = None;
    for (path, certificate) in certificates(&pki.join("trusted"))? {
        let added = match authority(&certificate, now) {
            Ok(true) => roots.add(certificate).map_err(|error| error.to_string()),
            Ok(false) => Ok(()),
            Err(why) => Err(why.to_owned()),
        };
        if let Err(why) = added {
            warn!(path = %path.display(), why, "skipping an authority among the trusted certificates");
            skipped = Some(format!("{}: {why}", path.display()));
        }
    }
    if roots.is_empty() {
        return Ok(Err(skipped));
    }
    let mut issuers: Vec<CertificateDer<'_>> =
        above.iter().map(|one| CertificateDer::from(*one)).collect();
    let known = certificates(&pki.join("issuers"))?;
    issuers.extend(known.into_iter().map(|(_, certificate)| certificate));
    let lists = revocations(&pki.join("crl"))?;
    Ok(verify(roots, own, &issuers, lists, claim, now).map_err(Some))
}

fn verify(
    roots: RootCertStore,
    own: &[u8],
    issuers: &[CertificateDer<'_>],
    lists: Vec<CertificateRevocationListDer<'static>>,
    claim: Claim<'_>,
    now: Timestamp,
) -> Result<(), String> {
    let host = ServerName::try_from(claim.host)
        .map_err(|_| format!("{:?} is no host that a certificate can name", claim.host))?;
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .with_crls(lists)
        .allow_unknown_revocation_status()
        .enforce_revocation_expiration()
        .build()
        .map_err(|error| error.to_string())?;
    let seconds = u64::try_from(now.nanos() / 1_000_000_000).unwrap_or(0);
    let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    verifier
        .verify_server_cert(&CertificateDer::from(own), issuers, &host, &[], now)
        .map_err(|error| error.to_string())?;
    if !names_application(own, claim.application_uri) {
        return Err(format!(
            "the certificate does not name the server's application {:?}",
            claim.application_uri
        ));
    }
    Ok(())
}

/// Whether a certificate says that it is an authority; an error if it is one that does not count today.
fn authority(certificate: &CertificateDer<'_>, now: Timestamp) -> Result<bool, &'static str> {
    let Ok(read) = Certificate::from_der(certificate) else {
        return Ok(false);
    };
    let constraints = read.tbs_certificate.get::<BasicConstraints>();
    if !matches!(
        constraints,
        Ok(Some((_, BasicConstraints { ca: true, .. })))
    ) {
        return Ok(false);
    }
    // An authority's own time is not part of a path.
    let validity = read.tbs_certificate.validity;
    let now = Duration::from_nanos(u64::try_from(now.nanos()).unwrap_or(0));
    if now < validity.not_before.to_unix_duration() {
        return Err("not valid yet");
    }
    if now > validity.not_after.to_unix_duration() {
        return Err("expired");
    }
    Ok(true)
}

fn names_application(certificate: &[u8], application_uri: &str) -> bool {
    let Ok(read) = Certificate::from_der(certificate) else {
        return false;
    };
    let Ok(Some((_, SubjectAltName(names)))) = read.tbs_certificate.get::<SubjectAltName>() else {
        return false;
    };
    let is_it = |name: &GeneralName| matches!(name, GeneralName::UniformResourceIdentifier(uri) if uri.as_str() == application_uri);
    names.iter().any(is_it)
}

/// The certificates in a folder, which may be missing; files that hold none are left out.
fn certificates(folder: &Path) -> Result<Vec<(PathBuf, CertificateDer<'static>)>, OpcuaError> {
    let mut found = Vec::new();
    for Found { path, bytes } in files(folder, CERTIFICATE_BYTES_MAX)? {
        let Some(bytes) = bytes else { continue };
        if !bytes.starts_with(b"-----BEGIN") {
            found.push((path, CertificateDer::from(bytes)));
            continue;
        }
        for certificate in CertificateDer::pem_slice_iter(&bytes) {
            match certificate {
                Ok(certificate) => found.push((path.clone(), certificate)),
                Err(error) => {
                    warn!(path = %path.display(), %error, "skipping a file among the certificates")
                }
            }
        }
    }
    Ok(found)
}

/// The lists of revoked certificates. One that cannot be read may be the one that counts: it is an error.
fn revocations(folder: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, OpcuaError> {
    let mut found = Vec::new();
    for Found { path, bytes } in files(folder, REVOCATIONS_BYTES_MAX)? {
        let unusable = |what: String| OpcuaError::Pki {
            path: path.clone(),
            what,
        };
        let Some(bytes) = bytes else {
            return Err(unusable(format!("more than {REVOCATIONS_BYTES_MAX} bytes")));
        };
        if !bytes.starts_with(b"-----BEGIN") {
            found.push(CertificateRevocationListDer::from(bytes));
            continue;
        }
        let lists: Vec<_> = CertificateRevocationListDer::pem_slice_iter(&bytes)
            .collect::<Result<_, _>>()
            .map_err(|error| unusable(format!("not a list of revoked certificates: {error}")))?;
        if lists.is_empty() {
            return Err(unusable(
                "no list of revoked certificates is in it".to_owned(),
            ));
        }
        found.extend(lists);
    }
    Ok(found)
}

/// A file of a folder.
struct Found {
    path: PathBuf,
    /// `None` of one that is larger than was asked for.
    bytes: Option<Vec<u8>>,
}

fn files(folder: &Path, bytes_max: u64) -> Result<Vec<Found>, OpcuaError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(folder, error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| failed(folder, error))?.path();
        let size = fs::metadata(&path).map_err(|error| failed(&path, error))?;
        if !size.is_file() {
            continue;
        }
        let bytes = if size.len() <= bytes_max {
            Some(fs::read(&path).map_err(|error| failed(&path, error))?)
        } else {
            None
        };
        found.push(Found { path, bytes });
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
