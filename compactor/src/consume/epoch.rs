//! One epoch of one lane: what was taken, what is missing, what is held behind a jump (E4).
//!
//! Pure. Every seq up to the mark was given out once, stands in a gap, or went to quarantine; what is held lies behind it.

mod outages;
mod takeover;

use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use forebay_lake::{EpochMark, SEQ_UNKNOWN};
use forebay_schemas::{
    EpochNonce, Seq, Timestamp,
    wire::{Outages, SeriesBatch},
};
use forebay_stream::{LastSeq, Offset};

use super::{
    holes::{Cause, Holes},
    moment::Moment,
    size::batch_bytes,
};

/// So many other openings of one epoch are told apart over restarts.
const OTHER_OPENINGS_MAX: usize = 16;

const ANOTHER_OPENING: &str = "another opening of this gateway's spool has numbered other readings alike: a restored or copied \
                               data folder";

/// What taking a record gave, and what it needs to know.
#[derive(Debug)]
pub(super) struct Taking {
    pub(super) now: Moment,
    /// Why the next jump is there.
    pub(super) cause: Cause,
    /// Bytes that may still be held.
    pub(super) room: usize,
    /// By how much what is held has grown.
    pub(super) held_bytes: isize,
    /// Readings taken, each batch without a hole.
    pub(super) taken: Vec<SeriesBatch>,
    /// Readings that contradict what is known, to be quarantined.
    pub(super) refused: Vec<(SeriesBatch, &'static str)>,
    /// Readings that had been taken before.
    pub(super) duplicates: u64,
    /// The lowest offset of a record for which there was no room.
    pub(super) overflow: Option<Offset>,
    /// What was held and is no more.
    pub(super) freed: bool,
    /// Ends and gaps that other openings told of under this epoch.
    pub(super) foreign: u64,
}

impl Taking {
    pub(super) fn new(cause: Cause, now: Moment, room: usize) -> Self {
        Self {
            now,
            cause,
            room,
            held_bytes: 0,
            taken: Vec::new(),
            refused: Vec::new(),
            duplicates: 0,
            overflow: None,
            freed: false,
            foreign: 0,
        }
    }
}

/// A record behind a jump.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) offset: Offset,
    pub(super) what: HeldWhat,
    pub(super) bytes: usize,
    /// When it was first read, by the clock: for people, and for the watermark.
    pub(super) read_at: Timestamp,
    since: Duration,
    /// Why what is before it is missing.
    cause: Cause,
}

#[derive(Debug)]
pub(super) enum HeldWhat {
    Batch(SeriesBatch),
    /// A gap that the log tells of, up to this seq.
    Told(u64, Cause),
    Outages(Outages),
}

/// Where the epoch ends, behind a jump.
#[derive(Debug, Clone, Copy)]
struct HeldEnd {
    end: End,
    offset: Offset,
    since: Duration,
    cause: Cause,
}

#[derive(Debug, Clone, Copy)]
struct End {
    /// The last seq that is known.
    last: u64,
    /// Whether more may have followed.
    more: More,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum More {
    Unknown,
    None,
}

impl End {
    /// What two end records say together: a last seq that is certain counts, then the higher one.
    fn with(self, other: Self) -> Self {
        let rank = |end: &Self| (end.more == More::None, end.last);
        if rank(&other) > rank(&self) {
            other
        } else {
            self
        }
    }
}

/// What stops an epoch's mark: a record or an end behind a jump.
#[derive(Debug, Clone, Copy)]
struct Obstacle {
    /// The seq behind the jump.
    first: u64,
    since: Duration,
    cause: Cause,
}

/// An epoch's wait for what is missing, in running time: no clock that is set makes it shorter or longer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    pub(super) since: Duration,
    /// The partition is being read again, since when and up to where.
    pub(super) reread: Option<(Duration, Offset)>,
}

#[derive(Debug, Default)]
pub(super) struct EpochProgress {
    pub(super) mark: u64,
    pub(super) closed: bool,
    pub(super) quarantined: u64,
    /// What the opening that began the epoch drew; 0 if it is not known.
    pub(super) nonce: u64,
    /// What other openings drew, and up to which seq their readings are in quarantine.
    pub(super) other_openings: BTreeMap<u64, u64>,
    /// How many of the readings up to the mark, and how many of the holes, other streams' states count.
    pub(super) readings_elsewhere: u64,
    pub(super) gaps_elsewhere: u64,
    pub(super) holes: Holes,
    pub(super) held: BTreeMap<u64, Held>,
    /// The lowest seq behind a jump that was not held for want of room.
    unheld: Option<u64>,
    end: Option<HeldEnd>,
    /// A later epoch of the lane has begun; why this one's end is missing.
    superseded: Option<Cause>,
    pub(super) waiting: Option<Waiting>,
}

