//! Master keys in one file of the data directory, for plants without a key management service.
//!
//! Invariants: only its owner can read it; a change is on disk before it is used, by rename under a lock, so that
//! neither a crash nor another process loses a key; versions are only added. It wraps as parquet-mr's
//! `KeyToolkit.encryptKeyLocally` does, with the master key's id as associated data: any reader can do the same.

mod file;

use std::{
    collections::BTreeSet,
    fmt,
    path::Path,
    sync::{PoisonError, RwLock},
};

use async_trait::async_trait;
use ring::hkdf;

use self::file::{KeyringFile, Keys};
use crate::{
    KEY_BYTES, KeyError, KeyProvider, MasterKeyId, Random, SecretKey, TABLE_KEY, Wrapping,
};

/// Name of the key from which secrets that are no master keys are derived.
const ROOT_KEY: &str = "forebay.root";

/// A key provider whose master keys lie in `<dir>/keyring.json`.
pub struct FileKeyring {
    file: KeyringFile,
    random: Random,
    keys: RwLock<Keys>,
}

impl fmt::Debug for FileKeyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileKeyring")
            .field("path", &self.file.path())
            .finish_non_exhaustive()
    }
}

impl FileKeyring {
    /// A new keyring with the tables' master key, durable when this returns. The directory is made if need be.
    ///
    /// # Errors
    /// [`KeyError::Exists`]: a keyring is never replaced. [`KeyError::Io`], [`KeyError::Randomness`].
    pub fn create(dir: &Path, random: Random) -> Result<Self, KeyError> {
        let file = KeyringFile::new(dir);
        let mut keys = Keys::default();
        for name in [TABLE_KEY, ROOT_KEY] {
            keys.add_version(name, SecretKey::generate(&random)?);
        }
        file.create(&keys)?;
        Ok(Self {
            file,
            random,
            keys: RwLock::new(keys),
        })
    }

    /// The keyring in a directory.
    ///
    /// # Errors
    /// [`KeyError::NoKeyring`], [`KeyError::Exposed`], [`KeyError::Newer`], [`KeyError::Damaged`], [`KeyError::Io`].
    pub fn open(dir: &Path, random: Random) -> Result<Self, KeyError> {
        let file = KeyringFile::new(dir);
        let keys = file.read()?;
        Ok(Self {
            file,
            random,
            keys: RwLock::new(keys),
        })
    }

