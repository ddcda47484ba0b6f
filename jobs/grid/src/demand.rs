//! The job: which series it forecasts, from what, and how far.

mod beside;
mod keys;
mod rows;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use forebay_config::{Describe, Table, TableKeys};
use forebay_demand_model::{Answer, DemandModel, Inputs, Known, SeasonalNaive, TooLittle, Tuning};
use forebay_jobs::{
    Job, JobError, JobKind, Outcome, Results, RunContext, SeriesKey, SeriesPattern, keys::TIMEZONE,
};
use forebay_schemas::Timestamp;
use jiff::tz::TimeZone;

use beside::{Beside, BesideReader, Stretch, exactly, steps};
use keys::{
    DAY, DEVICES, GRID_DEMAND, HOLIDAY, HORIZON, KNOWN_AHEAD, LEVEL, REGRESSORS, SEASON, STEP,
    TAGS, TEMPERATURE, TRAILING,
};

/// Most steps of history that the baseline may ask for: 34 days of minutes.
const STEPS_MAX: i64 = 50_000;

/// Series that are named in a note; more are counted.
const NAMED_MAX: usize = 5;

/// Days after the horizon whose calendar is read: a day before holidays is not like others.
const DAYS_BEYOND: i64 = 5;

/// The job's settings.
#[derive(Debug, Clone, PartialEq)]
pub struct GridDemand {
    series: SeriesPattern,
    step: Duration,
    horizon: Duration,
    seasons: Vec<Duration>,
    trailing: Duration,
    level: f64,
    zone: TimeZone,
    holiday: Option<Beside>,
    temperature: Option<Beside>,
    regressors: Vec<Beside>,
}

impl GridDemand {
    /// The defaults, for these series: a day ahead in quarters of an hour, by day or week, whichever was less wrong over
    /// the last four weeks.
    pub fn new(series: SeriesPattern) -> Self {
        Self {
            series,
            step: STEP.default(),
            horizon: HORIZON.default(),
            seasons: vec![DAY, 7 * DAY],
            trailing: TRAILING.default(),
            level: LEVEL.default(),
            zone: TimeZone::UTC,
            holiday: None,
            temperature: None,
            regressors: Vec::new(),
        }
    }
}

/// `kind = "grid_demand"`.
#[derive(Debug, Clone, Copy, Default)]
pub struct GridDemandKind;

impl JobKind for GridDemandKind {
    fn name(&self) -> &'static str {
        "grid_demand"
    }

    fn keys(&self) -> &'static TableKeys {
        &GRID_DEMAND
    }

    fn configure(&self, table: &mut Table<'_>) -> Option<Box<dyn Job>> {
        let tags = table.read(&TAGS);
        let devices = table.read(&DEVICES);
        let default = GridDemand::new(SeriesPattern {
            devices,
            tags: tags.clone().unwrap_or_default(),
        });
        let season = table.read(&SEASON);
        let known_ahead = table.read(&KNOWN_AHEAD);
        let holiday = table.read(&HOLIDAY);
        let temperature = table.read(&TEMPERATURE);
        let regressors = table.read(&REGRESSORS);
        let beside = |name: &String| Beside::new(name, &known_ahead);
        // A zone that there is not is reported where the schedule is read.
        let zone = TimeZone::get(&table.read(&TIMEZONE)).unwrap_or(TimeZone::UTC);
        let job = GridDemand {
            step: table.read(&STEP),
            horizon: table.read(&HORIZON),
            seasons: season.map_or(default.seasons, |season| vec![season]),
            trailing: table.read(&TRAILING),
            level: table.read(&LEVEL),
            series: default.series,
            zone,
            holiday: holiday.as_ref().map(beside),
            temperature: temperature.as_ref().map(beside),
            regressors: regressors.iter().map(beside).collect(),
        };
        let named: Vec<&String> = holiday
            .iter()
            .chain(&temperature)
            .chain(&regressors)
            .collect();
        let unnamed = known_ahead.iter().find(|known| !named.contains(known));
        if let Some(unnamed) = unnamed {
            let message =
                format!("{unnamed:?} is neither holiday nor temperature nor one of regressors");
            table.problem(&KNOWN_AHEAD, message);
        }
        let fit = job.check(table) && unnamed.is_none();
        (fit && tags.is_some()).then(|| Box::new(job) as Box<dyn Job>)
    }
}

