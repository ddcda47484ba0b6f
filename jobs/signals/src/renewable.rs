//! Forecasts of solar and wind power from a plant's own past, with intervals, each held against the naive forecast.
//!
//! Several methods are replayed over the trailing days, each forecast from what came before it alone, and the one with the
//! least mean absolute error is taken, yesterday's values among them. Times are counted in
//! steps of equal length after 1970.

use std::collections::BTreeMap;

use forebay_statistics::conformal::{ByGroup, quantile, symmetric};

use crate::{
    power_curve::{PowerCurve, Yielded},
    sun::{Place, clear_sky, cos_zenith},
};

/// Under this share of the largest irradiance a plant's yield says nothing of the sky: it counts as night.
const NIGHT_SHARE: f64 = 0.02;

/// Days whose clearness is averaged.
const CLEARNESS_DAYS: i64 = 7;

/// Days from which the yield by radiation and by wind is learnt.
pub const LEARNT_DAYS: i64 = 28;

/// Hours to both sides whose yield by radiation says what it is at an hour.
const NEAR_HOURS: i64 = 1;

/// Days with forecasts that must lie behind before any is bounded.
const DAYS_MIN: i64 = 7;

const COMMON_METHODS: &[Method] = &[Method::NaiveDay, Method::MeanDay, Method::Damped];

const SOLAR_METHODS: &[Method] = &[Method::ClearSkyIndex, Method::Radiation];

const WIND_METHODS: &[Method] = &[Method::PowerCurve];

/// The damped forecast depends least on chance: another must be better than it by so much to be taken.
const HANDICAP: f64 = 0.95;

/// Issues of the replay before the first that is bounded by them.
const ISSUES_MIN: usize = 10;

/// Bounds become at most so much wider than past errors say.
const WIDENING_MAX: f64 = 2.0;

/// What drives the plant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Source {
    /// The sun over a place.
    Solar(Place),
    /// The wind.
    Wind,
}

/// How a forecast was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// As a day ago.
    NaiveDay,
    /// As on average at this time of the last days.
    MeanDay,
    /// The clear-sky irradiance times the clearness of the last days at this hour.
    ClearSkyIndex,
    /// The radiation that is known ahead times the yield by radiation at this hour.
    Radiation,
    /// The wind speed that is known ahead through the plant's power curve.
    PowerCurve,
    /// Half as on average, half as a day ago.
    Damped,
}

impl Method {
    /// As `model_version` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::NaiveDay => "naive-day",
            Self::MeanDay => "mean-day",
            Self::ClearSkyIndex => "clear-sky-index",
            Self::Radiation => "radiation",
            Self::PowerCurve => "power-curve",
            Self::Damped => "damped-day",
        }
    }
}

/// A forecast of one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PowerForecast {
    /// Which step.
    pub index: i64,
    /// The mean power.
    pub value: f64,
    /// Lower bound.
    pub lo: f64,
    /// Upper bound.
    pub hi: f64,
}

/// What was forecast, and how well the method did in the replay.
#[derive(Debug, Clone, PartialEq)]
pub struct PowerForecasts {
    /// The method that was chosen.
    pub method: Method,
    /// One for each step of the horizon.
    pub forecasts: Vec<PowerForecast>,
    /// Mean absolute error of the method over the trailing days.
    pub error: f64,
    /// That of the naive forecast over the same steps.
    pub naive_error: f64,
    /// How many steps were replayed.
    pub replayed: usize,
    /// The first of them, and the first after the last.
    pub replayed_steps: [i64; 2],
}

/// How power is forecast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PowerModel {
    /// What drives the plant.
    pub source: Source,
    /// Length of a step in microseconds; a day is a whole number of them.
    pub step_micros: i64,
    /// Steps ahead.
    pub horizon: i64,
    /// Days over which methods are held against each other and errors bound a forecast.
    pub trailing_days: i64,
    /// The share of values that the bounds shall hold.
    pub level: f64,
}