impl EpochProgress {
    /// As a state has it, its gaps aside.
    pub(super) fn of(mark: &EpochMark) -> Self {
        Self {
            mark: mark.mark,
            closed: mark.closed,
            quarantined: mark.quarantined,
            nonce: mark.nonce,
            other_openings: mark.other_openings.clone(),
            readings_elsewhere: mark.readings_elsewhere,
            gaps_elsewhere: mark.gaps_elsewhere,
            ..Self::default()
        }
    }

    /// Whether an end or a gap that a record tells of is the epoch's own. Those of another opening are not believed: another
    /// copy of the data folder ends where it ends, and what it lost this one may still bring.
    pub(super) fn believes(&mut self, nonce: EpochNonce, taking: &mut Taking) -> bool {
        let is_own = self.is_own(nonce);
        taking.foreign += u64::from(!is_own);
        is_own
    }

    /// Whether a record's opening is the epoch's. The first that is known is; a record that names none is believed.
    fn is_own(&mut self, nonce: EpochNonce) -> bool {
        if self.nonce == EpochNonce::UNKNOWN.0 {
            self.nonce = nonce.0;
        }
        nonce == EpochNonce::UNKNOWN || nonce.0 == self.nonce
    }

    /// Readings that another opening numbered alike: another copy of the data folder. Each is quarantined once.
    fn of_another_opening(
        &mut self,
        batch: &SeriesBatch,
        seqs: RangeInclusive<u64>,
        taking: &mut Taking,
    ) {
        let (first, last) = seqs.into_inner();
        let mark = self
            .other_openings
            .get(&batch.nonce.0)
            .copied()
            .unwrap_or(0);
        if mark > 0 || self.other_openings.len() < OTHER_OPENINGS_MAX {
            self.other_openings.insert(batch.nonce.0, mark.max(last));
        }
        taking.duplicates += mark.min(last).saturating_add(1).saturating_sub(first);
        taking
            .refused
            .extend(slice(batch, first.max(mark + 1)..=last).map(|batch| (batch, ANOTHER_OPENING)));
    }

    /// Takes what is new of a batch that is not empty.
    pub(super) fn batch(&mut self, batch: SeriesBatch, offset: Offset, taking: &mut Taking) {
        let Some(last) = batch.last_seq() else { return };
        let (first, last) = (batch.first_seq.0, last.0);
        if !self.is_own(batch.nonce) {
            return self.of_another_opening(&batch, first..=last, taking);
        }
        self.below(&batch, first..=last.min(self.mark), taking);
        if last <= self.mark {
            return;
        }
        let start = first.max(self.mark + 1);
        if self.closed {
            self.behind_the_end(&batch, start..=last, taking);
        } else if start == self.mark + 1 {
            self.mark = last;
            if start == first {
                taking.taken.push(batch);
            } else {
                taking.taken.extend(slice(&batch, start..=last));
            }
        } else {
            let bytes = batch_bytes(&batch);
            self.hold(first, HeldWhat::Batch(batch), bytes, offset, taking);
            return;
        }
        self.settle(taking);
    }

    /// Seqs up to the mark: those in open gaps are taken, those in final ones refused, all others known.
    fn below(&mut self, batch: &SeriesBatch, seqs: RangeInclusive<u64>, taking: &mut Taking) {
        if seqs.is_empty() {
            return;
        }
        let mut new = 0;
        for refused in self.holes.given_up(&seqs) {
            new += refused.end() - refused.start() + 1;
            taking.refused.extend(
                slice(batch, refused)
                    .map(|batch| (batch, "it lies in a gap that has become final")),
            );
        }
        for filled in self.holes.fill(&seqs) {
            new += filled.end() - filled.start() + 1;
            taking.taken.extend(slice(batch, filled));
        }
        taking.duplicates += seqs.end() - seqs.start() + 1 - new;
    }

    /// Seqs behind the mark of a closed epoch: they may lie in its gap of unknown end.
    fn behind_the_end(
        &mut self,
        batch: &SeriesBatch,
        seqs: RangeInclusive<u64>,
        taking: &mut Taking,
    ) {
        if self.reaches_into_tail(&seqs) {
            taking.taken.extend(slice(batch, seqs));
        } else {
            taking.refused.extend(
                slice(batch, seqs).map(|batch| (batch, "it lies behind the end of its epoch")),
            );
        }
    }

