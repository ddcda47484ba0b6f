//! Rows of several files in the order of their table's files, a batch at a time.
//!
//! Files are sorted as they are written: each is a run, and of each no more is decoded than a batch. What files hold of a
//! series mostly follows one another, so whole stretches of rows are moved, and their ends are searched for. The order does
//! not depend on the files: identity decides among equal times. A table without series keeps the order that it is given.

mod gathered;
mod keys;

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    ops::Range,
    sync::Arc,
};

use arrow::{
    array::{BooleanArray, RecordBatch},
    compute::{concat_batches, filter_record_batch, take_record_batch},
    datatypes::{DataType, Schema, SchemaRef, UInt32Type},
    error::ArrowError,
};

use crate::{LakeError, file::FileError, file::stats::times_of, table::stored::StoredFile};
use gathered::Gathered;
use keys::Keys;

/// Rows of one batch that is given out, at least, but for the last and for long stretches.
const ROWS: usize = 8 * 1024;
/// Rows that are decoded at once of all files together, and of one at least and at most.
const ROWS_OPEN: usize = 64 * 1024;
const ROWS_OPEN_MIN: usize = 1024;
const ROWS_OPEN_MAX: usize = 8 * 1024;

/// The sample by which encodings are chosen: from so many files, in so many stretches altogether, of so many rows.
const SAMPLE_FILES: usize = 8;
const SAMPLE_SLICES: usize = 8;
const SAMPLE_ROWS: usize = 1024;

/// Why a merge does not go on.
#[derive(Debug)]
pub(super) enum Stopped {
    /// A file's rows are not sorted, although that was claimed.
    OutOfOrder,
    /// Anything else.
    Failed(LakeError),
}

impl From<LakeError> for Stopped {
    fn from(error: LakeError) -> Self {
        Self::Failed(error)
    }
}

impl From<FileError> for Stopped {
    fn from(error: FileError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<ArrowError> for Stopped {
    fn from(error: ArrowError) -> Self {
        Self::Failed(error.into())
    }
}

/// How the rows of each file come to be in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// As their writer should have left them.
    AsWritten,
    /// Each file is read whole and sorted.
    Made,
}

/// All rows of the files, in order. After an error nothing more comes that could be used.
pub(super) struct Merged {
    schema: SchemaRef,
    unopened: Vec<StoredFile>,
    order: Order,
    runs: Vec<Run>,
    heads: BinaryHeap<Reverse<Head>>,
    gathered: Gathered,
}

impl Merged {
    pub(super) fn of(schema: SchemaRef, files: Vec<StoredFile>, order: Order) -> Self {
        let (runs, heads, gathered) = (Vec::new(), BinaryHeap::new(), Gathered::default());
        Self {
            schema,
            unopened: files,
            order,
            runs,
            heads,
            gathered,
        }
    }

    fn open(&mut self) -> Result<(), Stopped> {
        let files = std::mem::take(&mut self.unopened);
        let rows = (ROWS_OPEN / files.len().max(1)).clamp(ROWS_OPEN_MIN, ROWS_OPEN_MAX);
        let schema = self.schema.clone();
        let dictionaries: Vec<&str> = dictionaries(&schema)
            .map(|column| schema.field(column).name().as_str())
            .collect();
        for (number, file) in files.into_iter().enumerate() {
            let mut batches: Batches = Box::new(file.open_dictionaries(rows, &dictionaries)?);
            if self.order == Order::Made {
                let whole: Vec<_> = batches.collect::<Result<_, _>>()?;
                batches = Box::new(std::iter::once(Ok(sorted(&self.schema, &whole)?)));
            }
            self.runs.push(Run {
                batches,
                last: None,
                current: None,
            });
            self.advance(number)?;
        }
        Ok(())
    }

    /// Puts a run's next batch into the race, if it has one.
    fn advance(&mut self, number: usize) -> Result<(), Stopped> {
        let run = &mut self.runs[number];
        run.current = None;
        for batch in run.batches.by_ref() {
            let batch = batch?;
            if batch.num_rows() == 0 {
                continue;
            }
            let keys = Arc::new(Keys::of(&batch)?);
            let follows = run
                .last
                .as_ref()
                .is_none_or(|last| last.compare(last.rows - 1, &keys, 0).is_le());
            if !follows || !keys.are_sorted() {
                return Err(Stopped::OutOfOrder);
            }
            run.last = Some(keys.clone());
            run.current = Some(Current {
                batch,
                gathered_as: None,
            });
            self.heads.push(Reverse(Head {
                run: number,
                row: 0,
                keys,
            }));
            break;
        }
        Ok(())
    }