impl GridDemand {
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
        if self.step < Duration::from_millis(1) {
            wrong(
                &STEP,
                format!("{:?} is no step: \"1ms\" is the least", self.step),
            );
            return fit;
        }
        let seasons = self
            .seasons
            .iter()
            .map(|season| (&SEASON as &dyn Describe, *season));
        let others: [(&dyn Describe, Duration); 2] =
            [(&HORIZON, self.horizon), (&TRAILING, self.trailing)];
        let multiples = seasons.chain(others);
        for (key, duration) in multiples {
            if duration < self.step || duration.as_nanos() % self.step.as_nanos() != 0 {
                wrong(
                    key,
                    format!("{duration:?} is no multiple of step, {:?}", self.step),
                );
            }
        }
        if !(self.level > 0.0 && self.level <= 0.999) {
            wrong(
                &LEVEL,
                format!("{} is no share above 0 and up to 0.999", self.level),
            );
        } else if self.method().history().max(self.steps(self.horizon)) > STEPS_MAX {
            wrong(
                &STEP,
                format!(
                    "{:?} cuts the history into more than {STEPS_MAX} steps: make it longer, or season, horizon and trailing shorter",
                    self.step
                ),
            );
        }
        fit
    }

    /// The baseline of these settings, and the fallback.
    pub fn method(&self) -> SeasonalNaive {
        SeasonalNaive {
            seasons: self
                .seasons
                .iter()
                .map(|season| self.steps(*season))
                .collect(),
            horizon: self.steps(self.horizon),
            trailing: self.steps(self.trailing),
            level: self.level,
        }
    }

    fn steps(&self, duration: Duration) -> i64 {
        i64::try_from(duration.as_nanos() / self.step.as_nanos().max(1)).unwrap_or(i64::MAX)
    }

    fn step_micros(&self) -> i64 {
        i64::try_from(self.step.as_micros()).unwrap_or(i64::MAX)
    }

    fn at(&self, index: i64) -> Option<Timestamp> {
        Timestamp::from_micros(index.checked_mul(self.step_micros())?)
    }

    fn model(&self) -> DemandModel {
        DemandModel {
            step_seconds: i64::try_from(self.step.as_secs()).unwrap_or(0),
            zone: self.zone.clone(),
            level: self.level,
            trailing_days: usize::try_from(self.trailing.as_secs() / DAY.as_secs()).unwrap_or(0),
            baseline: self.method(),
            tuning: Tuning::default(),
        }
    }

    /// Whether models are tried; if not, one query for all series is all that is needed.
    fn has_models(&self, model: &DemandModel) -> bool {
        self.step.subsec_nanos() == 0 && model.has_models()
    }

    async fn by_baseline(&self, context: &RunContext, now: i64) -> Result<Found, JobError> {
        let method = self.method();
        let from = self.at(now.saturating_sub(method.history()));
        let from = from.unwrap_or(Timestamp::from_nanos(0));
        let series = context.buckets(&self.series, from, self.step).await?;
        let mut found = Found::default();
        for (key, buckets) in series {
            let answer = method.forecast(&steps(buckets), now);
            found.add(key, answer.map(Answer::from));
        }
        Ok(found)
    }

    /// One series after another: years of many series at once would not fit into memory.
    async fn by_models(
        &self,
        context: &RunContext,
        model: DemandModel,
        now: i64,
    ) -> Result<Found, JobError> {
        let horizon = i64::try_from(self.horizon.as_secs()).unwrap_or(i64::MAX);
        let end = model.end(now, horizon);
        let instant = |index: i64| self.at(index).unwrap_or(Timestamp::from_nanos(0));
        let day = DAY.as_secs().checked_div(self.step.as_secs()).unwrap_or(0);
        let beyond = DAYS_BEYOND.saturating_mul(i64::try_from(day).unwrap_or(0));
        let stretch = Stretch {
            from: instant(now.saturating_sub(model.history())),
            now,
            to: instant(end.saturating_add(beyond)),
        };
        let recent = instant(now.saturating_sub(model.baseline.history()));
        // Their names alone are wanted, so the steps are long.
        let series = context.buckets(&self.series, recent, 7 * DAY).await?;
        let model = Arc::new(model);
        let mut reader = BesideReader::default();
        let mut found = Found::default();
        for key in series.into_keys() {
            let inputs = self.inputs(context, &mut reader, &key, stretch).await?;
            let model = model.clone();
            let forecast = tokio::task::spawn_blocking(move || model.forecast(&inputs, now, end));
            let answer = forecast
                .await
                .map_err(|error| JobError::retry("a forecast did not end", error))?;
            found.add(key, answer);
        }
        Ok(found)
    }

    async fn inputs(
        &self,
        context: &RunContext,
        reader: &mut BesideReader,
        key: &SeriesKey,
        stretch: Stretch,
    ) -> Result<Inputs, JobError> {
        let pattern = exactly(key.device.as_str(), key.tag.as_str());
        let mut load = context.buckets(&pattern, stretch.from, self.step).await?;
        let mut regressors: Vec<Known> = Vec::new();
        for beside in &self.regressors {
            regressors.push(reader.read(self, context, key, beside, stretch).await?);
        }
        let holiday = match &self.holiday {
            Some(beside) => Some(reader.read(self, context, key, beside, stretch).await?),
            None => None,
        };
        let temperature = match &self.temperature {
            Some(beside) => Some(reader.read(self, context, key, beside, stretch).await?),
            None => None,
        };
        Ok(Inputs {
            load: steps(load.remove(key).unwrap_or_default()),
            holiday,
            temperature,
            regressors,
        })
    }
}

