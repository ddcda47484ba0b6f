//! Stretches of rows that are about to become a batch.
//!
//! A long stretch goes on as it lies. Columns that are dictionaries are put together by their keys:
//! of a stretch that has one text throughout, the text is looked at once.

use std::{ops::Range, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray as _, RecordBatch},
    compute::{concat_batches, interleave_record_batch},
    datatypes::{Int32Type, Schema, SchemaRef},
    error::ArrowError,
};

use super::{Current, dictionaries};
use crate::file::rows::Texts;

/// A stretch of so many rows is given out as it lies in its batch: nothing of it is copied.
const STRETCH_ALONE_ROWS: usize = 2 * 1024;
/// Shorter stretches than this, on the average, are cheaper to move row by row.
const STRETCH_ROWS_MIN: usize = 16;

#[derive(Default)]
pub(super) struct Gathered {
    batches: Vec<RecordBatch>,
    stretches: Vec<Stretch>,
    pub(super) rows: usize,
}

/// Rows of one of the gathered batches.
struct Stretch {
    batch: usize,
    rows: Range<usize>,
}

impl Gathered {
    pub(super) fn push(&mut self, current: &mut Current, rows: Range<usize>) {
        let batch = *current.gathered_as.get_or_insert_with(|| {
            self.batches.push(current.batch.clone());
            self.batches.len() - 1
        });
        self.rows += rows.len();
        self.stretches.push(Stretch { batch, rows });
    }

    pub(super) fn is_long_stretch(&self) -> bool {
        self.stretches.len() == 1 && self.rows >= STRETCH_ALONE_ROWS
    }

    pub(super) fn into_batch(self, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
        if let [Stretch { batch, rows }] = &self.stretches[..] {
            let stretch = self.batches[*batch].slice(rows.start, rows.len());
            return RecordBatch::try_new(schema.clone(), stretch.columns().to_vec());
        }
        let coded: Vec<usize> = dictionaries(schema).collect();
        let plain: Vec<usize> = (0..schema.fields().len())
            .filter(|column| !coded.contains(column))
            .collect();
        let mut moved = self.plain(schema, &plain)?.columns().to_vec().into_iter();
        let mut columns = Vec::with_capacity(schema.fields().len());
        for column in 0..schema.fields().len() {
            if coded.contains(&column) {
                columns.push(self.coded(column)?);
            } else {
                columns.extend(moved.next());
            }
        }
        RecordBatch::try_new(schema.clone(), columns)
    }

    /// These columns of the stretches, one behind the other.
    fn plain(&self, schema: &SchemaRef, columns: &[usize]) -> Result<RecordBatch, ArrowError> {
        let schema: Schema = schema.project(columns)?;
        let batches: Vec<RecordBatch> = self
            .batches
            .iter()
            .map(|batch| batch.project(columns))
            .collect::<Result<_, _>>()?;
        let stretches = self.stretches.iter();
        if self.stretches.len() * STRETCH_ROWS_MIN <= self.rows {
            let slices: Vec<RecordBatch> = stretches
                .map(|Stretch { batch, rows }| batches[*batch].slice(rows.start, rows.len()))
                .collect();
            return concat_batches(&Arc::new(schema), &slices);
        }
        let order: Vec<(usize, usize)> = stretches
            .flat_map(|Stretch { batch, rows }| rows.clone().map(move |row| (*batch, row)))
            .collect();
        interleave_record_batch(&batches.iter().collect::<Vec<_>>(), &order)
    }

    /// A column of texts that the batches have as dictionaries.
    fn coded(&self, column: usize) -> Result<ArrayRef, ArrowError> {
        let mut texts = Texts::with_capacity(self.rows);
        for Stretch { batch, rows } in &self.stretches {
            push_texts(&mut texts, self.batches[*batch].column(column), rows)?;
        }
        texts.finish()
    }
}

/// Puts rows of a column behind those that are there.
fn push_texts<'a>(
    texts: &mut Texts<'a>,
    column: &'a ArrayRef,
    rows: &Range<usize>,
) -> Result<(), ArrowError> {
    let wrong = || ArrowError::SchemaError("a column that is to be merged is no dictionary".into());
    let coded = column.as_dictionary_opt::<Int32Type>().ok_or_else(wrong)?;
    let values = coded.values().as_string_opt::<i32>().ok_or_else(wrong)?;
    let nulls = coded.nulls().filter(|nulls| nulls.null_count() > 0);
    if nulls.is_some_and(|nulls| nulls.null_count() == coded.len()) {
        texts.push(None, rows.len());
        return Ok(());
    }
    if values.is_empty() {
        return Err(wrong());
    }
    let mut row = rows.start;
    for same in coded.keys().values()[rows.clone()].chunk_by(|one, next| one == next) {
        let (key, end) = (same[0] as usize, row + same.len());
        match nulls {
            None => texts.push(Some(values.value(key)), same.len()),
            // The key of a row without a text says nothing.
            Some(nulls) => (row..end)
                .for_each(|row| texts.push(nulls.is_valid(row).then(|| values.value(key)), 1)),
        }
        row = end;
    }
    Ok(())
}
