//! The job: which series it forecasts, and how far.

use std::time::Duration;

use async_trait::async_trait;
use forebay_config::Table;
use forebay_jobs::{
    Bucket, Job, JobError, JobKind, Outcome, Prediction, Results, RunContext, SeriesKey, SeriesPattern,
};
use forebay_schemas::Timestamp;

use crate::{Forecast, SeasonalNaive, Step};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// Version of the method; it stands in `model_version` with the season that was chosen.
const METHOD: &str = "seasonal-naive/2";

/// Most steps of history that a forecast may ask for: 34 days of minutes.
const STEPS_MAX: i64 = 50_000;

/// Series that are named in a note; more are counted.
const NAMED_MAX: usize = 5;

/// The job's settings.
#[derive(Debug, Clone, PartialEq)]
pub struct GridDemand {
    series: SeriesPattern,
    step: Duration,
    horizon: Duration,
    seasons: Vec<Duration>,
    trailing: Duration,
    level: f64,
}

impl GridDemand {
    /// The defaults, for these series: a day ahead in quarters of an hour, by day or week, whichever was less wrong over
    /// the last four weeks.
    pub fn new(series: SeriesPattern) -> Self {
        let seasons = vec![DAY, 7 * DAY];
        Self { series, step: 15 * MINUTE, horizon: 24 * HOUR, seasons, trailing: 28 * DAY, level: 0.9 }
    }
}

/// `kind = "grid_demand"`.
#[derive(Debug, Clone, Copy, Default)]
pub struct GridDemandKind;

impl JobKind for GridDemandKind {
    fn name(&self) -> &'static str {
        "grid_demand"
    }

    fn configure(&self, table: &mut Table<'_>) -> Option<Box<dyn Job>> {
        let tags: Option<Vec<String>> = table.required("tags");
        let devices = table.or("devices", vec!["*".to_owned()]);
        let default = GridDemand::new(SeriesPattern { devices, tags: tags.clone().unwrap_or_default() });
        let season: Option<Duration> = table.optional("season");
        let job = GridDemand {
            step: table.or("step", default.step),
            horizon: table.or("horizon", default.horizon),
            seasons: season.map_or(default.seasons, |season| vec![season]),
            trailing: table.or("trailing", default.trailing),
            level: table.or("level", default.level),
            series: default.series,
        };
        (job.check(table) && tags.is_some()).then(|| Box::new(job) as Box<dyn Job>)
    }
}

impl GridDemand {
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
        if self.step < Duration::from_millis(1) {
            wrong("step", format!("{:?} is no step: \"1ms\" is the least", self.step));
            return fit;
        }
        let multiples = self
            .seasons
            .iter()
            .map(|season| ("season", *season))
            .chain([("horizon", self.horizon), ("trailing", self.trailing)]);
        for (key, duration) in multiples {
            if duration < self.step || duration.as_nanos() % self.step.as_nanos() != 0 {
                wrong(key, format!("{duration:?} is no multiple of step, {:?}", self.step));
            }
        }
        if !(self.level > 0.0 && self.level <= 0.999) {
            wrong("level", format!("{} is no share above 0 and up to 0.999", self.level));
        } else if self.method().history().max(self.steps(self.horizon)) > STEPS_MAX {
            wrong(
                "step",
                format!(
                    "{:?} cuts the history into more than {STEPS_MAX} steps: make it longer, or season, horizon and trailing shorter",
                    self.step
                ),
            );
        }
        fit
    }

    /// The method of these settings.
    pub fn method(&self) -> SeasonalNaive {
        SeasonalNaive {
            seasons: self.seasons.iter().map(|season| self.steps(*season)).collect(),
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

    fn predictions(&self, key: &SeriesKey, forecasts: &[Forecast], context: &RunContext) -> Vec<Prediction> {
        let of_one = |forecast: &Forecast| {
            let season = self.step.saturating_mul(u32::try_from(forecast.season).unwrap_or(u32::MAX));
            Some(Prediction {
                site: key.site.clone(),
                device: key.device.clone(),
                tag: key.tag.clone(),
                issued_at: context.fire().due,
                target_time: self.at(forecast.index)?,
                value: forecast.value,
                lo: Some(forecast.lo),
                hi: Some(forecast.hi),
                level: Some(self.level),
                model_version: format!("{METHOD} season={}s", season.as_secs_f64()),
                data_cutoff: context.cutoff(),
            })
        };
        forecasts.iter().filter_map(of_one).collect()
    }
}

#[async_trait]
impl Job for GridDemand {
    async fn run(&self, context: &RunContext) -> Result<Outcome, JobError> {
        let method = self.method();
        // A step that the cutoff cuts is not known yet: it is the first to be forecast.
        let now = context.cutoff().micros().div_euclid(self.step_micros());
        let from = self.at(now.saturating_sub(method.history())).unwrap_or(Timestamp::from_nanos(0));
        let series = context.buckets(&self.series, from, self.step).await?;
        let mut predictions = Vec::new();
        let mut refused = Vec::new();
        if series.is_empty() {
            refused.push("no series fits devices and tags in the time that counts".to_owned());
        }
        for (key, buckets) in &series {
            let steps: Vec<Step> =
                buckets.iter().map(|Bucket { index, mean }| Step { index: *index, mean: *mean }).collect();
            match method.forecast(&steps, now) {
                Ok(forecasts) => predictions.extend(self.predictions(key, &forecasts, context)),
                Err(why) => refused.push(format!("no forecast of {}/{}/{}: {why}", key.site, key.device, key.tag)),
            }
        }
        Ok(Outcome { results: Results { predictions, ..Results::default() }, note: note(&refused) })
    }
}

fn note(refused: &[String]) -> Option<String> {
    let named = refused.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join("; ");
    match refused.len().checked_sub(NAMED_MAX) {
        None | Some(0) => (!refused.is_empty()).then_some(named),
        Some(more) => Some(format!("{named}; and {more} more")),
    }
}
