//! From readings to rows of a roll-up, in memory. Pure.
//!
//! Invariant: the rows do not depend on the order in which readings come. Sums are kept as two doubles (the error-free sum of
//! Knuth, The Art of Computer Programming, volume 2, section 4.2.2, theorem B), so that a mean is the same whatever files its
//! readings lie in.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use arrow::{
    array::{
        Array as _, ArrayRef, AsArray as _, Float64Array, Int64Array, RecordBatch, StringArray,
        TimestampMicrosecondArray,
    },
    datatypes::{Float64Type, Int64Type},
};
use forebay_lake::{LakeError, file_schema};

use super::RollupLevel;
use crate::windows::Stretch;

/// Quality of a bad reading.
const BAD: i64 = 2;

/// What the readings of a series in a stretch of time are like.
#[derive(Debug, Clone, Default, PartialEq)]
struct Bucket {
    /// Numbers of good and uncertain quality.
    count: i64,
    min: f64,
    max: f64,
    sum: f64,
    /// What rounding has left out of the sum.
    rest: f64,
    last: f64,
    /// Event time, epoch and seq of the last number.
    last_at: (i64, i64, i64),
    unit: Option<Arc<str>>,
    /// Readings of bad quality.
    count_bad: i64,
}

impl Bucket {
    fn add(&mut self, value: f64, at: (i64, i64, i64)) -> Last {
        let is_first = self.count == 0;
        self.count += 1;
        self.min = if is_first { value } else { self.min.min(value) };
        self.max = if is_first { value } else { self.max.max(value) };
        self.add_to_sum(value, 0.0);
        if is_first || at > self.last_at {
            self.last = value;
            self.last_at = at;
            return Last::IsThis;
        }
        Last::IsAnother
    }

    fn add_to_sum(&mut self, sum: f64, rest: f64) {
        let total = self.sum + sum;
        let added = total - self.sum;
        let error = (self.sum - (total - added)) + (sum - added);
        self.sum = total;
        self.rest += error + rest;
    }

    /// Adds what a part of its time is like.
    fn join(&mut self, part: &Self) {
        self.count_bad += part.count_bad;
        if part.count == 0 {
            return;
        }
        if self.count == 0 {
            let count_bad = self.count_bad;
            *self = Self {
                count_bad,
                ..part.clone()
            };
            return;
        }
        self.count += part.count;
        self.min = self.min.min(part.min);
        self.max = self.max.max(part.max);
        self.add_to_sum(part.sum, part.rest);
        if part.last_at > self.last_at {
            self.last = part.last;
            self.last_at = part.last_at;
            self.unit.clone_from(&part.unit);
        }
    }

    /// `None` without numbers, and where their sum is beyond a double.
    fn mean(&self) -> Option<f64> {
        let mean = (self.sum + self.rest) / self.count as f64;
        (self.count > 0 && mean.is_finite()).then_some(mean)
    }

    fn of_numbers(&self, number: f64) -> Option<f64> {
        (self.count > 0).then_some(number)
    }
}

/// Whether a number is the last of its stretch so far.
#[derive(Debug, PartialEq, Eq)]
enum Last {
    IsThis,
    IsAnother,
}

/// Readings by series and stretch of time.
#[derive(Debug)]
pub(super) struct Aggregate {
    /// The length of a stretch, µs.
    width: i64,
    series: HashMap<(String, String), usize>,
    /// By the place of the series, then by when the stretch begins, µs since 1970 UTC.
    buckets: Vec<BTreeMap<i64, Bucket>>,
    units: HashMap<String, Arc<str>>,
}

impl Aggregate {
    pub(super) fn new(width: i64) -> Self {
        Self {
            width,
            series: HashMap::new(),
            buckets: Vec::new(),
            units: HashMap::new(),
        }
    }