    /// Takes these seqs out of the closed epoch's gap of unknown end; answers whether there is one.
    fn reaches_into_tail(&mut self, seqs: &RangeInclusive<u64>) -> bool {
        let Some(tail) = self.holes.take_tail(self.mark) else {
            return false;
        };
        let (start, last) = (*seqs.start(), *seqs.end());
        if start > self.mark + 1 {
            let mut before = tail.clone();
            before.last = start - 1;
            self.holes.restore(self.mark + 1, before);
        }
        if last < SEQ_UNKNOWN {
            self.holes.restore(last + 1, tail);
        }
        self.mark = last;
        true
    }

    /// Notes that these will not come, for a reason that the log tells.
    pub(super) fn told(
        &mut self,
        first: u64,
        last: u64,
        cause: Cause,
        offset: Offset,
        taking: &mut Taking,
    ) {
        if last <= self.mark || last < first || self.closed {
            return;
        }
        let start = first.max(self.mark + 1);
        if start > self.mark + 1 {
            return self.hold(
                start,
                HeldWhat::Told(last, cause),
                size_of::<Held>(),
                offset,
                taking,
            );
        }
        self.holes.open(start..=last, cause, taking.now.micros());
        self.mark = last;
        self.settle(taking);
    }

    /// Takes an end record.
    pub(super) fn ended(&mut self, last: LastSeq, offset: Offset, taking: &mut Taking) {
        let end = match last {
            LastSeq::Known(last) => End {
                last: last.map_or(0, |seq| seq.0),
                more: More::None,
            },
            LastSeq::Unknown { at_least } => End {
                last: at_least.map_or(0, |seq| seq.0),
                more: More::Unknown,
            },
        };
        if self.closed {
            return self.end_is_known_now(end);
        }
        if end.last > self.mark {
            let new = HeldEnd {
                end,
                offset,
                since: taking.now.up,
                cause: taking.cause,
            };
            // Read again, it has waited since it was first read.
            self.end = Some(self.end.map_or(new, |held| HeldEnd {
                end: held.end.with(end),
                offset: held.offset.min(offset),
                ..held
            }));
            self.wait(taking.now.up);
            return;
        }
        self.close(end, taking);
        self.settle(taking);
    }

    /// The end record of an epoch that was closed without one comes late.
    fn end_is_known_now(&mut self, end: End) {
        if end.more == More::Unknown {
            return;
        }
        if let Some(mut tail) = self.holes.take_tail(self.mark)
            && end.last > self.mark
        {
            tail.last = end.last;
            self.holes.restore(self.mark + 1, tail);
            self.mark = end.last;
        }
    }

    /// Ends at the mark, or nobody knows where.
    fn close(&mut self, end: End, taking: &mut Taking) {
        if end.more == More::Unknown {
            let why = self.superseded.unwrap_or(Cause::Unfinished);
            self.holes
                .open(self.mark + 1..=SEQ_UNKNOWN, why, taking.now.micros());
        }
        self.closed = true;
    }

    /// A later epoch has begun without this one's end record.
    pub(super) fn supersede(&mut self, taking: &mut Taking) {
        if self.closed {
            return;
        }
        let why = if taking.cause == Cause::Damaged {
            Cause::Damaged
        } else {
            Cause::Unfinished
        };
        self.superseded.get_or_insert(why);
        self.wait(taking.now.up);
    }

    fn wait(&mut self, now: Duration) {
        self.waiting.get_or_insert(Waiting {
            since: now,
            reread: None,
        });
    }

    fn hold(
        &mut self,
        first: u64,
        what: HeldWhat,
        bytes: usize,
        offset: Offset,
        taking: &mut Taking,
    ) {
        let Moment {
            up: since,
            clock: read_at,
        } = taking.now;
        let cause = taking.cause;
        self.wait(since);
        if let Some(held) = self.held.get_mut(&first) {
            // The same record read again, or sent again: the longer one counts.
            if last_of(&what, first) > last_of(&held.what, first)
                && bytes <= taking.room + held.bytes
            {
                taking.held_bytes += bytes.cast_signed() - held.bytes.cast_signed();
                held.offset = held.offset.min(offset);
                (held.what, held.bytes) = (what, bytes);
            }
        } else if bytes <= taking.room {
            taking.held_bytes += bytes.cast_signed();
            self.held.insert(
                first,
                Held {
                    offset,
                    what,
                    bytes,
                    read_at,
                    since,
                    cause,
                },
            );
        } else {
            self.unheld = Some(self.unheld.map_or(first, |unheld| unheld.min(first)));
            taking.overflow = Some(
                taking
                    .overflow
                    .map_or(offset, |overflow| overflow.min(offset)),
            );
        }
    }

