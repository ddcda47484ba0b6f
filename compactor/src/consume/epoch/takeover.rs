//! An epoch that goes on from what another stream took of it, and what of it this stream brought itself (ADR 0018).

use std::cmp::Reverse;

use forebay_schemas::Seq;
use forebay_stream::LastSeq;

use super::{
    EpochProgress, EpochStep, HeldWhat,
    end::{HeldEnd, More},
};

impl EpochProgress {
    /// Goes on from what another stream took of this epoch, if that is more; answers whether it is.
    pub(in crate::consume) fn take_over(&mut self, other: Self, step: &mut EpochStep) -> bool {
        let knowledge = |epoch: &Self| {
            (
                epoch.mark,
                epoch.closed,
                Reverse(epoch.gaps.seqs_up_to(epoch.mark)),
            )
        };
        let is_anothers = self.nonce != 0 && other.nonce != 0 && self.nonce != other.nonce;
        if is_anothers || knowledge(&other) <= knowledge(self) {
            return false;
        }
        let (readings, gaps) = (self.readings_brought(), self.gaps_brought());
        let held = std::mem::take(&mut self.held);
        let (end, unheld) = (self.end.take(), self.unheld.take());
        *self = Self {
            superseded: self.superseded,
            unheld,
            ..other
        };
        // Before what was held is taken: that is this stream's.
        self.readings_elsewhere = self.readings().saturating_sub(readings);
        self.gaps_elsewhere = self.gaps.count().saturating_sub(gaps);
        for (first, held) in held {
            step.freed = true;
            step.held_bytes -= held.bytes.cast_signed();
            match held.what {
                HeldWhat::Batch(batch) => self.batch(batch, held.offset, step),
                HeldWhat::Gap(last, cause) => {
                    self.reported_gap(first, last, cause, held.offset, step)
                }
                HeldWhat::Outages(outages) => self.outages(outages, held.offset, step),
            }
        }
        if let Some(HeldEnd { end, offset, .. }) = end {
            let seq = (end.last > 0).then_some(Seq(end.last));
            let last = match end.more {
                More::None => LastSeq::Known(seq),
                More::Unknown => LastSeq::Unknown { at_least: seq },
            };
            self.ended(last, offset, step);
        }
        self.settle(step);
        true
    }

    /// How many readings up to the mark the table holds.
    fn readings(&self) -> u64 {
        self.mark
            .saturating_sub(self.gaps.seqs_up_to(self.mark))
            .saturating_sub(self.quarantined)
    }

    /// How many of them this stream brought.
    pub(in crate::consume) fn readings_brought(&self) -> u64 {
        self.readings().saturating_sub(self.readings_elsewhere)
    }

    /// How many of the gaps count in this stream's state.
    pub(in crate::consume) fn gaps_brought(&self) -> u64 {
        self.gaps.count().saturating_sub(self.gaps_elsewhere)
    }
}
