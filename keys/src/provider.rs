//! What a provider of master keys offers.

use std::{collections::BTreeSet, fmt};

use async_trait::async_trait;

use crate::{KeyError, MasterKeyId, SecretKey};

/// Where master keys live: a file of ours, or a key management service that never gives them away.
///
/// A key has a name, such as `forebay.table`, and versions; new files are sealed under the current one. Wrapped keys are
/// text, as parquet's `KmsClient` has them. Whatever implements it passes the suite in `conformance`.
#[async_trait]
pub trait KeyProvider: Send + Sync + fmt::Debug {
    /// The id under which new files are sealed.
    ///
    /// # Errors
    /// [`KeyError::MissingKey`] for a name that was never added, [`KeyError::Unavailable`] when the provider cannot be asked.
    async fn current(&self, name: &str) -> Result<MasterKeyId, KeyError>;

    /// The current id of a name's key; a new key is made, and durable when this returns, if there is none yet. A lake's
    /// files lie under the keys `in_use`: a key that is among them and not here is not made a second time.
    ///
    /// # Errors
    /// [`KeyError::Older`] for such a key; as [`KeyProvider::current`], and [`KeyError::Randomness`].
    async fn ensure(
        &self,
        name: &str,
        in_use: &BTreeSet<MasterKeyId>,
    ) -> Result<MasterKeyId, KeyError>;

    /// Refuses to go on with a name of which the lake has a newer key than this provider. A name that is not here at
    /// all proves nothing: its keys may have been destroyed on purpose, or be another gateway's.
    ///
    /// # Errors
    /// [`KeyError::Older`]; as [`KeyProvider::current`].
    async fn check_not_older(&self, in_use: &BTreeSet<MasterKeyId>) -> Result<(), KeyError>;

    /// A secret of 32 bytes for a use that is no master key, such as `forebay.spool`: the same for a name for ever, and
    /// another for each name.
    ///
    /// # Errors
    /// [`KeyError::MissingKey`] when the provider has lost what it is derived from.
    async fn secret(&self, name: &str) -> Result<SecretKey, KeyError>;

    /// Encrypts a key under a master key.
    ///
    /// # Errors
    /// [`KeyError::MissingKey`] when the provider has no such master key, [`KeyError::Unavailable`] when it cannot be
    /// asked.
    async fn wrap(&self, master: &MasterKeyId, key: &[u8]) -> Result<String, KeyError>;

    /// Decrypts what [`KeyProvider::wrap`] gave.
    ///
    /// # Errors
    /// As `wrap`, and [`KeyError::WrongKey`] when the text was not made under this master key.
    async fn unwrap(&self, master: &MasterKeyId, wrapped: &str) -> Result<SecretKey, KeyError>;
}
