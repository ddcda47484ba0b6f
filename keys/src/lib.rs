//! Master keys, which never leave their provider, and secrets derived from them.
//!
//! Invariants: a secret redacts itself and is wiped when dropped; a key is durable before anything is sealed under it.
//! It knows neither files nor tables: the envelopes in which data keys travel inside files are the lake's.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod error;
mod keyring;
mod provider;
mod settings;
mod wrap;

use std::{fmt, sync::Arc};

use forebay_schemas::SiteId;
use ring::rand::SecureRandom;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub use error::KeyError;
pub use keyring::FileKeyring;
pub use provider::KeyProvider;
pub use settings::{KEYS, KeySettings, Provider};
pub use wrap::Wrapping;

/// Name of the master key of footers, names and times.
pub const TABLE_KEY: &str = "forebay.table";

/// Length of every key that we make: AES-256.
pub const KEY_BYTES: usize = 32;

/// The source of keys and nonces: the system's, except in tests.
pub type Random = Arc<dyn SecureRandom + Send + Sync>;

/// Fresh random bytes: ids and nonces.
///
/// # Errors
/// [`KeyError::Randomness`] when the system gives none.
pub fn random_bytes<const N: usize>(random: &Random) -> Result<[u8; N], KeyError> {
    let mut bytes = [0; N];
    random
        .fill(&mut bytes)
        .map_err(|ring::error::Unspecified| KeyError::Randomness)?;
    Ok(bytes)
}

/// Name of the master key of a site's measured values.
pub fn site_key_name(site: &SiteId) -> String {
    format!("forebay.site.{}", site.path_segment())
}

/// A master key at its provider; the keyring's are `<name>.v<version>`, such as `forebay.table.v1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MasterKeyId(String);

impl MasterKeyId {
    /// The provider decides which ids it knows.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// As files name it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name, where the id is a keyring's; else the whole id.
    pub(crate) fn name(&self) -> &str {
        self.parts().map_or(&self.0, |(name, _)| name)
    }

    /// The version, where the id is a keyring's.
    pub(crate) fn version(&self) -> Option<u32> {
        self.parts().map(|(_, version)| version)
    }

    fn parts(&self) -> Option<(&str, u32)> {
        let (name, version) = self.0.rsplit_once(".v")?;
        Some((name, version.parse().ok()?))
    }
}

impl fmt::Display for MasterKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key's bytes: shown by no format, wiped when dropped.
#[derive(Clone)]
pub struct SecretKey(Zeroizing<Vec<u8>>);

impl SecretKey {
    /// Takes the bytes over; the caller wipes any copy of its own.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A new key of [`KEY_BYTES`].
    ///
    /// # Errors
    /// [`KeyError::Randomness`] when the system gives none.
    pub fn generate(random: &Random) -> Result<Self, KeyError> {
        let mut bytes = Zeroizing::new(vec![0; KEY_BYTES]);
        random
            .fill(&mut bytes)
            .map_err(|ring::error::Unspecified| KeyError::Randomness)?;
        Ok(Self(bytes))
    }

    /// The bytes, for a cipher.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({} bytes)", self.0.len())
    }
}