    /// Moves the stretch of rows that comes first.
    fn take(&mut self, head: Head) -> Result<(), Stopped> {
        let rows = match self.heads.peek() {
            Some(Reverse(next)) => head.row..head.rows_before(next),
            None => head.row..head.keys.rows,
        };
        let end = rows.end;
        if let Some(current) = &mut self.runs[head.run].current {
            self.gathered.push(current, rows);
        }
        if end == head.keys.rows {
            return self.advance(head.run);
        }
        self.heads.push(Reverse(Head { row: end, ..head }));
        Ok(())
    }

    fn batch(&mut self) -> Result<Option<RecordBatch>, Stopped> {
        self.open()?;
        while self.gathered.rows < ROWS && !self.gathered.is_long_stretch() {
            match self.heads.pop() {
                Some(Reverse(head)) => self.take(head)?,
                None if self.gathered.rows == 0 => return Ok(None),
                None => break,
            }
        }
        for current in self.runs.iter_mut().filter_map(|run| run.current.as_mut()) {
            current.gathered_as = None;
        }
        Ok(Some(
            std::mem::take(&mut self.gathered).into_batch(&self.schema)?,
        ))
    }
}

impl Iterator for Merged {
    type Item = Result<RecordBatch, Stopped>;

    fn next(&mut self) -> Option<Self::Item> {
        self.batch().transpose()
    }
}

/// The batches of one file.
type Batches = Box<dyn Iterator<Item = Result<RecordBatch, LakeError>> + Send>;

struct Run {
    batches: Batches,
    /// The keys of the newest batch.
    last: Option<Arc<Keys>>,
    current: Option<Current>,
}

/// The batch of a run whose rows are being moved.
struct Current {
    batch: RecordBatch,
    /// Its place among the gathered batches.
    gathered_as: Option<usize>,
}

/// The next row of a run.
struct Head {
    run: usize,
    row: usize,
    keys: Arc<Keys>,
}

impl Head {
    /// Up to which row this run comes before another's head.
    fn rows_before(&self, next: &Self) -> usize {
        let before = |row: usize| match self.keys.compare(row, &next.keys, next.row) {
            Ordering::Less => true,
            Ordering::Equal => self.run < next.run,
            Ordering::Greater => false,
        };
        // The first row is known to. Steps that double find a short stretch as fast as a long one.
        let (mut known, mut step) = (self.row, 1);
        while known + step < self.keys.rows && before(known + step) {
            known += step;
            step *= 2;
        }
        let mut open = known + 1..(known + step).min(self.keys.rows);
        while !open.is_empty() {
            let middle = open.start + open.len() / 2;
            match before(middle) {
                true => open.start = middle + 1,
                false => open.end = middle,
            }
        }
        open.start
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        self.keys
            .compare(self.row, &other.keys, other.row)
            .then(self.run.cmp(&other.run))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head {}

/// The rows with event times of a range, µs since 1970 UTC.
pub(super) fn within(rows: &RecordBatch, range: &Range<i64>) -> Result<RecordBatch, Stopped> {
    let wrong = || ArrowError::SchemaError("a file that is to be cut has no event times".into());
    let times = times_of(rows).ok_or_else(wrong)?.values();
    let marks: BooleanArray = times
        .iter()
        .map(|time| Some(range.contains(time)))
        .collect();
    Ok(filter_record_batch(rows, &marks)?)
}

/// Some rows from all over what is to be merged: each file gives a few, from another place.
pub(super) fn sample(files: &[StoredFile]) -> Result<RecordBatch, LakeError> {
    let (step, mut batches) = (files.len().div_ceil(SAMPLE_FILES), Vec::new());
    let sampled: Vec<&StoredFile> = files.iter().step_by(step.max(1)).collect();
    let slices = SAMPLE_SLICES.div_ceil(sampled.len().max(1));
    let places = slices * sampled.len();
    for (number, file) in sampled.iter().enumerate() {
        for slice in 0..slices {
            batches.extend(file.sample((slice * sampled.len() + number, places), SAMPLE_ROWS)?);
        }
    }
    let schema = batches
        .first()
        .map_or_else(|| Arc::new(Schema::empty()), RecordBatch::schema);
    Ok(concat_batches(&schema, &batches)?)
}

/// The places of the columns that are dictionaries.
fn dictionaries(schema: &Schema) -> impl Iterator<Item = usize> {
    let fields = schema.fields().iter().enumerate();
    fields.filter_map(|(column, field)| {
        matches!(field.data_type(), DataType::Dictionary(..)).then_some(column)
    })
}

/// The rows of a whole file, sorted.
fn sorted(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<RecordBatch, ArrowError> {
    let whole = concat_batches(schema, batches)?;
    let keys = Keys::of(&whole)?;
    let mut order: Vec<u32> = (0..u32::try_from(keys.rows).unwrap_or(u32::MAX)).collect();
    order.sort_by(|a, b| keys.compare(*a as usize, &keys, *b as usize));
    take_record_batch(
        &whole,
        &arrow::array::PrimitiveArray::<UInt32Type>::from_iter_values(order),
    )
}

#[cfg(test)]
mod tests;