/// A plant's past, and what drives it where it is known: steps and their means.
#[derive(Debug, Clone, Copy)]
pub struct Plant<'a> {
    /// The power.
    pub power: &'a BTreeMap<i64, f64>,
    /// Radiation or wind speed, also of steps to come; empty where none is known.
    pub driver: &'a BTreeMap<i64, f64>,
}

impl PowerModel {
    /// The forecast of the steps from `now` on, from the power before it. `None` where there are too few days.
    pub fn forecast(&self, plant: Plant<'_>, now: i64) -> Option<PowerForecasts> {
        let day = self.day();
        let days_ahead = self.horizon.div_euclid(day) + i64::from(self.horizon % day != 0);
        let mut replays: BTreeMap<Method, Replay> = BTreeMap::new();
        // Issues a day apart, the last of them that whose whole horizon is known.
        for days in (days_ahead..days_ahead + self.trailing_days).rev() {
            let issued = now - days * day;
            for method in self.methods() {
                let residual = |(index, value): (i64, Option<f64>)| {
                    let truth = plant.power.get(&index)?;
                    Some((index, truth - value?))
                };
                let values = self.values(method, plant, issued).into_iter();
                let replay = replays.entry(method).or_default();
                replay.issues.push(values.filter_map(residual).collect());
            }
        }
        let naive = replays.get(&Method::NaiveDay)?;
        let (naive_error, naive_steps) = (naive.error(), naive.steps());
        if (naive_steps as i64) < DAYS_MIN * day * 3 / 4 {
            return None;
        }
        // A method that is seldom able to forecast is not judged by its good days.
        let (method, replay) = replays
            .into_iter()
            .filter(|(_, replay)| replay.steps() >= naive_steps * 9 / 10)
            .min_by(|a, b| handicapped(a).total_cmp(&handicapped(b)))?;
        let groups = self.groups(&replay.issues);
        let widening = self.widening(&replay);
        let fallbacks: BTreeMap<i64, f64> = self
            .values(Method::MeanDay, plant, now)
            .into_iter()
            .filter_map(|(index, value)| Some((index, value?)))
            .collect();
        let bounded = |(index, value): (i64, Option<f64>)| {
            let value = value.or_else(|| fallbacks.get(&index).copied())?;
            let margins = groups.margins(self.group(index), self.level, symmetric)?;
            Some(PowerForecast {
                index,
                value,
                lo: value - widening * margins.below,
                hi: value + widening * margins.above,
            })
        };
        let forecasts: Vec<PowerForecast> = self
            .values(method, plant, now)
            .into_iter()
            .filter_map(bounded)
            .collect();
        (!forecasts.is_empty()).then(|| PowerForecasts {
            method,
            forecasts,
            error: replay.error(),
            naive_error,
            replayed: replay.steps(),
            replayed_steps: [
                now - (days_ahead + self.trailing_days - 1) * day,
                now - days_ahead * day + self.horizon,
            ],
        })
    }

    /// The residuals of some issues by group.
    fn groups(&self, issues: &[Vec<(i64, f64)>]) -> ByGroup {
        let residuals = issues.iter().flatten();
        ByGroup::new(residuals.map(|(index, residual)| (self.group(*index), *residual)))
    }

    /// By how much bounds from the past must be wider to have held in the replay, where each issue is bounded by those
    /// before it: errors grow from summer to autumn. Never less than 1.
    fn widening(&self, replay: &Replay) -> f64 {
        let mut ratios = Vec::new();
        for (number, issue) in replay.issues.iter().enumerate().skip(ISSUES_MIN) {
            let before = self.groups(&replay.issues[..number]);
            let mut bounds: BTreeMap<i64, Option<f64>> = BTreeMap::new();
            for (index, residual) in issue {
                let group = self.group(*index);
                let bound = bounds.entry(group).or_insert_with(|| {
                    let margins = before.margins(group, self.level, symmetric);
                    margins.map(|margins| margins.above)
                });
                let bound = bound.filter(|bound| *bound > 0.0);
                ratios.extend(bound.map(|bound| residual.abs() / bound));
            }
        }
        quantile(ratios, self.level).map_or(1.0, |widening| widening.clamp(1.0, WIDENING_MAX))
    }

