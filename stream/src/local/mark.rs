//! The mark: what is known of the places that have no segment any more, and the receipts open at a place of the log.
//!
//! Layout, little-endian: magic 8 · version 2 · header length 2 · spool id 16 · salt 32 · CRC-32C 4 · sealed: epoch 8 · nonce 8 ·
//! time of the newest record 8 · forgotten 8 · place of the receipts 8 · list of receipts (see `receipts`), then per kept record
//! seven numbers of 8: offset, next, kind, three of the kind, nonce. Version 2 has no nonces and no time; version 1 has no
//! receipts and no place of theirs either. Replaced as a whole.

use forebay_schemas::{Epoch, EpochNonce, Seq, Timestamp};
use ring::{aead::NONCE_LEN, rand::SecureRandom};

use super::{
    bytes::Fields,
    dir::{Dir, Reserve},
    header::{BadHeader, SpoolId, checked},
    key::{FileKey, SALT_BYTES, SpoolKey, random},
    medium::read_whole,
    receipts::{self, Open},
};
use crate::{Damage, Entry, LastSeq, Offset, Record, StreamError};

/// Its file.
pub(super) const MARK_NAME: &str = "mark";
/// The version that this release writes, and the newest that it reads.
pub(super) const MARK_VERSION: u16 = 3;
/// What the mark's key is derived for.
const KEY_PURPOSE: &[u8] = b"forebay spool mark 1";
const MAGIC: &[u8; 8] = b"fbspmrk\n";
const HEADER_BYTES: usize = 64;
/// The file's only seal, under a key of its own.
const NONCE: [u8; NONCE_LEN] = [0; NONCE_LEN];

/// What the mark holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mark {
    pub(super) spool: SpoolId,
    /// The newest epoch; all earlier ones have their end records.
    pub(super) epoch: Epoch,
    /// What the opening that began it drew.
    pub(super) nonce: EpochNonce,
    /// When the newest record below `receipts_at` was taken; none where it is not known.
    pub(super) stored_at: Option<Timestamp>,
    /// Everything below is forgotten.
    pub(super) forgotten: Offset,
    /// What stands in the places of dropped segments.
    pub(super) kept: Vec<Record>,
    /// The receipts open before `receipts_at`; records from there on change them.
    pub(super) receipts: Open,
    pub(super) receipts_at: Offset,
}

/// The mark as it was found.
pub(super) enum FoundMark {
    None,
    Bad(BadHeader),
    Good(Mark),
}

impl Mark {
    /// No segment holds anything below this.
    pub(super) fn floor(&self) -> Offset {
        self.kept
            .last()
            .map_or(self.forgotten, |kept| kept.next.max(self.forgotten))
    }

    /// Puts the mark in place, synced.
    pub(super) fn write(
        &self,
        dir: &Dir,
        key: &SpoolKey,
        source: &dyn SecureRandom,
        reserve: Reserve,
    ) -> Result<(), StreamError> {
        let bytes = self.encode(key, random(source)?)?;
        dir.put(MARK_NAME, &bytes, reserve).map(drop)
    }

