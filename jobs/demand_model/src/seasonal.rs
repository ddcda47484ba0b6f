//! Seasonal naive: the value to come is the one that stood a season ago; bounds come from how wrong that has been.
//!
//! The season is chosen by its mean absolute error over the trailing residuals (Hyndman and Athanasopoulos, "Forecasting:
//! Principles and Practice", 3rd ed., 5.2). The bounds are split-conformal: the ⌈(n+1)·level⌉-th smallest absolute
//! residual (Lei et al., "Distribution-Free Predictive Inference for Regression", JASA 113, 2018), from residuals near
//! the same time of the season, so that nights are not bounded by noons. Outliers are holes (see `outliers`). Pure numbers, in
//! steps of equal length, UTC.

mod outliers;

pub(crate) use outliers::without as without_outliers;

use thiserror::Error;

/// How many seasons back a value may be taken from where the last one has a hole.
const SEASONS_BACK_MAX: i64 = 4;

/// Residuals at this many steps to either side count as of the same time, as a share of the season.
const NEAR_SHARE: i64 = 48;

/// 0.9 / (1 − 0.9) is a little more than 9 in binary; this much is not counted.
const ROUNDING: f64 = 1e-9;

/// The mean of a series over one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Which step, counted on; holes are absent.
    pub index: i64,
    /// The mean.
    pub mean: f64,
}

/// The method's parameters, in steps.
#[derive(Debug, Clone, PartialEq)]
pub struct SeasonalNaive {
    /// The seasons to choose from; the first wins a tie.
    pub seasons: Vec<i64>,
    /// How many steps to forecast.
    pub horizon: i64,
    /// How far back residuals count.
    pub trailing: i64,
    /// The share of true values that the bounds should hold, above 0 and below 1.
    pub level: f64,
}

/// A forecast of one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    /// Which step.
    pub index: i64,
    /// The season that was chosen, in steps.
    pub season: i64,
    /// The value.
    pub value: f64,
    /// Lower bound.
    pub lo: f64,
    /// Upper bound.
    pub hi: f64,
}

/// Why there is no forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TooLittle {
    /// No readings at all in the time that counts.
    #[error("no readings")]
    Nothing,
    /// Too few pairs of values a season apart to tell how wrong the forecast may be.
    #[error("{found} pairs of values a season apart, {needed} are needed to bound a forecast")]
    Residuals {
        /// Of the best season.
        found: usize,
        /// For the level asked for.
        needed: usize,
    },
}

impl SeasonalNaive {
    /// How many steps of history are of use.
    pub fn history(&self) -> i64 {
        let longest = self.seasons.iter().copied().max().unwrap_or(0);
        self.trailing.saturating_add(
            longest.saturating_mul(self.lag_seasons(longest) + SEASONS_BACK_MAX - 1),
        )
    }

    /// Forecasts the steps from `now` on. `steps` ascend; those at `now` and after are not looked at.
    ///
    /// A step whose seasons before are all holes, or whose time of the season has too few residuals for the level, is left
    /// out.
    ///
    /// # Errors
    /// [`TooLittle`] where no step can be forecast.
    pub fn forecast(&self, steps: &[Step], now: i64) -> Result<Vec<Forecast>, TooLittle> {
        let sound = outliers::without(&steps[..steps.partition_point(|step| step.index < now)]);
        let known = Known(&sound);
        if known.0.is_empty() {
            return Err(TooLittle::Nothing);
        }
        let needed = self.needed();
        let candidates = self
            .seasons
            .iter()
            .map(|season| (*season, self.residuals(&known, *season, now)));
        let enough: Vec<(i64, Vec<Residual>)> = candidates.collect();
        let best = enough
            .iter()
            .filter(|(_, residuals)| residuals.len() >= needed)
            .min_by(|(_, a), (_, b)| mean(a).total_cmp(&mean(b)));
        let Some((season, residuals)) = best else {
            let found = enough
                .iter()
                .map(|(_, residuals)| residuals.len())
                .max()
                .unwrap_or(0);
            return Err(TooLittle::Residuals { found, needed });
        };
        let bounds = Bounds {
            residuals,
            season: *season,
            level: self.level,
            needed,
        };
        let forecasts: Vec<Forecast> = (now..now.saturating_add(self.horizon))
            .filter_map(|index| self.one(&known, &bounds, index, now))
            .collect();
        match forecasts.is_empty() {
            true => Err(TooLittle::Residuals {
                found: residuals.len(),
                needed,
            }),
            false => Ok(forecasts),
        }
    }

