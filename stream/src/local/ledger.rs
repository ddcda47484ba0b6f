//! The ledger's file: what a spool has received, of the records whose segments are gone (E12).
//!
//! Layout, little-endian: magic 8 · version 2 · header length 2 · spool id 16 · salt 32 · CRC-32C 4 · sealed: offset up to which is counted
//! 8 · the ledger as `forebay_schemas` encodes it. Replaced as a whole.
//!
//! Invariants: a segment is counted before its file is removed, and at most once, since the file names the offset that it has
//! come to and one thread at a time changes it; so nothing is counted on the way of a reading, and a crash at any moment neither loses nor doubles a count.
//! What cannot be counted, for want of room or because of damage, is not covered: the ledger never keeps a spool from
//! forgetting.

use std::{
    io,
    path::Path,
    slice,
    sync::{Arc, Mutex, PoisonError},
};

use forebay_schemas::ledger::{Bounded, Bounds, Fate, Ledger};
use ring::{aead::NONCE_LEN, rand::SecureRandom};
use tracing::warn;

use super::{
    bytes::Fields,
    dir::{Dir, Reserve},
    header::{BadHeader, SpoolId, checked},
    key::{FileKey, SALT_BYTES, SpoolKey, random},
    medium::{Medium, read_whole},
    segment::{SealedFile, Segment},
};
use crate::{Offset, StreamError};

/// Its file.
pub(super) const LEDGER_NAME: &str = "ledger";
/// The version that this release writes, and the newest that it reads.
const LEDGER_VERSION: u16 = 1;
/// What the ledger's key is derived for.
const KEY_PURPOSE: &[u8] = b"forebay spool ledger 1";
const MAGIC: &[u8; 8] = b"fbspldg\n";
const HEADER_BYTES: usize = 64;
/// The file's only seal, under a key of its own.
const NONCE: [u8; NONCE_LEN] = [0; NONCE_LEN];

/// What the file holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LedgerFile {
    pub(super) spool: SpoolId,
    /// All records below are counted, or cannot be.
    pub(super) up_to: Offset,
    pub(super) ledger: Ledger,
}

/// Counts segments of an open spool, by whichever thread, one at a time.
pub(super) struct Counter {
    dir: Arc<Dir>,
    sealed: SealedFile,
    random: Arc<dyn SecureRandom + Send + Sync>,
    /// Held while the file is read, changed and replaced.
    file: Mutex<()>,
}

impl Counter {
    pub(super) fn new(
        dir: Arc<Dir>,
        sealed: SealedFile,
        random: Arc<dyn SecureRandom + Send + Sync>,
    ) -> Self {
        Self {
            dir,
            sealed,
            random,
            file: Mutex::new(()),
        }
    }

    /// Counts a segment whose file is about to be removed, as [`count`] does; nothing if that has been done.
    pub(super) fn count(&self, segment: &Segment, reserve: Reserve, fate: impl Fn(Offset) -> Fate) {
        let _alone = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        count(
            &self.dir,
            &self.sealed,
            &*self.random,
            slice::from_ref(segment),
            reserve,
            fate,
        );
    }
}

/// Refuses to open beside a ledger of a later release (E13).
pub(super) fn refuse_newer(dir: &Dir, key: &SpoolKey) -> Result<(), StreamError> {
    match LedgerFile::read(
        &*dir.medium,
        &dir.file(LEDGER_NAME),
        key,
        SpoolId::default(),
    ) {
        Err(error @ StreamError::NewerVersion { .. }) => Err(error),
        Err(error) => {
            warn!(%error, "could not read the spool's ledger, what leaves the spool is not counted");
            Ok(())
        }
        Ok(_) => Ok(()),
    }
}

/// Counts the records of segments whose files are about to be removed. A failure is logged: they are not covered then.
pub(super) fn count(
    dir: &Dir,
    sealed: &SealedFile,
    source: &dyn SecureRandom,
    segments: &[Segment],
    reserve: Reserve,
    fate: impl Fn(Offset) -> Fate,
) {
    if segments.iter().all(|segment| segment.next == segment.first) {
        return;
    }
    if let Err(error) = try_count(dir, sealed, source, segments, reserve, fate) {
        warn!(%error, "could not count readings that leave the spool, its ledger does not cover them");
    }
}

