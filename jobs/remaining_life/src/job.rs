//! The job: which units it learns from, which it predicts, and when it warns.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_trait::async_trait;
use forebay_config::{Describe, Table, TableKeys};
use forebay_jobs::{
    Condition, DeviceSpan, Job, JobError, JobKind, Lifecycle, Outcome, Prediction, Results,
    RowReader, RunContext, SeriesPattern, Severity, Verdict,
};
use forebay_schemas::{TagName, Timestamp};
use forebay_statistics::remaining_life::{Age, Life, Settings};

use crate::{
    keys::{
        AGE, ALERT_BELOW, CAP, DEVICES, FAILED, LEVEL, REFRACTORY, REMAINING_LIFE, RETRAIN_EVERY,
        STEP, TAGS,
    },
    training::Used,
    units::Unit,
};

/// A run has failed when nothing has come for so many steps: until then its last reading may be one of its middle.
const QUIET_STEPS: u32 = 5;

/// The newest steps of a unit that are looked at.
const STEPS_MAX: u32 = 20_000;

/// The most readings of a unit that are held at once, about 50 bytes each.
const READINGS_MAX: usize = 2_000_000;

/// The most numbers of failed units that are held, 8 bytes each; of more, the units that failed last are taken.
const NUMBERS_MAX: usize = 8_000_000;

/// The fewest failed units that anything is learned from.
pub(crate) const UNITS_MIN: usize = 3;

/// A warning ends beyond this many times its limit.
const RELEASE: f64 = 1.1;

/// The tag of predictions.
const RUL: &str = "rul";

/// The job's settings.
#[derive(Debug, Clone, PartialEq)]
pub struct RemainingLife {
    units: SeriesPattern,
    pub(crate) failed: SeriesPattern,
    pub(crate) step: Duration,
    pub(crate) settings: Settings,
    pub(crate) retrain_every: Duration,
    alert_below: Option<f64>,
    refractory: Duration,
}

/// `kind = "remaining_life"`.
#[derive(Debug, Clone, Copy, Default)]
pub struct RemainingLifeKind;

impl JobKind for RemainingLifeKind {
    fn name(&self) -> &'static str {
        "remaining_life"
    }

    fn keys(&self) -> &'static TableKeys {
        &REMAINING_LIFE
    }

    fn configure(&self, table: &mut Table<'_>) -> Option<Box<dyn Job>> {
        let devices = table.read(&DEVICES);
        let tags = table.read(&TAGS);
        let failed = table.read(&FAILED);
        let step = table.read(&STEP);
        let age = if table.read(&AGE) {
            Age::Known
        } else {
            Age::LeftOut
        };
        let settings = Settings {
            cap: f64::from(table.read(&CAP)),
            level: table.read(&LEVEL),
            age,
            ..Settings::default()
        };
        let job = RemainingLife {
            units: SeriesPattern {
                devices,
                tags: tags.clone(),
            },
            failed: SeriesPattern {
                devices: failed.clone().unwrap_or_default(),
                tags,
            },
            step: step.unwrap_or(Duration::from_secs(1)),
            settings,
            retrain_every: table.read(&RETRAIN_EVERY),
            alert_below: table.read(&ALERT_BELOW),
            refractory: table.read(&REFRACTORY),
        };
        // What is missing has been noted already.
        let given = failed.is_some() && step.is_some();
        let problems = if given { job.problems() } else { Vec::new() };
        for (key, message) in &problems {
            table.problem(*key, message);
        }
        (given && problems.is_empty()).then(|| Box::new(job) as Box<dyn Job>)
    }
}

impl RemainingLife {
    /// What is wrong with the settings.
    fn problems(&self) -> Vec<(&'static dyn Describe, String)> {
        let mut problems: Vec<(&'static dyn Describe, String)> = Vec::new();
        let lists: [(&'static dyn Describe, &Vec<String>); 3] = [
            (&DEVICES, &self.units.devices),
            (&TAGS, &self.units.tags),
            (&FAILED, &self.failed.devices),
        ];
        for (key, list) in lists {
            if list.is_empty() {
                problems.push((key, "nothing fits an empty list".into()));
            }
        }
        if self.step < Duration::from_millis(1) {
            problems.push((
                &STEP,
                format!("{:?} is too short: \"1ms\" is the least", self.step),
            ));
        }
        if self.settings.cap < 1.0 {
            problems.push((&CAP, "a step at least".into()));
        }
        if !(self.settings.level > 0.0 && self.settings.level < 1.0) {
            let message = format!("{} is not between 0 and 1", self.settings.level);
            problems.push((&LEVEL, message));
        }
        if let Some(limit) = self.alert_below
            && !(limit > 0.0 && limit <= self.settings.cap)
        {
            let cap = self.settings.cap;
            problems.push((
                &ALERT_BELOW,
                format!("{limit} is not above 0 and up to cap, {cap}"),
            ));
        }
        problems
    }

    async fn unit(&self, reader: &RowReader, device: DeviceSpan) -> Result<Unit, JobError> {
        let oldest = minus(device.last, self.step.saturating_mul(STEPS_MAX));
        let from = device.first.max(oldest);
        let to = Timestamp::from_nanos(device.last.nanos().saturating_add(1_000));
        let rows = reader.of(&device, from, to, READINGS_MAX).await?;
        Ok(Unit::new(device, &rows, self.step))
    }

    /// The runs to failure that are over.
    pub(crate) fn over<'a>(
        &self,
        failed: &'a [DeviceSpan],
        cutoff: Timestamp,
    ) -> Vec<&'a DeviceSpan> {
        let quiet = minus(cutoff, self.step.saturating_mul(QUIET_STEPS));
        failed.iter().filter(|run| run.last <= quiet).collect()
    }

