//! One record in a segment.
//!
//! Layout, little-endian: length of the sealed bytes 4 · CRC-32C over all else 4 · kind 1 · nonce 12 · sealed bytes (AES-256-GCM).
//! The nonce is four zero bytes and the record's index in its segment, big-endian. The seal covers spool id, first offset
//! of the segment, index and kind, so a record holds in one place only.

use bytes::{Bytes, BytesMut};
use forebay_schemas::{Epoch, EpochNonce, Seq};
use ring::aead::NONCE_LEN;

use super::{
    bytes::Fields,
    header::{Header, SpoolId},
    key::{FileKey, TAG_BYTES},
};
use crate::{LastSeq, StreamError};

/// Bytes before the sealed ones.
pub(super) const FRAME_HEAD_BYTES: usize = 4 + 4 + 1 + NONCE_LEN;
/// Bytes that a record adds to its content.
pub(super) const FRAME_OVERHEAD: usize = FRAME_HEAD_BYTES + TAG_BYTES;

/// What a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Batch = 1,
    EpochEnd = 2,
    /// A batch, and before it the receipts that ended and opened with it.
    Receipted = 3,
    /// Outages, as they go over the wire.
    Outages = 4,
}

/// A record that was opened.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) kind: Kind,
    pub(super) index: u64,
    pub(super) content: Bytes,
    /// Bytes of the whole record.
    pub(super) length: usize,
}

/// Seals and opens the records of one segment.
pub(super) struct Cipher {
    key: FileKey,
    spool: SpoolId,
    first: u64,
}

impl Cipher {
    pub(super) fn new(key: FileKey, header: &Header) -> Self {
        Self {
            key,
            spool: header.spool,
            first: header.first,
        }
    }

    /// Appends a record to `out`.
    pub(super) fn seal(
        &self,
        index: u64,
        kind: Kind,
        content: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), StreamError> {
        let too_large = |_| StreamError::TooLarge {
            found: content.len() as u64,
            max: u64::from(u32::MAX),
            unit: "bytes",
        };
        let length = u32::try_from(content.len() + TAG_BYTES)
            .map_err(too_large)?
            .to_le_bytes();
        let start = out.len();
        out.extend_from_slice(&length);
        out.extend_from_slice(&[0; 4]);
        out.push(kind as u8);
        out.extend_from_slice(&nonce(index));
        self.key
            .seal(nonce(index), &self.aad(index, kind), content, out)?;
        let checksum = checksum(length, &out[start + 8..]);
        out[start + 4..start + 8].copy_from_slice(&checksum.to_le_bytes());
        Ok(())
    }

    /// The record at the start of `bytes`; `None` if there is no whole, sound one.
    pub(super) fn open(&self, bytes: &[u8]) -> Option<Opened> {
        let checked = Checked::at(bytes)?;
        self.unseal(checked, BytesMut::from(&bytes[..checked.length]))
    }

    /// The record that `frame` begins with, opened where it lies; `None` if there is no whole, sound one.
    pub(super) fn open_frame(&self, frame: BytesMut) -> Option<Opened> {
        let checked = Checked::at(&frame)?;
        self.unseal(checked, frame)
    }

    /// `frame` is at least as long as was checked.
    fn unseal(
        &self,
        Checked {
            kind,
            index,
            length,
        }: Checked,
        mut frame: BytesMut,
    ) -> Option<Opened> {
        let sealed = frame.get_mut(FRAME_HEAD_BYTES..length)?;
        let content_bytes = self
            .key
            .open_in_place(nonce(index), &self.aad(index, kind), sealed)?;
        let content = frame
            .freeze()
            .slice(FRAME_HEAD_BYTES..FRAME_HEAD_BYTES + content_bytes);
        Some(Opened {
            kind,
            index,
            content,
            length,
        })
    }

    fn aad(&self, index: u64, kind: Kind) -> [u8; 33] {
        let mut aad = [0; 33];
        aad[..16].copy_from_slice(&self.spool);
        aad[16..24].copy_from_slice(&self.first.to_le_bytes());
        aad[24..32].copy_from_slice(&index.to_le_bytes());
        aad[32] = kind as u8;
        aad
    }
}

/// A record whose checksum holds; its seal has not been tried.
#[derive(Clone, Copy)]
struct Checked {
    kind: Kind,
    index: u64,
    /// Bytes of the whole record.
    length: usize,
}

impl Checked {
    fn at(bytes: &[u8]) -> Option<Self> {
        let index = index_at(bytes)?;
        let mut fields = Fields(bytes);
        let length = fields.array::<4>()?;
        let expected = fields.u32()?;
        let sealed_bytes = usize::try_from(u32::from_le_bytes(length)).ok()?;
        let end = FRAME_HEAD_BYTES.checked_add(sealed_bytes)?;
        if checksum(length, bytes.get(8..end)?) != expected {
            return None;
        }
        let kind = match fields.u8()? {
            1 => Kind::Batch,
            2 => Kind::EpochEnd,
            3 => Kind::Receipted,
            4 => Kind::Outages,
            _ => return None,
        };
        Some(Self {
            kind,
            index,
            length: end,
        })
    }
}

/// The index that a record at the start of `bytes` claims; `None` if its nonce is none of ours.
pub(super) fn index_at(bytes: &[u8]) -> Option<u64> {
    let mut fields = Fields(bytes.get(9..)?);
    (fields.array::<4>()? == [0; 4]).then_some(())?;
    fields.array().map(u64::from_be_bytes)
}

fn nonce(index: u64) -> [u8; NONCE_LEN] {
    let mut nonce = [0; NONCE_LEN];
    nonce[4..].copy_from_slice(&index.to_be_bytes());
    nonce
}

fn checksum(length: [u8; 4], rest: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&length), rest)
}

/// Bytes of an end record's content.
pub(super) const END_CONTENT_BYTES: usize = 8 + 1 + 8 + 8;

/// Content of an end record: epoch 8 · 0 known or 1 unknown 1 · last seq, 0 for none, 8 · nonce 8, which segments before version 3
/// do not have.
pub(super) fn encode_end(epoch: Epoch, nonce: EpochNonce, last: LastSeq) -> Vec<u8> {
    let (unknown, seq) = match last {
        LastSeq::Known(seq) => (0, seq),
        LastSeq::Unknown { at_least } => (1, at_least),
    };
    let mut out = epoch.0.to_le_bytes().to_vec();
    out.push(unknown);
    out.extend_from_slice(&seq.map_or(0, |seq| seq.0).to_le_bytes());
    out.extend_from_slice(&nonce.0.to_le_bytes());
    out
}

/// The end record in `content`; `None` if it is none.
pub(super) fn decode_end(content: &[u8]) -> Option<(Epoch, EpochNonce, LastSeq)> {
    let mut fields = Fields(content);
    let epoch = Epoch(fields.u64()?);
    let unknown = fields.u8()?;
    let seq = Some(fields.u64()?).filter(|seq| *seq != 0).map(Seq);
    let nonce = if fields.0.is_empty() {
        EpochNonce::UNKNOWN
    } else {
        EpochNonce(fields.u64()?)
    };
    match (unknown, fields.0.is_empty()) {
        (0, true) => Some((epoch, nonce, LastSeq::Known(seq))),
        (1, true) => Some((epoch, nonce, LastSeq::Unknown { at_least: seq })),
        _ => None,
    }
}
