//! The known gaps of one epoch: ranges of seqs, apart from each other.

use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use forebay_lake::{GapExtent, GapState, SEQ_UNKNOWN};
use forebay_schemas::wire::{GapWhy, Outage};

/// Why seqs are missing; the word stands in the `gaps` table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GapCause {
    /// They were given up by the spool for want of room.
    Dropped,
    /// They were older than the gateway keeps.
    Expired,
    /// They were larger than the stream takes.
    Refused,
    /// The log is damaged before the next reading.
    Damaged,
    /// They did not come.
    Missing,
    /// The epoch has no end record: nobody knows whether more followed.
    Unfinished,
}

impl From<GapWhy> for GapCause {
    fn from(why: GapWhy) -> Self {
        match why {
            GapWhy::Expired => Self::Expired,
            GapWhy::Damaged => Self::Damaged,
            GapWhy::Refused => Self::Refused,
            GapWhy::Dropped => Self::Dropped,
        }
    }
}

impl GapCause {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Dropped => "dropped",
            Self::Expired => "expired",
            Self::Refused => "refused",
            Self::Damaged => "damaged",
            Self::Missing => "missing",
            Self::Unfinished => "unfinished",
        }
    }
}

/// Seqs that are missing, by the first of them. A `Gap` of the lake is one with its place, as a state keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SeqGap {
    pub(super) last: u64,
    pub(super) why: String,
    /// µs since 1970 UTC.
    pub(super) opened_at: i64,
    /// Open or final.
    pub(super) state: GapState,
    /// Of which device and time, where its gateway told.
    pub(super) extent: Option<GapExtent>,
    /// Since when, in running time, the clock says that it is old enough to become final.
    old_since: Option<Duration>,
}

impl SeqGap {
    pub(super) fn new(last: u64, why: String, opened_at: i64, state: GapState) -> Self {
        Self {
            last,
            why,
            opened_at,
            state,
            extent: None,
            old_since: None,
        }
    }
}

/// The gaps of an epoch, each by its first seq.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SeqGaps(BTreeMap<u64, SeqGap>);

