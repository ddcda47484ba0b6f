//! What an opening finds in the directory.
//!
//! Invariants: nothing is changed before the key and all versions are known to be right; only a torn tail of the last segment
//! is cut off, and it is reported; every epoch without an end record gets one, and damage that hides its end is said; the
//! receipts that are open are those of the mark, changed by the records since (E1); what a forgetting left is counted before it is
//! removed (E12).

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::OpenOptions,
};

use forebay_schemas::{Epoch, EpochNonce, Seq, Timestamp, ledger::Fate, wire::SeriesBatch};
use ring::rand::SecureRandom;
use tracing::warn;

use super::{
    dir::{Dir, Found, Reserve},
    header::{BadHeader, FORMAT_VERSION, Header, SpoolId},
    key::{SpoolKey, random},
    ledger,
    mark::{FoundMark, MARK_NAME, MARK_VERSION, Mark},
    receipts::{Open, apply},
    record::FRAME_OVERHEAD,
    scan::{Cut, Extent, Scan, Step},
    segment::{SealedFile, Segment, belongs},
};
use crate::{Damage, Entry, LastSeq, Offset, Record, StreamError};

/// The end of the last segment that a crash left unfinished, and that the opening cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TornTail {
    /// First offset of the segment.
    pub segment: Offset,
    /// Bytes that were kept.
    pub at: u64,
    /// Bytes that were cut off.
    pub bytes: u64,
}

/// What is there.
pub(super) struct Recovered {
    pub(super) mark: Mark,
    pub(super) segments: Vec<Segment>,
    pub(super) next: Offset,
    /// Epochs without an end record, and which openings began them.
    pub(super) ends: Vec<(Epoch, EpochNonce, LastSeq)>,
    pub(super) torn: Option<TornTail>,
}

#[derive(Default)]
struct Tail {
    nonce: Option<EpochNonce>,
    last: Option<Seq>,
    unknown: bool,
    ended: bool,
}

/// Takes stock, and cuts off a torn tail.
pub(super) fn recover(
    dir: &Dir,
    key: &SpoolKey,
    source: &dyn SecureRandom,
) -> Result<Recovered, StreamError> {
    let found = dir.segments()?;
    let mark = Mark::read(dir, key)?;
    let headers = found
        .iter()
        .map(|segment| header(dir, segment, key))
        .collect::<Result<Vec<_>, _>>()?;
    refuse(dir, &mark, &found, &headers)?;
    ledger::refuse_newer(dir, key)?;
    dir.clean()?;
    let mark_lost =
        matches!(mark, FoundMark::Bad(_)) || (matches!(mark, FoundMark::None) && !found.is_empty());
    let mut mark = match mark {
        FoundMark::Good(mark) => mark,
        FoundMark::None | FoundMark::Bad(_) => without_mark(&found, &headers, random(source)?),
    };
    let mut stock = Stock {
        key,
        spool: mark.spool,
        tails: BTreeMap::new(),
        torn: None,
        receipts: std::mem::take(&mut mark.receipts),
        receipts_at: mark.receipts_at,
        stored_at: mark.stored_at,
    };
    let segments = stock.segments(
        dir,
        &found,
        &headers,
        if mark_lost { Epoch(0) } else { mark.epoch },
    )?;
    if !mark_lost && mark.epoch.0 > 0 {
        let tail = stock.tails.entry(mark.epoch).or_insert(Tail {
            unknown: true,
            ..Tail::default()
        });
        tail.nonce = tail.nonce.or(Some(mark.nonce));
    }
    (mark.receipts, mark.stored_at) = (stock.receipts, stock.stored_at);
    let newest = stock.tails.keys().next_back().copied();
    mark.epoch = mark.epoch.max(newest.unwrap_or(Epoch(0)));
    let floor = mark.floor();
    let next = segments
        .last()
        .map_or(floor, |last| Offset(last.next).max(floor));
    let (gone, segments): (Vec<_>, Vec<_>) = segments
        .into_iter()
        .partition(|segment| segment.next <= floor.0.max(segment.first));
    let sealed = SealedFile {
        spool: mark.spool,
        key: key.clone(),
        medium: dir.medium.clone(),
    };
    ledger::count(dir, &sealed, source, &gone, Reserve::Use, |_| Fate::Taken);
    for segment in gone.iter().filter(|segment| segment.first != next.0) {
        dir.remove(&segment.path)?;
    }
    let ends = stock.tails.into_iter().filter(|(_, tail)| !tail.ended);
    let ends = ends.map(|(epoch, tail)| {
        let last = if tail.unknown {
            LastSeq::Unknown {
                at_least: tail.last,
            }
        } else {
            LastSeq::Known(tail.last)
        };
        (epoch, tail.nonce.unwrap_or(EpochNonce::UNKNOWN), last)
    });
    Ok(Recovered {
        mark,
        segments,
        next,
        ends: ends.collect(),
        torn: stock.torn,
    })
}

