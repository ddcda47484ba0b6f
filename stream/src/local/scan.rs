//! Reading one segment's records in order.
//!
//! Invariants: a record is yielded only if its seal holds at its own place; whatever lies between two sound records is
//! yielded as damage, an unreadable sector too. Bytes past the segment's last place are remains of failed writes and are ignored.

mod census;
mod raw;

use std::{fs::File, path::Path, sync::Arc};

use bytes::BytesMut;
use forebay_schemas::{
    ErrorKind,
    wire::{DecodeError, Outages, SeriesBatch, SeriesDecoder},
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

/// What is read of the file at once; records are opened where they lie in it.
const BLOCK_BYTES: usize = 256 << 10;

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
    Record(Box<Record<SeriesBatch>>, ReceiptChanges),
    End,
    /// Only in a segment whose end is not known: no sound record from byte `at` on.
    Torn {
        at: u64,
        cut: Cut,
    },
}

/// As [`Step`], before the record is decoded.
enum Place {
    /// A record whose seal holds; its offset, and the byte that it begins at.
    Sound {
        offset: u64,
        from: u64,
        opened: Opened,
    },
    /// Lost places up to where the scan is now, from this offset and this byte on.
    Damaged {
        offset: u64,
        from: u64,
        why: Damage,
    },
    End,
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
    /// The file's bytes from `pos` on, as far as they have been read.
    block: BytesMut,
    /// Keeps names and memory from one record to the next, and no longer than the segment is read.
    decoder: SeriesDecoder,
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
        let mut bytes =
            vec![0; HEADER_BYTES.min(usize::try_from(extent.bytes).unwrap_or(HEADER_BYTES))];
        read_around(&*medium, path, &file, &mut bytes, 0)
            .map_err(StreamError::io("read", &**path))?;
        Ok(Header::decode(&bytes, key).map(|(header, file_key)| {
            let cipher = Cipher::new(file_key, &header);
            let (path, pos, index, block) = (path.clone(), HEADER_BYTES as u64, 0, BytesMut::new());
            Self {
                path,
                file,
                medium,
                header,
                cipher,
                pos,
                index,
                block,
                decoder: SeriesDecoder::default(),
                extent,
            }
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
        match self.place()? {
            Place::Sound {
                offset,
                from,
                opened,
            } => self.decode(offset, from, &opened),
            Place::Damaged { offset, from, why } => Ok(Step::Record(
                Box::new(self.damaged(offset, from, why)),
                ReceiptChanges::default(),
            )),
            Place::End => Ok(Step::End),
            Place::Torn { at, cut } => Ok(Step::Torn { at, cut }),
        }
    }

    /// What lies at the next place, not decoded.
    fn place(&mut self) -> Result<Place, StreamError> {
        if self.extent.next.is_some_and(|next| self.offset() >= next) {
            return Ok(Place::End);
        }
        match self.record_here()? {
            Some(opened) if opened.index == self.index => {
                let (from, offset) = (self.pos, self.offset());
                self.pos += opened.length as u64;
                self.index += 1;
                Ok(Place::Sound {
                    offset,
                    from,
                    opened,
                })
            }
            _ => self.resync(),
        }
    }

    /// The record that was just passed.
    fn decode(&mut self, offset: u64, from: u64, opened: &Opened) -> Result<Step, StreamError> {
        let (receipts, entry) = match opened.kind {
            Kind::Batch => (
                ReceiptChanges::default(),
                self.batch(offset, &opened.content)?,
            ),
            Kind::Receipted => match decode_changes(&opened.content) {
                Some((receipts, content)) => (receipts, self.batch(offset, content)?),
                None => (ReceiptChanges::default(), None),
            },
            Kind::Outages => {
                let outages = Outages::decode(&opened.content).map(Entry::Outages);
                (ReceiptChanges::default(), sound(offset, outages)?)
            }
            Kind::EpochEnd => (ReceiptChanges::default(), epoch_end(&opened.content)),
        };
        let Some(entry) = entry else {
            let damaged = self.damaged(offset, from, Damage::Record);
            return Ok(Step::Record(Box::new(damaged), ReceiptChanges::default()));
        };
        let record = Record {
            offset: Offset(offset),
            next: Offset(self.offset()),
            entry,
        };
        Ok(Step::Record(Box::new(record), receipts))
    }

    /// The readings in `content`; `None` if they cannot be decoded.
    fn batch(
        &mut self,
        offset: u64,
        content: &[u8],
    ) -> Result<Option<Entry<SeriesBatch>>, StreamError> {
        sound(offset, self.decoder.decode(content).map(Entry::Batch))
    }

    /// The record at the place; `None` if there is no sound one, and then `block` is of no more use.
    fn record_here(&mut self) -> Result<Option<Opened>, StreamError> {
        let left = self.extent.bytes.saturating_sub(self.pos);
        if left < FRAME_OVERHEAD as u64 {
            return Ok(None);
        }
        self.read_ahead(FRAME_OVERHEAD, left)?;
        let Some(length) = self
            .block
            .first_chunk::<4>()
            .map(|length| u32::from_le_bytes(*length))
        else {
            return Ok(None);
        };
        let length = FRAME_HEAD_BYTES as u64 + u64::from(length);
        if length > left {
            return Ok(None);
        }
        self.read_ahead(length as usize, left)?;
        let frame = self.block.split_to(length as usize);
        if self.block.is_empty() {
            // An empty rest would keep the memory of all.
            self.block = BytesMut::new();
        }
        Ok(self.cipher.open_frame(frame))
    }

    /// Makes `block` at least `bytes` long, of the `left` ones that there are.
    fn read_ahead(&mut self, bytes: usize, left: u64) -> Result<(), StreamError> {
        if self.block.len() < bytes {
            let length = usize::try_from(left)
                .unwrap_or(usize::MAX)
                .min(bytes.max(BLOCK_BYTES));
            let mut block = BytesMut::zeroed(length);
            self.read_at(&mut block, self.pos)?;
            self.block = block;
        }
        Ok(())
    }

    /// Goes to the next sound record. Its index is in its nonce, so that the places lost are known exactly.
    fn resync(&mut self) -> Result<Place, StreamError> {
        let (from, offset) = (self.pos, self.offset());
        self.block = BytesMut::new();
        let mut rest = vec![0; self.extent.bytes.saturating_sub(from) as usize];
        self.read_at(&mut rest, from)?;
        let index_end = self.index + (rest.len() / FRAME_OVERHEAD) as u64 + self.slack();
        let sound = (0..rest.len()).find_map(|at| {
            let claimed = index_at(&rest[at..])?;
            let expected = (self.index..index_end).contains(&claimed);
            expected
                .then(|| self.cipher.open(&rest[at..]))
                .flatten()
                .map(|opened| (at as u64, opened.index))
        });
        let Some((at, index)) = sound else {
            return Ok(self.nothing_sound(&rest));
        };
        self.pos = from + at;
        if index == self.index {
            warn!(segment = %self.path.display(), from, bytes = at, "skipped bytes that are no record where none is missing");
            return self.place();
        }
        self.index = index;
        Ok(Place::Damaged {
            offset,
            from,
            why: Damage::Record,
        })
    }

    fn nothing_sound(&mut self, rest: &[u8]) -> Place {
        let (from, offset) = (self.pos, self.offset());
        let Some(next) = self.extent.next else {
            let cut = if is_cut_short(rest) {
                Cut::Short
            } else {
                Cut::Unsound
            };
            return if rest.is_empty() {
                Place::End
            } else {
                Place::Torn { at: from, cut }
            };
        };
        self.index = next - self.header.first;
        self.pos = self.extent.bytes;
        let why = if rest.is_empty() {
            Damage::Missing
        } else {
            Damage::Record
        };
        Place::Damaged { offset, from, why }
    }

    /// The record for the places from `offset` and the bytes from `from` on, up to where the scan is now.
    fn damaged<B>(&self, offset: u64, from: u64, why: Damage) -> Record<B> {
        let entry = Entry::Damaged {
            segment: Offset(self.header.first),
            bytes: from..self.pos,
            why,
        };
        Record {
            offset: Offset(offset),
            next: Offset(self.offset()),
            entry,
        }
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

/// The end of an epoch in `content`; `None` if it is none.
fn epoch_end<B>(content: &[u8]) -> Option<Entry<B>> {
    decode_end(content).map(|(epoch, nonce, last)| Entry::EpochEnd { epoch, nonce, last })
}

/// What was decoded; `None` for damage.
fn sound<T>(offset: u64, decoded: Result<T, DecodeError>) -> Result<Option<T>, StreamError> {
    match decoded {
        Ok(decoded) => Ok(Some(decoded)),
        Err(source) if source.kind() == ErrorKind::Fatal => {
            Err(StreamError::Record { offset, source })
        }
        Err(_) => Ok(None),
    }
}

/// Whether the bytes are the beginning of one record whose end is not there.
fn is_cut_short(rest: &[u8]) -> bool {
    match rest.first_chunk::<4>() {
        Some(length) => {
            FRAME_HEAD_BYTES as u64 + u64::from(u32::from_le_bytes(*length)) > rest.len() as u64
        }
        None => true,
    }
}
