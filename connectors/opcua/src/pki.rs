//! Certificates on disk: our own, and those of servers.
//!
//! `<pki_dir>` holds `own/cert.der` and `private/private.pem` (made at the first use unless given), `trusted` and `rejected`, and,
//! where a person made them, `issuers` and `crl`. Kept here: a server's certificate is taken only if its very bytes are trusted (or
//! `trust_any` is written), so host name, issuer and expiry add nothing and are not checked: controllers with a wrong clock or an
//! old certificate go on, with a warning; or if an authority in `trusted` vouches for it, and then all of that is (`authorities`).
//! All functions block and belong on a blocking thread.

mod authorities;

use std::{
    fs, io,
    path::{Path, PathBuf, absolute},
    sync::{Mutex, PoisonError},
};

use forebay_schemas::Clock;
use opcua::{
    crypto::{CertificateStore, SecurityPolicy, X509, X509Data},
    types::{ByteString, DateTime, date_time::DateTimeUtc},
};
use tracing::{info, warn};

pub(crate) use self::authorities::{Claim, first_certificate};
use self::authorities::{chain, vouch};
use crate::{
    error::OpcuaError,
    settings::{PkiSettings, Trust},
    value::UNIX_EPOCH_TICKS,
};

/// Ten years: nobody renews the certificate of a data collector, and an expired one stops it.
const OWN_DAYS: u32 = 3650;
const KEY_BITS: u32 = 2048;
/// A server that shows a new certificate at each connection must not fill the disk.
const REJECTED_MAX: usize = 100;
const CERTIFICATE_BYTES_MAX: u64 = 1024 * 1024;

static MAKING: Mutex<()> = Mutex::new(());

/// A certificate store that is ready.
#[derive(Clone)]
pub(crate) struct Pki {
    dir: PathBuf,
    own_cert: PathBuf,
    own_key: PathBuf,
    trust: Trust,
    clock: Clock,
}

impl Pki {
    /// Makes the folders, and our own certificate where there is none.
    pub(crate) fn prepare(settings: &PkiSettings, clock: Clock) -> Result<Self, OpcuaError> {
        let dir = absolute(&settings.dir).map_err(|error| failed(&settings.dir, error))?;
        for folder in [dir.join("trusted"), dir.join("rejected")] {
            make_folder(&folder)?;
        }
        let given = settings.own.is_some();
        let (cert, key) = settings
            .own
            .clone()
            .unwrap_or_else(|| (dir.join("own/cert.der"), dir.join("private/private.pem")));
        let own_cert = absolute(&cert).map_err(|error| failed(&cert, error))?;
        let own_key = absolute(&key).map_err(|error| failed(&key, error))?;
        // Two connectors that share a folder share a certificate.
        let making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
        // The key is written last: without one, a certificate beside it is of no use.
        if !given && !own_key.exists() {
            create_own(&own_cert, &own_key, &settings.application_uri)?;
        }
        drop(making);
        let pki = Self {
            dir,
            own_cert,
            own_key,
            trust: settings.trust.clone(),
            clock,
        };
        pki.check_own(&settings.application_uri)?;
        Ok(pki)
    }

    fn check_own(&self, application_uri: &str) -> Result<(), OpcuaError> {
        CertificateStore::read_pkey(&self.own_key).map_err(|what| OpcuaError::Pki {
            path: self.own_key.clone(),
            what: format!("{what}: an RSA key in PEM (PKCS #8) is expected"),
        })?;
        let named = self
            .own_cert
            .extension()
            .is_some_and(|extension| extension == "der" || extension == "pem");
        if !named {
            let what = "the file's name has to end in .der or .pem".to_owned();
            return Err(OpcuaError::Pki {
                path: self.own_cert.clone(),
                what,
            });
        }
        let cert = read_certificate(&self.own_cert)?;
        cert.is_application_uri_valid(application_uri)
            .map_err(|error| OpcuaError::Pki {
                path: self.own_cert.clone(),
                what: format!("{error}: set application_uri to the URI that the certificate names"),
            })?;
        if let Err(error) = cert.is_time_valid(&self.now()) {
            warn!(path = %self.own_cert.display(), %error, "our own certificate is not valid today, servers may refuse it");
        }
        Ok(())
    }

    /// Checks what a server shows and answers the store that lets a session with it be set up.
    pub(crate) fn accept(
        &self,
        shown: &ByteString,
        policy: SecurityPolicy,
        claim: Claim<'_>,
    ) -> Result<CertificateStore, OpcuaError> {
        let chain = chain(shown.as_ref())?;
        let own = chain.first().copied().unwrap_or_default();
        let cert = X509::from_byte_string(&ByteString::from(own))
            .map_err(|error| OpcuaError::BadCertificate(error.to_string()))?;
        match &self.trust {
            Trust::Any => warn!(
                subject = %cert.subject_name(),
                thumbprint = %cert.thumbprint().as_hex_string(),
                "trust_any is set: anyone on the network can pose as this server"
            ),
            Trust::File(file) => {
                if der(&read_certificate(file)?)? != own {
                    return Err(OpcuaError::NotThePinned {
                        pinned: file.clone(),
                        thumbprint: cert.thumbprint().as_hex_string(),
                        rejected: self.reject(&cert, own)?,
                    });
                }
            }
            Trust::Pinned => {
                if !self.is_trusted(own)?
                    && let Err(why) = vouch(&self.dir, &chain, claim, (self.clock)())?
                {
                    return Err(OpcuaError::Untrusted {
                        subject: cert.subject_name(),
                        thumbprint: cert.thumbprint().as_hex_string(),
                        rejected: self.reject(&cert, own)?,
                        trusted: self.dir.join("trusted"),
                        why,
                    });
                }
            }
        }
        if let Err(error) = cert.is_time_valid(&self.now()) {
            warn!(subject = %cert.subject_name(), %error, "the server's certificate is not valid today, and trusted all the same");
        }
        match cert.key_length() {
            Ok(bits) if policy.is_valid_keylength(bits) => self.store(),
            Ok(bits) => Err(OpcuaError::BadCertificate(format!(
                "its key has {bits} bits, which {policy} does not allow"
            ))),
            Err(_) => Err(OpcuaError::BadCertificate("its key is not RSA".to_owned())),
        }
    }

