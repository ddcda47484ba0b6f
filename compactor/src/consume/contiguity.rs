//! What a partition's records mean for its state: which readings are new, which were there, which are missing (E4, E5).
//!
//! A pure state machine over [`StreamState`]: no clock, no I/O. Each reading is given out at most once; what is not given
//! out is a duplicate, held behind a jump, in quarantine, or a gap. The state can be taken at any time: held records lie
//! behind its next offset, so that they are read again after a restart.

mod event_times;
mod lane;
mod lost;
mod quarantined;
mod render;
mod takeover;
#[cfg(test)]
mod tests;
mod wait;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use forebay_lake::{SEQ_UNKNOWN, StreamState, TakenOver};
use forebay_schemas::{Epoch, EpochNonce, InvalidName, LaneId, Seq, wire::SeriesBatch};
use forebay_stream::{Delivered, Entry, LastSeq, Offset};

use super::{
    epoch::{EpochProgress, EpochStep},
    moment::Moment,
    seq_gaps::GapCause,
    times::Times,
};
use lane::{LaneProgress, lanes_of};
use quarantined::alone;

pub(super) use self::{quarantined::Quarantined, render::opened_gaps};

/// What does not change while a partition is consumed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// How long a jump waits before it becomes a gap.
    pub(super) gap_wait: Duration,
    /// Bytes of readings that may be held behind jumps.
    pub(super) held_bytes_max: usize,
    /// How far ahead of its gateway's clock a device's may be.
    pub(super) max_skew: Duration,
}

/// What is to be committed, what to be quarantined and what to be counted, of a record or of a wait that ended.
#[derive(Debug, Default, PartialEq)]
pub(super) struct ConsumedReadings {
    /// Readings to be committed, each batch without a gap.
    pub(super) batches: Vec<SeriesBatch>,
    pub(super) quarantine: Vec<Quarantined>,
    /// Readings that had been taken before.
    pub(super) duplicates: u64,
    /// Ends and gaps of other openings of a spool, which are not believed.
    pub(super) foreign: u64,
}

/// A gap that a record reports.
#[derive(Debug, Clone, Copy)]
struct ReportedGap {
    epoch: Epoch,
    nonce: EpochNonce,
    seqs: (Seq, Seq),
    cause: GapCause,
}

/// How far a partition has been taken.
#[derive(Debug)]
pub(super) struct Contiguity {
    rules: Rules,
    lanes: BTreeMap<LaneId, LaneProgress>,
    times: Times,
    /// Offsets whose records are in quarantine.
    quarantined: BTreeSet<u64>,
    /// Lost offsets that stand in quarantine, the latest ones.
    lost: BTreeSet<(u64, u64)>,
    /// Lanes that went on from the marks of other streams.
    taken_over: BTreeSet<TakenOver>,
    /// Where the reader stands.
    position: Offset,
    /// Everything below was taken or is held.
    high: Offset,
    /// Everything below was read before, by this or an earlier run.
    seen: Offset,
    /// Where the reader was opened, until its first record.
    opened: Option<Offset>,
    /// Up to where the stream was read since this was made.
    read: Option<Offset>,
    held_bytes: usize,
    overflow: Option<Offset>,
    freed: bool,
}

impl Contiguity {
    /// Goes on from a state.
    ///
    /// # Errors
    /// A gateway's name in the state that is none.
    pub(super) fn new(state: &StreamState, rules: Rules, now: Moment) -> Result<Self, InvalidName> {
        let lanes = lanes_of(state)?;
        let next = Offset(state.next_offset);
        let mut found = Self {
            rules,
            lanes,
            times: Times::new(&state.sites, now.micros()),
            quarantined: state.quarantined.iter().copied().collect(),
            lost: state.lost.iter().copied().collect(),
            taken_over: state.taken_over.iter().cloned().collect(),
            position: next,
            high: next,
            seen: next,
            opened: None,
            read: None,
            held_bytes: 0,
            overflow: None,
            freed: false,
        };
        found.resume_waits(now);
        Ok(found)
    }

    /// Epochs without an end record wait anew after a restart.
    fn resume_waits(&mut self, now: Moment) {
        for lane in self.lanes.values_mut() {
            let newest = lane.epochs.last_key_value().map(|(epoch, _)| *epoch);
            for (_, epoch) in lane
                .epochs
                .iter_mut()
                .filter(|(number, _)| Some(**number) != newest)
            {
                epoch.supersede(&mut EpochStep::new(GapCause::Missing, now, 0));
            }
        }
    }

    /// Where the reader stands.
    pub(super) fn position(&self) -> Offset {
        self.position
    }

