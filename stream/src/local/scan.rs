//! Reading one segment's records in order.
//!
//! Invariants: a record is yielded only if its seal holds at its own place; whatever lies between two sound records is
//! yielded as damage, an unreadable sector too. Bytes past the segment's last place are remains of failed writes and are ignored.

mod census;

use std::{fs::File, path::Path, sync::Arc};

use forebay_schemas::{
    ErrorKind,
    wire::{DecodeError, Outages, ReadingBatch},
};
use tracing::warn;

use super::{
    header::{BadHeader, HEADER_BYTES, Header},
    key::SpoolKey,
    medium::{Medium, read_around},
    receipts::decode_changes,
    record::{Cipher, FRAME_HEAD_BYTES, FRAME_OVERHEAD, Kind, Opened, decode_end, index_at},
};
use crate::{Damage, Entry, Offset, ReceiptChanges, Record, StreamError};

/// Where a segment ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// Bytes of the file that count.
    pub(super) bytes: u64,
    /// Offset after the last record; `None` while recovering the last segment.
    pub(super) next: Option<u64>,
}

/// What a scan comes upon.
pub(super) enum Step {
    /// A record, and the receipts that ended and opened with it.
    Record(Record, ReceiptChanges),
    End,
    /// Only in a segment whose end is not known: no sound record from byte `at` on.
    Torn {
        at: u64,
        cut: Cut,
    },
}

/// How a torn tail looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// One record that was not written to its end: the mark of a crash before its sync.
    Short,
    /// Bytes that are all there but unsound.
    Unsound,
}

/// A place in a segment.
pub(super) struct Scan {
    path: Arc<Path>,
    file: File,
    medium: Arc<dyn Medium>,
    pub(super) header: Header,
    cipher: Cipher,
    pos: u64,
    index: u64,
    pub(super) extent: Extent,
}

impl Scan {
    /// Opens the segment at its first record.
    pub(super) fn open(
        path: &Arc<Path>,
        key: &SpoolKey,
        medium: Arc<dyn Medium>,
        extent: Extent,
    ) -> Result<Result<Self, BadHeader>, StreamError> {
        let file = File::open(path).map_err(StreamError::io("open", &**path))?;
        let mut bytes = vec![0; HEADER_BYTES.min(usize::try_from(extent.bytes).unwrap_or(HEADER_BYTES))];
        read_around(&*medium, path, &file, &mut bytes, 0).map_err(StreamError::io("read", &**path))?;
        Ok(Header::decode(&bytes, key).map(|(header, file_key)| {
            let cipher = Cipher::new(file_key, &header);
            Self { path: path.clone(), file, medium, header, cipher, pos: HEADER_BYTES as u64, index: 0, extent }
        }))
    }

    /// Offset of the next record.
    pub(super) fn offset(&self) -> u64 {
        self.header.first + self.index
    }

    /// Byte of the next record.
    pub(super) fn position(&self) -> u64 {
        self.pos
    }

    /// The next record, damage or end.
    pub(super) fn step(&mut self) -> Result<Step, StreamError> {
        if self.extent.next.is_some_and(|next| self.offset() >= next) {
            return Ok(Step::End);
        }
        match self.record_here()? {
            Some(opened) if opened.index == self.index => self.take(opened),
            _ => self.resync(),
        }
    }

    fn take(&mut self, opened: Opened) -> Result<Step, StreamError> {
        let (from, offset) = (self.pos, self.offset());
        self.pos += opened.length as u64;
        self.index += 1;
        let (receipts, entry) = match opened.kind {
            Kind::Batch => (ReceiptChanges::default(), batch(offset, &opened.content)?),
            Kind::Receipted => match decode_changes(&opened.content) {
                Some((receipts, content)) => (receipts, batch(offset, content)?),
                None => (ReceiptChanges::default(), None),
            },
            Kind::Outages => {
                let outages = Outages::decode(&opened.content).map(Entry::Outages);
                (ReceiptChanges::default(), sound(offset, outages)?)
            }
            Kind::EpochEnd => {
                let end = decode_end(&opened.content);
                let end = end.map(|(epoch, nonce, last)| Entry::EpochEnd { epoch, nonce, last });
                (ReceiptChanges::default(), end)
            }
        };
        Ok(match entry {
            Some(entry) => {
                Step::Record(Record { offset: Offset(offset), next: Offset(self.offset()), entry }, receipts)
            }
            None => self.damaged(offset, from, Damage::Record),
        })
    }

