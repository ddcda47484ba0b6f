//! A small file that is sealed as a whole (AES-256-GCM), replaced as a whole, and synced before it counts.
//!
//! Layout, little-endian: magic 8 · version 4 · nonce 12 · sealed content; magic, version and the connector's name are
//! authenticated with it, so that no file passes for another's.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::SecureRandom,
};
use thiserror::Error;

/// Why a file cannot be read or written.
#[derive(Debug, Error)]
pub(crate) enum SealedError {
    #[error("cannot {op} {path}")]
    Io {
        op: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("{path} has version {found}, newer than {known}, the newest this release reads")]
    Newer {
        path: PathBuf,
        found: u32,
        known: u32,
    },
    #[error("{path} is damaged, or sealed by another key")]
    Damaged { path: PathBuf },
    #[error("no randomness for {path}")]
    Random { path: PathBuf },
}

/// What a file holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Format {
    pub(crate) magic: &'static [u8; 8],
    /// What is written.
    pub(crate) version: u32,
    /// The oldest that is read.
    pub(crate) oldest: u32,
}

/// One connector's file.
#[derive(Clone)]
pub(crate) struct SealedFile {
    pub(crate) path: PathBuf,
    format: Format,
    connector: String,
    key: Arc<LessSafeKey>,
    random: Arc<dyn SecureRandom + Send + Sync>,
}

impl SealedFile {
    /// The file at this path; none where the key is none.
    pub(crate) fn new(
        path: PathBuf,
        format: Format,
        connector: &str,
        (key, random): (&[u8; 32], Arc<dyn SecureRandom + Send + Sync>),
    ) -> Option<Self> {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?);
        Some(Self {
            path,
            format,
            connector: connector.to_owned(),
            key: Arc::new(key),
            random,
        })
    }

    /// Its content; none where there is no file.
    pub(crate) fn load(&self) -> Result<Option<Vec<u8>>, SealedError> {
        let mut bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                return Err(SealedError::Io {
                    op: "read",
                    path: self.path.clone(),
                    source,
                });
            }
        };
        let Format {
            magic,
            version,
            oldest,
        } = self.format;
        let head = magic.len() + 4;
        if bytes.get(..magic.len()) != Some(&magic[..]) {
            return Err(self.damaged());
        }
        let found = bytes
            .get(magic.len()..head)
            .and_then(|found| found.try_into().ok());
        let found = found
            .map(u32::from_le_bytes)
            .ok_or_else(|| self.damaged())?;
        if found > version {
            return Err(SealedError::Newer {
                path: self.path.clone(),
                found,
                known: version,
            });
        }
        if found < oldest {
            return Err(self.damaged());
        }
        let nonce = bytes
            .get(head..head + NONCE_LEN)
            .and_then(|nonce| nonce.try_into().ok())
            .ok_or_else(|| self.damaged())?;
        let sealed = &mut bytes[head + NONCE_LEN..];
        let nonce = Nonce::assume_unique_for_key(nonce);
        let content = self
            .key
            .open_in_place(nonce, Aad::from(self.label(found)), sealed)
            .map_err(|_| self.damaged())?;
        let length = content.len();
        bytes.drain(..head + NONCE_LEN);
        bytes.truncate(length);
        Ok(Some(bytes))
    }

    /// Replaces the file; answers its length. Blocks until it is durable.
    pub(crate) fn save(&self, mut content: Vec<u8>) -> Result<usize, SealedError> {
        let random = || SealedError::Random {
            path: self.path.clone(),
        };
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| random())?;
        let counted = Nonce::assume_unique_for_key(nonce);
        let Format { magic, version, .. } = self.format;
        // Else the room may be doubled for the tag.
        content.reserve_exact(AES_256_GCM.tag_len());
        self.key
            .seal_in_place_append_tag(counted, Aad::from(self.label(version)), &mut content)
            .map_err(|_| random())?;
        let head = [&magic[..], &version.to_le_bytes(), &nonce].concat();
        replace(&self.path, [&head, &content]).map_err(|(op, source)| SealedError::Io {
            op,
            path: self.path.clone(),
            source,
        })?;
        Ok(head.len() + content.len())
    }

    /// What is there is not what was written.
    pub(crate) fn damaged(&self) -> SealedError {
        SealedError::Damaged {
            path: self.path.clone(),
        }
    }

    fn label(&self, version: u32) -> Vec<u8> {
        [
            &self.format.magic[..],
            &version.to_le_bytes(),
            self.connector.as_bytes(),
        ]
        .concat()
    }
}

fn replace(path: &Path, [head, content]: [&[u8]; 2]) -> Result<(), (&'static str, io::Error)> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|error| ("create the folder of", error))?;
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    let mut file = File::create(&temporary).map_err(|error| ("create", error))?;
    file.write_all(head)
        .and_then(|()| file.write_all(content))
        .and_then(|()| file.sync_all())
        .map_err(|error| ("write", error))?;
    fs::rename(&temporary, path).map_err(|error| ("replace", error))?;
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| ("sync the folder of", error))
}
