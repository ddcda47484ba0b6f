//! The job: which devices it judges, and what it makes of their scores.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_trait::async_trait;
use forebay_config::{Describe, Table, TableKeys};
use forebay_jobs::{
    BacktestRow, Job, JobError, JobKind, Lifecycle, ModelRow, Outcome, Results, RunContext, Score,
    SeriesPattern, Verdict,
};
use forebay_schemas::Timestamp;
use forebay_statistics::hotelling::Settings;

use crate::{
    ChangeModel, Spread,
    keys::{
        BASELINE, CARRY, DEVICES, LIMIT, METHOD, Method, POINTS_MIN, PREDICTIVE_MAINTENANCE,
        REFRACTORY, RESOLVE_AFTER, SCALE_FLOOR, SHORT, SMOOTHING, SPREAD, TAGS, TRAIN,
    },
    multivariate::Multivariate,
    train::Train,
};

/// The recent time is cut into this many steps, and the rest into steps of the same length.
const STEPS_IN_SHORT: u32 = 48;

/// More steps than this in a baseline would cost memory and tell no more: about a tenth of a percent each.
const STEPS_IN_BASELINE_MAX: u128 = 20_000;

/// Beyond this many times the limit a warning is critical.
pub(crate) const CRITICAL: f64 = 2.0;

/// The job's settings.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictiveMaintenance {
    pub(crate) series: SeriesPattern,
    pub(crate) short: Duration,
    pub(crate) baseline: Duration,
    pub(crate) limit: f64,
    refractory: Duration,
    pub(crate) points_min: usize,
    scale_floor: f64,
    spread: Spread,
    resolve_after: u32,
    pub(crate) method: Method,
    pub(crate) train: Train,
    smoothing: usize,
    pub(crate) carry: Duration,
}

/// What one method has found.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    pub(crate) verdicts: BTreeMap<String, Verdict>,
    pub(crate) scores: Vec<Score>,
    /// Of charts that this run has trained.
    pub(crate) models: Vec<ModelRow>,
    pub(crate) backtests: Vec<BacktestRow>,
    pub(crate) notes: Vec<String>,
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
            spread: Spread::Steps,
            resolve_after: RESOLVE_AFTER.default(),
            method: Method::Change,
            train: TRAIN.default(),
            smoothing: SMOOTHING.default() as usize,
            carry: CARRY.default(),
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
            spread: table.read(&SPREAD),
            resolve_after: table.read(&RESOLVE_AFTER),
            method: table.read(&METHOD),
            train: Train::read(table),
            smoothing: table.read(&SMOOTHING) as usize,
            carry: table.read(&CARRY),
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
        if let Some((key, message)) = self.chart_problem() {
            wrong(key, message);
        }
        fit
    }

    /// What is wrong with the keys of the multivariate method.
    fn chart_problem(&self) -> Option<(&'static dyn Describe, String)> {
        if !(1..=1000).contains(&self.smoothing) {
            let message = format!("{} is not from 1 to 1000", self.smoothing);
            return Some((&SMOOTHING, message));
        }
        let problem = self.train.problem(self.chart().rows_min())?;
        Some((&TRAIN, problem))
    }

    /// The settings of the multivariate chart.
    pub fn chart(&self) -> Settings {
        Settings {
            smoothing: self.smoothing,
            ..Settings::default()
        }
    }

    pub(crate) fn step(&self) -> Duration {
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
            spread: self.spread,
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
    pub(crate) fn end(&self, cutoff: Timestamp) -> i64 {
        let step = i64::try_from(self.step().as_micros()).unwrap_or(i64::MAX);
        cutoff.micros().div_euclid(step)
    }
}

#[async_trait]
impl Job for PredictiveMaintenance {
    async fn run(&self, context: &RunContext) -> Result<Outcome, JobError> {
        let mut judged = Judged::default();
        let mut judged_devices = BTreeSet::new();
        if self.method != Method::Change {
            let multivariate = Multivariate::new(self, context).await?;
            judged_devices = multivariate.judge(&mut judged).await?;
        }
        if self.method != Method::Multivariate {
            let by_change = self.judge_by_change(context, &judged_devices).await?;
            judged.verdicts.extend(by_change.verdicts);
            judged.scores.extend(by_change.scores);
            judged.notes.extend(by_change.notes);
        }
        let alerts = context
            .advance_alerts(&self.lifecycle(context), judged.verdicts)
            .await?;
        let note = (!judged.notes.is_empty()).then(|| judged.notes.join("; "));
        Ok(Outcome {
            results: Results {
                scores: judged.scores,
                models: judged.models,
                backtests: judged.backtests,
                alerts,
                ..Results::default()
            },
            note,
        })
    }
}
