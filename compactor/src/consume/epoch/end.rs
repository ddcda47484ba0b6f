//! Where an epoch ends, as its end record says or as its absence does.

use std::time::Duration;

use forebay_lake::SEQ_UNKNOWN;
use forebay_stream::{LastSeq, Offset};

use super::{EpochProgress, EpochStep};
use crate::consume::seq_gaps::GapCause;

/// Where the epoch ends, behind a jump.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeldEnd {
    pub(super) end: End,
    pub(super) offset: Offset,
    pub(super) since: Duration,
    pub(super) cause: GapCause,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    /// The last seq that is known.
    pub(super) last: u64,
    /// Whether more may have followed.
    pub(super) more: More,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum More {
    Unknown,
    None,
}

impl End {
    /// What two end records say together: a last seq that is certain counts, then the higher one.
    pub(super) fn with(self, other: Self) -> Self {
        let rank = |end: &Self| (end.more == More::None, end.last);
        if rank(&other) > rank(&self) {
            other
        } else {
            self
        }
    }
}

impl EpochProgress {
    /// Takes an end record.
    pub(in crate::consume) fn ended(
        &mut self,
        last: LastSeq,
        offset: Offset,
        step: &mut EpochStep,
    ) {
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
                since: step.now.up,
                cause: step.cause,
            };
            // Read again, it has waited since it was first read.
            self.end = Some(self.end.map_or(new, |held| HeldEnd {
                end: held.end.with(end),
                offset: held.offset.min(offset),
                ..held
            }));
            self.wait(step.now.up);
            return;
        }
        self.close(end, step);
        self.settle(step);
    }

    /// The end record of an epoch that was closed without one comes late.
    pub(super) fn end_is_known_now(&mut self, end: End) {
        if end.more == More::Unknown {
            return;
        }
        if let Some(mut tail) = self.gaps.take_tail(self.mark)
            && end.last > self.mark
        {
            tail.last = end.last;
            self.gaps.restore(self.mark + 1, tail);
            self.mark = end.last;
        }
    }

    /// Ends at the mark, or nobody knows where.
    pub(super) fn close(&mut self, end: End, step: &mut EpochStep) {
        if end.more == More::Unknown {
            let why = self.superseded.unwrap_or(GapCause::Unfinished);
            self.gaps
                .open(self.mark + 1..=SEQ_UNKNOWN, why, step.now.micros());
        }
        self.closed = true;
    }

    /// A later epoch has begun without this one's end record.
    pub(in crate::consume) fn supersede(&mut self, step: &mut EpochStep) {
        if self.closed {
            return;
        }
        let why = if step.cause == GapCause::Damaged {
            GapCause::Damaged
        } else {
            GapCause::Unfinished
        };
        self.superseded.get_or_insert(why);
        self.wait(step.now.up);
    }
}