    /// The lowest offset not yet taken.
    pub(super) fn next_offset(&self) -> Offset {
        let epochs = self.lanes.values().flat_map(|lane| lane.epochs.values());
        let held = epochs
            .filter_map(EpochProgress::held_from)
            .chain(self.overflow)
            .min();
        held.map_or(self.high, |held| held.min(self.high))
    }

    /// Everything below was committed with the state of now, and read by this run: the stream may forget it. An offset of
    /// another life of the stream, which a state may have, is none of it.
    pub(super) fn may_be_forgotten(&self) -> Option<Offset> {
        self.read.map(|read| read.min(self.next_offset()))
    }

    /// A reader has been opened here.
    pub(super) fn opened(&mut self, from: Offset) {
        self.position = from;
        self.opened = Some(from);
    }

    /// Takes a record.
    pub(super) fn take(&mut self, delivered: Delivered, now: Moment) -> ConsumedReadings {
        let Delivered { lane, record, .. } = delivered;
        if self.opened.take().is_some_and(|from| record.offset < from) {
            // The log is shorter than the state says: a restored one. Its offsets mean other records now (E5).
            (self.high, self.seen) = (record.offset, record.offset);
            self.quarantined.clear();
        }
        let known = record.offset < self.seen || self.quarantined.contains(&record.offset.0);
        let mut consumed = ConsumedReadings::default();
        match (record.entry, lane) {
            (entry, _) if last_seq(&entry).is_some_and(|last| last.0 >= SEQ_UNKNOWN) => {
                let raw = match entry {
                    Entry::Batch(batch) => batch.encode(),
                    Entry::Outages(outages) => outages.encode(),
                    other => format!("{other:?}").into_bytes(),
                };
                let why = "its seqs are larger than the tables can hold";
                self.quarantine(record.offset, known, raw, why.into(), &mut consumed);
            }
            (Entry::Damaged { why, .. }, lane) => {
                self.damaged(lane, record.offset..record.next, why, &mut consumed)
            }
            (Entry::Batch(batch), _) => self.batch(batch, record.offset, known, now, &mut consumed),
            (Entry::Outages(outages), _) => {
                let (lane, epoch) = (outages.lane.clone(), outages.epoch);
                self.at_epoch(&lane, epoch, now, &mut consumed, |at, step| {
                    if at.believes(outages.nonce, step) {
                        at.outages(outages, record.offset, step);
                    }
                });
            }
            (Entry::SpoolLoss { from, to, why }, Some(lane)) => {
                self.spool_loss(&lane, from..to, why, record.offset, known, &mut consumed);
            }
            (Entry::Undecodable { bytes, why }, _) => {
                self.quarantine(record.offset, known, bytes, why, &mut consumed)
            }
            (Entry::EpochEnd { epoch, nonce, last }, Some(lane)) => {
                self.at_epoch(&lane, epoch, now, &mut consumed, |at, step| {
                    if at.believes(nonce, step) {
                        at.ended(last, record.offset, step);
                    }
                })
            }
            (
                Entry::Dropped {
                    epoch,
                    nonce,
                    first_seq,
                    last_seq,
                },
                Some(lane),
            ) => {
                let gap = ReportedGap {
                    epoch,
                    nonce,
                    seqs: (first_seq, last_seq),
                    cause: GapCause::Dropped,
                };
                self.reported_gap(&lane, gap, record.offset, now, &mut consumed);
            }
            (
                Entry::Gap {
                    epoch,
                    nonce,
                    first_seq,
                    last_seq,
                    why,
                },
                Some(lane),
            ) => {
                let gap = ReportedGap {
                    epoch,
                    nonce,
                    seqs: (first_seq, last_seq),
                    cause: why.into(),
                };
                self.reported_gap(&lane, gap, record.offset, now, &mut consumed);
            }
            (
                entry @ (Entry::EpochEnd { .. }
                | Entry::Dropped { .. }
                | Entry::Gap { .. }
                | Entry::SpoolLoss { .. }),
                None,
            ) => {
                let bytes = format!("{entry:?}").into_bytes();
                self.quarantine(
                    record.offset,
                    known,
                    bytes,
                    "the record names no lane".into(),
                    &mut consumed,
                );
            }
        }
        self.position = record.next;
        self.high = self.high.max(record.next);
        self.seen = self.seen.max(record.next);
        self.read = self.read.max(Some(record.next));
        consumed
    }