    /// Adds readings: device, tag, event time (µs), value, quality, unit, epoch, seq.
    ///
    /// # Errors
    /// [`LakeError::Foreign`] for other columns.
    pub(super) fn add(&mut self, rows: &RecordBatch) -> Result<(), LakeError> {
        let wrong = || LakeError::Foreign {
            table: "readings",
            why: "a query gave other columns than it was asked for".into(),
        };
        let text = |column: usize| rows.column(column).as_string_opt::<i32>().ok_or_else(wrong);
        let long = |column: usize| {
            let column = rows.column(column).as_primitive_opt::<Int64Type>();
            column.ok_or_else(wrong)
        };
        let (device, tag, unit) = (text(0)?, text(1)?, text(5)?);
        let value = rows.column(3).as_primitive_opt::<Float64Type>();
        let value = value.ok_or_else(wrong)?;
        let (time, quality, epoch, seq) = (long(2)?, long(4)?, long(6)?, long(7)?);
        let mut series: Option<(&str, &str, usize)> = None;
        for row in 0..rows.num_rows() {
            let names = (device.value(row), tag.value(row));
            // The readings of a series mostly stand together.
            let place = match series {
                Some((device, tag, place)) if (device, tag) == names => place,
                _ => self.place(names.0, names.1),
            };
            series = Some((names.0, names.1, place));
            let is_bad = quality.value(row) == BAD;
            if !is_bad && value.is_null(row) {
                continue;
            }
            let at = time.value(row);
            let start = at.div_euclid(self.width).saturating_mul(self.width);
            let bucket = self.buckets[place].entry(start).or_default();
            if is_bad {
                bucket.count_bad += 1;
                continue;
            }
            let at = (at, epoch.value(row), seq.value(row));
            if bucket.add(value.value(row), at) == Last::IsThis {
                let found = unit.is_valid(row).then(|| unit.value(row));
                if bucket.unit.as_deref() != found {
                    bucket.unit = found.map(|unit| named(&mut self.units, unit));
                }
            }
        }
        Ok(())
    }

    fn place(&mut self, device: &str, tag: &str) -> usize {
        let next = self.buckets.len();
        let place = *self
            .series
            .entry((device.to_owned(), tag.to_owned()))
            .or_insert(next);
        if place == next {
            self.buckets.push(BTreeMap::new());
        }
        place
    }

    /// The rows of a level whose times lie within stretches, sorted by device, tag and time. The level's length is a multiple
    /// of this one's.
    ///
    /// # Errors
    /// None that readings could cause.
    pub(super) fn rows(
        &self,
        level: RollupLevel,
        stretches: &[Stretch],
    ) -> Result<RecordBatch, LakeError> {
        let width = level.width();
        let mut names: Vec<(&(String, String), usize)> = self
            .series
            .iter()
            .map(|(names, place)| (names, *place))
            .collect();
        names.sort_unstable();
        let mut rows = Rows::default();
        for ((device, tag), place) in names {
            let mut of_series: BTreeMap<i64, Bucket> = BTreeMap::new();
            for (start, bucket) in &self.buckets[place] {
                let start = start.div_euclid(width).saturating_mul(width);
                let at = stretches.partition_point(|(_, to)| *to <= start);
                if stretches.get(at).is_some_and(|(from, _)| *from <= start) {
                    of_series.entry(start).or_default().join(bucket);
                }
            }
            for (start, bucket) in of_series {
                rows.push(device, tag, start, bucket);
            }
        }
        rows.into_batch(level)
    }
}

/// The same text for all that have it.
fn named(units: &mut HashMap<String, Arc<str>>, unit: &str) -> Arc<str> {
    if let Some(known) = units.get(unit) {
        return known.clone();
    }
    let new: Arc<str> = unit.into();
    units.insert(unit.to_owned(), new.clone());
    new
}

#[derive(Default)]
struct Rows<'a> {
    series: Vec<(&'a str, &'a str)>,
    starts: Vec<i64>,
    buckets: Vec<Bucket>,
}

impl<'a> Rows<'a> {
    fn push(&mut self, device: &'a str, tag: &'a str, start: i64, bucket: Bucket) {
        self.series.push((device, tag));
        self.starts.push(start);
        self.buckets.push(bucket);
    }

    fn into_batch(self, level: RollupLevel) -> Result<RecordBatch, LakeError> {
        let doubles = |of: fn(&Bucket) -> Option<f64>| -> ArrayRef {
            Arc::new(self.buckets.iter().map(of).collect::<Float64Array>())
        };
        let counts = |of: fn(&Bucket) -> i64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(self.buckets.iter().map(of)))
        };
        let texts = |of: fn(&(&'a str, &'a str)) -> &'a str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(self.series.iter().map(of)))
        };
        let starts = TimestampMicrosecondArray::from(self.starts.clone()).with_timezone("UTC");
        let units = self.buckets.iter().map(|bucket| bucket.unit.as_deref());
        let units: ArrayRef = Arc::new(units.collect::<StringArray>());
        let columns = vec![
            texts(|(device, _)| device),
            texts(|(_, tag)| tag),
            Arc::new(starts),
            doubles(|bucket| bucket.of_numbers(bucket.min)),
            doubles(|bucket| bucket.of_numbers(bucket.max)),
            doubles(Bucket::mean),
            doubles(|bucket| bucket.of_numbers(bucket.last)),
            counts(|bucket| bucket.count),
            counts(|bucket| bucket.count_bad),
            units,
        ];
        Ok(RecordBatch::try_new(file_schema(level.table()), columns)?)
    }
}

#[cfg(test)]
mod tests;
