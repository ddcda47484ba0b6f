//! Stretches of event time by which files are laid out: hours, and what they add up to.
//!
//! Invariants: blocks of one level begin at multiples of their width since 1970 UTC and do not overlap; each lies in one
//! block of every coarser level. There are [`LEVELS`] levels, so what is bounded a level is bounded altogether.

const HOUR: i64 = 3_600_000_000;

/// Widths in µs: an hour, six, a day, eight days, and so on by eights up to 512 days.
const WIDTHS: [i64; 6] = [
    HOUR,
    6 * HOUR,
    24 * HOUR,
    192 * HOUR,
    1_536 * HOUR,
    12_288 * HOUR,
];

/// How many levels there are; the last one has a single block, all time.
pub(crate) const LEVELS: usize = WIDTHS.len() + 1;

/// The level of UTC days.
pub(crate) const DAYS: usize = 2;

/// The level whose only block is all time.
pub(crate) const ALL_TIME: usize = WIDTHS.len();

/// A block of a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TimeBlock {
    /// From 0, hours, to [`ALL_TIME`].
    pub(crate) level: usize,
    /// Counted from 1970; 0 for all time.
    number: i64,
}

impl TimeBlock {
    /// All time.
    pub(crate) const ALL: Self = Self {
        level: ALL_TIME,
        number: 0,
    };

    /// The block of a level that holds a time in µs since 1970 UTC.
    pub(crate) fn at(level: usize, micros: i64) -> Self {
        Self {
            level,
            number: WIDTHS
                .get(level)
                .map_or(0, |width| micros.div_euclid(*width)),
        }
    }

    /// The finest block that holds both ends of a range.
    pub(crate) fn of((first, last): (i64, i64)) -> Self {
        let both = |level: &usize| Self::at(*level, first) == Self::at(*level, last);
        (0..ALL_TIME)
            .find(both)
            .map_or(Self::ALL, |level| Self::at(level, first))
    }

    /// The block of a coarser level, or of the same, in which this one lies.
    pub(crate) fn within(self, level: usize) -> Self {
        match WIDTHS.get(self.level) {
            Some(width) => Self::at(level, self.number.saturating_mul(*width)),
            None => Self::ALL,
        }
    }

    /// The first time that is behind the block; `None` for all time.
    pub(crate) fn end(self) -> Option<i64> {
        WIDTHS
            .get(self.level)
            .map(|width| self.number.saturating_add(1).saturating_mul(*width))
    }

    /// Where the blocks of a level begin that hold times of a range, without the first.
    pub(crate) fn cuts(level: usize, (first, last): (i64, i64)) -> Vec<i64> {
        let Some(width) = WIDTHS.get(level) else {
            return Vec::new();
        };
        (first.div_euclid(*width) + 1..=last.div_euclid(*width))
            .map(|number| number * width)
            .collect()
    }

    /// How many blocks of a level hold times of a range.
    pub(crate) fn count(level: usize, (first, last): (i64, i64)) -> u64 {
        WIDTHS.get(level).map_or(1, |width| {
            last.div_euclid(*width).abs_diff(first.div_euclid(*width)) + 1
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * HOUR;

    #[test]
    fn a_range_lies_in_the_finest_block_that_holds_it() {
        let check = |range, level, end| {
            let block = TimeBlock::of(range);
            assert_eq!((block.level, block.end()), (level, end), "{range:?}");
            for coarser in level..LEVELS {
                assert_eq!(
                    block.within(coarser),
                    TimeBlock::at(coarser, range.1),
                    "{range:?} at {coarser}"
                );
            }
        };
        check((0, HOUR - 1), 0, Some(HOUR));
        check((HOUR, HOUR), 0, Some(2 * HOUR));
        check((0, HOUR), 1, Some(6 * HOUR));
        check((5 * HOUR, 7 * HOUR), 2, Some(DAY));
        check((0, 7 * DAY), 3, Some(8 * DAY));
        check((-1, 0), ALL_TIME, None);
        check((-HOUR, -1), 0, Some(0));
        assert!(
            WIDTHS.windows(2).all(|pair| pair[1] % pair[0] == 0),
            "coarser blocks hold whole finer ones"
        );
    }

    #[test]
    fn cuts_are_where_blocks_begin() {
        assert_eq!(TimeBlock::at(DAYS, 0).end(), Some(DAY));
        assert_eq!(TimeBlock::cuts(2, (DAY + 1, 3 * DAY)), [2 * DAY, 3 * DAY]);
        assert_eq!(TimeBlock::count(2, (DAY + 1, 3 * DAY)), 3);
        assert!(TimeBlock::cuts(2, (5, 6)).is_empty());
        assert!(TimeBlock::cuts(ALL_TIME, (0, DAY)).is_empty());
    }
}
