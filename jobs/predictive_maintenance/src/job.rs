//! The job: which devices it judges, and what it makes of their scores.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use forebay_config::Table;
use forebay_jobs::{
    Bucket, Condition, Job, JobError, JobKind, Lifecycle, Outcome, Results, RunContext, Score, SeriesKey,
    SeriesPattern, Severity, Verdict,
};
use forebay_schemas::{DeviceId, SiteId, Timestamp};
use serde_json::json;

use crate::{Change, ChangeModel, Step, words::reason};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// The recent time is cut into this many steps, and the rest into steps of the same length.
const STEPS_IN_SHORT: u32 = 48;

/// More steps than this in a baseline would cost memory and tell no more: about a tenth of a percent each.
const STEPS_IN_BASELINE_MAX: u128 = 20_000;

/// Beyond this many times the limit a warning is critical.
const CRITICAL: f64 = 2.0;

/// The job's settings.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictiveMaintenance {
    series: SeriesPattern,
    short: Duration,
    baseline: Duration,
    limit: f64,
    refractory: Duration,
    points_min: usize,
    scale_floor: f64,
    resolve_after: u32,
}

impl Default for PredictiveMaintenance {
    fn default() -> Self {
        let all = || vec!["*".to_owned()];
        Self {
            series: SeriesPattern { devices: all(), tags: all() },
            short: 12 * HOUR,
            baseline: 14 * DAY,
            limit: 3.5,
            refractory: DAY,
            points_min: 192,
            scale_floor: 0.005,
            resolve_after: 3,
        }
    }
}

/// `kind = "predictive_maintenance"`.
#[derive(Debug, Clone, Copy, Default)]
pub struct PredictiveMaintenanceKind;

impl JobKind for PredictiveMaintenanceKind {
    fn name(&self) -> &'static str {
        "predictive_maintenance"
    }

    fn configure(&self, table: &mut Table<'_>) -> Option<Box<dyn Job>> {
        let default = PredictiveMaintenance::default();
        let job = PredictiveMaintenance {
            series: SeriesPattern {
                devices: table.or("devices", default.series.devices),
                tags: table.or("tags", default.series.tags),
            },
            short: table.or("short", default.short),
            baseline: table.or("baseline", default.baseline),
            limit: table.or("limit", default.limit),
            refractory: table.or("refractory", default.refractory),
            points_min: table.or("points_min", default.points_min as u32) as usize,
            scale_floor: table.or("scale_floor", default.scale_floor),
            resolve_after: table.or("resolve_after", default.resolve_after),
        };
        job.check(table).then(|| Box::new(job) as Box<dyn Job>)
    }
}

impl PredictiveMaintenance {
    /// Notes what is wrong with the settings together.
    fn check(&self, table: &Table<'_>) -> bool {
        let mut fit = true;
        let mut wrong = |key: &str, message: String| {
            table.problem(key, message);
            fit = false;
        };
        if self.series.devices.is_empty() {
            wrong("devices", "no device fits an empty list: leave the key out for all".into());
        }
        if self.series.tags.is_empty() {
            wrong("tags", "no tag fits an empty list: leave the key out for all".into());
        }
        if self.short < Duration::from_millis(u64::from(STEPS_IN_SHORT)) {
            wrong("short", format!("{:?} is too short: \"48ms\" is the least", self.short));
        } else if self.baseline < self.short.saturating_mul(4) {
            wrong("baseline", format!("{:?} is less than four times short, {:?}", self.baseline, self.short));
        } else if self.baseline.as_nanos() / self.step().as_nanos().max(1) > STEPS_IN_BASELINE_MAX {
            wrong(
                "baseline",
                format!(
                    "{:?} is more than {} times short",
                    self.baseline,
                    STEPS_IN_BASELINE_MAX / u128::from(STEPS_IN_SHORT)
                ),
            );
        } else if self.points_min as i64 > self.model().baseline_steps - self.model().short_steps {
            wrong(
                "points_min",
                format!("{} points of {:?} are longer than the baseline", self.points_min, self.step()),
            );
        }
        if self.limit <= 0.0 {
            wrong("limit", format!("{} is no limit: 3.5 is the default", self.limit));
        }
        if !(0.0..1.0).contains(&self.scale_floor) {
            wrong("scale_floor", format!("{} is no share from 0 to below 1", self.scale_floor));
        }
        if self.points_min < 2 {
            wrong("points_min", "a deviation takes two points at least".into());
        }
        if self.resolve_after == 0 {
            wrong("resolve_after", "one window at least".into());
        }
        fit
    }