impl SeqGaps {
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &SeqGap)> {
        self.0.iter().map(|(first, gap)| (*first, gap))
    }

    pub(super) fn restore(&mut self, first: u64, gap: SeqGap) {
        self.0.insert(first, gap);
    }

    /// Notes that these did not come; nothing where there are none.
    pub(super) fn open(&mut self, seqs: RangeInclusive<u64>, why: GapCause, now_micros: i64) {
        if !seqs.is_empty() {
            let gap = SeqGap::new(*seqs.end(), why.word().into(), now_micros, GapState::Open);
            self.0.insert(*seqs.start(), gap);
        }
    }

    /// Notes an outage that stands at this seq: nothing will ever come there.
    pub(super) fn note(&mut self, seq: u64, outage: &Outage, now_micros: i64) {
        let Outage {
            site,
            device,
            from,
            to,
            why,
        } = outage;
        let extent = GapExtent {
            site: site.as_str().to_owned(),
            device: device.as_ref().map(|device| device.as_str().to_owned()),
            from: from.micros(),
            to: to.micros(),
        };
        let gap = SeqGap::new(seq, why.as_str().to_owned(), now_micros, GapState::Final);
        self.0.insert(
            seq,
            SeqGap {
                extent: Some(extent),
                ..gap
            },
        );
    }

    /// The gap of unknown end that begins behind `mark`, taken out.
    pub(super) fn take_tail(&mut self, mark: u64) -> Option<SeqGap> {
        let open = |gap: &&SeqGap| gap.last == SEQ_UNKNOWN && gap.state == GapState::Open;
        self.0.get(&(mark + 1)).filter(open)?;
        self.0.remove(&(mark + 1))
    }

    /// Takes these seqs out of open gaps: answers those that lay in one.
    pub(super) fn fill(&mut self, seqs: &RangeInclusive<u64>) -> Vec<RangeInclusive<u64>> {
        let mut filled = Vec::new();
        let touched: Vec<u64> = self
            .overlapping(seqs, GapState::Open)
            .map(|(first, _)| first)
            .collect();
        for first in touched {
            let Some(gap) = self.0.remove(&first) else {
                continue;
            };
            let (from, to) = (first.max(*seqs.start()), gap.last.min(*seqs.end()));
            if first < from {
                self.0.insert(
                    first,
                    SeqGap {
                        last: from - 1,
                        ..gap.clone()
                    },
                );
            }
            if to < gap.last {
                self.0.insert(to + 1, gap);
            }
            filled.push(from..=to);
        }
        filled
    }

    /// Those of these seqs that lie in final gaps.
    pub(super) fn given_up(&self, seqs: &RangeInclusive<u64>) -> Vec<RangeInclusive<u64>> {
        let clip =
            |(first, gap): (u64, &SeqGap)| first.max(*seqs.start())..=gap.last.min(*seqs.end());
        self.overlapping(seqs, GapState::Final).map(clip).collect()
    }

    /// Gaps opened at `old_micros` or earlier become final once they have been so old for `believed`; `up` is the running time.
    pub(super) fn finish(&mut self, old_micros: i64, up: Duration, believed: Duration) {
        for gap in self
            .0
            .values_mut()
            .filter(|gap| gap.state == GapState::Open)
        {
            if gap.opened_at > old_micros {
                gap.old_since = None;
            } else if up.saturating_sub(*gap.old_since.get_or_insert(up)) >= believed {
                gap.state = GapState::Final;
            }
        }
    }

    pub(super) fn any_open(&self) -> bool {
        self.0.values().any(|gap| gap.state == GapState::Open)
    }

    pub(super) fn count(&self) -> u64 {
        self.0.len() as u64
    }

    /// How many seqs up to `mark` lie in gaps.
    pub(super) fn seqs_up_to(&self, mark: u64) -> u64 {
        self.0
            .range(..=mark)
            .map(|(first, gap)| gap.last.min(mark) - first + 1)
            .sum()
    }

    fn overlapping(
        &self,
        seqs: &RangeInclusive<u64>,
        state: GapState,
    ) -> impl Iterator<Item = (u64, &SeqGap)> {
        let start = *seqs.start();
        let upper = self.0.range(..=*seqs.end());
        upper
            .filter(move |(_, gap)| gap.last >= start && gap.state == state)
            .map(|(first, gap)| (*first, gap))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(gaps: &SeqGaps) -> Vec<(u64, u64)> {
        gaps.iter().map(|(first, gap)| (first, gap.last)).collect()
    }

    #[test]
    fn a_gap_gives_way_to_what_comes() {
        let mut gaps = SeqGaps::default();
        let (mark, start) = (4, 5);
        gaps.open(mark + 1..=start - 1, GapCause::Missing, 0);
        assert_eq!(ranges(&gaps), [], "no jump, no gap");
        gaps.open(3..=10, GapCause::Missing, 0);
        gaps.open(20..=SEQ_UNKNOWN, GapCause::Unfinished, 0);
        assert_eq!(gaps.fill(&(1..=4)), [3..=4]);
        assert_eq!(gaps.fill(&(6..=7)), [6..=7]);
        assert_eq!(gaps.fill(&(6..=7)), []);
        assert_eq!(ranges(&gaps), [(5, 5), (8, 10), (20, SEQ_UNKNOWN)]);
        assert_eq!(gaps.fill(&(1..=30)), [5..=5, 8..=10, 20..=30]);
        assert_eq!(ranges(&gaps), [(31, SEQ_UNKNOWN)]);
    }

    #[test]
    fn a_final_gap_takes_nothing() {
        let mut gaps = SeqGaps::default();
        gaps.open(3..=10, GapCause::Dropped, 100);
        let seconds = Duration::from_secs;
        gaps.finish(99, seconds(0), seconds(0));
        assert!(gaps.any_open());
        gaps.finish(100, seconds(5), seconds(10));
        gaps.finish(100, seconds(14), seconds(10));
        assert!(gaps.any_open());
        gaps.finish(100, seconds(15), seconds(10));
        assert!(!gaps.any_open());
        assert_eq!(gaps.fill(&(1..=4)), []);
        assert_eq!(gaps.given_up(&(1..=4)), [3..=4]);
        assert_eq!((gaps.seqs_up_to(5), gaps.seqs_up_to(50)), (3, 8));
    }
}