    fn now(&self) -> DateTimeUtc {
        DateTime::from(UNIX_EPOCH_TICKS + (self.clock)().nanos() / 100).as_chrono()
    }

    fn is_trusted(&self, shown: &[u8]) -> Result<bool, OpcuaError> {
        let folder = self.dir.join("trusted");
        let files = fs::read_dir(&folder).map_err(|error| failed(&folder, error))?;
        for file in files {
            let path = file.map_err(|error| failed(&folder, error))?.path();
            // A stray file must not keep the trusted ones from being found.
            match read_certificate(&path).and_then(|cert| der(&cert)) {
                Ok(bytes) if bytes == shown => return Ok(true),
                Ok(_) => {}
                Err(error) => warn!(%error, "skipping a file among the trusted certificates"),
            }
        }
        Ok(false)
    }

    /// Keeps a refused certificate where a person finds it.
    fn reject(&self, cert: &X509, shown: &[u8]) -> Result<PathBuf, OpcuaError> {
        let folder = self.dir.join("rejected");
        let path = folder.join(file_name(cert));
        if !path.exists() {
            let kept = fs::read_dir(&folder)
                .map_err(|error| failed(&folder, error))?
                .count();
            if kept >= REJECTED_MAX {
                let what = format!("holds {kept} certificates, no more are kept: empty it");
                return Err(OpcuaError::Pki { path: folder, what });
            }
            fs::write(&path, shown).map_err(|error| failed(&path, error))?;
        }
        Ok(path)
    }

    /// The library's store, from which it takes our own certificate and key.
    fn store(&self) -> Result<CertificateStore, OpcuaError> {
        let (store, own, key) = CertificateStore::new_with_x509_data(
            &self.dir,
            false,
            Some(&self.own_cert),
            Some(&self.own_key),
            None::<X509Data>,
        );
        if own.is_none() || key.is_none() {
            let what = "cannot read our own certificate or its key".to_owned();
            return Err(OpcuaError::Pki {
                path: self.own_cert.clone(),
                what,
            });
        }
        Ok(store)
    }
}

fn create_own(cert: &Path, key: &Path, application_uri: &str) -> Result<(), OpcuaError> {
    for file in [cert, key] {
        if let Some(folder) = file.parent() {
            make_folder(folder)?;
        }
    }
    let data = X509Data {
        key_size: KEY_BITS,
        common_name: "Forebay".to_owned(),
        organization: String::new(),
        organizational_unit: String::new(),
        country: String::new(),
        state: String::new(),
        alt_host_names: X509Data::alt_host_names(application_uri, None, false, true, false),
        certificate_duration_days: OWN_DAYS,
    };
    let made = CertificateStore::create_certificate_and_key(&data, true, cert, key);
    made.map_err(|what| OpcuaError::Pki {
        path: cert.to_owned(),
        what,
    })?;
    // The library separates lines by carriage returns alone, which other tools do not read.
    let pem = fs::read_to_string(key).map_err(|error| failed(key, error))?;
    fs::write(key, pem.replace('\r', "\n")).map_err(|error| failed(key, error))?;
    close_to_others(key)?;
    info!(path = %cert.display(), "created our own certificate: have the server trust it");
    Ok(())
}

/// Makes a folder that only we can enter: it may hold a private key.
fn make_folder(folder: &Path) -> Result<(), OpcuaError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(folder)
        .map_err(|error| failed(folder, error))
}

/// Lets only us read a private key.
fn close_to_others(key: &Path) -> Result<(), OpcuaError> {
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(key, mode).map_err(|error| failed(key, error))?;
    }
    Ok(())
}

fn read_certificate(path: &Path) -> Result<X509, OpcuaError> {
    let size = fs::metadata(path)
        .map_err(|error| failed(path, error))?
        .len();
    if size > CERTIFICATE_BYTES_MAX {
        return Err(OpcuaError::Pki {
            path: path.to_owned(),
            what: format!("{size} bytes are not a certificate"),
        });
    }
    let bytes = fs::read(path).map_err(|error| failed(path, error))?;
    let read = if bytes.starts_with(b"-----BEGIN") {
        X509::from_pem(&bytes)
    } else {
        X509::from_der(&bytes)
    };
    read.map_err(|_| OpcuaError::Pki {
        path: path.to_owned(),
        what: "not a certificate: one X.509 certificate in DER or PEM is expected".to_owned(),
    })
}

fn der(cert: &X509) -> Result<Vec<u8>, OpcuaError> {
    cert.to_der()
        .map_err(|error| OpcuaError::BadCertificate(error.to_string()))
}

/// A name for people, from the server's own words, that cannot leave its folder.
fn file_name(cert: &X509) -> String {
    let common_name = cert.common_name().unwrap_or_default();
    let readable: String = common_name
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-' || *c == '_')
        .take(60)
        .collect();
    let between = if readable.is_empty() { "" } else { "-" };
    format!(
        "{readable}{between}{}.der",
        cert.thumbprint().as_hex_string()
    )
}

fn failed(path: &Path, error: io::Error) -> OpcuaError {
    OpcuaError::Pki {
        path: path.to_owned(),
        what: error.to_string(),
    }
}
