//! The reader's side of the envelope.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use forebay_keys::Wrapping;
use parquet::{
    encryption::decrypt::{FileDecryptionProperties, KeyRetriever},
    errors::ParquetError,
};

use super::super::{KeyError, KeyMaterial, KeyProvider, SecretKey, WrappedKek};

/// Opens files' keys with KEKs that were fetched before.
///
/// It keeps every KEK of its life: one per writer and 10 000 files, so 32 bytes for each. KEKs are found by all their
/// fields, so that a forged tag can spoil no other file's reading.
pub struct KeyDecrypter {
    provider: Arc<dyn KeyProvider>,
    keks: RwLock<HashMap<WrappedKek, SecretKey>>,
}

impl fmt::Debug for KeyDecrypter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyDecrypter")
            .field("provider", &self.provider)
            .finish_non_exhaustive()
    }
}

impl KeyDecrypter {
    /// A decrypter without KEKs yet.
    pub fn new(provider: Arc<dyn KeyProvider>) -> Self {
        Self {
            provider,
            keks: RwLock::default(),
        }
    }

    /// Fetches the KEKs that it does not have yet.
    ///
    /// # Errors
    /// The provider's; the KEKs fetched before the error are kept.
    pub async fn prepare(&self, keks: &[WrappedKek]) -> Result<(), KeyError> {
        for kek in keks {
            if self.prepared(kek).is_some() {
                continue;
            }
            let secret = self.provider.unwrap(&kek.master, &kek.wrapped).await?;
            self.keks
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(kek.clone(), secret);
        }
        Ok(())
    }

    /// Where its keys come from.
    pub(crate) fn provider(&self) -> &dyn KeyProvider {
        &*self.provider
    }

    /// The data key in a file's key metadata.
    ///
    /// # Errors
    /// [`KeyError::Material`], [`KeyError::Unprepared`], [`KeyError::WrongKey`].
    pub fn data_key(&self, metadata: &[u8]) -> Result<SecretKey, KeyError> {
        let KeyMaterial {
            kek, wrapped_dek, ..
        } = KeyMaterial::decode(metadata)?;
        let Some(secret) = self.prepared(&kek) else {
            return Err(KeyError::Unprepared {
                kek: kek.kek_id,
                master: kek.master,
            });
        };
        let id = STANDARD
            .decode(&kek.kek_id)
            .map_err(|_not_base64| KeyError::Material {
                reason: "a key id is not base64".to_owned(),
            })?;
        Wrapping {
            key: &secret,
            id: &kek.kek_id,
            aad: &id,
        }
        .unwrap(&wrapped_dek)
    }

    /// What parquet's readers take.
    ///
    /// # Errors
    /// None in practice: nothing is checked before a file is read.
    pub fn properties(self: &Arc<Self>) -> Result<Arc<FileDecryptionProperties>, ParquetError> {
        FileDecryptionProperties::with_key_retriever(Arc::clone(self) as Arc<dyn KeyRetriever>)
            .build()
    }

    fn prepared(&self, kek: &WrappedKek) -> Option<SecretKey> {
        self.keks
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(kek)
            .cloned()
    }
}

impl KeyRetriever for KeyDecrypter {
    fn retrieve_key(&self, key_metadata: &[u8]) -> Result<Vec<u8>, ParquetError> {
        let key = self
            .data_key(key_metadata)
            .map_err(|error| ParquetError::External(Box::new(error)))?;
        Ok(key.expose().to_vec())
    }
}
