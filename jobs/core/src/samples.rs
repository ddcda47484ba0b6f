//! Readings one by one, for jobs that need each sample: what there is, and the readings of one series at a time.
//!
//! Memory is bounded by the caller's `most`: a job reads one series, lets it go, and reads the next.

use std::collections::BTreeMap;

use arrow::{
    array::{Array as _, AsArray as _, RecordBatch},
    datatypes::{DataType, Float64Type, Int16Type, Int64Type},
};
use datafusion::{
    dataframe::DataFrame,
    functions_aggregate::expr_fn::{count, max, min},
    logical_expr::cast,
    prelude::{col, lit},
};
use forebay_schemas::Timestamp;

use crate::{
    JobError, RunContext, SeriesKey, SeriesPattern, buckets::key, clock::from_micros,
    context::time_literal,
};

/// The readings of one series in one unit.
#[derive(Debug, Clone, PartialEq)]
pub struct UnitSpan {
    /// The unit as the readings have it.
    pub unit: Option<String>,
    /// How many readings.
    pub readings: u64,
    /// The first one's event time.
    pub first: Timestamp,
    /// The last one's event time.
    pub last: Timestamp,
}

/// One reading, as numeric jobs need it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Its event time, in microseconds since 1970.
    pub event_micros: i64,
    /// When the gateway had it, in microseconds since 1970.
    pub observed_micros: i64,
    /// Its value, if it has one that is a number.
    pub value: Option<f64>,
    /// 0 good, 1 uncertain, 2 bad.
    pub quality: i16,
}

impl RunContext {
    /// Which series that fit have readings from `from` up to the cutoff, each with its units in the order of their first
    /// readings.
    ///
    /// # Errors
    /// When the lake cannot be read.
    pub async fn inventory(
        &self,
        pattern: &SeriesPattern,
        from: Timestamp,
    ) -> Result<BTreeMap<SeriesKey, Vec<UnitSpan>>, JobError> {
        let names = ["site", "device", "tag", "unit"]
            .map(|name| cast(col(name), DataType::Utf8).alias(name));
        let micros = cast(col("event_time"), DataType::Int64).alias("at");
        let rows = self
            .readings_since(from)
            .await?
            .filter(pattern.filter())?
            .select(names.into_iter().chain([micros]).collect::<Vec<_>>())?
            .aggregate(
                vec![col("site"), col("device"), col("tag"), col("unit")],
                vec![
                    count(lit(1_i64)).alias("readings"),
                    min(col("at")).alias("first"),
                    max(col("at")).alias("last"),
                ],
            )?
            .collect()
            .await?;
        let mut found: BTreeMap<SeriesKey, Vec<UnitSpan>> = BTreeMap::new();
        for batch in &rows {
            collect_spans(batch, &mut found)?;
        }
        for spans in found.values_mut() {
            spans.sort_by(|a, b| (a.first, &a.unit).cmp(&(b.first, &b.unit)));
        }
        Ok(found)
    }

    /// The readings of one series from `from` up to the cutoff, in the order of their event times: the first `most`.
    ///
    /// # Errors
    /// When the lake cannot be read.
    pub async fn samples(
        &self,
        series: &SeriesKey,
        from: Timestamp,
        most: usize,
    ) -> Result<Vec<Sample>, JobError> {
        let of_series = col("site")
            .eq(lit(series.site.as_str()))
            .and(col("device").eq(lit(series.device.as_str())))
            .and(col("tag").eq(lit(series.tag.as_str())));
        let order = ["event_time", "gateway", "lane", "epoch", "seq"];
        let micros = |name: &str| cast(col(name), DataType::Int64).alias(name);
        let identity = order[1..].iter().map(|name| col(*name));
        let columns = [
            micros("event_time"),
            micros("observed_time"),
            col("value"),
            col("quality"),
        ];
        let rows = self
            .readings_since(from)
            .await?
            .filter(of_series)?
            .select(columns.into_iter().chain(identity).collect::<Vec<_>>())?
            // Last of all: the engine spreads what computes behind it over threads, and keeps the order of nothing but its end.
            .sort_by(order.map(col).to_vec())?
            .limit(0, Some(most))?
            .collect()
            .await?;
        let mut samples = Vec::with_capacity(rows.iter().map(RecordBatch::num_rows).sum());
        for batch in &rows {
            collect_samples(batch, &mut samples)?;
        }
        Ok(samples)
    }

    async fn readings_since(&self, from: Timestamp) -> Result<DataFrame, JobError> {
        let readings = self.session().await?.table("readings").await?;
        self.of_site(readings.filter(col("event_time").gt_eq(time_literal(from)))?)
    }
}

fn unexpected(rows: &RecordBatch) -> JobError {
    JobError::reject(format!(
        "readings have unexpected types: {:?}",
        rows.schema()
    ))
}

fn collect_spans(
    rows: &RecordBatch,
    found: &mut BTreeMap<SeriesKey, Vec<UnitSpan>>,
) -> Result<(), JobError> {
    let text = |i: usize| rows.column(i).as_string_opt::<i32>();
    let long = |i: usize| rows.column(i).as_primitive_opt::<Int64Type>();
    let (Some(sites), Some(devices), Some(tags), Some(units)) =
        (text(0), text(1), text(2), text(3))
    else {
        return Err(unexpected(rows));
    };
    let (Some(counts), Some(firsts), Some(lasts)) = (long(4), long(5), long(6)) else {
        return Err(unexpected(rows));
    };
    for row in 0..rows.num_rows() {
        let names = (sites.value(row), devices.value(row), tags.value(row));
        let series = key(names).map_err(|error| JobError::reject(error.to_string()))?;
        found.entry(series).or_default().push(UnitSpan {
            unit: units.is_valid(row).then(|| units.value(row).to_owned()),
            readings: counts.value(row).unsigned_abs(),
            first: from_micros(firsts.value(row)),
            last: from_micros(lasts.value(row)),
        });
    }
    Ok(())
}

fn collect_samples(rows: &RecordBatch, samples: &mut Vec<Sample>) -> Result<(), JobError> {
    let long = |i: usize| rows.column(i).as_primitive_opt::<Int64Type>();
    let (Some(events), Some(observed)) = (long(0), long(1)) else {
        return Err(unexpected(rows));
    };
    let (Some(values), Some(qualities)) = (
        rows.column(2).as_primitive_opt::<Float64Type>(),
        rows.column(3).as_primitive_opt::<Int16Type>(),
    ) else {
        return Err(unexpected(rows));
    };
    for row in 0..rows.num_rows() {
        let value = values.is_valid(row).then(|| values.value(row));
        samples.push(Sample {
            event_micros: events.value(row),
            observed_micros: observed.value(row),
            value: value.filter(|value| value.is_finite()),
            quality: qualities.value(row),
        });
    }
    Ok(())
}