    /// The mark in the directory.
    pub(super) fn read(dir: &Dir, key: &SpoolKey) -> Result<FoundMark, StreamError> {
        let path = dir.file(MARK_NAME);
        match read_whole(&*dir.medium, &path) {
            Ok(bytes) => Ok(Self::decode(&bytes, key).map_or_else(FoundMark::Bad, FoundMark::Good)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(FoundMark::None),
            Err(error) => Err(StreamError::io("read", path)(error)),
        }
    }

    pub(super) fn encode(
        &self,
        key: &SpoolKey,
        salt: [u8; SALT_BYTES],
    ) -> Result<Vec<u8>, StreamError> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&MARK_VERSION.to_le_bytes());
        out.extend_from_slice(&(HEADER_BYTES as u16).to_le_bytes());
        out.extend_from_slice(&self.spool);
        out.extend_from_slice(&salt);
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        let mut content = Vec::new();
        let mut put = |number: u64| content.extend_from_slice(&number.to_le_bytes());
        put(self.epoch.0);
        put(self.nonce.0);
        put(self.stored_at.map_or(0, |at| at.nanos().cast_unsigned()));
        put(self.forgotten.0);
        put(self.receipts_at.0);
        receipts::encode(self.receipts.iter(), &mut content)?;
        let mut put = |number: u64| content.extend_from_slice(&number.to_le_bytes());
        for record in &self.kept {
            let Some((kind, numbers)) = numbers(&record.entry) else {
                continue;
            };
            let numbers = [record.offset.0, record.next.0, kind]
                .into_iter()
                .chain(numbers);
            numbers.chain([nonce(&record.entry).0]).for_each(&mut put);
        }
        let aad = out.clone();
        FileKey::derive(key, &salt, KEY_PURPOSE)?.seal(NONCE, &aad, &content, &mut out)?;
        Ok(out)
    }

    pub(super) fn decode(bytes: &[u8], key: &SpoolKey) -> Result<Self, BadHeader> {
        let header = checked(bytes, MAGIC, MARK_VERSION)?;
        let mut fields = Fields(header.get(12..).ok_or(BadHeader::Damaged)?);
        let spool = fields.array().ok_or(BadHeader::Damaged)?;
        let salt = fields.array().ok_or(BadHeader::Damaged)?;
        let file_key = FileKey::derive(key, &salt, KEY_PURPOSE).map_err(|_| BadHeader::Damaged)?;
        let content = file_key
            .open(NONCE, header, &bytes[header.len()..])
            .ok_or(BadHeader::WrongKey)?;
        let version = u16::from_le_bytes([bytes[8], bytes[9]]);
        Self::content(version, spool, &content).ok_or(BadHeader::Damaged)
    }

    fn content(version: u16, spool: SpoolId, content: &[u8]) -> Option<Self> {
        let mut fields = Fields(content);
        let epoch = Epoch(fields.u64()?);
        let (nonce, stored_at) = match version {
            1 | 2 => (EpochNonce::UNKNOWN, 0),
            _ => (EpochNonce(fields.u64()?), fields.u64()?.cast_signed()),
        };
        let stored_at = (stored_at != 0).then_some(Timestamp::from_nanos(stored_at));
        let forgotten = Offset(fields.u64()?);
        // Beside a mark of version 1 no record has receipts: the mark of an opening precedes its first append.
        let (receipts_at, receipts) = match version {
            1 => (Offset(u64::MAX), Open::default()),
            _ => (
                Offset(fields.u64()?),
                receipts::decode(&mut fields)?.into_iter().collect(),
            ),
        };
        let mut kept = Vec::new();
        while !fields.0.is_empty() {
            let (offset, next) = (Offset(fields.u64()?), Offset(fields.u64()?));
            let (kind, numbers) = (fields.u64()?, [fields.u64()?, fields.u64()?, fields.u64()?]);
            let nonce = if version < 3 {
                EpochNonce::UNKNOWN
            } else {
                EpochNonce(fields.u64()?)
            };
            kept.push(Record {
                offset,
                next,
                entry: entry(kind, numbers, nonce)?,
            });
        }
        Some(Self {
            spool,
            epoch,
            nonce,
            stored_at,
            forgotten,
            kept,
            receipts,
            receipts_at,
        })
    }
}

/// Which opening numbered what is kept.
fn nonce(entry: &Entry) -> EpochNonce {
    match entry {
        Entry::Dropped { nonce, .. } | Entry::EpochEnd { nonce, .. } => *nonce,
        _ => EpochNonce::UNKNOWN,
    }
}

/// Kind and numbers of what can be kept; batches and outages are not kept but dropped.
fn numbers(entry: &Entry) -> Option<(u64, [u64; 3])> {
    Some(match entry {
        Entry::Batch(_)
        | Entry::Outages(_)
        | Entry::Gap { .. }
        | Entry::SpoolLoss { .. }
        | Entry::Undecodable { .. } => return None,
        Entry::Dropped {
            epoch,
            first_seq,
            last_seq,
            ..
        } => (0, [epoch.0, first_seq.0, last_seq.0]),
        Entry::EpochEnd {
            epoch,
            last: LastSeq::Known(seq),
            ..
        } => (1, [epoch.0, seq.map_or(0, |seq| seq.0), 0]),
        Entry::EpochEnd {
            epoch,
            last: LastSeq::Unknown { at_least },
            ..
        } => (2, [epoch.0, at_least.map_or(0, |seq| seq.0), 0]),
        Entry::Damaged {
            segment,
            bytes,
            why,
        } => {
            let kind = match why {
                Damage::Record => 3,
                Damage::Header => 4,
                Damage::Missing => 5,
                Damage::MarkLost => 6,
            };
            (kind, [segment.0, bytes.start, bytes.end])
        }
    })
}

fn entry(kind: u64, [a, b, c]: [u64; 3], nonce: EpochNonce) -> Option<Entry> {
    let seq = (b != 0).then_some(Seq(b));
    let damaged = |why| Entry::Damaged {
        segment: Offset(a),
        bytes: b..c,
        why,
    };
    Some(match kind {
        0 => Entry::Dropped {
            epoch: Epoch(a),
            nonce,
            first_seq: Seq(b),
            last_seq: Seq(c),
        },
        1 => Entry::EpochEnd {
            epoch: Epoch(a),
            nonce,
            last: LastSeq::Known(seq),
        },
        2 => Entry::EpochEnd {
            epoch: Epoch(a),
            nonce,
            last: LastSeq::Unknown { at_least: seq },
        },
        3 => damaged(Damage::Record),
        4 => damaged(Damage::Header),
        5 => damaged(Damage::Missing),
        6 => damaged(Damage::MarkLost),
        _ => return None,
    })
}
