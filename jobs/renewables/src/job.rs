//! The run: each plant's past and the weather that is known ahead become predictions.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use forebay_jobs::{
    BacktestRow, Bucket, Job, JobError, Outcome, Prediction, Results, RunContext, SeriesKey,
    SeriesPattern,
};
use forebay_schemas::{DeviceId, SiteId, Timestamp};
use forebay_signals::renewable::{LEARNT_DAYS, Plant, PowerForecasts};

use crate::settings::Renewables;

/// Version of the methods; it stands in `model_version` with the method that was chosen.
const VERSION: &str = "renewables/1";

const DAY: Duration = Duration::from_secs(86_400);

/// Series that are named in a note; more are counted.
const NAMED_MAX: usize = 5;

/// Steps and their means.
type Steps = BTreeMap<i64, f64>;

#[async_trait]
impl Job for Renewables {
    async fn run(&self, context: &RunContext) -> Result<Outcome, JobError> {
        let model = self.model();
        // A step that the cutoff cuts is not known yet: it is the first to be forecast.
        let now = context.cutoff().micros().div_euclid(model.step_micros);
        let from = self.from(context.cutoff());
        let plants = context.buckets(&self.series, from, self.step).await?;
        let weather = self.weather(context, from).await?;
        let mut results = Results::default();
        let mut refused = Vec::new();
        if plants.is_empty() {
            refused.push("no series fits devices and tags in the time that counts".to_owned());
        }
        for (key, buckets) in plants {
            let power: Steps = steps(&buckets).filter(|(index, _)| *index < now).collect();
            let of_plant = self.weather_of(&key, &weather);
            let work = move || {
                let plant = Plant {
                    power: &power,
                    driver: &of_plant,
                };
                model.forecast(plant, now)
            };
            let found = tokio::task::spawn_blocking(work)
                .await
                .map_err(|error| JobError::retry("the forecast of a plant failed", error))?;
            match found {
                Some(found) => self.add(context, &key, &found, &mut results),
                None => refused.push(format!(
                    "no forecast of {}/{}/{}: fewer than 7 days with forecasts behind them",
                    key.site, key.device, key.tag
                )),
            }
        }
        Ok(Outcome {
            results,
            note: note(&refused),
        })
    }
}

impl Renewables {
    /// The history that counts: the trailing days, what each forecast of them learns from, and the horizon between.
    fn from(&self, cutoff: Timestamp) -> Timestamp {
        let learnt = DAY.saturating_mul(u32::try_from(LEARNT_DAYS).unwrap_or(u32::MAX));
        let back = self.trailing + learnt + self.horizon + 4 * DAY;
        let nanos = i64::try_from(back.as_nanos()).unwrap_or(i64::MAX);
        Timestamp::from_nanos(cutoff.nanos().saturating_sub(nanos))
    }

    /// The series of the weather, before the cutoff and up to the end of the horizon.
    async fn weather(
        &self,
        context: &RunContext,
        from: Timestamp,
    ) -> Result<BTreeMap<SeriesKey, Steps>, JobError> {
        let Some((device, tag)) = &self.weather else {
            return Ok(BTreeMap::new());
        };
        let pattern = SeriesPattern {
            devices: match device {
                Some(device) => vec![device.clone()],
                None => self.series.devices.clone(),
            },
            tags: vec![tag.clone()],
        };
        let horizon = i64::try_from((self.horizon + self.step).as_nanos()).unwrap_or(i64::MAX);
        let to = Timestamp::from_nanos(context.cutoff().nanos().saturating_add(horizon));
        let past = context.buckets(&pattern, from, self.step).await?;
        let patterns = [pattern];
        let ahead = context.buckets_ahead(&patterns, to, self.step).await?;
        let mut weather: BTreeMap<SeriesKey, Steps> = BTreeMap::new();
        for (key, buckets) in past.into_iter().chain(ahead) {
            weather.entry(key).or_default().extend(steps(&buckets));
        }
        Ok(weather)
    }

    /// The weather of one plant: of its site, on its device or the one that is named.
    fn weather_of(&self, plant: &SeriesKey, weather: &BTreeMap<SeriesKey, Steps>) -> Steps {
        let device = |named: &Option<String>| match named {
            Some(name) => DeviceId::new(name).ok(),
            None => Some(plant.device.clone()),
        };
        let device = self.weather.as_ref().and_then(|(named, _)| device(named));
        let is_of = |key: &SeriesKey| -> bool {
            let site: &SiteId = &plant.site;
            key.site == *site && Some(&key.device) == device.as_ref()
        };
        weather
            .iter()
            .find(|(key, _)| is_of(key))
            .map(|(_, steps)| steps.clone())
            .unwrap_or_default()
    }

    fn add(
        &self,
        context: &RunContext,
        key: &SeriesKey,
        found: &PowerForecasts,
        results: &mut Results,
    ) {
        let step_micros = self.model().step_micros;
        let at = |index: i64| Timestamp::from_micros(index.checked_mul(step_micros)?);
        let version = format!("{VERSION} {}", found.method.name());
        let of_one = |of: &forebay_signals::renewable::PowerForecast| {
            Some(Prediction {
                site: key.site.clone(),
                device: key.device.clone(),
                tag: key.tag.clone(),
                issued_at: context.fire().due,
                target_time: at(of.index)?,
                value: of.value,
                lo: Some(of.lo),
                hi: Some(of.hi),
                level: Some(self.level),
                model_version: version.clone(),
                data_cutoff: context.cutoff(),
            })
        };
        results
            .predictions
            .extend(found.forecasts.iter().filter_map(of_one));
        let [Some(from_time), Some(to_time)] = found.replayed_steps.map(at) else {
            return;
        };
        results.backtests.push(BacktestRow {
            version,
            site: Some(key.site.clone()),
            device: Some(key.device.clone()),
            tag: Some(key.tag.clone()),
            metric: "mae".to_owned(),
            value: found.error,
            baseline: Some(found.naive_error),
            baseline_name: Some("naive_day".to_owned()),
            n: found.replayed as u64,
            from_time,
            to_time,
            segment: None,
        });
    }
}

fn steps(buckets: &[Bucket]) -> impl Iterator<Item = (i64, f64)> {
    buckets.iter().map(|bucket| (bucket.index, bucket.mean))
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
