//! Readings as rows of the `readings` table: a few batches for each site, each sorted by device, tag, event time.
//!
//! The readings of a site are cut by event time into the finest blocks of which they touch no more than [`FILES_MAX`], where
//! these are days at most, or get many rows each: a commit of the present hour makes one file, one with late readings a few
//! more, and an import of years one file or a few large ones.
//!
//! Readings are taken as they come and lie by series from then on. Within a series they come nearly sorted, so that their
//! order costs next to nothing; and what readings share (names, unit, status, lane) is kept once and not for each.

#[cfg(test)]
mod tests;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::Hash,
    sync::Arc,
};

use arrow::{
    array::{
        ArrayRef, BinaryBuilder, Float64Builder, Int16Builder, Int32Builder, Int64Builder,
        RecordBatch, StringBuilder, TimestampMicrosecondBuilder,
    },
    error::ArrowError,
};
use forebay_schemas::{
    LaneId, Reading, Series, SiteId, Status, Timestamp, Value, table::READINGS, wire::ReadingBatch,
};

use crate::{
    file::time_block::{ALL_TIME, DAYS, TimeBlock},
    table::schema::file_schema,
};

/// Into how many files the readings of a site are cut at most.
const FILES_MAX: usize = 4;

/// Blocks longer than a day are worth a file of their own if each gets so many rows on the average.
const LONG_BLOCK_ROWS_MIN: usize = 64 * 1024;

/// The rows of one file of `readings`.
#[derive(Debug, Clone)]
pub struct PartitionRows {
    /// The site.
    pub site: SiteId,
    /// The rows: the columns that stand in files.
    pub rows: RecordBatch,
}

/// Readings that are to become rows.
#[derive(Debug, Default)]
pub struct GatheredRows {
    series: HashMap<Series, Vec<Row>>,
    lanes: Shared<LaneId>,
    kinds: Shared<Kind>,
}

/// Sorts readings into files and rows.
///
/// # Errors
/// As [`GatheredRows::finish`].
pub fn partition_rows(batches: &[ReadingBatch]) -> Result<Vec<PartitionRows>, ArrowError> {
    let mut gathered = GatheredRows::default();
    batches
        .iter()
        .for_each(|batch| gathered.push(batch.clone()));
    gathered.finish()
}

/// A series and its rows.
type Run = (Series, Vec<Row>);

#[derive(Debug)]
struct Row {
    event_time: Timestamp,
    observed_micros: i64,
    epoch: u64,
    seq: u64,
    value: Option<Value>,
    lane: u32,
    kind: u32,
}

/// What most readings of a series have alike.
#[derive(Debug, PartialEq, Eq, Hash, Clone)]
struct Kind {
    unit: Option<Arc<str>>,
    status: Status,
}

/// Values that many rows share, each with its number.
#[derive(Debug)]
struct Shared<T> {
    numbers: HashMap<Arc<T>, u32>,
    values: Vec<Arc<T>>,
}

impl GatheredRows {
    /// Takes a batch. Doubles are the caller's business.
    pub fn push(&mut self, batch: ReadingBatch) {
        let ReadingBatch {
            lane,
            epoch,
            first_seq,
            readings,
            ..
        } = batch;
        let lane = self.lanes.number(lane, None);
        for (seq, reading) in (first_seq.0..).zip(readings) {
            let Reading {
                series,
                event_time,
                observed_time,
                value,
                unit,
                status,
            } = reading;
            let rows = match self.series.get_mut(&series) {
                Some(rows) => rows,
                None => self.series.entry(series).or_default(),
            };
            let last = rows.last().map(|row| row.kind);
            let kind = self.kinds.number(Kind { unit, status }, last);
            let (observed_micros, epoch) = (observed_time.micros(), epoch.0);
            rows.push(Row {
                event_time,
                observed_micros,
                epoch,
                seq,
                value,
                lane,
                kind,
            });
        }
    }

