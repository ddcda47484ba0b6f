//! What this job said of a device before: its own rows in `scores`.

use std::collections::BTreeMap;

use arrow::{
    array::{Array as _, AsArray as _},
    datatypes::{DataType, Float64Type, Int64Type},
};
use datafusion::{
    logical_expr::cast,
    prelude::{col, lit},
};
use forebay_schemas::{DeviceId, SiteId, Timestamp};

use super::time_literal;
use crate::{JobError, RunContext, clock::from_micros};

/// What an earlier run said of a device.
#[derive(Debug, Clone, PartialEq)]
pub struct PastScore {
    /// The instant that was judged.
    pub event_time: Timestamp,
    /// The score.
    pub score: f64,
    /// What made it, as JSON.
    pub contributions: Option<String>,
}

impl RunContext {
    /// This job's scores of a device from `since` up to, but without, the cutoff, oldest first: the newest `most`, one for
    /// each instant. A run that is repeated sees what it saw the first time.
    ///
    /// # Errors
    /// When the lake cannot be read.
    pub async fn past_scores(
        &self,
        site: &SiteId,
        device: &DeviceId,
        since: Timestamp,
        most: usize,
    ) -> Result<Vec<PastScore>, JobError> {
        let of_device = col("job")
            .eq(lit(self.job.as_str()))
            .and(col("site").eq(lit(site.as_str())))
            .and(col("device").eq(lit(device.as_str())));
        let before = col("event_time")
            .gt_eq(time_literal(since))
            .and(col("event_time").lt(time_literal(self.cutoff())));
        let rows = self
            .session()
            .await?
            .table("scores")
            .await?
            .filter(of_device.and(before))?
            .select(vec![
                cast(col("event_time"), DataType::Int64).alias("event_time"),
                col("score"),
                cast(col("contributions"), DataType::Utf8).alias("contributions"),
                col("run_id"),
            ])?
            // Last of all, as only its end is in order.
            .sort(vec![
                col("event_time").sort(false, false),
                col("run_id").sort(false, false),
            ])?
            .limit(0, Some(most))?
            .collect()
            .await?;
        let mut past: BTreeMap<i64, PastScore> = BTreeMap::new();
        for batch in &rows {
            let (Some(times), Some(scores), Some(contributions)) = (
                batch.column(0).as_primitive_opt::<Int64Type>(),
                batch.column(1).as_primitive_opt::<Float64Type>(),
                batch.column(2).as_string_opt::<i32>(),
            ) else {
                let types = batch.schema();
                return Err(JobError::reject(format!(
                    "scores have unexpected types: {types:?}"
                )));
            };
            for row in 0..batch.num_rows() {
                let text = contributions
                    .is_valid(row)
                    .then(|| contributions.value(row));
                // Of several runs over one instant the first met, which has the greatest id, counts.
                past.entry(times.value(row)).or_insert_with(|| PastScore {
                    event_time: from_micros(times.value(row)),
                    score: scores.value(row),
                    contributions: text.map(str::to_owned),
                });
            }
        }
        Ok(past.into_values().collect())
    }
}
