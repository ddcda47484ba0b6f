//! Aggregation over tumbling windows of event time, aligned to 1970-01-01 UTC.
//!
//! A window closes when its series has a reading behind it, when the clock says that nothing more is to be awaited, or when
//! the gateway stops: then its reading is uncertain, and so is the one of the rest after the start. Standard deviation
//! and mean are those of Welford (1962); the deviation is that of the sample (n − 1).

use std::{sync::Arc, time::Duration};

use forebay_schemas::{Quality, Reading, Series, Status, TagName, Timestamp, Value};

/// One number of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregate {
    /// The least value.
    Min,
    /// The greatest value.
    Max,
    /// The arithmetic mean of the values.
    Mean,
    /// The value that is newest by event time.
    Last,
    /// How many values there were.
    Count,
    /// Sample standard deviation.
    Std,
}

impl Aggregate {
    /// What follows the tag's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Min => "min",
            Self::Max => "max",
            Self::Mean => "mean",
            Self::Last => "last",
            Self::Count => "count",
            Self::Std => "std",
        }
    }
}

/// Windows, as configured.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowRule {
    /// How long one is.
    pub(crate) length: Duration,
    /// How long after its end a window waits for late readings, by the gateway's clock.
    pub(crate) grace: Duration,
    /// What is sent of it.
    pub(crate) aggregates: Vec<Aggregate>,
}

impl WindowRule {
    /// Where the window of a time begins.
    pub(super) fn start(&self, time: Timestamp) -> i64 {
        let nanos = time.nanos();
        nanos - nanos.rem_euclid(self.nanos())
    }

    fn nanos(&self) -> i64 {
        i64::try_from(self.length.as_nanos())
            .unwrap_or(i64::MAX)
            .max(1)
    }

    /// Where a window ends.
    pub(super) fn end(&self, start: i64) -> i64 {
        start.saturating_add(self.nanos())
    }

    /// Whether nothing more is to be awaited of a window.
    pub(super) fn is_over(&self, start: i64, now: Timestamp) -> bool {
        let grace = i64::try_from(self.grace.as_nanos()).unwrap_or(i64::MAX);
        now.nanos() >= self.end(start).saturating_add(grace)
    }
}

/// An open window of one series.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Window {
    /// Nanoseconds since 1970.
    pub(super) start: i64,
    series: Series,
    unit: Option<Arc<str>>,
    count: u64,
    uncertain: u64,
    bad: u64,
    min: f64,
    max: f64,
    mean: f64,
    /// Sum of the squares of the distances to the mean.
    squares: f64,
    last: (Timestamp, f64),
    /// When the newest reading came, by the gateway's clock.
    seen_at: Timestamp,
    /// Whether its beginning may have been missed.
    is_joined_late: bool,
}

impl Window {
    /// A window with its first reading.
    pub(super) fn new(start: i64, first: &Reading, value: f64) -> Self {
        let mut window = Self {
            start,
            series: first.series.clone(),
            unit: first.unit.clone(),
            count: 0,
            uncertain: 0,
            bad: 0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            mean: 0.0,
            squares: 0.0,
            last: (first.event_time, value),
            seen_at: first.observed_time,
            is_joined_late: false,
        };
        window.add(first, value);
        window
    }

    pub(super) fn add(&mut self, reading: &Reading, value: f64) {
        self.count += 1;
        self.seen_at = reading.observed_time;
        self.uncertain += u64::from(reading.status.quality != Quality::Good);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        let distance = value - self.mean;
        self.mean += distance / self.count as f64;
        self.squares += distance * (value - self.mean);
        if reading.event_time >= self.last.0 {
            self.last = (reading.event_time, value);
        }
    }

    /// The window as the first of its series since the steps began, at `since` by the gateway's clock. They have seen its beginning where
    /// they have run for longer than its first reading is behind it: that holds whatever clock the device has.
    pub(super) fn joined(mut self, first: &Reading, since: Timestamp) -> Self {
        let behind = first.event_time.nanos().saturating_sub(self.start);
        let ran = first.observed_time.nanos().saturating_sub(since.nanos());
        self.is_joined_late = behind > ran;
        self
    }

    pub(super) fn seen_at(&self) -> Timestamp {
        self.seen_at
    }

    /// A reading without a value fell into it.
    pub(super) fn note_bad(&mut self) {
        self.bad += 1;
    }

    /// Its readings, at the time of its start.
    pub(super) fn readings(
        &self,
        rule: &WindowRule,
        now: Timestamp,
        cut: Option<&str>,
    ) -> Vec<Reading> {
        let status = self.status(cut);
        let mut readings = Vec::with_capacity(rule.aggregates.len());
        for aggregate in &rule.aggregates {
            let (value, unit) = match aggregate {
                Aggregate::Min => (Value::F64(self.min), self.unit.clone()),
                Aggregate::Max => (Value::F64(self.max), self.unit.clone()),
                Aggregate::Mean => (Value::F64(self.mean), self.unit.clone()),
                Aggregate::Last => (Value::F64(self.last.1), self.unit.clone()),
                Aggregate::Std if self.count < 2 => continue,
                Aggregate::Std => {
                    let variance = self.squares / (self.count - 1) as f64;
                    (Value::F64(variance.max(0.0).sqrt()), self.unit.clone())
                }
                Aggregate::Count => (Value::I64(self.count.cast_signed()), Some(Arc::from("1"))),
            };
            let Some(series) = named(&self.series, *aggregate) else {
                continue;
            };
            readings.push(Reading {
                series,
                event_time: Timestamp::from_nanos(self.start),
                observed_time: now,
                value: Some(value),
                unit,
                status: status.clone(),
            });
        }
        readings
    }

    fn status(&self, cut: Option<&str>) -> Status {
        let of = self.count + self.bad;
        let reason = match (cut, self.bad, self.uncertain) {
            (Some(cut), ..) => format!("{cut} after {of} readings"),
            (None, ..) if self.is_joined_late => {
                format!("begun before the start: {of} readings came after it")
            }
            (None, 0, 0) => return Status::GOOD,
            (None, 0, uncertain) => format!("{uncertain} of {of} readings are uncertain"),
            (None, bad, _) => format!("{bad} of {of} readings are bad"),
        };
        Status {
            quality: Quality::Uncertain,
            code: None,
            reason: Some(reason),
        }
    }
}

/// The series of an aggregate; none where its name would be too long.
pub(super) fn named(series: &Series, aggregate: Aggregate) -> Option<Series> {
    let tag = TagName::new(&format!("{}.{}", series.tag, aggregate.name())).ok()?;
    Some(Series {
        tag,
        ..series.clone()
    })
}
