//! Which readings of a lane: ranges of seqs by epoch.

use std::collections::BTreeMap;

/// Ranges of seqs of each epoch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SeqRanges {
    /// First and last seqs, in ascending order and apart from each other.
    epochs: BTreeMap<u64, Vec<(u64, u64)>>,
}

impl SeqRanges {
    /// Adds a range; what of it is there stays as it is.
    pub fn add(&mut self, epoch: u64, first: u64, last: u64) {
        let ranges = self.epochs.entry(epoch).or_default();
        match ranges.last_mut() {
            // A log is read in order: mostly it goes on where the last one ends.
            Some((_, end)) if *end == first.wrapping_sub(1) => *end = last,
            Some((_, end)) if *end < first => ranges.push((first, last)),
            None => ranges.push((first, last)),
            Some(_) => {
                ranges.push((first, last));
                *ranges = joined(std::mem::take(ranges));
            }
        }
    }

    /// Adds all of another's.
    pub fn add_all(&mut self, other: &SeqRanges) {
        for (epoch, ranges) in other.iter() {
            ranges
                .iter()
                .for_each(|(first, last)| self.add(epoch, *first, *last));
        }
    }

    /// Whether a reading is among them.
    pub fn contains(&self, epoch: u64, seq: u64) -> bool {
        let ranges = self.of(epoch);
        let begun = ranges.partition_point(|(first, _)| *first <= seq);
        begun.checked_sub(1).is_some_and(|at| seq <= ranges[at].1)
    }

    /// An epoch's ranges, in ascending order and apart from each other.
    pub fn of(&self, epoch: u64) -> &[(u64, u64)] {
        self.epochs.get(&epoch).map_or(&[], Vec::as_slice)
    }

    /// Each epoch with its ranges, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &[(u64, u64)])> {
        self.epochs
            .iter()
            .map(|(epoch, ranges)| (*epoch, ranges.as_slice()))
    }

    /// How many ranges there are.
    pub fn len(&self) -> usize {
        self.epochs.values().map(Vec::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.epochs.is_empty()
    }
}

/// Ranges in ascending order and apart from each other.
fn joined(mut ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    ranges.sort_unstable();
    let mut out: Vec<(u64, u64)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match out.last_mut() {
            Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
            _ => out.push((first, last)),
        }
    }
    out
}