    /// Takes a gap that a record reports.
    fn reported_gap(
        &mut self,
        lane: &LaneId,
        gap: ReportedGap,
        offset: Offset,
        now: Moment,
        consumed: &mut ConsumedReadings,
    ) {
        let ReportedGap {
            epoch,
            nonce,
            seqs: (first, last),
            cause,
        } = gap;
        self.at_epoch(lane, epoch, now, consumed, |at, step| {
            if at.believes(nonce, step) {
                at.reported_gap(first.0, last.0, cause, offset, step);
            }
        });
    }

    fn batch(
        &mut self,
        batch: SeriesBatch,
        offset: Offset,
        known: bool,
        now: Moment,
        consumed: &mut ConsumedReadings,
    ) {
        let (lane, epoch, count) = (batch.lane.clone(), batch.epoch, batch.len() as u64);
        let forgotten = self
            .lanes
            .get(&lane)
            .is_some_and(|lane| lane.has_forgotten(epoch.0));
        let marked = self
            .lanes
            .get(&lane)
            .is_some_and(|lane| lane.epochs.contains_key(&epoch.0));
        if forgotten && !marked {
            if known {
                consumed.duplicates += count;
            } else {
                let why = "its epoch is closed and forgotten: a restored or copied gateway, or a record sent again late";
                self.quarantine(offset, known, batch.encode(), why.into(), consumed);
            }
            return;
        }
        self.at_epoch(&lane, epoch, now, consumed, |at, step| {
            at.batch(batch, offset, step)
        });
    }

    /// Quarantines a whole record, once.
    fn quarantine(
        &mut self,
        offset: Offset,
        known: bool,
        raw: Vec<u8>,
        why: String,
        consumed: &mut ConsumedReadings,
    ) {
        if !known {
            self.quarantined.insert(offset.0);
            consumed.quarantine.push(Quarantined {
                key: format!("record {offset}"),
                why,
                lane: None,
                at: offset.0,
                raw,
                detail: None,
            });
        }
    }

    /// Does something to an epoch that is not forgotten, and to its lane what follows.
    fn at_epoch(
        &mut self,
        id: &LaneId,
        number: Epoch,
        now: Moment,
        consumed: &mut ConsumedReadings,
        act: impl FnOnce(&mut EpochProgress, &mut EpochStep),
    ) {
        let room = self.rules.held_bytes_max.saturating_sub(self.held_bytes);
        let lane = self.lane(id);
        if lane.has_forgotten(number.0) && !lane.epochs.contains_key(&number.0) {
            return;
        }
        let mut step = EpochStep::new(lane.cause(), now, room);
        let begins = !lane.epochs.contains_key(&number.0);
        let at = lane.epochs.entry(number.0).or_default();
        let gaps_before = at.gaps.count();
        act(at, &mut step);
        if at.gaps.count() != gaps_before || !step.batches.is_empty() {
            lane.damaged = false;
        }
        if begins {
            let earlier = lane.epochs.range_mut(..number.0);
            earlier.for_each(|(_, epoch)| epoch.supersede(&mut step));
            if lane
                .epochs
                .last_key_value()
                .is_some_and(|(newest, _)| *newest > number.0)
                && let Some(at) = lane.epochs.get_mut(&number.0)
            {
                at.supersede(&mut step);
            }
        }
        self.absorb(step, consumed);
    }

    /// Turns what a step of epochs gave into what is to be committed and quarantined.
    fn absorb(&mut self, step: EpochStep, consumed: &mut ConsumedReadings) {
        consumed.duplicates += step.duplicates;
        consumed.foreign += step.foreign;
        let now = step.now;
        for (batch, why) in step.refused {
            // Not counted at the epoch: these seqs are behind its mark or in a gap that stays.
            for (seq, reading) in (batch.first_seq.0..).zip(batch.readings()) {
                consumed.quarantine.push(alone(&batch, seq, reading, why));
            }
        }
        for batch in step.batches {
            self.keep_plausible(batch, now, consumed);
        }
        self.overflow = match (self.overflow, step.overflow) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.freed |= step.freed;
        self.held_bytes = self.held_bytes.saturating_add_signed(step.held_bytes);
    }
}

/// The last seq that a record names.
fn last_seq(entry: &Entry<SeriesBatch>) -> Option<Seq> {
    match entry {
        Entry::Batch(batch) => batch.last_seq(),
        Entry::Outages(outages) => outages.last_seq(),
        Entry::EpochEnd {
            last: LastSeq::Known(last) | LastSeq::Unknown { at_least: last },
            ..
        } => *last,
        Entry::Dropped { last_seq, .. } | Entry::Gap { last_seq, .. } => Some(*last_seq),
        Entry::Damaged { .. } | Entry::SpoolLoss { .. } | Entry::Undecodable { .. } => None,
    }
}
