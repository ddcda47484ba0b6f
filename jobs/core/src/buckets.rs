//! Readings as evenly spaced means, which is what numeric jobs work on.
//!
//! A step weighs the same however many readings it holds, so irregular sampling gives no burst more weight, and memory is
//! bounded by series × steps instead of by readings. A step without a reading is absent: what to make of a hole is for
//! the job to say.

use std::{collections::BTreeMap, time::Duration};

use arrow::{
    array::{Array as _, AsArray as _, RecordBatch},
    datatypes::{DataType, Float64Type, Int64Type},
};
use datafusion::{
    dataframe::DataFrame,
    functions_aggregate::expr_fn::avg,
    logical_expr::{Expr, cast},
    prelude::{col, lit},
};
use forebay_schemas::{DeviceId, EVENTS_TAG, InvalidName, SiteId, TagName, Timestamp};

use crate::{
    JobError, RunContext,
    context::time_literal,
    sight::{Sight, Steps, StepsOf},
};

/// A value beyond this is no measurement; it keeps infinities and NaN out of means.
pub(crate) const VALUE_MAX: f64 = 1e300;

/// Which series a job reads: patterns in which `*` stands for any text and `?` for one character.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SeriesPattern {
    /// Of devices.
    pub devices: Vec<String>,
    /// Of tags.
    pub tags: Vec<String>,
}

/// One series.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesKey {
    /// The site.
    pub site: SiteId,
    /// The device.
    pub device: DeviceId,
    /// The tag.
    pub tag: TagName,
}

/// The mean of the good and uncertain readings of one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// Which step: it begins at `index` × step after 1970.
    pub index: i64,
    /// Their mean.
    pub mean: f64,
}

impl SeriesPattern {
    /// The same as a condition of SQL over `device` and `tag`.
    pub fn sql(&self) -> String {
        let tags = any_sql(&self.tags, "tag");
        format!("({} AND {tags})", self.devices_sql())
    }

    /// The condition over `device` alone.
    pub fn devices_sql(&self) -> String {
        any_sql(&self.devices, "device")
    }

    /// Readings of the series that fit; events on their way are no series.
    pub(crate) fn filter(&self) -> Expr {
        let is_series = col("tag").not_eq(lit(EVENTS_TAG));
        any(&self.devices, "device")
            .and(any(&self.tags, "tag"))
            .and(is_series)
    }
}

fn any(patterns: &[String], column: &str) -> Expr {
    let of_one = |pattern: &String| match pattern.contains(['*', '?']) {
        true => col(column).like(lit(like(pattern))),
        false => col(column).eq(lit(pattern.clone())),
    };
    patterns
        .iter()
        .map(of_one)
        .reduce(Expr::or)
        .unwrap_or_else(|| lit(false))
}

fn any_sql(patterns: &[String], column: &str) -> String {
    let text = |pattern: &String| like(pattern).replace('\'', "''");
    let each = patterns
        .iter()
        .map(|pattern| format!("{column} LIKE '{}'", text(pattern)));
    let each: Vec<String> = each.collect();
    match each.is_empty() {
        true => "false".to_owned(),
        false => format!("({})", each.join(" OR ")),
    }
}

/// SQL's LIKE for a pattern with `*` and `?`.
fn like(pattern: &str) -> String {
    let mut like = String::with_capacity(pattern.len());
    for c in pattern.chars() {
        match c {
            '*' => like.push('%'),
            '?' => like.push('_'),
            '%' | '_' | '\\' => like.extend(['\\', c]),
            c => like.push(c),
        }
    }
    like
}

impl RunContext {
    /// The steps from `from` (its step included) up to the run's cutoff, oldest first, of all series that fit.
    ///
    /// The last step may be cut by the cutoff. Readings of bad quality and values that are no finite numbers are left out.
    ///
    /// # Errors
    /// When the lake cannot be read, or `step` is less than a microsecond.
    pub async fn buckets(
        &self,
        pattern: &SeriesPattern,
        from: Timestamp,
        step: Duration,
    ) -> Result<BTreeMap<SeriesKey, Vec<Bucket>>, JobError> {
        let step_micros = micros_of(step)?;
        let first = from.micros().div_euclid(step_micros);
        let Sight::Held(held) = &self.sight else {
            let cutoff = self.cutoff();
            return self.means(pattern, first, cutoff, step_micros).await;
        };
        // The whole steps are those of any other fire, so that they are kept; the cutoff's own is not.
        let end = self.cutoff().micros().div_euclid(step_micros).max(first);
        let of = StepsOf {
            pattern: pattern.clone(),
            site: self.site().cloned(),
            step_micros,
        };
        let mut kept = held.steps().await;
        if let Some(missing) = kept.missing(&of, &(first..end)) {
            let to = start_of(missing.end, step_micros);
            let read = self.means(pattern, missing.start, to, step_micros);
            kept.add(&of, &missing, read.await?);
        }
        let mut steps = kept.get(&of, &(first..end));
        drop(kept);
        if start_of(end, step_micros) < self.cutoff() {
            let cutoff = self.cutoff();
            let cut = self.means(pattern, end, cutoff, step_micros).await?;
            for (key, cut) in cut {
                steps.entry(key).or_default().extend(cut);
            }
        }
        Ok(steps)
    }