    fn one(
        &self,
        known: &Known<'_>,
        bounds: &Bounds<'_>,
        index: i64,
        now: i64,
    ) -> Option<Forecast> {
        let value =
            known.seasons_ago(index, bounds.season, first_lag(index, bounds.season, now))?;
        let half = bounds.half_width(index)?;
        Some(Forecast {
            index,
            season: bounds.season,
            value,
            lo: value - half,
            hi: value + half,
        })
    }

    /// The errors that this method would have made at each known step, with the lag that the furthest step ahead needs:
    /// a horizon beyond a season must not be judged by the near end of it.
    fn residuals(&self, known: &Known<'_>, season: i64, now: i64) -> Vec<Residual> {
        let from = now.saturating_sub(self.trailing);
        let lag = self.lag_seasons(season);
        let targets = known.0.iter().filter(|step| step.index >= from);
        targets
            .filter_map(|step| {
                let value = known.seasons_ago(step.index, season, lag)?;
                Some(Residual {
                    index: step.index,
                    size: (step.mean - value).abs(),
                })
            })
            .collect()
    }

    fn lag_seasons(&self, season: i64) -> i64 {
        (self.horizon + season - 1).div_euclid(season.max(1)).max(1)
    }

    /// The fewest residuals of which one is the quantile for the level.
    fn needed(&self) -> usize {
        (self.level / (1.0 - self.level) - ROUNDING).ceil().max(1.0) as usize
    }
}

/// The seasons between a step to come and the last such step that is known.
fn first_lag(index: i64, season: i64, now: i64) -> i64 {
    (index - now).div_euclid(season) + 1
}

fn mean(residuals: &[Residual]) -> f64 {
    residuals.iter().map(|residual| residual.size).sum::<f64>() / residuals.len() as f64
}

#[derive(Debug, Clone, Copy)]
struct Residual {
    index: i64,
    size: f64,
}

/// What has been, in ascending order.
struct Known<'a>(&'a [Step]);

impl Known<'_> {
    fn get(&self, index: i64) -> Option<f64> {
        let at = self
            .0
            .binary_search_by_key(&index, |step| step.index)
            .ok()?;
        Some(self.0[at].mean)
    }

    /// The value `lag` seasons before `index`, or the next one before that where there is a hole.
    fn seasons_ago(&self, index: i64, season: i64, lag: i64) -> Option<f64> {
        (lag..lag + SEASONS_BACK_MAX).find_map(|seasons| self.get(index - seasons * season))
    }
}

/// How wide a forecast must be.
struct Bounds<'a> {
    residuals: &'a [Residual],
    season: i64,
    level: f64,
    needed: usize,
}

impl Bounds<'_> {
    /// Half the width at a step: of residuals near the same time of the season, or of all where those are too few.
    fn half_width(&self, index: i64) -> Option<f64> {
        let near = (self.season / NEAR_SHARE).max(1);
        let is_near = |residual: &&Residual| {
            let apart = (residual.index - index).rem_euclid(self.season);
            apart.min(self.season - apart) <= near
        };
        let sizes: Vec<f64> = self
            .residuals
            .iter()
            .filter(is_near)
            .map(|residual| residual.size)
            .collect();
        if sizes.len() >= self.needed {
            return quantile(sizes, self.level);
        }
        quantile(
            self.residuals
                .iter()
                .map(|residual| residual.size)
                .collect(),
            self.level,
        )
    }
}

