//! Double wrapping: a master key wraps a key-encryption key (KEK), which wraps each file's data keys.
//!
//! Invariants: a data key serves one file only, unless its table asks for one shared key; a KEK serves one writer and
//! a bounded number of files; no column read waits for a provider, since KEKs are fetched before.

mod decrypt;
mod encrypt;

use serde::{Deserialize, Serialize};

use super::{MasterKeyId, SecretKey};

pub use decrypt::KeyDecrypter;
pub use encrypt::{FileKeys, KeyEncrypter};

/// Length of a KEK's id, as parquet-mr has it.
const KEK_ID_BYTES: usize = 16;

/// What a data key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyUse {
    /// The footer, and with the uniform profile all columns.
    Footer,
    /// One column.
    Column,
}

/// A KEK as it may be stored: in a file's key metadata, and as a tag of the commit that adds the file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrappedKek {
    /// The master key that wraps it.
    #[serde(rename = "m")]
    pub master: MasterKeyId,
    /// Its id: 16 random bytes, in base64.
    #[serde(rename = "i")]
    pub kek_id: String,
    /// The KEK under the master key, as its provider gave it.
    #[serde(rename = "w")]
    pub wrapped: String,
}

/// A new data key and the key metadata that lets a reader recover it.
#[derive(Debug)]
pub struct DataKey {
    /// The key.
    pub secret: SecretKey,
    /// PKMT1 JSON.
    pub metadata: Vec<u8>,
}

#[cfg(test)]
mod tests;
