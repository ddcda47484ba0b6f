//! The rows of one series as they come: columns, sorted once all are there, and cut into those of
//! each file.

use std::collections::{BTreeMap, BTreeSet};

use forebay_schemas::{Seq, Series, Timestamp, wire::SeriesBlock};

use super::{FILES_MAX, Kind, LONG_BLOCK_ROWS_MIN, Run, Shared};
use crate::file::time_block::{ALL_TIME, DAYS, TimeBlock};

/// The rows of a series. All columns are equally long.
#[derive(Debug)]
pub(super) struct SeriesRows {
    pub(super) series: Series,
    /// The place of the series that came after this one the last time.
    pub(super) follower: usize,
    /// ns since 1970 UTC: rows of one microsecond have an order, too.
    pub(super) event_times: Vec<i64>,
    /// µs since 1970 UTC.
    pub(super) observed_times: Vec<i64>,
    pub(super) seqs: Vec<u64>,
    /// As [`SeriesBlock::values`] has them; texts and bytes by their place among all that are
    /// gathered.
    pub(super) values: Vec<u64>,
    /// Number of each row's [`Kind`].
    pub(super) kinds: Vec<u32>,
}

impl SeriesRows {
    pub(super) fn new(series: Series) -> Self {
        Self {
            series,
            follower: 0,
            event_times: Vec::new(),
            observed_times: Vec::new(),
            seqs: Vec::new(),
            values: Vec::new(),
            kinds: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.kinds.len()
    }

    pub(super) fn last_kind(&self) -> Option<u32> {
        self.kinds.last().copied()
    }

    /// So many rows of a kind; [`SeriesRows::push`] brings the rest of them.
    pub(super) fn push_kinds(&mut self, kind: u32, count: usize) {
        self.kinds.resize(self.kinds.len() + count, kind);
    }

    /// The rows of a block whose batch begins at `first_seq`, and whose texts or bytes begin at
    /// `first_value`.
    pub(super) fn push(&mut self, block: &SeriesBlock<'_>, first_seq: Seq, first_value: u64) {
        self.event_times.extend_from_slice(block.event_times);
        let micros = block
            .observed_times
            .iter()
            .map(|nanos| Timestamp::from_nanos(*nanos).micros());
        self.observed_times.extend(micros);
        // A batch whose seqs go past the end of the numbers is not gathered.
        self.seqs.extend(
            block
                .positions
                .iter()
                .map(|position| first_seq.0.wrapping_add(u64::from(*position))),
        );
        self.values
            .extend(block.values.iter().map(|value| first_value + value));
    }

    /// Puts the rows into the order of their times, and of epoch and seq where these are the same.
    pub(super) fn sort(&mut self, kinds: &Shared<Kind>) {
        let order = |row: usize| {
            (
                self.event_times[row],
                kinds.get(self.kinds[row]).epoch,
                self.seqs[row],
            )
        };
        let follows = |row: usize| {
            self.event_times[row - 1] < self.event_times[row] || order(row - 1) <= order(row)
        };
        if (1..self.len()).all(follows) {
            return;
        }
        let mut rows: Vec<usize> = (0..self.len()).collect();
        rows.sort_by_key(|row| order(*row));
        self.event_times = sorted(&self.event_times, &rows);
        self.observed_times = sorted(&self.observed_times, &rows);
        self.seqs = sorted(&self.seqs, &rows);
        self.values = sorted(&self.values, &rows);
        self.kinds = sorted(&self.kinds, &rows);
    }

    fn block(&self, level: usize, row: usize) -> TimeBlock {
        block_at(level, self.event_times[row])
    }
}

fn sorted<T: Copy>(column: &[T], rows: &[usize]) -> Vec<T> {
    rows.iter().map(|row| column[*row]).collect()
}

fn block_at(level: usize, nanos: i64) -> TimeBlock {
    TimeBlock::at(level, Timestamp::from_nanos(nanos).micros())
}

/// The runs of a site, cut by time into those of each file.
pub(super) fn cut(runs: Vec<Run<'_>>) -> Vec<Vec<Run<'_>>> {
    let total: usize = runs.iter().map(|run| run.rows.len()).sum();
    let is_fit = |level: &usize| {
        let blocks = blocks_at(*level, &runs);
        blocks <= FILES_MAX && (*level <= DAYS || total >= blocks * LONG_BLOCK_ROWS_MIN)
    };
    let level = (0..ALL_TIME).find(is_fit).unwrap_or(ALL_TIME);
    let mut files: BTreeMap<TimeBlock, Vec<Run<'_>>> = BTreeMap::new();
    for run in &runs {
        for (block, part) in run.by_block(level) {
            files.entry(block).or_default().push(part);
        }
    }
    files.into_values().collect()
}

/// How many blocks of a level sorted runs touch; one more than [`FILES_MAX`] where there are more.
fn blocks_at(level: usize, runs: &[Run<'_>]) -> usize {
    let mut blocks = BTreeSet::new();
    for run in runs {
        for (block, _) in run.by_block(level) {
            blocks.insert(block);
            if blocks.len() > FILES_MAX {
                return blocks.len();
            }
        }
    }
    blocks.len()
}

impl<'a> Run<'a> {
    /// The parts of a sorted run that lie in the blocks of a level.
    fn by_block(&self, level: usize) -> impl Iterator<Item = (TimeBlock, Run<'a>)> {
        let Self { series, mut rows } = self.clone();
        std::iter::from_fn(move || {
            if rows.is_empty() {
                return None;
            }
            let block = series.block(level, rows.start);
            let times = &series.event_times[rows.clone()];
            let end = rows.start + times.partition_point(|nanos| block_at(level, *nanos) <= block);
            let part = Run {
                series,
                rows: rows.start..end,
            };
            rows.start = end;
            Some((block, part))
        })
    }
}