    /// These runs, those that failed last first, as many as memory may hold; in the order of their names.
    pub(crate) async fn failed_units(
        &self,
        reader: &RowReader,
        over: &[&DeviceSpan],
    ) -> Result<Vec<Unit>, JobError> {
        let mut over = over.to_vec();
        over.sort_by_key(|device| std::cmp::Reverse(device.last));
        let mut units = Vec::new();
        let mut numbers = 0;
        for device in over {
            let unit = self.unit(reader, device.clone()).await?;
            numbers += unit.numbers();
            if numbers > NUMBERS_MAX {
                break;
            }
            units.push(unit);
        }
        units.sort_by(|a, b| a.device.cmp(&b.device));
        Ok(units)
    }

    fn prediction(
        &self,
        context: &RunContext,
        unit: &Unit,
        life: Life,
        version: &str,
    ) -> Result<Prediction, JobError> {
        Ok(Prediction {
            site: unit.device.site.clone(),
            device: unit.device.device.clone(),
            tag: rul()?,
            issued_at: context.cutoff(),
            target_time: unit.device.last,
            value: life.value,
            lo: life.bounds.map(|(lo, _)| lo),
            hi: life.bounds.map(|(_, hi)| hi),
            level: life.bounds.map(|_| self.settings.level),
            model_version: version.to_owned(),
            data_cutoff: context.cutoff(),
        })
    }

    /// What is said of a unit; nothing between the limit and where a warning ends.
    fn verdict(&self, unit: &Unit, life: Life) -> Option<(String, Verdict)> {
        let limit = self.alert_below?;
        let key = format!(
            "{}/{}",
            unit.device.site.path_segment(),
            unit.device.device.path_segment()
        );
        if life.value >= limit {
            let ended = life.value > RELEASE * limit;
            return ended.then_some((key, Verdict::Healthy));
        }
        let surely = life.bounds.is_some_and(|(_, hi)| hi < limit);
        let condition = Condition {
            site: unit.device.site.clone(),
            device: unit.device.device.clone(),
            tag: None,
            severity: if surely {
                Severity::Critical
            } else {
                Severity::Warning
            },
            score: life.value,
            contributions: None,
            reason: self.reason(life, limit),
        };
        Some((key, Verdict::Wrong(condition)))
    }

    /// Such as "about 23 steps of 1h left, 12 to 41 at 90 %; below 30".
    fn reason(&self, life: Life, limit: f64) -> String {
        let bounds = life.bounds.map_or_else(String::new, |(lo, hi)| {
            format!(
                ", {lo:.0} to {hi:.0} at {:.0} %",
                100.0 * self.settings.level
            )
        });
        format!(
            "about {:.0} steps of {} left{bounds}; below {limit}",
            life.value,
            in_words(self.step)
        )
    }
}

#[async_trait]
impl Job for RemainingLife {
    async fn run(&self, context: &RunContext) -> Result<Outcome, JobError> {
        let failed_reader = context.rows(&self.failed).await?;
        let failed_devices = failed_reader.devices().await?;
        let used = match self.model(context, &failed_reader, &failed_devices).await? {
            Ok(used) => used,
            Err(why) => return Ok(noted(why)),
        };
        let Used { model, version, .. } = &used;
        let columns = &model.columns;
        let mut results = Results {
            models: used.models.clone(),
            backtests: used.backtests.clone(),
            ..Results::default()
        };

        let name = |device: &DeviceSpan| (device.site.clone(), device.device.clone());
        let only_learned: BTreeSet<_> = failed_devices.iter().map(name).collect();
        let reader = context.rows(&self.units).await?;
        let mut verdicts = BTreeMap::new();
        let mut notes = Vec::new();
        for device in reader.devices().await? {
            if only_learned.contains(&name(&device)) {
                continue;
            }
            let unit = self.unit(&reader, device).await?;
            // Of a unit that few tags are known of, the means of others would be predicted.
            if 2 * columns.known(&unit) < columns.len() {
                notes.push(format!(
                    "{}: fewer than half of the tags are known",
                    unit.device.device
                ));
                continue;
            }
            if let Some(life) = model.life.predict(&columns.of(&unit)) {
                results
                    .predictions
                    .push(self.prediction(context, &unit, life, version)?);
                verdicts.extend(self.verdict(&unit, life));
            }
        }
        if results.predictions.is_empty() && notes.is_empty() {
            notes.push("no reading fits devices beside those that have failed".to_owned());
        }
        let lifecycle = Lifecycle {
            refractory: self.refractory,
            resolve_after: self.step,
        };
        results.alerts = context.advance_alerts(&lifecycle, verdicts).await?;
        notes.truncate(3);
        let note = (!notes.is_empty()).then(|| notes.join("; "));
        Ok(Outcome { results, note })
    }
}

fn noted(note: String) -> Outcome {
    Outcome {
        results: Results::default(),
        note: Some(note),
    }
}

pub(crate) fn rul() -> Result<TagName, JobError> {
    TagName::new(RUL).map_err(|error| JobError::reject(error.to_string()))
}

/// Such as "1h", in the largest unit that it is a whole number of.
fn in_words(step: Duration) -> String {
    let seconds = step.as_secs();
    let whole = step.subsec_nanos() == 0 && seconds > 0;
    for (unit, name) in [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")] {
        if whole && seconds.is_multiple_of(unit) {
            return format!("{}{name}", seconds / unit);
        }
    }
    format!("{step:?}")
}

fn minus(at: Timestamp, time: Duration) -> Timestamp {
    let nanos = i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
    Timestamp::from_nanos(at.nanos().saturating_sub(nanos))
}
