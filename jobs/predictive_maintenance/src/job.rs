//! The job: which devices it judges, and what it makes of their scores.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use forebay_config::{Defaulted, Describe, Table, TableKeys};
use forebay_jobs::{
    Bucket, Condition, Job, JobError, JobKind, Lifecycle, Outcome, Results, RunContext, Score,
    SeriesKey, SeriesPattern, Severity, Verdict,
};
use forebay_schemas::{DeviceId, SiteId, Timestamp};
use serde_json::json;

use crate::{Change, ChangeModel, Step, words::reason};

/// The keys of the kind.
const PREDICTIVE_MAINTENANCE: TableKeys = TableKeys::many(
    "job",
    "Scores devices by how far their signals have left the level that they had before, and warns beyond a limit.",
    &[
        &DEVICES,
        &TAGS,
        &SHORT,
        &BASELINE,
        &LIMIT,
        &REFRACTORY,
        &POINTS_MIN,
        &SCALE_FLOOR,
        &RESOLVE_AFTER,
    ],
);

const DEVICES: Defaulted<Vec<String>> = Defaulted::list(
    "devices",
    &["*"],
    "The devices that are judged, as patterns in which * stands for any text and ? for one character.",
);

const TAGS: Defaulted<Vec<String>> = Defaulted::list(
    "tags",
    &["*"],
    "The tags that are judged, as patterns in which * stands for any text and ? for one character.",
);

const SHORT: Defaulted<Duration> = Defaulted::new(
    "short",
    Duration::from_secs(12 * 3600),
    "The recent time whose level is compared with what was before; at least 48ms. Readings count as means of its 48th part.",
);

const BASELINE: Defaulted<Duration> = Defaulted::new(
    "baseline",
    Duration::from_secs(14 * 86_400),
    "The time, up to now, whose part before the recent time gives the usual level and spread; at least four times short.",
);

const LIMIT: Defaulted<f64> = Defaulted::new(
    "limit",
    3.5,
    "The score beyond which a signal is anomalous; beyond twice as much the warning is critical. More than 0.",
)
.unit("times the usual spread");

const REFRACTORY: Defaulted<Duration> = Defaulted::new(
    "refractory",
    Duration::from_secs(86_400),
    "A change that comes back within this time is the same warning.",
);

const POINTS_MIN: Defaulted<u32> = Defaulted::new(
    "points_min",
    192,
    "Fewest steps with readings in the baseline that a series needs to be judged; at least 2.",
)
.unit("steps of a 48th of short");

const SCALE_FLOOR: Defaulted<f64> = Defaulted::new(
    "scale_floor",
    0.005,
    "The least spread that is assumed, from 0 to below 1, so that a signal that hardly varies does not warn of nothing.",
)
.unit("share of the usual level");

const RESOLVE_AFTER: Defaulted<u32> = Defaulted::new(
    "resolve_after",
    3,
    "How long a change must be gone before its warning is resolved; at least 1.",
)
.unit("windows, or times short for a job with a schedule");

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
        Self {
            series: SeriesPattern {
                devices: DEVICES.default(),
                tags: TAGS.default(),
            },
            short: SHORT.default(),
            baseline: BASELINE.default(),
            limit: LIMIT.default(),
            refractory: REFRACTORY.default(),
            points_min: POINTS_MIN.default() as usize,
            scale_floor: SCALE_FLOOR.default(),
            resolve_after: RESOLVE_AFTER.default(),
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

    fn keys(&self) -> &'static TableKeys {
        &PREDICTIVE_MAINTENANCE
    }

    fn configure(&self, table: &mut Table<'_>) -> Option<Box<dyn Job>> {
        let job = PredictiveMaintenance {
            series: SeriesPattern {
                devices: table.read(&DEVICES),
                tags: table.read(&TAGS),
            },
            short: table.read(&SHORT),
            baseline: table.read(&BASELINE),
            limit: table.read(&LIMIT),
            refractory: table.read(&REFRACTORY),
            points_min: table.read(&POINTS_MIN) as usize,
            scale_floor: table.read(&SCALE_FLOOR),
            resolve_after: table.read(&RESOLVE_AFTER),
        };
        job.check(table).then(|| Box::new(job) as Box<dyn Job>)
    }
}