    /// The rows, by site and time.
    ///
    /// # Errors
    /// Only when a column grows beyond what Arrow can address (2 GiB of text in one file).
    pub fn finish(self) -> Result<Vec<PartitionRows>, ArrowError> {
        let Self {
            series,
            lanes,
            kinds,
        } = self;
        let mut sites: BTreeMap<SiteId, Vec<Run>> = BTreeMap::new();
        for (series, mut rows) in series {
            let order = |row: &Row| (row.event_time, row.epoch, row.seq);
            if !rows.is_sorted_by_key(order) {
                rows.sort_by_key(order);
            }
            sites
                .entry(series.site.clone())
                .or_default()
                .push((series, rows));
        }
        let rows = |mut runs: Vec<Run>| {
            runs.sort_by(|(a, _), (b, _)| a.cmp(b));
            let mut columns = Columns::with_capacity(runs.iter().map(|(_, rows)| rows.len()).sum());
            for (series, rows) in runs {
                rows.iter().for_each(|row| {
                    columns.push(&series, row, lanes.get(row.lane), kinds.get(row.kind))
                });
            }
            RecordBatch::try_new(file_schema(&READINGS), columns.finish())
        };
        let files = sites
            .into_iter()
            .flat_map(|(site, runs)| cut(runs).into_iter().map(move |runs| (site.clone(), runs)));
        files
            .map(|(site, runs)| {
                Ok(PartitionRows {
                    site,
                    rows: rows(runs)?,
                })
            })
            .collect()
    }
}

/// The runs of a site, cut by time into those of each file.
fn cut(runs: Vec<Run>) -> Vec<Vec<Run>> {
    let total: usize = runs.iter().map(|(_, rows)| rows.len()).sum();
    let is_fit = |level: &usize| {
        let blocks = blocks_at(*level, &runs);
        blocks <= FILES_MAX && (*level <= DAYS || total >= blocks * LONG_BLOCK_ROWS_MIN)
    };
    let level = (0..ALL_TIME).find(is_fit).unwrap_or(ALL_TIME);
    let block = |row: &Row| TimeBlock::at(level, row.event_time.micros());
    let mut files: BTreeMap<TimeBlock, Vec<Run>> = BTreeMap::new();
    for (series, mut rows) in runs {
        // From the end, so that a run which lies in one block, as most do, is moved and not copied.
        while let Some(last) = rows.last().map(block) {
            let of_last = match rows.partition_point(|row| block(row) < last) {
                0 => std::mem::take(&mut rows),
                before => rows.split_off(before),
            };
            files
                .entry(last)
                .or_default()
                .push((series.clone(), of_last));
        }
    }
    files.into_values().collect()
}

/// How many blocks of a level sorted runs touch; one more than [`FILES_MAX`] where there are more.
fn blocks_at(level: usize, runs: &[Run]) -> usize {
    let mut blocks = BTreeSet::new();
    for (_, rows) in runs {
        let mut rest = rows.as_slice();
        while let Some(first) = rest.first() {
            let block = TimeBlock::at(level, first.event_time.micros());
            blocks.insert(block);
            if blocks.len() > FILES_MAX {
                return blocks.len();
            }
            rest = &rest[rest
                .partition_point(|row| TimeBlock::at(level, row.event_time.micros()) <= block)..];
        }
    }
    blocks.len()
}

impl<T: Eq + Hash> Shared<T> {
    /// The number of a value; quick if it is the one that is guessed.
    fn number(&mut self, value: T, guess: Option<u32>) -> u32 {
        if let Some(guess) = guess.filter(|guess| *self.get(*guess) == value) {
            return guess;
        }
        if let Some(number) = self.numbers.get(&value) {
            return *number;
        }
        let (number, value) = (self.values.len() as u32, Arc::new(value));
        self.values.push(value.clone());
        self.numbers.insert(value, number);
        number
    }

    fn get(&self, number: u32) -> &T {
        &self.values[number as usize]
    }
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self {
            numbers: HashMap::new(),
            values: Vec::new(),
        }
    }
}

