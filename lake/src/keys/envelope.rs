//! Double wrapping: a master key wraps a key-encryption key (KEK), which wraps each file's data keys.
//!
//! Invariants: a data key serves one file only, unless its table asks for one shared key; a KEK serves one writer and
//! a bounded number of files; no column read waits for a provider, since KEKs are fetched before.

mod decrypt;
mod encrypt;

use super::SecretKey;

pub use decrypt::KeyDecrypter;
pub use encrypt::{FileKeys, KeyEncrypter};

/// Length of a KEK's id, as parquet-mr has it.
const KEK_ID_BYTES: usize = 16;

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