/// The ⌈(n+1)·level⌉-th smallest; `None` where that is beyond the largest.
fn quantile(mut sizes: Vec<f64>, level: f64) -> Option<f64> {
    let rank = ((sizes.len() + 1) as f64 * level - ROUNDING).ceil() as usize;
    if rank == 0 || rank > sizes.len() {
        return None;
    }
    let (_, at, _) = sizes.select_nth_unstable_by(rank - 1, f64::total_cmp);
    Some(*at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn method(seasons: &[i64], horizon: i64) -> SeasonalNaive {
        SeasonalNaive {
            seasons: seasons.to_vec(),
            horizon,
            trailing: 96,
            level: 0.9,
        }
    }

    fn steps(count: i64, value: impl Fn(i64) -> f64) -> Vec<Step> {
        (0..count)
            .map(|index| Step {
                index,
                mean: value(index),
            })
            .collect()
    }

    #[test]
    fn what_repeats_is_forecast_exactly_and_the_season_is_found() {
        let weekly = steps(400, |index| (index % 28) as f64);
        let forecasts = method(&[4, 28], 8).forecast(&weekly, 400).unwrap();
        assert_eq!(forecasts.len(), 8);
        for f in forecasts {
            assert_eq!(
                (f.value, f.lo, f.hi, f.season),
                ((f.index % 28) as f64, f.value, f.value, 28),
                "{f:?}"
            );
        }
    }

    #[test]
    fn a_hole_is_taken_from_a_season_before() {
        let mut history = steps(200, |index| {
            (index % 4) as f64 + if index < 196 { 0.0 } else { 10.0 }
        });
        history.retain(|step| step.index != 197);
        let forecasts = method(&[4], 4).forecast(&history, 200).unwrap();
        let values: Vec<f64> = forecasts.iter().map(|f| f.value).collect();
        assert_eq!(values, [10.0, 1.0, 12.0, 13.0]);
    }

    #[test]
    fn a_hole_of_all_seasons_is_no_forecast() {
        let mut history = steps(200, |index| (index % 4) as f64);
        history.retain(|step| step.index % 4 != 1);
        let indices: Vec<i64> = method(&[4], 4)
            .forecast(&history, 200)
            .unwrap()
            .iter()
            .map(|f| f.index % 4)
            .collect();
        assert_eq!(indices, [0, 2, 3]);
    }

    #[test]
    fn a_horizon_beyond_the_season_looks_further_back() {
        let growing = steps(200, |index| (index / 4) as f64);
        let forecasts = method(&[4], 12).forecast(&growing, 200).unwrap();
        assert_eq!(forecasts.len(), 12);
        assert!(
            forecasts.iter().all(|f| f.value == 49.0),
            "the last known season for every step"
        );
        // Three seasons of growth lie between the furthest step and what it is taken from.
        assert!(forecasts.iter().all(|f| f.hi == 52.0), "{forecasts:?}");
    }

    #[test]
    fn an_outlier_is_neither_forecast_nor_a_bound() {
        let clean = steps(200, |index| (index % 28) as f64);
        let method = method(&[4, 28], 8);
        let expected = method.forecast(&clean, 200).unwrap();
        for outlier in [1e300, -1e300, 1e6, f64::INFINITY, f64::NAN] {
            for seasons_before in [1, 2, 3] {
                let mut history = clean.clone();
                history[200 - 28 * seasons_before].mean = outlier;
                let forecasts = method.forecast(&history, 200).unwrap();
                let values = |forecasts: &[Forecast]| {
                    forecasts
                        .iter()
                        .map(|f| (f.index, f.value))
                        .collect::<Vec<_>>()
                };
                assert_eq!(
                    values(&forecasts),
                    values(&expected),
                    "{outlier} {seasons_before} seasons before"
                );
                assert!(
                    forecasts.iter().all(|f| f.lo == f.value && f.hi == f.value),
                    "{outlier}: {forecasts:?}"
                );
            }
        }
    }

    #[test]
    fn too_little_is_said_and_not_filled_in() {
        let method = method(&[4, 28], 4);
        assert_eq!(method.forecast(&[], 10), Err(TooLittle::Nothing));
        assert_eq!(
            method.forecast(&steps(4, |_| 1.0), 4),
            Err(TooLittle::Residuals {
                found: 0,
                needed: 9
            })
        );
        assert_eq!(
            method.forecast(&steps(12, |_| 1.0), 12),
            Err(TooLittle::Residuals {
                found: 8,
                needed: 9
            })
        );
        assert!(method.forecast(&steps(13, |_| 1.0), 13).is_ok());
        let long_ago = steps(50, |_| 1.0);
        assert_eq!(
            method.forecast(&long_ago, 5000),
            Err(TooLittle::Residuals {
                found: 0,
                needed: 9
            })
        );
    }

    #[test]
    fn nothing_from_now_on_is_looked_at() {
        let mut history = steps(200, |index| (index % 7) as f64);
        let before = method(&[4, 28], 8).forecast(&history, 150);
        history
            .iter_mut()
            .filter(|step| step.index >= 150)
            .for_each(|step| step.mean = 1e9);
        assert_eq!(method(&[4, 28], 8).forecast(&history, 150), before);
    }

    #[test]
    fn the_quantile_is_the_conformal_one() {
        let sizes: Vec<f64> = (1..=9).map(f64::from).collect();
        assert_eq!(quantile(sizes.clone(), 0.9), Some(9.0));
        assert_eq!(quantile(sizes.clone(), 0.5), Some(5.0));
        assert_eq!(
            quantile(sizes[..8].to_vec(), 0.9),
            None,
            "no residual bounds 90 % with 8"
        );
    }
}
