//! From the spool's entries to the records that are sent for them: what is missing gets its gap, and no epoch stays
//! without an end.
//!
//! Pure. Damage has no seqs of its own: how much is missing shows when the epoch goes on or ends. Where that cannot be known
//! (the epoch was begun by an earlier process) no gap is sent, and the consumer finds the jump by itself (E4). Whole epochs may
//! have lain in a damaged place: so the place itself is told too, before the record that goes on behind it.

#[cfg(test)]
mod tests;

use forebay_schemas::{
    Epoch, EpochNonce, LaneId, Seq,
    wire::{EpochEnd, Gap, GapWhy, LastSeq, SpoolLoss},
};

use super::record::{Outgoing, named};
use crate::{
    Damage, Entry, Offset, Record,
    raw::{RawBatch, RawEntry, RawRecord},
};

/// What is known of epochs that were chosen a partition.
pub(super) trait Known {
    /// Whether records of the epoch may have been sent before.
    fn begun(&self, epoch: Epoch) -> bool;
    /// Epochs before this one without an end.
    fn open_before(&self, epoch: Epoch) -> Vec<Epoch>;
}

/// How far the lane has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Course {
    running: Option<Running>,
    /// The newest epoch whose end was passed; it may still be open in what is known.
    ended: Option<Epoch>,
    /// Damage that is not told yet.
    lost: Option<Lost>,
}

/// Places of the spool that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lost {
    from: Offset,
    to: Offset,
    why: Damage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Running {
    epoch: Epoch,
    nonce: EpochNonce,
    /// The seq that comes next; `None` where it is not known.
    next: Option<Seq>,
}

impl Course {
    /// The records for what the spool holds at a place, in order; none for damage, until something follows it.
    pub(super) fn records(
        &mut self,
        lane: &LaneId,
        record: RawRecord,
        known: &impl Known,
    ) -> Vec<Outgoing> {
        let mut out = Vec::new();
        let RawRecord {
            offset,
            next,
            entry,
        } = record;
        match entry {
            RawEntry::Readings(batch) => {
                self.goes_on(lane, batch, Outgoing::Readings, known, &mut out)
            }
            RawEntry::Outages(batch) => {
                self.goes_on(lane, batch, Outgoing::Outages, known, &mut out)
            }
            RawEntry::Decoded(entry) => self.decoded(
                lane,
                Record {
                    offset,
                    next,
                    entry,
                },
                known,
                &mut out,
            ),
        }
        out
    }

    fn decoded(
        &mut self,
        lane: &LaneId,
        record: Record,
        known: &impl Known,
        out: &mut Vec<Outgoing>,
    ) {
        match record.entry {
            Entry::Batch(batch) => {
                self.goes_on(lane, RawBatch::from(&batch), Outgoing::Readings, known, out)
            }
            Entry::Outages(outages) => self.goes_on(
                lane,
                RawBatch::from(&outages),
                Outgoing::Outages,
                known,
                out,
            ),
            Entry::Dropped {
                epoch,
                nonce,
                first_seq,
                last_seq,
            } => {
                let seqs = (first_seq, last_seq);
                self.missing(lane, (epoch, nonce), seqs, GapWhy::Dropped, known, out);
            }
            Entry::Gap {
                epoch,
                nonce,
                first_seq,
                last_seq,
                why,
            } => {
                self.missing(lane, (epoch, nonce), (first_seq, last_seq), why, known, out);
            }
            Entry::EpochEnd { epoch, nonce, last } => {
                self.enter(lane, (epoch, nonce), known, out);
                if let Some(after) = named(last).and_then(|last| last.checked_add(1)) {
                    self.jump(lane, after, out);
                }
                (self.running, self.ended) = (None, Some(epoch));
                out.push(Outgoing::End(EpochEnd {
                    lane: lane.clone(),
                    epoch,
                    nonce,
                    last,
                }));
            }
            Entry::Damaged { why, .. } => {
                let from = self.lost.map_or(record.offset, |lost| lost.from);
                self.lost = Some(Lost {
                    from,
                    to: record.next,
                    why,
                });
            }
            Entry::SpoolLoss { .. } | Entry::Undecodable { .. } => {}
        }
    }

