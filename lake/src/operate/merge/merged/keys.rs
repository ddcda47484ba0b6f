//! What orders the rows of a batch: series, time, epoch and seq.

use std::cmp::Ordering;

use arrow::{
    array::{Array as _, ArrayRef, AsArray as _, RecordBatch, StringArray},
    buffer::ScalarBuffer,
    datatypes::{Int32Type, Int64Type, TimestampMicrosecondType},
    error::ArrowError,
};

/// What tells series apart, in the order of a file.
const SERIES_COLUMNS: [&str; 2] = ["device", "tag"];
/// What orders the rows of a series; numbers all.
const PLACE_COLUMNS: [&str; 4] = ["event_time", "time_start", "epoch", "seq"];

pub(super) struct Keys {
    series: Vec<Names>,
    places: Vec<ScalarBuffer<i64>>,
    pub(super) rows: usize,
}

/// A column of names.
struct Names {
    /// The place of each row's name in `texts`; the row's own where there are none.
    keys: Option<ScalarBuffer<i32>>,
    texts: StringArray,
}

impl Keys {
    pub(super) fn of(batch: &RecordBatch) -> Result<Self, ArrowError> {
        let column = |name: &&str| batch.column_by_name(name);
        let names = SERIES_COLUMNS.iter().filter_map(column);
        let series: Vec<Names> = names.map(Names::of).collect::<Result<_, _>>()?;
        let numbers = PLACE_COLUMNS
            .iter()
            .filter_map(column)
            .filter(|_| !series.is_empty());
        let places = numbers.map(numbers_of).collect::<Result<_, _>>()?;
        Ok(Self {
            series,
            places,
            rows: batch.num_rows(),
        })
    }

    pub(super) fn compare(&self, row: usize, other: &Self, other_row: usize) -> Ordering {
        let names = self.series.iter().zip(&other.series);
        let by_name = names
            .map(|(a, b)| a.compare(row, b, other_row))
            .find(|order| order.is_ne());
        by_name.unwrap_or_else(|| {
            let numbers = self.places.iter().zip(&other.places);
            numbers
                .map(|(a, b)| a[row].cmp(&b[other_row]))
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal)
        })
    }

    pub(super) fn are_sorted(&self) -> bool {
        (1..self.rows).all(|row| self.compare(row - 1, self, row).is_le())
    }
}

impl Names {
    fn of(column: &ArrayRef) -> Result<Self, ArrowError> {
        if let Some(texts) = column.as_string_opt::<i32>() {
            return Ok(Self {
                keys: None,
                texts: texts.clone(),
            });
        }
        let coded = column.as_dictionary_opt::<Int32Type>();
        let found = coded.and_then(|coded| {
            let texts = coded.values().as_string_opt::<i32>()?.clone();
            let keys = Some(coded.keys().values().clone());
            Some(Self { keys, texts })
        });
        found.ok_or_else(|| wrong("text"))
    }

    fn compare(&self, row: usize, other: &Self, other_row: usize) -> Ordering {
        if let (Some(keys), Some(other_keys)) = (&self.keys, &other.keys)
            && keys[row] == other_keys[other_row]
            && self.shares_texts(other)
        {
            return Ordering::Equal;
        }
        self.get(row).cmp(other.get(other_row))
    }

    /// Whether the same key means the same text, because both have the texts of one page of their
    /// file.
    fn shares_texts(&self, other: &Self) -> bool {
        let (texts, others) = (&self.texts, &other.texts);
        texts.values().as_ptr() == others.values().as_ptr()
            && texts.value_offsets().as_ptr() == others.value_offsets().as_ptr()
    }

    /// The name of a row; empty where it has none.
    fn get(&self, row: usize) -> &str {
        let place = match &self.keys {
            None => row,
            Some(keys) => keys[row] as usize,
        };
        if place < self.texts.len() {
            self.texts.value(place)
        } else {
            ""
        }
    }
}

fn numbers_of(column: &ArrayRef) -> Result<ScalarBuffer<i64>, ArrowError> {
    let times = column
        .as_primitive_opt::<TimestampMicrosecondType>()
        .map(|times| times.values().clone());
    let longs = || {
        column
            .as_primitive_opt::<Int64Type>()
            .map(|longs| longs.values().clone())
    };
    times.or_else(longs).ok_or_else(|| wrong("number"))
}

fn wrong(what: &str) -> ArrowError {
    ArrowError::SchemaError(format!("a column that orders rows is no {what}"))
}
