//! Outages among an epoch's readings: each stands at a seq of its own, in a gap that is final from the start.

use std::ops::RangeInclusive;

use forebay_schemas::wire::Outages;
use forebay_stream::Offset;

use super::{EpochProgress, EpochStep, HeldWhat};

impl EpochProgress {
    /// Takes what is new of a record of outages.
    pub(in crate::consume) fn outages(
        &mut self,
        told: Outages,
        offset: Offset,
        step: &mut EpochStep,
    ) {
        let Some(last) = told.last_seq() else { return };
        let (first, last) = (told.first_seq.0, last.0);
        // Those that were given up for missing before they came.
        for late in self.gaps.fill(&(first..=last.min(self.mark))) {
            self.note(&told, late, step);
        }
        let start = first.max(self.mark + 1);
        if last <= self.mark {
            return;
        }
        if self.closed {
            if self.reaches_into_tail(&(start..=last)) {
                self.note(&told, start..=last, step);
            }
            return;
        }
        if start > self.mark + 1 {
            let bytes = size_of_outages(&told);
            return self.hold(first, HeldWhat::Outages(told), bytes, offset, step);
        }
        self.note_behind_mark(&told, step);
        self.settle(step);
    }

    /// Notes what lies behind the mark, which follows it.
    pub(super) fn note_behind_mark(&mut self, told: &Outages, step: &EpochStep) {
        let last = told.last_seq().map_or(0, |last| last.0);
        self.note(told, self.mark + 1..=last, step);
        self.mark = self.mark.max(last);
    }

    fn note(&mut self, told: &Outages, seqs: RangeInclusive<u64>, step: &EpochStep) {
        let now = step.now.micros();
        let numbered = (told.first_seq.0..).zip(&told.outages);
        let within = numbered.filter(|(seq, _)| seqs.contains(seq));
        within.for_each(|(seq, outage)| self.gaps.note(seq, outage, now));
    }
}

/// What a record of outages takes in memory.
fn size_of_outages(told: &Outages) -> usize {
    let names = told.outages.iter().map(|outage| {
        outage.site.as_str().len()
            + outage
                .device
                .as_ref()
                .map_or(0, |device| device.as_str().len())
    });
    size_of_val(&*told.outages) + names.sum::<usize>()
}