    fn record_here(&self) -> Result<Option<Opened>, StreamError> {
        let Some(left) = self.extent.bytes.checked_sub(self.pos).filter(|left| *left >= FRAME_OVERHEAD as u64) else {
            return Ok(None);
        };
        let mut length = [0; 4];
        self.read_at(&mut length, self.pos)?;
        let length = FRAME_HEAD_BYTES as u64 + u64::from(u32::from_le_bytes(length));
        if length > left {
            return Ok(None);
        }
        let mut frame = vec![0; length as usize];
        self.read_at(&mut frame, self.pos)?;
        Ok(self.cipher.open(&frame))
    }

    /// Goes to the next sound record. Its index is in its nonce, so that the places lost are known exactly.
    fn resync(&mut self) -> Result<Step, StreamError> {
        let (from, offset) = (self.pos, self.offset());
        let mut rest = vec![0; self.extent.bytes.saturating_sub(from) as usize];
        self.read_at(&mut rest, from)?;
        let index_end = self.index + (rest.len() / FRAME_OVERHEAD) as u64 + self.slack();
        let sound = (0..rest.len()).find_map(|at| {
            let claimed = index_at(&rest[at..])?;
            let expected = (self.index..index_end).contains(&claimed);
            expected.then(|| self.cipher.open(&rest[at..])).flatten().map(|opened| (at as u64, opened.index))
        });
        let Some((at, index)) = sound else { return Ok(self.nothing_sound(&rest)) };
        self.pos = from + at;
        if index == self.index {
            warn!(segment = %self.path.display(), from, bytes = at, "skipped bytes that are no record where none is missing");
            return self.step();
        }
        self.index = index;
        Ok(self.damaged(offset, from, Damage::Record))
    }

    fn nothing_sound(&mut self, rest: &[u8]) -> Step {
        let (from, offset) = (self.pos, self.offset());
        let Some(next) = self.extent.next else {
            let cut = if is_cut_short(rest) { Cut::Short } else { Cut::Unsound };
            return if rest.is_empty() { Step::End } else { Step::Torn { at: from, cut } };
        };
        self.index = next - self.header.first;
        self.pos = self.extent.bytes;
        self.damaged(offset, from, if rest.is_empty() { Damage::Missing } else { Damage::Record })
    }

    fn damaged(&self, offset: u64, from: u64, why: Damage) -> Step {
        let entry = Entry::Damaged { segment: Offset(self.header.first), bytes: from..self.pos, why };
        let record = Record { offset: Offset(offset), next: Offset(self.offset()), entry };
        Step::Record(record, ReceiptChanges::default())
    }

    /// Records may be missing altogether as well as damaged, when the segment's end is known.
    fn slack(&self) -> u64 {
        self.extent.next.map_or(1, |next| next - self.offset())
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> Result<(), StreamError> {
        let read = read_around(&*self.medium, &self.path, &self.file, buffer, at);
        read.map_err(StreamError::io("read", &*self.path))
    }
}

/// The batch in `content`; `None` if it is none.
fn batch(offset: u64, content: &[u8]) -> Result<Option<Entry>, StreamError> {
    sound(offset, ReadingBatch::decode(content).map(Entry::Batch))
}

/// What was decoded; `None` for damage.
fn sound(offset: u64, decoded: Result<Entry, DecodeError>) -> Result<Option<Entry>, StreamError> {
    match decoded {
        Ok(entry) => Ok(Some(entry)),
        Err(source) if source.kind() == ErrorKind::Fatal => Err(StreamError::Record { offset, source }),
        Err(_) => Ok(None),
    }
}

/// Whether the bytes are the beginning of one record whose end is not there.
fn is_cut_short(rest: &[u8]) -> bool {
    match rest.first_chunk::<4>() {
        Some(length) => FRAME_HEAD_BYTES as u64 + u64::from(u32::from_le_bytes(*length)) > rest.len() as u64,
        None => true,
    }
}
