//! Which seqs of an epoch were found, in little memory: ranges where they lie together, a bit each where they do not.
//!
//! Invariants: a chunk of 65,536 seqs takes at most 8 KiB whatever lies in it, and a full one a few bytes; so a billion
//! readings take 125 MB at worst, and next to nothing where a lane's seqs are there without holes. How often a seq came is
//! not kept: only how many came again, and the first of them.

use std::collections::BTreeMap;

/// Bits of a seq that lie within its chunk.
const CHUNK_BITS: u32 = 16;
const CHUNK_LAST: u64 = (1 << CHUNK_BITS) - 1;
const WORDS: usize = 1 << (CHUNK_BITS - 6);
/// Above so many ranges a bit for each seq takes less.
const RUNS_MAX: usize = 2_048;

/// Found seqs of one epoch.
#[derive(Debug, Default, Clone)]
pub(crate) struct SeqSet {
    chunks: BTreeMap<u64, Chunk>,
    /// How many came again.
    pub(crate) doubled: u64,
    /// The lowest of those.
    pub(crate) first_doubled: Option<u64>,
}

#[derive(Debug, Clone)]
enum Chunk {
    /// Ranges, first and last, in order and apart from each other.
    Runs(Vec<(u16, u16)>),
    Bits(Box<[u64; WORDS]>),
}

impl SeqSet {
    /// None.
    pub(crate) const fn new() -> Self {
        Self {
            chunks: BTreeMap::new(),
            doubled: 0,
            first_doubled: None,
        }
    }

    /// Takes in what one file holds, in any order.
    pub(crate) fn add(&mut self, mut seqs: Vec<u64>) {
        seqs.sort_unstable();
        let mut seqs = seqs.into_iter();
        let Some(mut first) = seqs.next() else { return };
        let mut last = first;
        for seq in seqs {
            if seq == last {
                self.note_doubled(seq, 1);
            } else if seq == last + 1 {
                last = seq;
            } else {
                self.add_range(first, last);
                (first, last) = (seq, seq);
            }
        }
        self.add_range(first, last);
    }

    /// Takes in the seqs from `first` to `last`.
    pub(crate) fn add_range(&mut self, first: u64, last: u64) {
        let mut from = first;
        loop {
            let chunk = from >> CHUNK_BITS;
            let to = last.min((chunk << CHUNK_BITS) | CHUNK_LAST);
            let overlap = self
                .chunks
                .entry(chunk)
                .or_insert_with(|| Chunk::Runs(Vec::new()))
                .add(low(from), low(to));
            if let Some((doubled, count)) = overlap {
                self.note_doubled((chunk << CHUNK_BITS) | u64::from(doubled), count);
            }
            if to == last {
                return;
            }
            from = to + 1;
        }
    }

    fn note_doubled(&mut self, seq: u64, count: u64) {
        self.doubled += count;
        self.first_doubled = Some(self.first_doubled.map_or(seq, |first| first.min(seq)));
    }

    /// How many different seqs there are.
    pub(crate) fn len(&self) -> u64 {
        self.len_within(0, u64::MAX)
    }

    /// How many of them lie from `first` to `last`.
    pub(crate) fn len_within(&self, first: u64, last: u64) -> u64 {
        if first > last {
            return 0;
        }
        let chunks = self.chunks.range(first >> CHUNK_BITS..=last >> CHUNK_BITS);
        chunks
            .map(|(number, chunk)| {
                let base = number << CHUNK_BITS;
                chunk.len_within(low(first.max(base)), low(last.min(base | CHUNK_LAST)))
            })
            .sum()
    }

    /// Ranges, first and last, in order and apart from each other.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (u64, u64)> {
        let mut parts = self
            .chunks
            .iter()
            .flat_map(|(number, chunk)| {
                let base = number << CHUNK_BITS;
                chunk
                    .runs()
                    .map(move |(first, last)| (base | u64::from(first), base | u64::from(last)))
            })
            .peekable();
        std::iter::from_fn(move || {
            let (first, mut last) = parts.next()?;
            while let Some((_, next)) =
                parts.next_if(|(next, _)| last.checked_add(1) == Some(*next))
            {
                last = next;
            }
            Some((first, last))
        })
    }

    /// What it takes in memory, in bytes, without the allocator's share.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        let chunk = |chunk: &Chunk| match chunk {
            Chunk::Runs(runs) => runs.capacity() * size_of::<(u16, u16)>(),
            Chunk::Bits(_) => WORDS * size_of::<u64>(),
        };
        self.chunks
            .values()
            .map(|c| chunk(c) + size_of::<(u64, Chunk)>())
            .sum()
    }
}

fn low(seq: u64) -> u16 {
    // Only the low bits are wanted.
    (seq & CHUNK_LAST) as u16
}

impl Chunk {
    /// Answers the first seq that was there before, and how many were.
    fn add(&mut self, first: u16, last: u16) -> Option<(u16, u64)> {
        match self {
            Self::Runs(runs) => {
                let overlap = add_run(runs, first, last);
                if runs.len() > RUNS_MAX {
                    let mut bits = Box::new([0; WORDS]);
                    for (first, last) in runs.iter() {
                        set(&mut bits, *first, *last);
                    }
                    *self = Self::Bits(bits);
                }
                overlap
            }
            Self::Bits(bits) => {
                let overlap = set(bits, first, last);
                if bits.iter().all(|word| *word == u64::MAX) {
                    *self = Self::Runs(vec![(0, u16::MAX)]);
                }
                overlap
            }
        }
    }