/// What the series of one run came to.
#[derive(Default)]
struct Found {
    answers: Vec<(SeriesKey, Answer)>,
    /// Why some have none.
    refused: Vec<String>,
}

impl Found {
    fn add(&mut self, key: SeriesKey, answer: Result<Answer, TooLittle>) {
        match answer {
            Ok(answer) => self.answers.push((key, answer)),
            Err(why) => self.refused.push(format!(
                "no forecast of {}/{}/{}: {why}",
                key.site, key.device, key.tag
            )),
        }
    }
}

#[async_trait]
impl Job for GridDemand {
    async fn run(&self, context: &RunContext) -> Result<Outcome, JobError> {
        // A step that the cutoff cuts is not known yet: it is the first to be forecast.
        let now = context.cutoff().micros().div_euclid(self.step_micros());
        let model = self.model();
        let mut found = if self.has_models(&model) {
            self.by_models(context, model, now).await?
        } else {
            self.by_baseline(context, now).await?
        };
        if found.answers.is_empty() && found.refused.is_empty() {
            let nothing = "no series fits devices and tags in the time that counts";
            found.refused.push(nothing.to_owned());
        }
        let mut results = Results::default();
        for (key, answer) in &found.answers {
            results
                .predictions
                .extend(self.predictions(key, answer, context));
            results.backtests.extend(self.backtests(key, answer));
        }
        Ok(Outcome {
            results,
            note: note(&found.refused),
        })
    }
}

fn note(refused: &[String]) -> Option<String> {
    let named = refused
        .iter()
        .take(NAMED_MAX)
        .cloned()
        .collect::<Vec<_>>()
        .join("; ");
    match refused.len().checked_sub(NAMED_MAX) {
        None | Some(0) => (!refused.is_empty()).then_some(named),
        Some(more) => Some(format!("{named}; and {more} more")),
    }
}