    fn day(&self) -> i64 {
        86_400_000_000 / self.step_micros
    }

    fn methods(&self) -> impl Iterator<Item = Method> {
        let own = match self.source {
            Source::Solar(_) => SOLAR_METHODS,
            Source::Wind => WIND_METHODS,
        };
        COMMON_METHODS.iter().chain(own).copied()
    }

    /// Errors of steps of one group are alike: of the same hour under the sun, all in the wind.
    fn group(&self, index: i64) -> i64 {
        match self.source {
            Source::Solar(_) => self.hour(index),
            Source::Wind => 0,
        }
    }

    fn hour(&self, index: i64) -> i64 {
        index.rem_euclid(self.day()) * 24 / self.day()
    }

    /// What a method says of the steps from `now` on, from the power before it.
    fn values(&self, method: Method, plant: Plant<'_>, now: i64) -> Vec<(i64, Option<f64>)> {
        let day = self.day();
        let steps = now..now + self.horizon;
        match method {
            Method::NaiveDay => steps
                .map(|index| (index, naive(plant, index, now, day)))
                .collect(),
            Method::MeanDay => steps
                .map(|index| (index, mean_day(plant, index, now, day)))
                .collect(),
            Method::Damped => steps
                .map(|index| {
                    let naive = naive(plant, index, now, day);
                    let mean = mean_day(plant, index, now, day);
                    (
                        index,
                        naive.zip(mean).map(|(naive, mean)| (naive + mean) / 2.0),
                    )
                })
                .collect(),
            Method::ClearSkyIndex => self.by_clear_sky(plant, now),
            Method::Radiation => self.by_radiation(plant, now),
            Method::PowerCurve => self.by_power_curve(plant, now),
        }
    }

    /// The irradiance of a step under a clear sky, at its middle.
    fn sun(&self, index: i64) -> f64 {
        match self.source {
            Source::Solar(place) => {
                let middle = index * self.step_micros + self.step_micros / 2;
                clear_sky(cos_zenith(place, middle))
            }
            Source::Wind => 0.0,
        }
    }

    /// Power over irradiance, both summed over the same hour of the last days; at night the mean of the nights.
    fn by_clear_sky(&self, plant: Plant<'_>, now: i64) -> Vec<(i64, Option<f64>)> {
        let from = now - CLEARNESS_DAYS * self.day();
        let ratios = self.ratios(
            plant
                .power
                .range(from..now)
                .map(|(index, power)| (*index, *power, self.sun(*index))),
        );
        (now..now + self.horizon)
            .map(|index| (index, ratios.value(self.hour(index), self.sun(index))))
            .collect()
    }

    fn by_radiation(&self, plant: Plant<'_>, now: i64) -> Vec<(i64, Option<f64>)> {
        let from = now - LEARNT_DAYS * self.day();
        let ratios = self.ratios(
            plant
                .power
                .range(from..now)
                .filter_map(|(index, power)| Some((*index, *power, *plant.driver.get(index)?))),
        );
        (now..now + self.horizon)
            .map(|index| {
                let radiation = plant.driver.get(&index);
                let value =
                    radiation.and_then(|radiation| ratios.value(self.hour(index), *radiation));
                (index, value)
            })
            .collect()
    }

    fn by_power_curve(&self, plant: Plant<'_>, now: i64) -> Vec<(i64, Option<f64>)> {
        let from = now - LEARNT_DAYS * self.day();
        let pairs: Vec<Yielded> = plant
            .power
            .range(from..now)
            .filter_map(|(index, power)| {
                Some(Yielded {
                    speed: *plant.driver.get(index)?,
                    power: *power,
                })
            })
            .collect();
        let curve = PowerCurve::fit(&pairs);
        (now..now + self.horizon)
            .map(|index| {
                let speed = plant.driver.get(&index);
                let power = curve
                    .as_ref()
                    .zip(speed)
                    .map(|(curve, speed)| curve.power(*speed));
                (index, power)
            })
            .collect()
    }