fn header(
    dir: &Dir,
    found: &Found,
    key: &SpoolKey,
) -> Result<Result<Header, BadHeader>, StreamError> {
    let scan = Scan::open(
        &found.path,
        key,
        dir.medium.clone(),
        Extent {
            bytes: found.bytes,
            next: None,
        },
    )?;
    Ok(scan.map(|scan| scan.header).and_then(|header| {
        if header.first == found.first {
            Ok(header)
        } else {
            Err(BadHeader::Damaged)
        }
    }))
}

/// A newer version stops; a wrong key is told from damage by there being nothing that the key opens.
fn refuse(
    dir: &Dir,
    mark: &FoundMark,
    found: &[Found],
    headers: &[Result<Header, BadHeader>],
) -> Result<(), StreamError> {
    if let FoundMark::Bad(BadHeader::Newer(version)) = mark {
        return Err(StreamError::NewerVersion {
            path: dir.file(MARK_NAME),
            found: *version,
            newest: MARK_VERSION,
        });
    }
    for (segment, header) in found.iter().zip(headers) {
        if let Err(BadHeader::Newer(version)) = header {
            return Err(StreamError::NewerVersion {
                path: segment.path.to_path_buf(),
                found: *version,
                newest: FORMAT_VERSION,
            });
        }
    }
    let opens = matches!(mark, FoundMark::Good(_)) || headers.iter().any(Result::is_ok);
    let locked = found
        .iter()
        .zip(headers)
        .find(|(_, header)| matches!(header, Err(BadHeader::WrongKey)));
    let path = match (locked, mark) {
        (Some((segment, _)), _) => segment.path.to_path_buf(),
        (None, FoundMark::Bad(BadHeader::WrongKey)) => dir.file(MARK_NAME),
        _ => return Ok(()),
    };
    if opens {
        Ok(())
    } else {
        Err(StreamError::WrongKey { path })
    }
}

/// The mark of a new spool, or the little that is known when it is lost.
fn without_mark(found: &[Found], headers: &[Result<Header, BadHeader>], fresh: SpoolId) -> Mark {
    let spool = headers
        .iter()
        .rev()
        .flatten()
        .next()
        .map_or(fresh, |header| header.spool);
    let first = Offset(found.first().map_or(0, |segment| segment.first));
    let entry = Entry::Damaged {
        segment: Offset(0),
        bytes: 0..0,
        why: Damage::MarkLost,
    };
    let lost = (first > Offset(0)).then_some(Record {
        offset: Offset(0),
        next: first,
        entry,
    });
    if lost.is_some() {
        warn!(%first, "the spool's mark is lost: what lay before its first segment may be forgotten or dropped");
    }
    Mark {
        spool,
        epoch: Epoch(0),
        nonce: EpochNonce::UNKNOWN,
        stored_at: None,
        forgotten: Offset(0),
        kept: lost.into_iter().collect(),
        receipts: Open::default(),
        receipts_at: Offset(0),
    }
}

struct Stock<'a> {
    key: &'a SpoolKey,
    spool: SpoolId,
    tails: BTreeMap<Epoch, Tail>,
    torn: Option<TornTail>,
    receipts: Open,
    /// Records from here on change the receipts, and are newer than all that the mark knows of.
    receipts_at: Offset,
    stored_at: Option<Timestamp>,
}