struct Columns {
    device: StringBuilder,
    tag: StringBuilder,
    event_time: TimestampMicrosecondBuilder,
    observed_time: TimestampMicrosecondBuilder,
    value: Float64Builder,
    value_int: Int64Builder,
    value_text: StringBuilder,
    value_bytes: BinaryBuilder,
    value_type: StringBuilder,
    unit: StringBuilder,
    quality: Int16Builder,
    quality_code: Int64Builder,
    quality_reason: StringBuilder,
    gateway: StringBuilder,
    lane: Int32Builder,
    epoch: Int64Builder,
    seq: Int64Builder,
}

impl Columns {
    /// Texts grow as they come: only the lengths of columns are known.
    fn with_capacity(rows: usize) -> Self {
        let text = || StringBuilder::with_capacity(rows, 0);
        Self {
            device: text(),
            tag: text(),
            event_time: TimestampMicrosecondBuilder::with_capacity(rows),
            observed_time: TimestampMicrosecondBuilder::with_capacity(rows),
            value: Float64Builder::with_capacity(rows),
            value_int: Int64Builder::with_capacity(rows),
            value_text: text(),
            value_bytes: BinaryBuilder::with_capacity(rows, 0),
            value_type: text(),
            unit: text(),
            quality: Int16Builder::with_capacity(rows),
            quality_code: Int64Builder::with_capacity(rows),
            quality_reason: text(),
            gateway: text(),
            lane: Int32Builder::with_capacity(rows),
            epoch: Int64Builder::with_capacity(rows),
            seq: Int64Builder::with_capacity(rows),
        }
    }

    fn push(&mut self, series: &Series, row: &Row, lane: &LaneId, Kind { unit, status }: &Kind) {
        self.device.append_value(series.device.as_str());
        self.tag.append_value(series.tag.as_str());
        self.event_time.append_value(row.event_time.micros());
        self.observed_time.append_value(row.observed_micros);
        self.push_value(row.value.as_ref());
        self.unit.append_option(unit.as_deref());
        self.quality.append_value(status.quality.code().into());
        self.quality_code.append_option(status.code);
        self.quality_reason.append_option(status.reason.as_deref());
        self.gateway.append_value(lane.gateway.as_str());
        // Identity is compared, never computed with: the bits are kept where a number exceeds the column's range.
        self.lane.append_value(lane.lane.0.cast_signed());
        self.epoch.append_value(row.epoch.cast_signed());
        self.seq.append_value(row.seq.cast_signed());
    }

    fn push_value(&mut self, value: Option<&Value>) {
        self.value.append_option(value.and_then(Value::as_f64));
        self.value_type
            .append_option(value.map(|v| v.value_type().name()));
        let (mut int, mut text, mut bytes) = (None, None, None);
        match value {
            Some(Value::I64(v)) => int = Some(*v),
            Some(Value::U64(v)) => match i64::try_from(*v) {
                Ok(v) => int = Some(v),
                Err(_) => text = Some(Cow::Owned(v.to_string())),
            },
            Some(Value::Text(v)) => text = Some(Cow::Borrowed(v.as_str())),
            Some(Value::Bytes(v)) => bytes = Some(v),
            Some(Value::F64(_) | Value::Bool(_)) | None => {}
        }
        self.value_int.append_option(int);
        self.value_text.append_option(text);
        self.value_bytes.append_option(bytes);
    }

    fn finish(mut self) -> Vec<ArrayRef> {
        vec![
            Arc::new(self.device.finish()),
            Arc::new(self.tag.finish()),
            Arc::new(self.event_time.finish().with_timezone("UTC")),
            Arc::new(self.observed_time.finish().with_timezone("UTC")),
            Arc::new(self.value.finish()),
            Arc::new(self.value_int.finish()),
            Arc::new(self.value_text.finish()),
            Arc::new(self.value_bytes.finish()),
            Arc::new(self.value_type.finish()),
            Arc::new(self.unit.finish()),
            Arc::new(self.quality.finish()),
            Arc::new(self.quality_code.finish()),
            Arc::new(self.quality_reason.finish()),
            Arc::new(self.gateway.finish()),
            Arc::new(self.lane.finish()),
            Arc::new(self.epoch.finish()),
            Arc::new(self.seq.finish()),
        ]
    }
}
