//! Certificates of servers that were refused, and their approval by a person.
//!
//! Approving moves a file from `rejected` to `trusted` of the same folder; the connector takes it at its next attempt. Both
//! functions block. Nothing here connects to a server.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use forebay_schemas::ErrorKind;
use opcua::crypto::X509;
use thiserror::Error;

/// Fewer digits could name another certificate.
const DIGITS_MIN: usize = 8;
const CERTIFICATE_BYTES_MAX: u64 = 1024 * 1024;

/// A certificate that a server has shown and nobody has trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedCertificate {
    /// Where it lies.
    pub file: PathBuf,
    /// Whom it names.
    pub subject: String,
    /// Its SHA-1 thumbprint in hexadecimal digits, as the tools of OPC UA show it.
    pub thumbprint: String,
}

/// Why a certificate cannot be approved.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// Not enough of it.
    #[error(
        "{0:?} is too short for a thumbprint: at least {DIGITS_MIN} of its 40 hexadecimal digits are expected"
    )]
    Short(String),
    /// None has it.
    #[error("no refused certificate has the thumbprint {thumbprint}; refused are {}", known.join(", "))]
    Unknown {
        /// As it was asked for.
        thumbprint: String,
        /// Those that there are, or "none".
        known: Vec<String>,
    },
    /// Several begin with it.
    #[error("several refused certificates begin with {0}: give more digits")]
    Ambiguous(String),
    /// A file or folder.
    #[error("{}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl CertificateError {
    /// The same call fails again until a person has acted.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::File { .. } => ErrorKind::Fatal,
            _ => ErrorKind::Reject,
        }
    }
}

/// The refused certificates below a data folder, or in one `pki_dir`, by their files.
///
/// # Errors
/// A folder cannot be read. Files that are not certificates are left out.
pub fn rejected(folder: &Path) -> Result<Vec<RejectedCertificate>, CertificateError> {
    let mut found = Vec::new();
    for pki in pki_dirs(folder)? {
        for file in files(&pki.join("rejected"))? {
            if let Some(certificate) = read(&file) {
                found.push(RejectedCertificate {
                    subject: certificate.subject_name(),
                    thumbprint: certificate.thumbprint().as_hex_string(),
                    file,
                });
            }
        }
    }
    Ok(found)
}

/// Trusts the refused certificate with this thumbprint, wherever below the folder it was refused; answers where it is now.
/// Colons, spaces and the case of letters do not count, and the first 8 digits are enough.
///
/// # Errors
/// No certificate has it, or several begin with it, or a file cannot be moved.
pub fn approve(folder: &Path, thumbprint: &str) -> Result<Vec<PathBuf>, CertificateError> {
    let digits = |text: &str| -> String {
        let kept = text.chars().filter(char::is_ascii_hexdigit);
        kept.map(|digit| digit.to_ascii_lowercase()).collect()
    };
    let wanted = digits(thumbprint);
    if wanted.len() < DIGITS_MIN {
        return Err(CertificateError::Short(thumbprint.to_owned()));
    }
    let all = rejected(folder)?;
    let has_it = |one: &&RejectedCertificate| digits(&one.thumbprint).starts_with(&wanted);
    let fitting: Vec<&RejectedCertificate> = all.iter().filter(has_it).collect();
    let Some(first) = fitting.first() else {
        let mut known: Vec<String> = all.iter().map(|one| one.thumbprint.clone()).collect();
        if known.is_empty() {
            known.push("none".to_owned());
        }
        return Err(CertificateError::Unknown {
            thumbprint: thumbprint.to_owned(),
            known,
        });
    };
    if fitting.iter().any(|one| one.thumbprint != first.thumbprint) {
        return Err(CertificateError::Ambiguous(thumbprint.to_owned()));
    }
    fitting.into_iter().map(trust).collect()
}

fn trust(certificate: &RejectedCertificate) -> Result<PathBuf, CertificateError> {
    let file = &certificate.file;
    let failed = |source| CertificateError::File {
        path: file.clone(),
        source,
    };
    let pki = file.parent().and_then(Path::parent);
    let (Some(pki), Some(name)) = (pki, file.file_name()) else {
        return Err(failed(io::ErrorKind::NotFound.into()));
    };
    let trusted = pki.join("trusted");
    fs::create_dir_all(&trusted).map_err(failed)?;
    let to = trusted.join(name);
    fs::rename(file, &to).map_err(failed)?;
    Ok(to)
}

/// The folder itself if it is one of certificates, and those of all connectors below it if it is a data folder.
fn pki_dirs(folder: &Path) -> Result<Vec<PathBuf>, CertificateError> {
    let mut found = Vec::new();
    if folder.join("rejected").is_dir() {
        found.push(folder.to_owned());
    }
    found.extend(files(&folder.join("pki/opcua"))?);
    found.retain(|pki| pki.is_dir());
    Ok(found)
}

/// What is in a folder, in order; nothing where there is none.
fn files(folder: &Path) -> Result<Vec<PathBuf>, CertificateError> {
    let failed = |source| CertificateError::File {
        path: folder.to_owned(),
        source,
    };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut files = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    files.sort();
    Ok(files)
}

fn read(file: &Path) -> Option<X509> {
    let size = fs::metadata(file).ok()?.len();
    if size > CERTIFICATE_BYTES_MAX {
        return None;
    }
    X509::from_der(&fs::read(file).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use opcua::crypto::X509Data;

    use super::*;

    fn refuse(pki: &Path, name: &str) -> String {
        let data = X509Data {
            key_size: 2048,
            common_name: name.to_owned(),
            organization: String::new(),
            organizational_unit: String::new(),
            country: String::new(),
            state: String::new(),
            alt_host_names: X509Data::alt_host_names("urn:test", None, false, true, false),
            certificate_duration_days: 1,
        };
        let (certificate, _) = X509::cert_and_pkey(&data).unwrap();
        let folder = pki.join("rejected");
        fs::create_dir_all(&folder).unwrap();
        fs::write(
            folder.join(format!("{name}.der")),
            certificate.to_der().unwrap(),
        )
        .unwrap();
        certificate.thumbprint().as_hex_string()
    }

    #[test]
    fn a_refused_certificate_is_listed_and_approved_by_its_thumbprint() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(rejected(data.path()).unwrap(), []);
        let pki = data.path().join("pki/opcua/press");
        let press = refuse(&pki, "press");
        fs::write(pki.join("rejected/notes.txt"), "not a certificate").unwrap();
        let found = rejected(data.path()).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(
            (&found[0].thumbprint, found[0].subject.contains("press")),
            (&press, true)
        );
        assert_eq!(
            rejected(&pki).unwrap(),
            found,
            "the folder of one connector"
        );
        let cases = [("12:34", "too short"), ("0000000000", press.as_str())];
        for (thumbprint, words) in cases {
            let error = approve(data.path(), thumbprint).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let shown = press.to_uppercase();
        let pairs: Vec<&str> = (0..shown.len() / 2)
            .map(|n| &shown[2 * n..2 * n + 2])
            .collect();
        let now = approve(data.path(), &pairs.join(":")).unwrap();
        assert_eq!(now, [pki.join("trusted/press.der")]);
        assert!(now[0].exists());
        assert_eq!(rejected(data.path()).unwrap(), []);
    }
}