    /// The means of readings from the start of step `first` to before `to`.
    async fn means(
        &self,
        pattern: &SeriesPattern,
        first: i64,
        to: Timestamp,
        step_micros: i64,
    ) -> Result<Steps, JobError> {
        let at = || col("event_time");
        let readings = self
            .uncut()
            .await?
            .table("readings")
            .await?
            .filter(at().gt_eq(time_literal(start_of(first, step_micros))))?
            .filter(at().lt(time_literal(to)))?
            .filter(pattern.filter())?;
        means(self.of_site(readings)?, step_micros).await
    }

    /// The steps from the cutoff's own up to `to` of series that are known ahead, as [`RunContext::known_ahead`] has them.
    ///
    /// Readings of bad quality and values that are no finite numbers are left out.
    ///
    /// # Errors
    /// As [`RunContext::buckets`].
    pub async fn buckets_ahead(
        &self,
        series: &[SeriesPattern],
        to: Timestamp,
        step: Duration,
    ) -> Result<BTreeMap<SeriesKey, Vec<Bucket>>, JobError> {
        let step_micros = micros_of(step)?;
        let ahead = self.known_ahead(series).await?;
        let ahead = ahead.filter(col("event_time").lt(time_literal(to)))?;
        means(ahead, step_micros).await
    }
}

/// A step in µs, the tables' unit.
fn micros_of(step: Duration) -> Result<i64, JobError> {
    i64::try_from(step.as_micros())
        .ok()
        .filter(|micros| *micros > 0)
        .ok_or_else(|| JobError::reject(format!("{step:?} is no step")))
}

/// The first instant of a step.
fn start_of(index: i64, step_micros: i64) -> Timestamp {
    crate::clock::from_micros(index.saturating_mul(step_micros))
}

/// The means of readings by series and step, oldest first.
async fn means(readings: DataFrame, step_micros: i64) -> Result<Steps, JobError> {
    let readings = readings
        .filter(col("quality").lt(lit(2_i16)))?
        .filter(col("value").between(lit(-VALUE_MAX), lit(VALUE_MAX)))?;
    // Event times lie after 1970 (E11), so that a quotient rounds towards the past.
    let index = (cast(col("event_time"), DataType::Int64) / lit(step_micros)).alias("step");
    let names = ["site", "device", "tag"].map(|name| cast(col(name), DataType::Utf8).alias(name));
    let rows = readings
        .select(
            names
                .into_iter()
                .chain([index, col("value")])
                .collect::<Vec<_>>(),
        )?
        .aggregate(
            vec![col("site"), col("device"), col("tag"), col("step")],
            vec![avg(col("value")).alias("mean")],
        )?
        .sort_by(vec![col("site"), col("device"), col("tag"), col("step")])?
        .collect()
        .await?;
    let mut series = BTreeMap::new();
    for batch in &rows {
        collect(batch, &mut series)?;
    }
    Ok(series)
}

fn collect(
    rows: &RecordBatch,
    series: &mut BTreeMap<SeriesKey, Vec<Bucket>>,
) -> Result<(), JobError> {
    let texts = |i: usize| rows.column(i).as_string_opt::<i32>();
    let (Some(sites), Some(devices), Some(tags), Some(steps), Some(means)) = (
        texts(0),
        texts(1),
        texts(2),
        rows.column(3).as_primitive_opt::<Int64Type>(),
        rows.column(4).as_primitive_opt::<Float64Type>(),
    ) else {
        return Err(JobError::reject(format!(
            "the means of readings have unexpected types: {:?}",
            rows.schema()
        )));
    };
    let mut current: Option<(SeriesKey, Vec<Bucket>)> = None;
    for row in 0..rows.num_rows() {
        let names = (sites.value(row), devices.value(row), tags.value(row));
        let same = current
            .as_ref()
            .is_some_and(|(k, _)| (k.site.as_str(), k.device.as_str(), k.tag.as_str()) == names);
        if !same {
            keep(current.take(), series);
            current = Some((
                key(names).map_err(|e| JobError::reject(e.to_string()))?,
                Vec::new(),
            ));
        }
        if let Some((_, buckets)) = &mut current
            && !means.is_null(row)
        {
            buckets.push(Bucket {
                index: steps.value(row),
                mean: means.value(row),
            });
        }
    }
    keep(current, series);
    Ok(())
}

fn keep(current: Option<(SeriesKey, Vec<Bucket>)>, series: &mut BTreeMap<SeriesKey, Vec<Bucket>>) {
    if let Some((key, buckets)) = current {
        series.entry(key).or_default().extend(buckets);
    }
}

pub(crate) fn key((site, device, tag): (&str, &str, &str)) -> Result<SeriesKey, InvalidName> {
    Ok(SeriesKey {
        site: SiteId::new(site)?,
        device: DeviceId::new(device)?,
        tag: TagName::new(tag)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_become_like() {
        for (pattern, expected) in [
            ("pump-*", "pump-%"),
            ("m?", "m_"),
            ("50%_a\\", "50\\%\\_a\\\\"),
        ] {
            assert_eq!(like(pattern), expected);
        }
    }
}