    /// Gives out what was held and now follows the mark.
    fn settle(&mut self, taking: &mut Taking) {
        while let Some(entry) = self
            .held
            .first_entry()
            .filter(|entry| *entry.key() <= self.mark + 1)
        {
            let (first, held) = entry.remove_entry();
            taking.freed = true;
            taking.held_bytes -= held.bytes.cast_signed();
            match held.what {
                HeldWhat::Batch(batch) => {
                    let last = last_in(&batch, first);
                    taking.duplicates += last.min(self.mark) + 1 - first;
                    taking
                        .taken
                        .extend(slice(&batch, self.mark.max(first - 1) + 1..=last));
                    self.mark = self.mark.max(last);
                }
                HeldWhat::Told(last, cause) => {
                    self.holes
                        .open(self.mark + 1..=last, cause, taking.now.micros());
                    self.mark = self.mark.max(last);
                }
                HeldWhat::Outages(outages) => self.note_behind_mark(&outages, taking),
            }
        }
        if self.unheld.is_some_and(|unheld| unheld <= self.mark + 1) {
            self.unheld = None;
            taking.freed = true;
        }
        if let Some(held) = self.end.filter(|held| held.end.last <= self.mark) {
            self.end = None;
            self.close(held.end, taking);
        }
        match self.next_obstacle(taking.cause) {
            Some(Obstacle { since, .. }) if self.waiting.is_none() => {
                self.waiting = Some(Waiting {
                    since,
                    reread: None,
                });
            }
            Some(_) => {}
            None if self.superseded.is_some() && !self.closed => {
                // It still makes progress: its end gets its full time again.
                self.waiting = Some(Waiting {
                    since: taking.now.up,
                    reread: None,
                });
            }
            None => self.waiting = None,
        }
    }

    /// What is behind the first jump; `cause` is that of what found no room.
    fn next_obstacle(&self, cause: Cause) -> Option<Obstacle> {
        let held = self.held.first_key_value();
        let held = held.map(|(first, held)| Obstacle {
            first: *first,
            since: held.since,
            cause: held.cause,
        });
        let unheld = self.unheld.zip(self.waiting);
        let unheld = unheld.map(|(first, waiting)| Obstacle {
            first,
            since: waiting.since,
            cause,
        });
        let end = self.end.map(|held| Obstacle {
            first: held.end.last + 1,
            since: held.since,
            cause: held.cause,
        });
        [held, unheld, end]
            .into_iter()
            .flatten()
            .min_by_key(|obstacle| obstacle.first)
    }

    /// What has waited since before the partition was read again is missing: jumps become gaps.
    pub(super) fn give_up(&mut self, reread_since: Duration, taking: &mut Taking) {
        let next = |epoch: &Self, cause| {
            epoch
                .next_obstacle(cause)
                .filter(|next| next.since <= reread_since)
        };
        while let Some(Obstacle { first, cause, .. }) = next(self, taking.cause) {
            self.holes
                .open(self.mark + 1..=first - 1, cause, taking.now.micros());
            self.mark = first - 1;
            self.settle(taking);
        }
        match self.next_obstacle(taking.cause) {
            Some(Obstacle { since, .. }) => {
                self.waiting = Some(Waiting {
                    since,
                    reread: None,
                })
            }
            None if self.superseded.is_some() && !self.closed => {
                self.close(
                    End {
                        last: self.mark,
                        more: More::Unknown,
                    },
                    taking,
                );
                self.waiting = None;
            }
            None => self.waiting = None,
        }
    }

    /// The lowest offset of what is held.
    pub(super) fn held_from(&self) -> Option<Offset> {
        let end = self.end.map(|held| held.offset);
        self.held.values().map(|held| held.offset).chain(end).min()
    }
}

fn last_in(batch: &SeriesBatch, first: u64) -> u64 {
    batch.last_seq().map_or(first, |last| last.0)
}

fn last_of(what: &HeldWhat, first: u64) -> u64 {
    match what {
        HeldWhat::Batch(batch) => last_in(batch, first),
        HeldWhat::Told(last, _) => *last,
        HeldWhat::Outages(outages) => outages.last_seq().map_or(first, |last| last.0),
    }
}

/// These seqs of a batch; none where there are none.
fn slice(batch: &SeriesBatch, seqs: RangeInclusive<u64>) -> Option<SeriesBatch> {
    let (first, last) = seqs.into_inner();
    let from = usize::try_from(first.checked_sub(batch.first_seq.0)?).ok()?;
    let to = usize::try_from(last.checked_sub(batch.first_seq.0)?).ok()?;
    (from <= to && to < batch.len()).then(|| batch.slice(from..to + 1))
}