impl PredictiveMaintenance {
    /// Notes what is wrong with the settings together.
    fn check(&self, table: &Table<'_>) -> bool {
        let mut fit = true;
        let mut wrong = |key: &dyn Describe, message: String| {
            table.problem(key, message);
            fit = false;
        };
        if self.series.devices.is_empty() {
            wrong(
                &DEVICES,
                "no device fits an empty list: leave the key out for all".into(),
            );
        }
        if self.series.tags.is_empty() {
            wrong(
                &TAGS,
                "no tag fits an empty list: leave the key out for all".into(),
            );
        }
        if self.short < Duration::from_millis(u64::from(STEPS_IN_SHORT)) {
            wrong(
                &SHORT,
                format!("{:?} is too short: \"48ms\" is the least", self.short),
            );
        } else if self.baseline < self.short.saturating_mul(4) {
            wrong(
                &BASELINE,
                format!(
                    "{:?} is less than four times short, {:?}",
                    self.baseline, self.short
                ),
            );
        } else if self.baseline.as_nanos() / self.step().as_nanos().max(1) > STEPS_IN_BASELINE_MAX {
            wrong(
                &BASELINE,
                format!(
                    "{:?} is more than {} times short",
                    self.baseline,
                    STEPS_IN_BASELINE_MAX / u128::from(STEPS_IN_SHORT)
                ),
            );
        } else if self.points_min as i64 > self.model().baseline_steps - self.model().short_steps {
            wrong(
                &POINTS_MIN,
                format!(
                    "{} points of {:?} are longer than the baseline",
                    self.points_min,
                    self.step()
                ),
            );
        }
        if self.limit <= 0.0 {
            wrong(
                &LIMIT,
                format!("{} is no limit: 3.5 is the default", self.limit),
            );
        }
        if !(0.0..1.0).contains(&self.scale_floor) {
            wrong(
                &SCALE_FLOOR,
                format!("{} is no share from 0 to below 1", self.scale_floor),
            );
        }
        if self.points_min < 2 {
            wrong(&POINTS_MIN, "a deviation takes two points at least".into());
        }
        if self.resolve_after == 0 {
            wrong(&RESOLVE_AFTER, "one window at least".into());
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
        let length =
            window.map(|w| Duration::from_nanos((w.end.nanos() - w.start.nanos()).unsigned_abs()));
        // By the clock there is no window: the recent time is the unit in which a change is gone.
        let resolve_after = length
            .unwrap_or(self.short)
            .saturating_mul(self.resolve_after);
        Lifecycle {
            refractory: self.refractory,
            resolve_after,
        }
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
            let steps: Vec<Step> = buckets
                .iter()
                .map(|Bucket { index, mean }| Step {
                    index: *index,
                    mean: *mean,
                })
                .collect();
            if let Some(change) = model.judge(&steps, end) {
                devices
                    .entry((key.site.clone(), key.device.clone()))
                    .or_default()
                    .push((key, change));
            }
        }
        let judged: usize = devices.values().map(Vec::len).sum();
        let mut verdicts = BTreeMap::new();
        let mut scores = Vec::new();
        for ((site, device), mut changes) in devices {
            changes.sort_by(|(_, a), (_, b)| b.score.abs().total_cmp(&a.score.abs()));
            verdicts.extend(
                changes
                    .iter()
                    .map(|(key, change)| self.verdict(key, change)),
            );
            scores.extend(self.score(site, device, &changes, cutoff));
        }
        let alerts = context
            .advance_alerts(&self.lifecycle(context), verdicts)
            .await?;
        let note = (judged < found || found == 0).then(|| self.note(found, judged));
        Ok(Outcome {
            results: Results {
                scores,
                alerts,
                ..Results::default()
            },
            note,
        })
    }
}

impl PredictiveMaintenance {
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
