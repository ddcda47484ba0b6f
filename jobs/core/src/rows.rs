//! Readings as rows: what all tags of one device said, at the device's own event times.
//!
//! For jobs that look at tags together. What is asked for is one device and one span at a time, so that memory is bounded
//! by the longest span and not by the lake. A tag without a reading at a row's time is NaN there: how long an older value
//! stands for it is for the job to say.

use std::collections::BTreeMap;

use arrow::{
    array::{Array as _, AsArray as _, RecordBatch},
    datatypes::{DataType, Float64Type, Int64Type},
};
use datafusion::{
    dataframe::DataFrame,
    functions_aggregate::expr_fn::{avg, max, min},
    logical_expr::cast,
    prelude::{SessionContext, col, lit},
};
use forebay_schemas::{DeviceId, SiteId, TagName, Timestamp};

use crate::{
    JobError, RunContext, SeriesPattern, buckets::VALUE_MAX, clock::from_micros,
    context::time_literal,
};

/// One device with readings that fit, and when they were.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceSpan {
    /// The site.
    pub site: SiteId,
    /// The device.
    pub device: DeviceId,
    /// The event time of its first reading.
    pub first: Timestamp,
    /// The event time of its last reading.
    pub last: Timestamp,
}

/// Rows of one device, oldest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DeviceRows {
    /// The columns, by name.
    pub tags: Vec<TagName>,
    /// The event time of each row; all differ.
    pub times: Vec<Timestamp>,
    /// By row and tag: the mean of the good and uncertain readings of that instant, NaN where there is none.
    pub values: Vec<Vec<f64>>,
    /// Whether rows were left out at the end because there were more readings than asked for.
    pub cut: bool,
}

/// Reads rows of devices, as a run may see them.
pub struct RowReader {
    session: SessionContext,
    context: RunContext,
    pattern: SeriesPattern,
}

/// From which end times are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The oldest is the first.
    OldestFirst,
    /// The newest is the first.
    NewestFirst,
}

impl RunContext {
    /// A reader of the series that fit, up to the run's cutoff; of a run over a window, of its site.
    ///
    /// # Errors
    /// When the lake cannot be read.
    pub async fn rows(&self, pattern: &SeriesPattern) -> Result<RowReader, JobError> {
        Ok(RowReader {
            session: self.session().await?,
            context: self.clone(),
            pattern: pattern.clone(),
        })
    }
}

impl RunContext {
    /// The newest event time of this job's scores of each device, other runs' alone: where a run goes on that judges what has
    /// come since.
    ///
    /// # Errors
    /// When the lake cannot be read.
    pub async fn last_scored(&self) -> Result<BTreeMap<(SiteId, DeviceId), Timestamp>, JobError> {
        let of_others = col("job")
            .eq(lit(self.job().as_str()))
            .and(col("run_id").not_eq(lit(self.run_id())));
        let scores = self.session().await?.table("scores").await?;
        let rows = spans(scores.filter(of_others)?).await?;
        let last = |span: DeviceSpan| ((span.site, span.device), span.last);
        Ok(rows.into_iter().map(last).collect())
    }
}

impl RowReader {
    /// The devices that have readings, by name.
    ///
    /// # Errors
    /// When the lake cannot be read.
    pub async fn devices(&self) -> Result<Vec<DeviceSpan>, JobError> {
        spans(self.readings().await?).await
    }

    /// The `count`-th distinct event time of a device from `from` up to before `to`, from the end that `order` says; the
    /// farthest one where there are fewer; `None` where there is none.
    ///
    /// # Errors
    /// When the lake cannot be read.
    pub async fn nth_time(
        &self,
        device: &DeviceSpan,
        from: Timestamp,
        to: Timestamp,
        order: Order,
        count: usize,
    ) -> Result<Option<Nth>, JobError> {
        let ascending = order == Order::OldestFirst;
        let rows = self
            .of_device(device, from, to)
            .await?
            .select(vec![cast(col("event_time"), DataType::Int64).alias("at")])?
            .distinct()?
            .sort(vec![col("at").sort(ascending, false)])?
            .limit(0, Some(count))?
            .collect()
            .await?;
        let mut nth = None;
        for batch in &rows {
            let times = batch.column(0).as_primitive_opt::<Int64Type>();
            for at in times.ok_or_else(unexpected_types)?.values().iter() {
                let number = nth.map_or(1, |nth: Nth| nth.number + 1);
                nth = Some(Nth {
                    at: from_micros(*at),
                    number,
                });
            }
        }
        Ok(nth)
    }

    /// The rows of a device from `from` up to before `to`, of `readings_max` readings at most.
    ///
    /// # Errors
    /// When the lake cannot be read.
    pub async fn of(
        &self,
        device: &DeviceSpan,
        from: Timestamp,
        to: Timestamp,
        readings_max: usize,
    ) -> Result<DeviceRows, JobError> {
        let rows = self
            .of_device(device, from, to)
            .await?
            .select(vec![
                cast(col("event_time"), DataType::Int64).alias("at"),
                cast(col("tag"), DataType::Utf8).alias("tag"),
                col("value"),
            ])?
            .aggregate(
                vec![col("at"), col("tag")],
                vec![avg(col("value")).alias("value")],
            )?
            .sort_by(vec![col("at"), col("tag")])?
            .limit(0, Some(readings_max.saturating_add(1)))?
            .collect()
            .await?;
        device_rows(&rows, readings_max)
    }

