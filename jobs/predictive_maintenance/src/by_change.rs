//! `method = "change"`: each tag of a device against its own level of the days before.

use std::collections::{BTreeMap, BTreeSet};

use forebay_jobs::{Bucket, Condition, JobError, RunContext, Score, SeriesKey, Severity, Verdict};
use forebay_schemas::{DeviceId, SiteId, Timestamp};
use serde_json::json;

use crate::{
    Change, PredictiveMaintenance, Step,
    job::{CRITICAL, Judged},
    words::reason,
};

impl PredictiveMaintenance {
    /// Judges all devices but those that were judged by another method.
    pub(crate) async fn judge_by_change(
        &self,
        context: &RunContext,
        judged_before: &BTreeSet<(SiteId, DeviceId)>,
    ) -> Result<Judged, JobError> {
        let cutoff = context.cutoff();
        let back = i64::try_from(self.baseline.as_nanos()).unwrap_or(i64::MAX);
        let from = Timestamp::from_nanos(cutoff.nanos().saturating_sub(back));
        let mut series = context.buckets(&self.series, from, self.step()).await?;
        series.retain(|key, _| !judged_before.contains(&(key.site.clone(), key.device.clone())));
        let model = self.model();
        let end = self.end(cutoff);
        let found = series.len();
        let mut devices: BTreeMap<(SiteId, DeviceId), Vec<(SeriesKey, Change)>> = BTreeMap::new();
        for (key, buckets) in series {
            let steps: Vec<Step> = buckets.iter().map(step).collect();
            if let Some(change) = model.judge(&steps, end) {
                devices
                    .entry((key.site.clone(), key.device.clone()))
                    .or_default()
                    .push((key, change));
            }
        }
        let series_judged: usize = devices.values().map(Vec::len).sum();
        let mut judged = Judged::default();
        for ((site, device), mut changes) in devices {
            changes.sort_by(|(_, a), (_, b)| b.score.abs().total_cmp(&a.score.abs()));
            let verdicts = changes
                .iter()
                .map(|(key, change)| self.verdict(key, change));
            judged.verdicts.extend(verdicts);
            judged
                .scores
                .extend(self.score(site, device, &changes, cutoff));
        }
        if series_judged < found || (found == 0 && judged_before.is_empty()) {
            judged.notes.push(self.note(found, series_judged));
        }
        Ok(judged)
    }

    fn note(&self, found: usize, judged: usize) -> String {
        if found == 0 {
            return "no series fits devices and tags in the baseline's time: nothing was judged"
                .to_owned();
        }
        format!(
            "{} of {found} series were not judged: too few readings (at least {} steps of {:?} before the last {:?}, and one in it), or constantly 0",
            found - judged,
            self.points_min,
            self.step(),
            self.short
        )
    }

    /// A device is as far from normal as the tag that has moved most.
    fn score(
        &self,
        site: SiteId,
        device: DeviceId,
        changes: &[(SeriesKey, Change)],
        at: Timestamp,
    ) -> Option<Score> {
        let score = changes.first()?.1.score.abs();
        Some(Score {
            site,
            device,
            event_time: at,
            score,
            limit: self.limit,
            anomalous: score > self.limit,
            contributions: Some(contributions(changes)),
        })
    }

    fn verdict(&self, key: &SeriesKey, change: &Change) -> (String, Verdict) {
        let dedupe_key = format!(
            "{}/{}/{}",
            key.site.path_segment(),
            key.device.path_segment(),
            key.tag.path_segment()
        );
        let size = change.score.abs();
        if size <= self.limit {
            return (dedupe_key, Verdict::Healthy);
        }
        let severity = if size > CRITICAL * self.limit {
            Severity::Critical
        } else {
            Severity::Warning
        };
        let condition = Condition {
            site: key.site.clone(),
            device: key.device.clone(),
            tag: Some(key.tag.clone()),
            severity,
            score: change.score,
            contributions: Some(contributions(&[(key.clone(), *change)])),
            reason: reason(key.tag.as_str(), change, self.baseline),
        };
        (dedupe_key, Verdict::Wrong(condition))
    }
}

fn step(bucket: &Bucket) -> Step {
    Step {
        index: bucket.index,
        mean: bucket.mean,
    }
}

/// Tags, the one that has moved most first: `[{"tag":…,"score":…,"level":…,"baseline":…,"scale":…}]`.
fn contributions(changes: &[(SeriesKey, Change)]) -> String {
    let of_one = |(key, change): &(SeriesKey, Change)| {
        json!({
            "tag": key.tag.as_str(),
            "score": change.score,
            "level": change.level,
            "baseline": change.baseline,
            "scale": change.scale,
        })
    };
    serde_json::Value::Array(changes.iter().map(of_one).collect()).to_string()
}
