//! One epoch of one lane: what was taken, what is missing, what is held behind a jump (E4).
//!
//! Pure. Every seq up to the mark was given out once, stands in a gap, or went to quarantine; what is held lies behind it.

mod end;
mod held;
mod outages;
mod takeover;

use std::{collections::BTreeMap, ops::RangeInclusive};

use forebay_lake::{EpochMark, SEQ_UNKNOWN};
use forebay_schemas::{EpochNonce, wire::SeriesBatch};
use forebay_stream::Offset;

use super::{
    moment::Moment,
    seq_gaps::{GapCause, SeqGaps},
    size::batch_bytes,
};
use end::HeldEnd;
use held::{Held, Waiting};

pub(super) use self::held::HeldWhat;

/// So many other openings of one epoch are told apart over restarts.
const OTHER_OPENINGS_MAX: usize = 16;

const ANOTHER_OPENING: &str = "another opening of this gateway's spool has numbered other readings alike: a restored or copied \
                               data folder";

/// One step of epochs, by a record or the end of a wait: what it needs to know, and what it gave.
#[derive(Debug)]
pub(super) struct EpochStep {
    pub(super) now: Moment,
    /// Why the next jump is there.
    pub(super) cause: GapCause,
    /// Bytes that may still be held.
    pub(super) room: usize,
    /// By how much what is held has grown.
    pub(super) held_bytes: isize,
    /// Readings taken, each batch without a gap.
    pub(super) batches: Vec<SeriesBatch>,
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

impl EpochStep {
    pub(super) fn new(cause: GapCause, now: Moment, room: usize) -> Self {
        Self {
            now,
            cause,
            room,
            held_bytes: 0,
            batches: Vec::new(),
            refused: Vec::new(),
            duplicates: 0,
            overflow: None,
            freed: false,
            foreign: 0,
        }
    }
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
    /// How many of the readings up to the mark, and how many of the gaps, other streams' states count.
    pub(super) readings_elsewhere: u64,
    pub(super) gaps_elsewhere: u64,
    pub(super) gaps: SeqGaps,
    pub(super) held: BTreeMap<u64, Held>,
    /// The lowest seq behind a jump that was not held for want of room.
    unheld: Option<u64>,
    end: Option<HeldEnd>,
    /// A later epoch of the lane has begun; why this one's end is missing.
    superseded: Option<GapCause>,
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
    pub(super) fn believes(&mut self, nonce: EpochNonce, step: &mut EpochStep) -> bool {
        let is_own = self.is_own(nonce);
        step.foreign += u64::from(!is_own);
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
        step: &mut EpochStep,
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
        step.duplicates += mark.min(last).saturating_add(1).saturating_sub(first);
        step.refused
            .extend(slice(batch, first.max(mark + 1)..=last).map(|batch| (batch, ANOTHER_OPENING)));
    }

    /// Takes what is new of a batch that is not empty.
    pub(super) fn batch(&mut self, batch: SeriesBatch, offset: Offset, step: &mut EpochStep) {
        let Some(last) = batch.last_seq() else { return };
        let (first, last) = (batch.first_seq.0, last.0);
        if !self.is_own(batch.nonce) {
            return self.of_another_opening(&batch, first..=last, step);
        }
        self.below(&batch, first..=last.min(self.mark), step);
        if last <= self.mark {
            return;
        }
        let start = first.max(self.mark + 1);
        if self.closed {
            self.behind_the_end(&batch, start..=last, step);
        } else if start == self.mark + 1 {
            self.mark = last;
            if start == first {
                step.batches.push(batch);
            } else {
                step.batches.extend(slice(&batch, start..=last));
            }
        } else {
            let bytes = batch_bytes(&batch);
            self.hold(first, HeldWhat::Batch(batch), bytes, offset, step);
            return;
        }
        self.settle(step);
    }

    /// Seqs up to the mark: those in open gaps are taken, those in final ones refused, all others known.
    fn below(&mut self, batch: &SeriesBatch, seqs: RangeInclusive<u64>, step: &mut EpochStep) {
        if seqs.is_empty() {
            return;
        }
        let mut new = 0;
        for refused in self.gaps.given_up(&seqs) {
            new += refused.end() - refused.start() + 1;
            step.refused.extend(
                slice(batch, refused)
                    .map(|batch| (batch, "it lies in a gap that has become final")),
            );
        }
        for filled in self.gaps.fill(&seqs) {
            new += filled.end() - filled.start() + 1;
            step.batches.extend(slice(batch, filled));
        }
        step.duplicates += seqs.end() - seqs.start() + 1 - new;
    }

    /// Seqs behind the mark of a closed epoch: they may lie in its gap of unknown end.
    fn behind_the_end(
        &mut self,
        batch: &SeriesBatch,
        seqs: RangeInclusive<u64>,
        step: &mut EpochStep,
    ) {
        if self.reaches_into_tail(&seqs) {
            step.batches.extend(slice(batch, seqs));
        } else {
            step.refused.extend(
                slice(batch, seqs).map(|batch| (batch, "it lies behind the end of its epoch")),
            );
        }
    }

    /// Takes these seqs out of the closed epoch's gap of unknown end; answers whether there is one.
    fn reaches_into_tail(&mut self, seqs: &RangeInclusive<u64>) -> bool {
        let Some(tail) = self.gaps.take_tail(self.mark) else {
            return false;
        };
        let (start, last) = (*seqs.start(), *seqs.end());
        if start > self.mark + 1 {
            let mut before = tail.clone();
            before.last = start - 1;
            self.gaps.restore(self.mark + 1, before);
        }
        if last < SEQ_UNKNOWN {
            self.gaps.restore(last + 1, tail);
        }
        self.mark = last;
        true
    }

    /// Notes that these will not come, for a reason that the log tells.
    pub(super) fn reported_gap(
        &mut self,
        first: u64,
        last: u64,
        cause: GapCause,
        offset: Offset,
        step: &mut EpochStep,
    ) {
        if last <= self.mark || last < first || self.closed {
            return;
        }
        let start = first.max(self.mark + 1);
        if start > self.mark + 1 {
            return self.hold(
                start,
                HeldWhat::Gap(last, cause),
                size_of::<Held>(),
                offset,
                step,
            );
        }
        self.gaps.open(start..=last, cause, step.now.micros());
        self.mark = last;
        self.settle(step);
    }
}

/// These seqs of a batch; none where there are none.
fn slice(batch: &SeriesBatch, seqs: RangeInclusive<u64>) -> Option<SeriesBatch> {
    let (first, last) = seqs.into_inner();
    let from = usize::try_from(first.checked_sub(batch.first_seq.0)?).ok()?;
    let to = usize::try_from(last.checked_sub(batch.first_seq.0)?).ok()?;
    (from <= to && to < batch.len()).then(|| batch.slice(from..to + 1))
}