impl Stock<'_> {
    /// Finds where segments and epochs end, and which receipts are open. Only what may hold something not known otherwise is
    /// read: an epoch's first and last segments from `from` on, segments that go beyond the mark's receipts (mostly the
    /// last alone, since each new segment comes with a new mark), and the last segment of all.
    fn segments(
        &mut self,
        dir: &Dir,
        found: &[Found],
        headers: &[Result<Header, BadHeader>],
        from: Epoch,
    ) -> Result<Vec<Segment>, StreamError> {
        let epochs: Vec<_> = headers
            .iter()
            .map(|header| header.as_ref().ok().map(|header| header.epoch))
            .collect();
        let mut seen = BTreeSet::new();
        let mut segments = Vec::with_capacity(found.len());
        for (at, segment) in found.iter().enumerate() {
            let next = found.get(at + 1).map(|next| next.first);
            let edge = epochs[at].is_none_or(|epoch| {
                epoch >= from && (seen.insert(epoch) || !epochs[at + 1..].contains(&Some(epoch)))
            });
            let next = match next {
                Some(next) if !edge && next <= self.receipts_at.0 => next,
                next => self.read(dir, segment, next)?,
            };
            let bytes = self.torn.map_or(segment.bytes, |torn| torn.at);
            segments.push(Segment {
                first: segment.first,
                next,
                bytes,
                path: segment.path.clone(),
                generation: 0,
            });
        }
        Ok(segments)
    }

    /// Reads a segment to its end and returns its next offset.
    fn read(&mut self, dir: &Dir, found: &Found, next: Option<u64>) -> Result<u64, StreamError> {
        let scan = Scan::open(
            &found.path,
            self.key,
            dir.medium.clone(),
            Extent {
                bytes: found.bytes,
                next,
            },
        )?;
        let Ok(mut scan) = belongs(scan, &self.spool, found.first) else {
            warn!(path = %found.path.display(), "a segment's header is damaged: its records are lost");
            self.tails.values_mut().for_each(|tail| tail.unknown = true);
            return Ok(next.unwrap_or(found.first + 1 + found.bytes / FRAME_OVERHEAD as u64));
        };
        let epoch = scan.header.epoch;
        let tail = self.tails.entry(epoch).or_default();
        (tail.last, tail.unknown) = (
            scan.header
                .first_seq
                .0
                .checked_sub(1)
                .filter(|seq| *seq > 0)
                .map(Seq),
            false,
        );
        loop {
            match scan.step()? {
                Step::End => return Ok(scan.offset()),
                Step::Torn { at, cut } => {
                    self.cut(dir, found, at)?;
                    self.tails.entry(epoch).or_default().unknown |= cut == Cut::Unsound;
                    return Ok(scan.offset());
                }
                Step::Record(record, receipts) => {
                    if record.offset >= self.receipts_at {
                        apply(&mut self.receipts, receipts);
                        self.stored_at = taken_at(&record.entry).or(self.stored_at);
                    }
                    self.take(epoch, record.entry);
                }
            }
        }
    }

    fn take(&mut self, epoch: Epoch, entry: Entry<SeriesBatch>) {
        match entry {
            Entry::Batch(batch) => self.goes_on(batch.epoch, batch.nonce, batch.last_seq()),
            Entry::Outages(outages) => {
                self.goes_on(outages.epoch, outages.nonce, outages.last_seq())
            }
            Entry::EpochEnd { epoch, .. } => self.tails.entry(epoch).or_default().ended = true,
            Entry::Damaged { .. }
            | Entry::Dropped { .. }
            | Entry::Gap { .. }
            | Entry::SpoolLoss { .. }
            | Entry::Undecodable { .. } => self.tails.entry(epoch).or_default().unknown = true,
        }
    }

    fn goes_on(&mut self, epoch: Epoch, nonce: EpochNonce, last: Option<Seq>) {
        let tail = self.tails.entry(epoch).or_default();
        (tail.nonce, tail.last, tail.unknown) = (Some(nonce), last.or(tail.last), false);
    }

    fn cut(&mut self, dir: &Dir, found: &Found, at: u64) -> Result<(), StreamError> {
        let file = OpenOptions::new()
            .write(true)
            .open(&found.path)
            .map_err(StreamError::io("open", &*found.path))?;
        let cut = file.set_len(at).and_then(|()| dir.medium.sync(&file));
        cut.map_err(StreamError::io("truncate", &*found.path))?;
        let torn = TornTail {
            segment: Offset(found.first),
            at,
            bytes: found.bytes - at,
        };
        warn!(path = %found.path.display(), at, bytes = torn.bytes, "cut off a torn tail");
        self.torn = Some(torn);
        Ok(())
    }
}

/// When a record was taken: the gateway's time of its last reading, or the end of its last outage.
pub(super) fn taken_at(entry: &Entry<SeriesBatch>) -> Option<Timestamp> {
    match entry {
        Entry::Batch(batch) => batch.last_observed(),
        Entry::Outages(outages) => outages.outages.last().map(|outage| outage.to),
        _ => None,
    }
}
