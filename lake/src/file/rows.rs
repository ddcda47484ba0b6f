//! Readings as rows of the `readings` table: a few batches for each site, each sorted by device, tag, event time.
//!
//! The readings of a site are cut by event time into the finest blocks of which they touch no more than [`FILES_MAX`], where
//! these are days at most, or get many rows each: a commit of the present hour makes one file, one with late readings a few
//! more, and an import of years one file or a few large ones.
//!
//! Readings come by series and stay so: a block's columns are appended to those of its series.
//! Within a series they come nearly sorted, so that their order costs next to nothing; and what
//! readings share (names, unit, status, lane) is kept once and looked up once a block.

mod columns;
mod series_rows;
mod shared;
#[cfg(test)]
mod tests;
mod texts;

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    sync::Arc,
};

use arrow::{array::RecordBatch, error::ArrowError};
use forebay_schemas::{
    LaneId, Series, SiteId, Status, ValueType,
    table::READINGS,
    wire::{ReadingBatch, SeriesBatch},
};

use crate::file::schema::dictionary_schema;
use columns::Columns;
use series_rows::{SeriesRows, cut};
use shared::Shared;

pub(crate) use self::{columns::DICTIONARIES, texts::Texts};

/// Into how many files the readings of a site are cut at most.
const FILES_MAX: usize = 4;

/// Blocks longer than a day are worth a file of their own if each gets so many rows on the average.
const LONG_BLOCK_ROWS_MIN: usize = 64 * 1024;

/// The rows of one file of `readings`.
#[derive(Debug, Clone)]
pub struct PartitionRows {
    /// The site.
    pub site: SiteId,
    /// The rows: the columns that stand in files. Texts that many rows share are dictionaries of
    /// 32-bit keys; in the file they are the plain columns of [`file_schema`](crate::file_schema).
    pub rows: RecordBatch,
}

/// Readings that are to become rows.
#[derive(Debug, Default)]
pub struct GatheredRows {
    numbers: HashMap<Series, usize>,
    series: Vec<SeriesRows>,
    /// The series of the block that came last.
    last: usize,
    lanes: Shared<LaneId>,
    kinds: Shared<Kind>,
    texts: Vec<String>,
    byte_strings: Vec<Vec<u8>>,
}

/// Sorts readings into files and rows.
///
/// # Errors
/// As [`GatheredRows::finish`].
pub fn partition_rows(batches: &[ReadingBatch]) -> Result<Vec<PartitionRows>, ArrowError> {
    let mut gathered = GatheredRows::default();
    batches
        .iter()
        .for_each(|batch| gathered.push(SeriesBatch::from(batch)));
    gathered.finish()
}

/// What most readings of a series have alike.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Kind {
    value_type: Option<ValueType>,
    unit: Option<Arc<str>>,
    status: Status,
    /// Number of the lane.
    lane: u32,
    epoch: u64,
}

/// Rows of one series that lie in one file.
#[derive(Debug, Clone)]
struct Run<'a> {
    series: &'a SeriesRows,
    rows: Range<usize>,
}

impl GatheredRows {
    /// Takes a batch. Doubles are the caller's business.
    pub fn push(&mut self, batch: SeriesBatch) {
        let lane = self.lanes.number(&batch.lane);
        let epoch = batch.epoch.0;
        // Texts and bytes go behind those that are there.
        let (first_text, first_bytes) = (self.texts.len() as u64, self.byte_strings.len() as u64);
        for block in batch.blocks() {
            let number = self.series_number(block.series);
            let rows = &mut self.series[number];
            let first_value = match block.value_type {
                Some(ValueType::Text) => first_text,
                Some(ValueType::Bytes) => first_bytes,
                _ => 0,
            };
            for same in block.statuses.chunk_by(|one, next| one == next) {
                let status = &batch.statuses()[same[0] as usize];
                let is_it = |kind: &Kind| {
                    kind.lane == lane
                        && kind.epoch == epoch
                        && kind.value_type == block.value_type
                        && kind.unit.as_ref() == block.unit
                        && kind.status == *status
                };
                let kind = self
                    .kinds
                    .guessed(rows.last_kind(), is_it)
                    .unwrap_or_else(|| {
                        let (value_type, unit) = (block.value_type, block.unit.cloned());
                        self.kinds.number(&Kind {
                            value_type,
                            unit,
                            status: status.clone(),
                            lane,
                            epoch,
                        })
                    });
                rows.push_kinds(kind, same.len());
            }
            rows.push(&block, batch.first_seq, first_value);
        }
        let (texts, byte_strings) = batch.into_payloads();
        self.texts.extend(texts);
        self.byte_strings.extend(byte_strings);
    }

    /// The place of a series; quick where the series follow one another as they did before.
    fn series_number(&mut self, series: &Series) -> usize {
        let guess = self.series.get(self.last).map(|last| last.follower);
        if let Some(guess) = guess.filter(|guess| self.series[*guess].series == *series) {
            self.last = guess;
            return guess;
        }
        let number = match self.numbers.get(series) {
            Some(number) => *number,
            None => {
                let number = self.series.len();
                self.series.push(SeriesRows::new(series.clone()));
                self.numbers.insert(series.clone(), number);
                number
            }
        };
        self.series[self.last].follower = number;
        self.last = number;
        number
    }

    /// The rows, by site and time.
    ///
    /// # Errors
    /// Only when a column grows beyond what Arrow can address (2 GiB of text in one file).
    pub fn finish(mut self) -> Result<Vec<PartitionRows>, ArrowError> {
        self.series
            .iter_mut()
            .for_each(|rows| rows.sort(&self.kinds));
        let mut sites: BTreeMap<&SiteId, Vec<Run<'_>>> = BTreeMap::new();
        for series in &self.series {
            sites.entry(&series.series.site).or_default().push(Run {
                series,
                rows: 0..series.len(),
            });
        }
        let mut files = Vec::new();
        for (site, mut runs) in sites {
            runs.sort_unstable_by(|one, next| one.series.series.cmp(&next.series.series));
            for runs in cut(runs) {
                files.push(PartitionRows {
                    site: site.clone(),
                    rows: self.file_rows(&runs)?,
                });
            }
        }
        Ok(files)
    }

    fn file_rows(&self, runs: &[Run<'_>]) -> Result<RecordBatch, ArrowError> {
        let mut columns = Columns::with_capacity(self, runs.iter().map(|run| run.rows.len()).sum());
        runs.iter().for_each(|run| columns.push(run));
        RecordBatch::try_new(
            dictionary_schema(&READINGS, &DICTIONARIES),
            columns.finish()?,
        )
    }
}
