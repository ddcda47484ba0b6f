//! The known gaps of one epoch: ranges of seqs, apart from each other.

use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use forebay_lake::{GapExtent, GapState, SEQ_UNKNOWN};
use forebay_schemas::wire::{GapWhy, Outage};

/// Why seqs are missing; the word stands in the `gaps` table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
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

impl From<GapWhy> for Cause {
    fn from(why: GapWhy) -> Self {
        match why {
            GapWhy::Expired => Self::Expired,
            GapWhy::Damaged => Self::Damaged,
            GapWhy::Refused => Self::Refused,
            GapWhy::Dropped => Self::Dropped,
        }
    }
}

impl Cause {
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

/// One gap, by its first seq.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hole {
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

impl Hole {
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

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Holes(BTreeMap<u64, Hole>);

impl Holes {
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Hole)> {
        self.0.iter().map(|(first, hole)| (*first, hole))
    }

    pub(super) fn restore(&mut self, first: u64, hole: Hole) {
        self.0.insert(first, hole);
    }

    /// Notes that these did not come; nothing where there are none.
    pub(super) fn open(&mut self, seqs: RangeInclusive<u64>, why: Cause, now_micros: i64) {
        if !seqs.is_empty() {
            let hole = Hole::new(*seqs.end(), why.word().into(), now_micros, GapState::Open);
            self.0.insert(*seqs.start(), hole);
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
        let hole = Hole::new(seq, why.as_str().to_owned(), now_micros, GapState::Final);
        self.0.insert(
            seq,
            Hole {
                extent: Some(extent),
                ..hole
            },
        );
    }

    /// The gap of unknown end that begins behind `mark`, taken out.
    pub(super) fn take_tail(&mut self, mark: u64) -> Option<Hole> {
        let open = |hole: &&Hole| hole.last == SEQ_UNKNOWN && hole.state == GapState::Open;
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
            let Some(hole) = self.0.remove(&first) else {
                continue;
            };
            let (from, to) = (first.max(*seqs.start()), hole.last.min(*seqs.end()));
            if first < from {
                self.0.insert(
                    first,
                    Hole {
                        last: from - 1,
                        ..hole.clone()
                    },
                );
            }
            if to < hole.last {
                self.0.insert(to + 1, hole);
            }
            filled.push(from..=to);
        }
        filled
    }

    /// Those of these seqs that lie in final gaps.
    pub(super) fn given_up(&self, seqs: &RangeInclusive<u64>) -> Vec<RangeInclusive<u64>> {
        let clip =
            |(first, hole): (u64, &Hole)| first.max(*seqs.start())..=hole.last.min(*seqs.end());
        self.overlapping(seqs, GapState::Final).map(clip).collect()
    }

    /// Gaps opened at `old_micros` or earlier become final once they have been so old for `believed`; `up` is the running time.
    pub(super) fn finish(&mut self, old_micros: i64, up: Duration, believed: Duration) {
        for hole in self
            .0
            .values_mut()
            .filter(|hole| hole.state == GapState::Open)
        {
            if hole.opened_at > old_micros {
                hole.old_since = None;
            } else if up.saturating_sub(*hole.old_since.get_or_insert(up)) >= believed {
                hole.state = GapState::Final;
            }
        }
    }

    pub(super) fn any_open(&self) -> bool {
        self.0.values().any(|hole| hole.state == GapState::Open)
    }

    pub(super) fn count(&self) -> u64 {
        self.0.len() as u64
    }

    /// How many seqs up to `mark` lie in gaps.
    pub(super) fn seqs_up_to(&self, mark: u64) -> u64 {
        self.0
            .range(..=mark)
            .map(|(first, hole)| hole.last.min(mark) - first + 1)
            .sum()
    }

    fn overlapping(
        &self,
        seqs: &RangeInclusive<u64>,
        state: GapState,
    ) -> impl Iterator<Item = (u64, &Hole)> {
        let start = *seqs.start();
        let upper = self.0.range(..=*seqs.end());
        upper
            .filter(move |(_, hole)| hole.last >= start && hole.state == state)
            .map(|(first, hole)| (*first, hole))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(holes: &Holes) -> Vec<(u64, u64)> {
        holes
            .iter()
            .map(|(first, hole)| (first, hole.last))
            .collect()
    }

    #[test]
    fn a_gap_gives_way_to_what_comes() {
        let mut holes = Holes::default();
        let (mark, start) = (4, 5);
        holes.open(mark + 1..=start - 1, Cause::Missing, 0);
        assert_eq!(ranges(&holes), [], "no jump, no gap");
        holes.open(3..=10, Cause::Missing, 0);
        holes.open(20..=SEQ_UNKNOWN, Cause::Unfinished, 0);
        assert_eq!(holes.fill(&(1..=4)), [3..=4]);
        assert_eq!(holes.fill(&(6..=7)), [6..=7]);
        assert_eq!(holes.fill(&(6..=7)), []);
        assert_eq!(ranges(&holes), [(5, 5), (8, 10), (20, SEQ_UNKNOWN)]);
        assert_eq!(holes.fill(&(1..=30)), [5..=5, 8..=10, 20..=30]);
        assert_eq!(ranges(&holes), [(31, SEQ_UNKNOWN)]);
    }

    #[test]
    fn a_final_gap_takes_nothing() {
        let mut holes = Holes::default();
        holes.open(3..=10, Cause::Dropped, 100);
        let seconds = Duration::from_secs;
        holes.finish(99, seconds(0), seconds(0));
        assert!(holes.any_open());
        holes.finish(100, seconds(5), seconds(10));
        holes.finish(100, seconds(14), seconds(10));
        assert!(holes.any_open());
        holes.finish(100, seconds(15), seconds(10));
        assert!(!holes.any_open());
        assert_eq!(holes.fill(&(1..=4)), []);
        assert_eq!(holes.given_up(&(1..=4)), [3..=4]);
        assert_eq!((holes.seqs_up_to(5), holes.seqs_up_to(50)), (3, 8));
    }
}
