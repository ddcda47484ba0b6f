//! The writer's side of the envelope.

use std::{collections::HashMap, fmt, num::NonZeroU64, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use forebay_keys::Wrapping;
use tokio::sync::Mutex;

use super::{
    super::{
        KeyError, KeyMaterial, KeyProvider, KeyUse, MasterKeyId, Random, SecretKey, WrappedKek,
        random_bytes,
    },
    DataKey, KEK_ID_BYTES,
};

/// Files under one KEK before the next is made: bounds what one leaked KEK opens.
const FILES_PER_KEK: NonZeroU64 = NonZeroU64::MIN.saturating_add(9_999);

struct Kek {
    id: [u8; KEK_ID_BYTES],
    secret: SecretKey,
    wrapped: WrappedKek,
}

/// Makes the keys of files. One per writer: its KEKs die with it.
pub struct KeyEncrypter {
    provider: Arc<dyn KeyProvider>,
    random: Random,
    files_per_kek: NonZeroU64,
    /// The current KEK of each master key, and how many files it may still serve.
    keks: Mutex<HashMap<MasterKeyId, (Arc<Kek>, u64)>>,
}

impl fmt::Debug for KeyEncrypter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyEncrypter")
            .field("provider", &self.provider)
            .finish_non_exhaustive()
    }
}

impl KeyEncrypter {
    /// An encrypter without KEKs yet.
    pub fn new(provider: Arc<dyn KeyProvider>, random: Random) -> Self {
        Self {
            provider,
            random,
            files_per_kek: FILES_PER_KEK,
            keks: Mutex::default(),
        }
    }

    /// Changes after how many files a new KEK is made.
    #[must_use]
    pub fn with_files_per_kek(mut self, files: NonZeroU64) -> Self {
        self.files_per_kek = files;
        self
    }

    /// The means to make one file's keys under these master keys, without asking the provider again.
    ///
    /// # Errors
    /// The provider's, when a new KEK has to be wrapped; [`KeyError::Randomness`].
    pub async fn file_keys(&self, masters: &[&MasterKeyId]) -> Result<FileKeys, KeyError> {
        let mut keks = self.keks.lock().await;
        let mut taken: HashMap<MasterKeyId, Arc<Kek>> = HashMap::new();
        for &master in masters {
            if taken.contains_key(master) {
                continue;
            }
            let kek = match keks.get_mut(master) {
                Some((kek, left)) if *left > 0 => {
                    *left -= 1;
                    Arc::clone(kek)
                }
                _ => {
                    let kek = Arc::new(self.new_kek(master).await?);
                    keks.insert(
                        master.clone(),
                        (Arc::clone(&kek), self.files_per_kek.get() - 1),
                    );
                    kek
                }
            };
            taken.insert(master.clone(), kek);
        }
        Ok(FileKeys {
            keks: taken,
            random: Arc::clone(&self.random),
        })
    }

    async fn new_kek(&self, master: &MasterKeyId) -> Result<Kek, KeyError> {
        let id: [u8; KEK_ID_BYTES] = random_bytes(&self.random)?;
        let secret = SecretKey::generate(&self.random)?;
        let wrapped = self.provider.wrap(master, secret.expose()).await?;
        Ok(Kek {
            id,
            secret,
            wrapped: WrappedKek {
                master: master.clone(),
                kek_id: STANDARD.encode(id),
                wrapped,
            },
        })
    }
}

/// Makes the data keys of one file.
pub struct FileKeys {
    keks: HashMap<MasterKeyId, Arc<Kek>>,
    random: Random,
}

impl fmt::Debug for FileKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileKeys")
            .field("masters", &self.keks.keys())
            .finish_non_exhaustive()
    }
}

impl FileKeys {
    /// A fresh 256-bit data key.
    ///
    /// # Errors
    /// [`KeyError::MissingKey`] for a master key that was not asked for; [`KeyError::Randomness`].
    pub fn data_key(&self, master: &MasterKeyId, key_use: KeyUse) -> Result<DataKey, KeyError> {
        self.wrap_data_key(master, key_use, SecretKey::generate(&self.random)?)
    }

    /// A given data key, wrapped for this file.
    ///
    /// # Errors
    /// As [`FileKeys::data_key`].
    pub fn wrap_data_key(
        &self,
        master: &MasterKeyId,
        key_use: KeyUse,
        secret: SecretKey,
    ) -> Result<DataKey, KeyError> {
        let kek = self.keks.get(master).ok_or_else(|| KeyError::MissingKey {
            id: master.to_string(),
            keyring: "the keys fetched for this file".to_owned(),
        })?;
        let wrapping = Wrapping {
            key: &kek.secret,
            id: &kek.wrapped.kek_id,
            aad: &kek.id,
        };
        let wrapped_dek = wrapping.wrap(secret.expose(), &self.random)?;
        let metadata = KeyMaterial {
            key_use,
            wrapped_dek,
            kek: kek.wrapped.clone(),
        }
        .encode()?;
        Ok(DataKey { secret, metadata })
    }

    /// The KEKs that a reader of the file needs, in order of their master keys.
    pub fn keks(&self) -> Vec<WrappedKek> {
        let mut keks: Vec<_> = self.keks.values().map(|kek| kek.wrapped.clone()).collect();
        keks.sort();
        keks
    }
}
