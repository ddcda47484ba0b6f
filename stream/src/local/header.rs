//! The first bytes of a segment.
//!
//! Layout, little-endian: magic 8 · version 2 · length of this header 2 · spool id 16 · first offset 8 · epoch 8 · first
//! seq 8 · salt 32 · seal 16 · CRC-32C 4. Magic, version, length and the checksum at the end stay where they are in every
//! later version, so that a newer file (E13) is told apart from a damaged one. The seal is over the fields before it,
//! and tells a wrong key from damage.

use forebay_schemas::{Epoch, Seq};
use ring::aead::NONCE_LEN;

use super::{
    bytes::Fields,
    key::{FileKey, SALT_BYTES, SpoolKey, TAG_BYTES},
};
use crate::StreamError;

/// The version that this release writes, and the newest that it reads. Version 2 may hold records of kind `Receipted`, version 3
/// those of kind `Outages` and end records with a nonce, which an older reader would take for damage; all else is as in version 1.
pub(super) const FORMAT_VERSION: u16 = 3;
/// Bytes of a header of this version.
pub(super) const HEADER_BYTES: usize = 104;
/// What the segments' keys are derived for.
const KEY_PURPOSE: &[u8] = b"forebay spool segment 1";
const MAGIC: &[u8; 8] = b"fbspool\n";
const SEALED_BYTES: usize = HEADER_BYTES - TAG_BYTES - 4;
/// Records count from 0 and cannot reach this nonce.
const HEADER_NONCE: [u8; NONCE_LEN] = [0xff; NONCE_LEN];

/// A random name of a spool, for ever.
pub(super) type SpoolId = [u8; 16];

/// What a segment says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) spool: SpoolId,
    pub(super) first: u64,
    pub(super) epoch: Epoch,
    /// Seq of the epoch's next reading when the segment was begun.
    pub(super) first_seq: Seq,
    pub(super) salt: [u8; SALT_BYTES],
}

/// Why bytes are not a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadHeader {
    Newer(u16),
    WrongKey,
    Damaged,
}

impl Header {
    /// The header's bytes, and the key for the segment's records.
    pub(super) fn encode(&self, key: &SpoolKey) -> Result<(Vec<u8>, FileKey), StreamError> {
        let file_key = FileKey::derive(key, &self.salt, KEY_PURPOSE)?;
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&(HEADER_BYTES as u16).to_le_bytes());
        out.extend_from_slice(&self.spool);
        for number in [self.first, self.epoch.0, self.first_seq.0] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.salt);
        let sealed = out.clone();
        file_key.seal(HEADER_NONCE, &sealed, &[], &mut out)?;
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        Ok((out, file_key))
    }

    /// The header at the start of `bytes`, and the key for the segment's records.
    pub(super) fn decode(bytes: &[u8], key: &SpoolKey) -> Result<(Self, FileKey), BadHeader> {
        let header = checked(bytes, MAGIC, FORMAT_VERSION)?;
        let fields = Self::fields(header).ok_or(BadHeader::Damaged)?;
        let file_key =
            FileKey::derive(key, &fields.salt, KEY_PURPOSE).map_err(|_| BadHeader::Damaged)?;
        let seal = header
            .get(SEALED_BYTES..SEALED_BYTES + TAG_BYTES)
            .ok_or(BadHeader::Damaged)?;
        match file_key.open(HEADER_NONCE, &header[..SEALED_BYTES], seal) {
            Some(_) => Ok((fields, file_key)),
            None => Err(BadHeader::WrongKey),
        }
    }

    fn fields(header: &[u8]) -> Option<Self> {
        let mut fields = Fields(header.get(12..)?);
        Some(Self {
            spool: fields.array()?,
            first: fields.u64()?,
            epoch: Epoch(fields.u64()?),
            first_seq: Seq(fields.u64()?),
            salt: fields.array()?,
        })
    }
}

/// The header of any version whose magic and checksum hold, refused if it is newer than `newest`.
pub(super) fn checked<'a>(
    bytes: &'a [u8],
    magic: &[u8; 8],
    newest: u16,
) -> Result<&'a [u8], BadHeader> {
    let mut fields = Fields(bytes);
    let found_magic = fields.array::<8>().ok_or(BadHeader::Damaged)?;
    let version = fields.u16().ok_or(BadHeader::Damaged)?;
    let length = usize::from(fields.u16().ok_or(BadHeader::Damaged)?);
    let header = bytes.get(..length).ok_or(BadHeader::Damaged)?;
    let (body, checksum) = header.split_last_chunk::<4>().ok_or(BadHeader::Damaged)?;
    if &found_magic != magic
        || crc32c::crc32c(body) != u32::from_le_bytes(*checksum)
        || version == 0
    {
        return Err(BadHeader::Damaged);
    }
    if version > newest {
        return Err(BadHeader::Newer(version));
    }
    Ok(header)
}