    async fn readings(&self) -> Result<DataFrame, JobError> {
        let readings = self
            .session
            .table("readings")
            .await?
            .filter(self.pattern.filter())?
            .filter(col("quality").lt(lit(2_i16)))?
            .filter(col("value").between(lit(-VALUE_MAX), lit(VALUE_MAX)))?;
        self.context.of_site(readings)
    }

    async fn of_device(
        &self,
        device: &DeviceSpan,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<DataFrame, JobError> {
        let one = col("site")
            .eq(lit(device.site.as_str()))
            .and(col("device").eq(lit(device.device.as_str())));
        let span = col("event_time")
            .gt_eq(time_literal(from))
            .and(col("event_time").lt(time_literal(to)));
        Ok(self.readings().await?.filter(one)?.filter(span)?)
    }
}

/// One of a device's event times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nth {
    /// When it was.
    pub at: Timestamp,
    /// Which it is, from 1.
    pub number: usize,
}

/// The first and last event time of each device.
async fn spans(rows: DataFrame) -> Result<Vec<DeviceSpan>, JobError> {
    let names = ["site", "device"].map(|name| cast(col(name), DataType::Utf8).alias(name));
    let time = cast(col("event_time"), DataType::Int64).alias("at");
    let rows = rows
        .select(names.into_iter().chain([time]).collect::<Vec<_>>())?
        .aggregate(
            vec![col("site"), col("device")],
            vec![min(col("at")).alias("first"), max(col("at")).alias("last")],
        )?
        .sort_by(vec![col("site"), col("device")])?
        .collect()
        .await?;
    let spans: Option<Vec<Vec<DeviceSpan>>> = rows.iter().map(spans_of).collect();
    spans
        .map(|spans| spans.into_iter().flatten().collect())
        .ok_or_else(unexpected_types)
}

fn unexpected_types() -> JobError {
    JobError::reject("rows of readings have unexpected types")
}

fn spans_of(rows: &RecordBatch) -> Option<Vec<DeviceSpan>> {
    let sites = rows.column(0).as_string_opt::<i32>()?;
    let devices = rows.column(1).as_string_opt::<i32>()?;
    let firsts = rows.column(2).as_primitive_opt::<Int64Type>()?;
    let lasts = rows.column(3).as_primitive_opt::<Int64Type>()?;
    let span = |row: usize| {
        Some(DeviceSpan {
            site: SiteId::new(sites.value(row)).ok()?,
            device: DeviceId::new(devices.value(row)).ok()?,
            first: from_micros(firsts.value(row)),
            last: from_micros(lasts.value(row)),
        })
    };
    (0..rows.num_rows()).map(span).collect()
}

/// Batches of (time, tag, value), sorted, as rows. A last time that the limit may have cut is left out.
fn device_rows(batches: &[RecordBatch], readings_max: usize) -> Result<DeviceRows, JobError> {
    let mut columns: BTreeMap<String, usize> = BTreeMap::new();
    let mut readings: Vec<(i64, usize, f64)> = Vec::new();
    for batch in batches {
        let times = batch.column(0).as_primitive_opt::<Int64Type>();
        let tags = batch.column(1).as_string_opt::<i32>();
        let values = batch.column(2).as_primitive_opt::<Float64Type>();
        let (Some(times), Some(tags), Some(values)) = (times, tags, values) else {
            return Err(unexpected_types());
        };
        for row in 0..batch.num_rows() {
            let next = columns.len();
            let column = match columns.get(tags.value(row)) {
                Some(column) => *column,
                None => *columns.entry(tags.value(row).to_owned()).or_insert(next),
            };
            if values.is_valid(row) {
                readings.push((times.value(row), column, values.value(row)));
            }
        }
    }
    let cut = readings.len() > readings_max;
    if cut && let Some((last, ..)) = readings.last().copied() {
        readings.truncate(readings.partition_point(|(at, ..)| *at < last));
    }
    // By name, whichever came first.
    let mut place = vec![0; columns.len()];
    for (sorted, found) in columns.values().enumerate() {
        place[*found] = sorted;
    }
    let tags: Result<Vec<TagName>, _> = columns.keys().map(|tag| TagName::new(tag)).collect();
    let mut rows = DeviceRows {
        tags: tags.map_err(|error| JobError::reject(error.to_string()))?,
        cut,
        ..DeviceRows::default()
    };
    let mut current = None;
    for (at, column, value) in readings {
        if current != Some(at) {
            current = Some(at);
            rows.times.push(from_micros(at));
            rows.values.push(vec![f64::NAN; rows.tags.len()]);
        }
        if let Some(row) = rows.values.last_mut() {
            row[place[column]] = value;
        }
    }
    Ok(rows)
}
