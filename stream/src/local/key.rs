//! Keys and seals.
//!
//! Invariants: every file has a key of its own, derived (HKDF-SHA-256, RFC 5869) from the spool's key and the file's
//! 32 random bytes of salt, and is written by one opening only. Nonces count within the file. So no nonce repeats
//! under a key after a restart, in a restored image or on a cloned gateway.

use std::fmt;

use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf,
    rand::SecureRandom,
};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::StreamError;

/// Bytes of salt in a file's header.
pub(super) const SALT_BYTES: usize = 32;
/// Bytes that a seal adds.
pub(super) const TAG_BYTES: usize = 16;

/// The spool's key. Zeroed when dropped, never stored, never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SpoolKey([u8; 32]);

impl SpoolKey {
    /// From 32 secret bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for SpoolKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SpoolKey(redacted)")
    }
}

/// Seals and opens the parts of one file.
pub(super) struct FileKey(LessSafeKey);

impl FileKey {
    /// The key of the file with this salt; `purpose` separates kinds of files.
    pub(super) fn derive(
        key: &SpoolKey,
        salt: &[u8; SALT_BYTES],
        purpose: &[u8],
    ) -> Result<Self, StreamError> {
        let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(&key.0);
        let info = [purpose];
        let derived = secret
            .expand(&info, &AES_256_GCM)
            .map_err(|_| StreamError::Crypto("key derivation"))?;
        Ok(Self(LessSafeKey::new(UnboundKey::from(derived))))
    }

    /// Appends the sealed `plain` to `out`.
    pub(super) fn seal(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        plain: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), StreamError> {
        let mut sealed = plain.to_vec();
        self.0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(aad),
                &mut sealed,
            )
            .map_err(|_| StreamError::Crypto("sealing"))?;
        out.extend_from_slice(&sealed);
        Ok(())
    }

    /// What was sealed; `None` if anything differs.
    pub(super) fn open(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        sealed: &[u8],
    ) -> Option<Vec<u8>> {
        let mut buffer = sealed.to_vec();
        let length = self.open_in_place(nonce, aad, &mut buffer)?;
        buffer.truncate(length);
        Some(buffer)
    }

    /// Puts what was sealed at the start of `sealed` and answers its length; `None` if anything differs, and then `sealed` is
    /// of no more use.
    pub(super) fn open_in_place(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        sealed: &mut [u8],
    ) -> Option<usize> {
        let opened =
            self.0
                .open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(aad), sealed);
        opened.ok().map(|plain| plain.len())
    }
}

/// Fresh random bytes.
pub(super) fn random<const N: usize>(source: &dyn SecureRandom) -> Result<[u8; N], StreamError> {
    let mut bytes = [0; N];
    source
        .fill(&mut bytes)
        .map_err(|_| StreamError::Crypto("the source of random numbers"))?;
    Ok(bytes)
}