    /// Yields by hour, of (step, power, irradiance). Power is fitted to irradiance through the night's level by least
    /// squares.
    fn ratios(&self, steps: impl Iterator<Item = (i64, f64, f64)>) -> Ratios {
        let steps: Vec<(i64, f64, f64)> = steps.collect();
        let largest = steps.iter().map(|(.., sun)| *sun).fold(0.0, f64::max);
        let dusk = NIGHT_SHARE * largest;
        let mut hours = [Sums::default(); 24];
        let mut nights: Vec<f64> = Vec::new();
        for (index, power, irradiance) in steps {
            match irradiance > dusk {
                true => hours[self.hour(index) as usize].add(power, irradiance),
                false => nights.push(power),
            }
        }
        let night = crate::order::median(&mut nights);
        Ratios {
            hours,
            dusk,
            night: if night.is_nan() { 0.0 } else { night },
        }
    }
}

/// As on the last day before `now` at the same time, or on the day before where that is missing.
fn naive(plant: Plant<'_>, index: i64, now: i64, day: i64) -> Option<f64> {
    let back = (index - now).div_euclid(day) + 1;
    (back..back + 3).find_map(|days| plant.power.get(&(index - days * day)).copied())
}

/// The mean of the last days at the same time.
fn mean_day(plant: Plant<'_>, index: i64, now: i64, day: i64) -> Option<f64> {
    let back = (index - now).div_euclid(day) + 1;
    let values: Vec<f64> = (back..back + CLEARNESS_DAYS)
        .filter_map(|days| plant.power.get(&(index - days * day)).copied())
        .collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// What a method would have forecast.
#[derive(Debug, Clone, Default, PartialEq)]
struct Replay {
    /// For each issue, oldest first, steps and residuals (truth less forecast).
    issues: Vec<Vec<(i64, f64)>>,
}

impl Replay {
    fn steps(&self) -> usize {
        self.issues.iter().map(Vec::len).sum()
    }

    /// The mean absolute error.
    fn error(&self) -> f64 {
        let sizes = self
            .issues
            .iter()
            .flatten()
            .map(|(_, residual)| residual.abs());
        sizes.sum::<f64>() / self.steps().max(1) as f64
    }
}

/// The error that methods are compared by.
fn handicapped((method, replay): &(Method, Replay)) -> f64 {
    match method {
        Method::Damped => HANDICAP * replay.error(),
        _ => replay.error(),
    }
}

/// Sums for a yield through the night's level.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    power_by_irradiance: f64,
    irradiance: f64,
    irradiance_squared: f64,
}

impl Sums {
    fn add(&mut self, power: f64, irradiance: f64) {
        self.power_by_irradiance += power * irradiance;
        self.irradiance += irradiance;
        self.irradiance_squared += irradiance * irradiance;
    }
}

/// Yields by hour of the day (UTC).
struct Ratios {
    hours: [Sums; 24],
    /// Up to this irradiance it is night.
    dusk: f64,
    /// The power at night.
    night: f64,
}

impl Ratios {
    /// The power at an irradiance; `None` where this hour was never seen in daylight.
    fn value(&self, hour: i64, irradiance: f64) -> Option<f64> {
        if irradiance <= self.dusk {
            return Some(self.night);
        }
        let mut sums = Sums::default();
        for near in hour - NEAR_HOURS..=hour + NEAR_HOURS {
            let of = &self.hours[near.rem_euclid(24) as usize];
            sums.power_by_irradiance += of.power_by_irradiance;
            sums.irradiance += of.irradiance;
            sums.irradiance_squared += of.irradiance_squared;
        }
        let above_night = sums.power_by_irradiance - self.night * sums.irradiance;
        (sums.irradiance_squared > 0.0)
            .then(|| self.night + irradiance * above_night / sums.irradiance_squared)
    }
}

#[cfg(test)]
mod tests;