    /// Readings or outages, which `sent` makes a record of; one without any is not sent.
    fn goes_on(
        &mut self,
        lane: &LaneId,
        batch: RawBatch,
        sent: fn(RawBatch) -> Outgoing,
        known: &impl Known,
        out: &mut Vec<Outgoing>,
    ) {
        let Some(last) = batch.head.last_seq() else {
            return;
        };
        self.enter(lane, (batch.head.epoch, batch.head.nonce), known, out);
        self.jump(lane, batch.head.first_seq, out);
        self.pass(last);
        out.push(sent(batch));
    }

    /// Goes on to an epoch, or on in it. What was lost before is told; epochs before it whose ends were lost get ends that say
    /// so.
    fn enter(
        &mut self,
        lane: &LaneId,
        (epoch, nonce): (Epoch, EpochNonce),
        known: &impl Known,
        out: &mut Vec<Outgoing>,
    ) {
        if let Some(Lost { from, to, why }) = self.lost.take() {
            out.push(Outgoing::Loss(SpoolLoss {
                lane: lane.clone(),
                epoch,
                from: from.0,
                to: to.0,
                why,
            }));
        }
        if self.running.is_some_and(|running| running.epoch == epoch) {
            return;
        }
        for open in known
            .open_before(epoch)
            .into_iter()
            .filter(|open| Some(*open) > self.ended)
        {
            let running = self.running.filter(|running| running.epoch == open);
            let nonce = running.map_or(EpochNonce::UNKNOWN, |running| running.nonce);
            let last = LastSeq::Unknown {
                at_least: running.and_then(|running| before(running.next)),
            };
            out.push(Outgoing::End(EpochEnd {
                lane: lane.clone(),
                epoch: open,
                nonce,
                last,
            }));
        }
        let next = if known.begun(epoch) {
            None
        } else {
            Some(Seq::FIRST)
        };
        self.running = Some(Running { epoch, nonce, next });
    }

    /// Says that what lies between the seq that should come and the one that does was damaged.
    fn jump(&self, lane: &LaneId, comes: Seq, out: &mut Vec<Outgoing>) {
        let Some(Running {
            epoch,
            nonce,
            next: Some(next),
        }) = self.running
        else {
            return;
        };
        if let Some(last_seq) = before(Some(comes)).filter(|last| *last >= next) {
            let (lane, why) = (lane.clone(), GapWhy::Damaged);
            out.push(Outgoing::Gap(Gap {
                lane,
                epoch,
                nonce,
                first_seq: next,
                last_seq,
                why,
            }));
        }
    }

    fn missing(
        &mut self,
        lane: &LaneId,
        (epoch, nonce): (Epoch, EpochNonce),
        (first_seq, last_seq): (Seq, Seq),
        why: GapWhy,
        known: &impl Known,
        out: &mut Vec<Outgoing>,
    ) {
        self.enter(lane, (epoch, nonce), known, out);
        self.jump(lane, first_seq, out);
        // The range may begin before what was sent already.
        let first_seq = self
            .running
            .and_then(|running| running.next)
            .map_or(first_seq, |next| next.max(first_seq));
        if first_seq <= last_seq {
            out.push(Outgoing::Gap(Gap {
                lane: lane.clone(),
                epoch,
                nonce,
                first_seq,
                last_seq,
                why,
            }));
            self.pass(last_seq);
        }
    }

    fn pass(&mut self, last: Seq) {
        if let Some(running) = &mut self.running {
            running.next = last.checked_add(1);
        }
    }
}

/// The seq before; `None` before the first.
fn before(next: Option<Seq>) -> Option<Seq> {
    next.and_then(|next| next.0.checked_sub(1))
        .filter(|last| *last > 0)
        .map(Seq)
}
