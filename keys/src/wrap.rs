//! A key under a key: AES-GCM as parquet-mr's `KeyToolkit.encryptKeyLocally` has it,
//! base64(nonce (12 bytes) ‖ ciphertext ‖ tag (16 bytes)).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{
    aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    error::Unspecified,
};
use zeroize::Zeroizing;

use crate::{KeyError, Random, SecretKey, random_bytes};

/// A wrapping key and the name by which errors call it.
pub struct Wrapping<'a> {
    /// The wrapping key, 16 or 32 bytes.
    pub key: &'a SecretKey,
    /// How errors call it.
    pub id: &'a str,
    /// Bound to the wrapped key: a master key's id, or the raw bytes of a key-encryption key's.
    pub aad: &'a [u8],
}

impl Wrapping<'_> {
    /// The key, encrypted under a fresh nonce.
    ///
    /// # Errors
    /// [`KeyError::KeyLength`] for a wrapping key of neither 16 nor 32 bytes, [`KeyError::Randomness`].
    pub fn wrap(&self, key: &[u8], random: &Random) -> Result<String, KeyError> {
        let cipher = self.cipher()?;
        let nonce = random_bytes::<NONCE_LEN>(random)?;
        // Encrypted in place with room for the tag, so that no plain copy is left behind.
        let mut sealed =
            Zeroizing::new(Vec::with_capacity(key.len() + cipher.algorithm().tag_len()));
        sealed.extend_from_slice(key);
        cipher
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(self.aad),
                &mut *sealed,
            )
            .map_err(|Unspecified| self.key_length())?;
        Ok(STANDARD.encode([&nonce[..], &sealed].concat()))
    }

    /// The key that [`Wrapping::wrap`] encrypted.
    ///
    /// # Errors
    /// [`KeyError::WrongKey`] where the text was not made under this key and `aad`, [`KeyError::KeyLength`].
    pub fn unwrap(&self, wrapped: &str) -> Result<SecretKey, KeyError> {
        let cipher = self.cipher()?;
        let wrong = || KeyError::WrongKey {
            under: self.id.to_owned(),
        };
        let mut bytes = Zeroizing::new(STANDARD.decode(wrapped).map_err(|_not_base64| wrong())?);
        let Some((nonce, sealed)) = bytes.split_first_chunk_mut::<NONCE_LEN>() else {
            return Err(wrong());
        };
        let plain = cipher
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(self.aad),
                sealed,
            )
            .map_err(|Unspecified| wrong())?;
        Ok(SecretKey::new(plain.to_vec()))
    }

    fn cipher(&self) -> Result<LessSafeKey, KeyError> {
        let bytes = self.key.expose();
        let algorithm = if bytes.len() == AES_128_GCM.key_len() {
            &AES_128_GCM
        } else {
            &AES_256_GCM
        };
        let key = UnboundKey::new(algorithm, bytes).map_err(|Unspecified| self.key_length())?;
        Ok(LessSafeKey::new(key))
    }

    fn key_length(&self) -> KeyError {
        KeyError::KeyLength {
            id: self.id.to_owned(),
            bytes: self.key.expose().len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ring::rand::SystemRandom;

    use super::*;

    #[test]
    fn opens_only_under_its_key_and_id() {
        let random: Random = Arc::new(SystemRandom::new());
        for length in [16, 32] {
            let (key, other) = (
                SecretKey::new(vec![1; length]),
                SecretKey::new(vec![2; length]),
            );
            let under = |key, aad| Wrapping {
                key,
                id: "test",
                aad,
            };
            let wrapped = under(&key, b"a").wrap(&[7; 32], &random).unwrap();
            assert_eq!(STANDARD.decode(&wrapped).unwrap().len(), 12 + 32 + 16);
            assert_eq!(
                under(&key, b"a").unwrap(&wrapped).unwrap().expose(),
                [7; 32]
            );
            for wrong in [under(&other, b"a"), under(&key, b"b")] {
                assert!(matches!(
                    wrong.unwrap(&wrapped),
                    Err(KeyError::WrongKey { .. })
                ));
            }
            for damaged in ["", "AA==", "not base64", &wrapped[4..]] {
                assert!(
                    matches!(
                        under(&key, b"a").unwrap(damaged),
                        Err(KeyError::WrongKey { .. })
                    ),
                    "{damaged}"
                );
            }
        }
    }

    /// The vector is PyArrow's and parquet-mr's format, made with Python's `cryptography`.
    #[test]
    fn opens_what_another_implementation_wrapped() {
        let key = SecretKey::new((0..32).collect());
        let wrapped = include_str!("golden/wrapped.txt").trim();
        let plain = Wrapping {
            key: &key,
            id: "test",
            aad: b"forebay.table.v1",
        }
        .unwrap(wrapped)
        .unwrap();
        assert_eq!(plain.expose(), [9; 32]);
    }

    #[test]
    fn refuses_keys_of_other_lengths() {
        let key = SecretKey::new(vec![1; 24]);
        let wrapping = Wrapping {
            key: &key,
            id: "test",
            aad: b"",
        };
        assert!(matches!(
            wrapping.unwrap("AAAA"),
            Err(KeyError::KeyLength { bytes: 24, .. })
        ));
    }
}
