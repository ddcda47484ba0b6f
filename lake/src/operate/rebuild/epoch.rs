//! One epoch, as the tables tell it. Pure.
//!
//! Each seq up to the mark is a reading, lies in a gap that has its row, is in quarantine, was deleted for its age, or lies in a
//! gap that is found here. Of deleted readings only their number is known (ADR 0038): the lowest that nothing else explains
//! are taken for them, since they are the oldest, and what may still come is the newest.

use std::collections::BTreeMap;

use forebay_schemas::Timestamp;

use super::found::{GapRow, Range};
use crate::{
    Gap, GapState, SEQ_UNKNOWN,
    operate::verify::{EpochKey, SeqSet},
};

/// Why seqs are absent of which no table says why.
const MISSING: &str = "missing";

pub(super) static NO_SEQS: SeqSet = SeqSet::new();
pub(super) static NO_GAPS: BTreeMap<Range, GapRow> = BTreeMap::new();

/// What the tables hold of an epoch.
pub(super) struct Epoch<'a> {
    pub(super) key: &'a EpochKey,
    pub(super) readings: &'a SeqSet,
    /// Open and final gaps.
    pub(super) gaps: &'a BTreeMap<Range, GapRow>,
    /// Seqs in quarantine.
    pub(super) quarantined: &'a SeqSet,
    /// How many readings retention has deleted.
    pub(super) expired: u64,
}

/// What follows for the epoch's state.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) mark: u64,
    pub(super) quarantined: u64,
    pub(super) gaps: Vec<Gap>,
    /// Those without a row.
    pub(super) untold: Vec<Gap>,
    /// It has ended without anybody knowing where.
    pub(super) has_tail: bool,
    /// Deleted readings whose place is still to be found.
    expired: u64,
}

impl Epoch<'_> {
    /// The last seq that was taken or given up. What is in quarantine alone proves nothing: another opening of the spool may have
    /// numbered it.
    fn mark(&self) -> u64 {
        let gaps = self
            .gaps
            .keys()
            .map(|(_, last)| *last)
            .filter(|last| *last != SEQ_UNKNOWN)
            .max();
        let readings = self.readings.ranges().last().map(|(_, last)| last);
        gaps.max(readings).unwrap_or(0)
    }

    /// Whether so many seqs up to a mark are accounted for: readings, gaps and quarantine.
    pub(super) fn holds(&self, mark: u64, absent: u64) -> bool {
        self.readings.len_within(1, mark) + absent + self.expired >= mark
    }

    /// Explains every seq up to the mark, which is known to be at least `reached`.
    pub(super) fn told(&self, reached: u64, now: Timestamp) -> Told {
        let mark = self.mark().max(reached);
        let mut told = Told {
            mark,
            expired: self.expired,
            ..Told::default()
        };
        let quarantined: Vec<Range> = self.quarantined.ranges().collect();
        let mut next = 1;
        for (first, last) in self.readings.ranges().chain([(mark + 1, mark + 1)]) {
            self.absent(next, first.saturating_sub(1), &quarantined, now, &mut told);
            next = last + 1;
        }
        // Those that nothing was left of before it lay behind it.
        told.mark += std::mem::take(&mut told.expired);
        if let Some((range, row)) = self.gaps.get_key_value(&(told.mark + 1, SEQ_UNKNOWN)) {
            told.gaps.push(self.gap(*range, row));
            told.has_tail = true;
        }
        told
    }

    /// Explains the seqs from `first` to `last`, none of which is a reading.
    fn absent(
        &self,
        first: u64,
        last: u64,
        quarantined: &[Range],
        now: Timestamp,
        told: &mut Told,
    ) {
        let mut seq = first;
        while seq <= last {
            if let Some((range, row)) = self.gaps.range((seq, seq)..=(seq, last)).next_back() {
                told.gaps.push(self.gap(*range, row));
                seq = range.1 + 1;
                continue;
            }
            let at = quarantined.partition_point(|(_, last)| *last < seq);
            let refused = quarantined.get(at).filter(|(first, _)| *first <= last);
            let behind = self.gaps.range((seq + 1, 0)..).map(|(range, _)| *range);
            let row = behind
                .take_while(|(first, _)| *first <= last)
                .find(|range| range.1 <= last);
            let next_row = row.map_or(last + 1, |(first, _)| first);
            match refused {
                Some((first, refused)) if *first <= seq => {
                    let end = (*refused).min(next_row - 1);
                    told.quarantined += end - seq + 1;
                    seq = end + 1;
                }
                _ => {
                    let end = refused
                        .map_or(last, |(first, _)| first - 1)
                        .min(next_row - 1);
                    let expired = told.expired.min(end - seq + 1);
                    told.expired -= expired;
                    seq += expired;
                    if seq > end {
                        continue;
                    }
                    let gap = self.untold((seq, end), now);
                    told.gaps.push(gap.clone());
                    told.untold.push(gap);
                    seq = end + 1;
                }
            }
        }
    }

    /// A gap without a row; what is left of a larger one keeps its word.
    fn untold(&self, range: Range, now: Timestamp) -> Gap {
        let around = self
            .gaps
            .iter()
            .find(|((first, last), _)| *first <= range.0 && range.1 <= *last);
        let why = around.map_or_else(|| MISSING.to_owned(), |(_, row)| row.why.clone());
        let (opened_at, state) = (now.micros(), GapState::Open);
        self.gap(range, &GapRow::new(why, opened_at, state))
    }

    fn gap(&self, (first, last): Range, row: &GapRow) -> Gap {
        let (gateway, lane, epoch) = self.key.clone();
        let (why, opened_at, state) = (row.why.clone(), row.opened_at, row.state);
        Gap {
            gateway,
            lane,
            epoch,
            first,
            last,
            why,
            opened_at,
            state,
            extent: None,
        }
    }
}