fn try_count(
    dir: &Dir,
    sealed: &SealedFile,
    source: &dyn SecureRandom,
    segments: &[Segment],
    reserve: Reserve,
    fate: impl Fn(Offset) -> Fate,
) -> Result<(), StreamError> {
    let mut file = LedgerFile::read(
        &*dir.medium,
        &dir.file(LEDGER_NAME),
        &sealed.key,
        sealed.spool,
    )?;
    let before = file.clone();
    for segment in segments
        .iter()
        .filter(|segment| segment.next > before.up_to.0)
    {
        let mut scan = match segment.scan(sealed) {
            Ok(Ok(scan)) => scan,
            // All of it is damage.
            Ok(Err(_)) => continue,
            // It was counted, and its removal failed half-way.
            Err(error) if error.is_not_found() => continue,
            Err(error) => return Err(error),
        };
        while let Some((offset, record)) = scan.next_census()? {
            if offset >= before.up_to {
                file.ledger.count(&record, fate(offset));
            }
        }
        file.up_to = Offset(segment.next);
    }
    if file.ledger == before.ledger {
        return Ok(());
    }
    if file.ledger.bound(&Bounds::SPOOL) == Bounded::BegunAnew {
        warn!("the spool's ledger has too many devices or ranges of readings, started again empty");
    }
    let bytes = file.encode(&sealed.key, random(source)?)?;
    dir.put(LEDGER_NAME, &bytes, reserve).map(drop)
}

impl LedgerFile {
    /// The file at `path`, or an empty one where there is none or only a damaged one.
    ///
    /// # Errors
    /// `Fatal` for one of a later release; `Retry` if the file system refused.
    pub(super) fn read(
        medium: &dyn Medium,
        path: &Path,
        key: &SpoolKey,
        spool: SpoolId,
    ) -> Result<Self, StreamError> {
        let empty = Self {
            spool,
            up_to: Offset(0),
            ledger: Ledger::default(),
        };
        let bytes = match read_whole(medium, path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(empty),
            Err(error) => return Err(StreamError::io("read", path)(error)),
        };
        match Self::decode(&bytes, key) {
            // Offsets of another life of the spool mean other records.
            Ok(found) if found.spool != spool => Ok(Self {
                ledger: found.ledger,
                ..empty
            }),
            Ok(found) => Ok(found),
            Err(BadHeader::Newer(found)) => Err(StreamError::NewerVersion {
                path: path.to_owned(),
                found,
                newest: LEDGER_VERSION,
            }),
            Err(BadHeader::WrongKey | BadHeader::Damaged) => {
                warn!(path = %path.display(), "the spool's ledger is damaged, it covers only what comes from here on");
                Ok(empty)
            }
        }
    }

    pub(super) fn encode(
        &self,
        key: &SpoolKey,
        salt: [u8; SALT_BYTES],
    ) -> Result<Vec<u8>, StreamError> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&LEDGER_VERSION.to_le_bytes());
        out.extend_from_slice(&(HEADER_BYTES as u16).to_le_bytes());
        out.extend_from_slice(&self.spool);
        out.extend_from_slice(&salt);
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        let mut content = self.up_to.0.to_le_bytes().to_vec();
        content.append(&mut self.ledger.encode());
        let aad = out.clone();
        FileKey::derive(key, &salt, KEY_PURPOSE)?.seal(NONCE, &aad, &content, &mut out)?;
        Ok(out)
    }

    pub(super) fn decode(bytes: &[u8], key: &SpoolKey) -> Result<Self, BadHeader> {
        let header = checked(bytes, MAGIC, LEDGER_VERSION)?;
        let mut fields = Fields(header.get(12..).ok_or(BadHeader::Damaged)?);
        let spool = fields.array().ok_or(BadHeader::Damaged)?;
        let salt = fields.array().ok_or(BadHeader::Damaged)?;
        let file_key = FileKey::derive(key, &salt, KEY_PURPOSE).map_err(|_| BadHeader::Damaged)?;
        let content = file_key
            .open(NONCE, header, &bytes[header.len()..])
            .ok_or(BadHeader::WrongKey)?;
        let mut fields = Fields(&content);
        let up_to = Offset(fields.u64().ok_or(BadHeader::Damaged)?);
        let ledger = Ledger::decode(fields.0).ok_or(BadHeader::Damaged)?;
        Ok(Self {
            spool,
            up_to,
            ledger,
        })
    }
}
