//! The job: which series it forecasts, and how far.

use std::time::Duration;

use async_trait::async_trait;
use forebay_config::{Defaulted, Describe, Optional, Required, Table, TableKeys};
use forebay_jobs::{
    Bucket, Job, JobError, JobKind, Outcome, Prediction, Results, RunContext, SeriesKey,
    SeriesPattern,
};
use forebay_schemas::Timestamp;

use crate::{Forecast, SeasonalNaive, Step};

const DAY: Duration = Duration::from_secs(86_400);

/// The keys of the kind.
const GRID_DEMAND: TableKeys = TableKeys::many(
    "job",
    "Forecasts load series from their own past, with bounds that hold a chosen share of the values.",
    &[&DEVICES, &TAGS, &STEP, &HORIZON, &SEASON, &TRAILING, &LEVEL],
);

const DEVICES: Defaulted<Vec<String>> = Defaulted::list(
    "devices",
    &["*"],
    "The devices whose series are forecast, as patterns in which * stands for any text and ? for one character.",
);

const TAGS: Required<Vec<String>> = Required::new(
    "tags",
    "The tags that are forecast, as patterns in which * stands for any text and ? for one character.",
);

const STEP: Defaulted<Duration> = Defaulted::new(
    "step",
    Duration::from_secs(15 * 60),
    "Length of the steps whose means are forecast; at least 1ms. The history that counts must have at most 50000 of them.",
);

const HORIZON: Defaulted<Duration> = Defaulted::new(
    "horizon",
    DAY,
    "How far ahead is forecast: a multiple of step.",
);

const SEASON: Optional<Duration> = Optional::new(
    "season",
    "The time after which the series repeats itself: a multiple of step.",
)
.absent("a day or a week, whichever was less wrong over trailing");

const TRAILING: Defaulted<Duration> = Defaulted::new(
    "trailing",
    Duration::from_secs(28 * 86_400),
    "The time over which past forecasts are judged, for the choice of the season and the width of the bounds: a multiple of step.",
);

const LEVEL: Defaulted<f64> = Defaulted::new(
    "level",
    0.9,
    "The share of values that shall lie within the bounds: above 0, up to 0.999. A higher one needs a longer history.",
);

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
        Self {
            series,
            step: STEP.default(),
            horizon: HORIZON.default(),
            seasons: vec![DAY, 7 * DAY],
            trailing: TRAILING.default(),
            level: LEVEL.default(),
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
        let job = GridDemand {
            step: table.read(&STEP),
            horizon: table.read(&HORIZON),
            seasons: season.map_or(default.seasons, |season| vec![season]),
            trailing: table.read(&TRAILING),
            level: table.read(&LEVEL),
            series: default.series,
        };
        (job.check(table) && tags.is_some()).then(|| Box::new(job) as Box<dyn Job>)
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

    /// The method of these settings.
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

    fn predictions(
        &self,
        key: &SeriesKey,
        forecasts: &[Forecast],
        context: &RunContext,
    ) -> Vec<Prediction> {
        let of_one = |forecast: &Forecast| {
            let season = self
                .step
                .saturating_mul(u32::try_from(forecast.season).unwrap_or(u32::MAX));
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
        let from = self
            .at(now.saturating_sub(method.history()))
            .unwrap_or(Timestamp::from_nanos(0));
        let series = context.buckets(&self.series, from, self.step).await?;
        let mut predictions = Vec::new();
        let mut refused = Vec::new();
        if series.is_empty() {
            refused.push("no series fits devices and tags in the time that counts".to_owned());
        }
        for (key, buckets) in &series {
            let steps: Vec<Step> = buckets
                .iter()
                .map(|Bucket { index, mean }| Step {
                    index: *index,
                    mean: *mean,
                })
                .collect();
            match method.forecast(&steps, now) {
                Ok(forecasts) => predictions.extend(self.predictions(key, &forecasts, context)),
                Err(why) => refused.push(format!(
                    "no forecast of {}/{}/{}: {why}",
                    key.site, key.device, key.tag
                )),
            }
        }
        Ok(Outcome {
            results: Results {
                predictions,
                ..Results::default()
            },
            note: note(&refused),
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
