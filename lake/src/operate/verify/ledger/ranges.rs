//! Differences of ranges of seqs, without keeping any of them.

use std::iter::Peekable;

/// First and last seq.
pub(super) type Range = (u64, u64);

/// How many seqs are in a range.
pub(super) fn len((first, last): Range) -> u64 {
    last - first + 1
}

/// What of some ranges is not in others; both ascend and are apart from each other.
pub(super) struct Without<A, B: Iterator<Item = Range>> {
    from: A,
    minus: Peekable<B>,
    rest: Option<Range>,
}

pub(super) fn without<A, B>(from: A, minus: B) -> Without<A, B::IntoIter>
where
    A: Iterator<Item = Range>,
    B: IntoIterator<Item = Range>,
{
    Without {
        from,
        minus: minus.into_iter().peekable(),
        rest: None,
    }
}

impl<A: Iterator<Item = Range>, B: Iterator<Item = Range>> Iterator for Without<A, B> {
    type Item = Range;

    fn next(&mut self) -> Option<Range> {
        loop {
            let (first, last) = self.rest.take().or_else(|| self.from.next())?;
            while self.minus.next_if(|(_, end)| *end < first).is_some() {}
            let Some((cut_first, cut_last)) = self
                .minus
                .peek()
                .copied()
                .filter(|(begin, _)| *begin <= last)
            else {
                return Some((first, last));
            };
            self.rest = (cut_last < last).then(|| (cut_last + 1, last));
            if cut_first > first {
                return Some((first, cut_first - 1));
            }
        }
    }
}

/// Ranges that may overlap, in ascending order and apart from each other.
pub(super) fn joined(ranges: impl IntoIterator<Item = Range>) -> Vec<Range> {
    let mut ranges: Vec<Range> = ranges
        .into_iter()
        .filter(|(first, last)| first <= last)
        .collect();
    ranges.sort_unstable();
    let mut out: Vec<Range> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match out.last_mut() {
            Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
            _ => out.push((first, last)),
        }
    }
    out
}