    fn step(&self) -> Duration {
        // Whole microseconds, the tables' unit.
        let step = self.short / STEPS_IN_SHORT;
        Duration::from_micros(u64::try_from(step.as_micros()).unwrap_or(u64::MAX).max(1))
    }

    /// The model of these settings.
    pub fn model(&self) -> ChangeModel {
        let steps = self.baseline.as_micros() / self.step().as_micros().max(1);
        ChangeModel {
            short_steps: i64::from(STEPS_IN_SHORT),
            baseline_steps: i64::try_from(steps).unwrap_or(i64::MAX),
            steps_min: self.points_min,
            scale_floor: self.scale_floor,
        }
    }

    fn lifecycle(&self, context: &RunContext) -> Lifecycle {
        let window = context.fire().window.as_ref();
        let length = window.map(|w| Duration::from_nanos((w.end.nanos() - w.start.nanos()).unsigned_abs()));
        // By the clock there is no window: the recent time is the unit in which a change is gone.
        let resolve_after = length.unwrap_or(self.short).saturating_mul(self.resolve_after);
        Lifecycle { refractory: self.refractory, resolve_after }
    }

    /// The index of the first step that the cutoff leaves incomplete: it is not judged.
    fn end(&self, cutoff: Timestamp) -> i64 {
        let step = i64::try_from(self.step().as_micros()).unwrap_or(i64::MAX);
        cutoff.micros().div_euclid(step)
    }
}

#[async_trait]
impl Job for PredictiveMaintenance {
    async fn run(&self, context: &RunContext) -> Result<Outcome, JobError> {
        let cutoff = context.cutoff();
        let back = i64::try_from(self.baseline.as_nanos()).unwrap_or(i64::MAX);
        let from = Timestamp::from_nanos(cutoff.nanos().saturating_sub(back));
        let series = context.buckets(&self.series, from, self.step()).await?;
        let (model, end) = (self.model(), self.end(cutoff));
        let found = series.len();
        let mut devices: BTreeMap<(SiteId, DeviceId), Vec<(SeriesKey, Change)>> = BTreeMap::new();
        for (key, buckets) in series {
            let steps: Vec<Step> =
                buckets.iter().map(|Bucket { index, mean }| Step { index: *index, mean: *mean }).collect();
            if let Some(change) = model.judge(&steps, end) {
                devices.entry((key.site.clone(), key.device.clone())).or_default().push((key, change));
            }
        }
        let judged: usize = devices.values().map(Vec::len).sum();
        let mut verdicts = BTreeMap::new();
        let mut scores = Vec::new();
        for ((site, device), mut changes) in devices {
            changes.sort_by(|(_, a), (_, b)| b.score.abs().total_cmp(&a.score.abs()));
            verdicts.extend(changes.iter().map(|(key, change)| self.verdict(key, change)));
            scores.extend(self.score(site, device, &changes, cutoff));
        }
        let alerts = context.advance_alerts(&self.lifecycle(context), verdicts).await?;
        let note = (judged < found || found == 0).then(|| self.note(found, judged));
        Ok(Outcome { results: Results { scores, alerts, ..Results::default() }, note })
    }
}

impl PredictiveMaintenance {
    fn note(&self, found: usize, judged: usize) -> String {
        if found == 0 {
            return "no series fits devices and tags in the baseline's time: nothing was judged".to_owned();
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
    fn score(&self, site: SiteId, device: DeviceId, changes: &[(SeriesKey, Change)], at: Timestamp) -> Option<Score> {
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
        let dedupe_key =
            format!("{}/{}/{}", key.site.path_segment(), key.device.path_segment(), key.tag.path_segment());
        let size = change.score.abs();
        if size <= self.limit {
            return (dedupe_key, Verdict::Healthy);
        }
        let severity = if size > CRITICAL * self.limit { Severity::Critical } else { Severity::Warning };
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