    /// The id under which new files are sealed.
    ///
    /// # Errors
    /// [`KeyError::MissingKey`] for a name that was never added.
    pub fn current_id(&self, name: &str) -> Result<MasterKeyId, KeyError> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.current_id(name).ok_or_else(|| self.missing(name))
    }

    /// The current id of a name's key; a new key is made, and durable, if there is none yet.
    ///
    /// Blocks on disk when it makes a key.
    ///
    /// # Errors
    /// As [`FileKeyring::open`], and [`KeyError::Randomness`].
    pub fn add_if_missing(&self, name: &str) -> Result<MasterKeyId, KeyError> {
        self.current_id(name)
            .or_else(|_missing| self.change(name, Change::AddIfMissing))
    }

    /// The file is read again: another process that uses it too may have made the key, before it made a file under it.
    fn check_has(&self, id: &MasterKeyId) -> Result<(), KeyError> {
        match self.find(id) {
            Err(KeyError::MissingKey { .. }) => Err(KeyError::Older {
                id: id.clone(),
                path: self.file.path().to_owned(),
            }),
            found => found.map(drop),
        }
    }

    /// Makes a new version of a name's key the current one; the old versions stay for reading.
    ///
    /// # Errors
    /// As [`FileKeyring::add_if_missing`]; [`KeyError::MissingKey`] for a name that was never added.
    pub fn rotate(&self, name: &str) -> Result<MasterKeyId, KeyError> {
        self.current_id(name)?;
        self.change(name, Change::AddVersion)
    }

    /// A secret of its own for a use that is no master key, such as `forebay.spool`: HKDF-SHA256 (RFC 5869) of the
    /// root key's first version, so that the keyring's backup covers it and it never changes.
    ///
    /// # Errors
    /// [`KeyError::MissingKey`] when the keyring has lost its root key.
    pub fn derive_secret(&self, name: &str) -> Result<SecretKey, KeyError> {
        let root = self.find(&MasterKeyId::new(format!("{ROOT_KEY}.v1")))?;
        let mut secret = SecretKey::new(vec![0; KEY_BYTES]);
        let info = [name.as_bytes()];
        hkdf::Salt::new(hkdf::HKDF_SHA256, b"forebay.derive.v1")
            .extract(root.expose())
            .expand(&info, hkdf::HKDF_SHA256)
            .and_then(|derived| derived.fill(&mut secret.0))
            .map_err(|ring::error::Unspecified| KeyError::KeyLength {
                id: name.to_owned(),
                bytes: KEY_BYTES,
            })?;
        Ok(secret)
    }

    fn change(&self, name: &str, change: Change) -> Result<MasterKeyId, KeyError> {
        let fresh = SecretKey::generate(&self.random)?;
        let keys = self.file.update(|keys| {
            // Another process may have added it meanwhile.
            let present = keys.current_id(name).is_some();
            if change == Change::AddVersion || !present {
                keys.add_version(name, fresh);
            }
        })?;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        self.current_id(name)
    }

    /// A master key; the file is read again when it is not known, since another process may have added it.
    fn find(&self, id: &MasterKeyId) -> Result<SecretKey, KeyError> {
        if let Some(key) = self
            .keys
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(id)
        {
            return Ok(key);
        }
        let keys = self.file.read()?;
        let found = keys.get(id).ok_or_else(|| self.missing(id.as_str()));
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        found
    }

    fn missing(&self, id: &str) -> KeyError {
        KeyError::MissingKey {
            id: id.to_owned(),
            keyring: self.file.path().display().to_string(),
        }
    }
}

#[derive(PartialEq)]
enum Change {
    AddIfMissing,
    AddVersion,
}

#[async_trait]
impl KeyProvider for FileKeyring {
    async fn current(&self, name: &str) -> Result<MasterKeyId, KeyError> {
        self.current_id(name)
    }

    /// Blocks on disk when it makes a key.
    async fn ensure(
        &self,
        name: &str,
        in_use: &BTreeSet<MasterKeyId>,
    ) -> Result<MasterKeyId, KeyError> {
        let newest = in_use
            .iter()
            .filter(|id| id.name() == name)
            .max_by_key(|id| id.version());
        if let Some(newest) = newest {
            self.check_has(newest)?;
        }
        self.add_if_missing(name)
    }

    async fn check_not_older(&self, in_use: &BTreeSet<MasterKeyId>) -> Result<(), KeyError> {
        for id in in_use {
            let current = self.current_id(id.name()).ok();
            if current.is_some_and(|current| current.version() < id.version()) {
                self.check_has(id)?;
            }
        }
        Ok(())
    }

    async fn secret(&self, name: &str) -> Result<SecretKey, KeyError> {
        self.derive_secret(name)
    }

    async fn wrap(&self, master: &MasterKeyId, key: &[u8]) -> Result<String, KeyError> {
        let (secret, id) = (self.find(master)?, master.as_str());
        Wrapping {
            key: &secret,
            id,
            aad: id.as_bytes(),
        }
        .wrap(key, &self.random)
    }

    async fn unwrap(&self, master: &MasterKeyId, wrapped: &str) -> Result<SecretKey, KeyError> {
        let (secret, id) = (self.find(master)?, master.as_str());
        Wrapping {
            key: &secret,
            id,
            aad: id.as_bytes(),
        }
        .unwrap(wrapped)
    }
}

#[cfg(test)]
mod tests;