    fn len_within(&self, first: u16, last: u16) -> u64 {
        match self {
            Self::Runs(runs) => {
                let within = runs.iter().filter(|run| run.0 <= last && run.1 >= first);
                within
                    .map(|run| u64::from(run.1.min(last) - run.0.max(first)) + 1)
                    .sum()
            }
            Self::Bits(bits) => masks(first, last)
                .map(|(word, mask)| u64::from((bits[word] & mask).count_ones()))
                .sum(),
        }
    }

    fn runs(&self) -> Box<dyn Iterator<Item = (u16, u16)> + '_> {
        match self {
            Self::Runs(runs) => Box::new(runs.iter().copied()),
            Self::Bits(bits) => {
                let is_set = |at: u16| bits[usize::from(at >> 6)] >> (at & 63) & 1 == 1;
                let mut at = Some(0_u16);
                Box::new(std::iter::from_fn(move || {
                    let first = (at?..=u16::MAX).find(|at| is_set(*at))?;
                    let end = (first..=u16::MAX).find(|at| !is_set(*at));
                    at = end;
                    Some((first, end.map_or(u16::MAX, |end| end - 1)))
                }))
            }
        }
    }
}

fn add_run(runs: &mut Vec<(u16, u16)>, first: u16, last: u16) -> Option<(u16, u64)> {
    let start = runs.partition_point(|run| u32::from(run.1) + 1 < u32::from(first));
    let touching = runs[start..].partition_point(|run| u32::from(run.0) <= u32::from(last) + 1);
    let touched = &runs[start..start + touching];
    let mut merged = (first, last);
    let mut overlap: Option<(u16, u64)> = None;
    for run in touched {
        merged = (merged.0.min(run.0), merged.1.max(run.1));
        let (from, to) = (run.0.max(first), run.1.min(last));
        if from <= to {
            let count = u64::from(to - from) + 1;
            overlap =
                Some(overlap.map_or((from, count), |(first, before)| (first, before + count)));
        }
    }
    runs.splice(start..start + touching, [merged]);
    overlap
}

/// Words, and the bits in them, from `first` to `last`.
fn masks(first: u16, last: u16) -> impl Iterator<Item = (usize, u64)> {
    (first >> 6..=last >> 6).map(move |word| {
        let from = if word == first >> 6 {
            u64::MAX << (first & 63)
        } else {
            u64::MAX
        };
        let to = if word == last >> 6 {
            u64::MAX >> (63 - (last & 63))
        } else {
            u64::MAX
        };
        (usize::from(word), from & to)
    })
}

fn set(bits: &mut [u64; WORDS], first: u16, last: u16) -> Option<(u16, u64)> {
    let mut overlap: Option<(u16, u64)> = None;
    for (word, mask) in masks(first, last) {
        let before = bits[word] & mask;
        if before != 0 {
            // A chunk has 1,024 words.
            let at = ((word as u16) << 6) | before.trailing_zeros() as u16;
            let count = u64::from(before.count_ones());
            overlap = Some(overlap.map_or((at, count), |(first, known)| (first, known + count)));
        }
        bits[word] |= mask;
    }
    overlap
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(set: &SeqSet) -> Vec<(u64, u64)> {
        set.ranges().collect()
    }

    #[test]
    fn seqs_come_in_any_order_and_doubles_are_counted() {
        let mut set = SeqSet::default();
        set.add(vec![5, 3, 4, 70_000, 65_535, 65_536]);
        assert_eq!(
            (ranges(&set), set.doubled),
            (vec![(3, 5), (65_535, 65_536), (70_000, 70_000)], 0)
        );
        set.add(vec![1, 2, 4, 4, 65_536]);
        assert_eq!(ranges(&set), [(1, 5), (65_535, 65_536), (70_000, 70_000)]);
        assert_eq!((set.doubled, set.first_doubled), (3, Some(4)));
        assert_eq!((set.len(), set.len_within(2, 65_535)), (8, 5));
    }

    /// Two sites of one lane: each file holds every other seq of it. The budget is 256 MiB for a billion.
    #[test]
    fn ten_million_seqs_at_their_worst_take_a_bit_each() {
        const SEQS: u64 = 10_000_000;
        let mut set = SeqSet::default();
        let budget = 256 * (1 << 20) * SEQS as usize / 1_000_000_000;
        for from in (1..SEQS).step_by(1_000_000) {
            set.add((from..(from + 1_000_000).min(SEQS)).step_by(2).collect());
        }
        assert!(set.bytes() <= budget, "{} of {budget} bytes", set.bytes());
        for from in (2..=SEQS).step_by(1_000_000) {
            set.add((from..=(from + 999_999).min(SEQS)).step_by(2).collect());
        }
        assert_eq!((ranges(&set), set.doubled), (vec![(1, SEQS)], 0));
        assert!(
            set.bytes() < 100_000,
            "{} bytes although there is no hole",
            set.bytes()
        );
        set.add(vec![7_777_777, 10_000_000]);
        assert_eq!((set.doubled, set.first_doubled), (2, Some(7_777_777)));
    }

    #[test]
    fn bits_say_what_ranges_say() {
        let (mut bits, mut runs) = (Box::new([0; WORDS]), Vec::new());
        for (first, last) in [
            (3, 3),
            (60, 70),
            (64, 64),
            (1_000, 1_500),
            (65_535, 65_535),
            (0, 1),
            (1_400, 1_600),
        ] {
            assert_eq!(
                set(&mut bits, first, last),
                add_run(&mut runs, first, last),
                "{first}-{last}"
            );
        }
        let bits = Chunk::Bits(bits);
        assert_eq!(bits.runs().collect::<Vec<_>>(), runs);
        assert_eq!(
            bits.len_within(62, 1_450),
            Chunk::Runs(runs).len_within(62, 1_450)
        );
    }
}
