//! The forecasts of past days, each from the model that would have made it: what they choose, and how wide bounds are.

use std::collections::BTreeMap;

use forebay_statistics::{
    accuracy,
    conformal::{self, Margins},
};

use crate::{
    clock::weekday,
    fit::{Both, Fitted, Tuning},
    frame::Frame,
    model::Method,
};

/// Days between refits once there is half a year, and before.
const REFIT_DAYS: i64 = 28;
const REFIT_DAYS_EARLY: i64 = 7;
const EARLY_DAYS: usize = 200;

/// The longest time that models are trained on.
pub(crate) const TRAIN_DAYS_MAX: usize = 3 * 365;

/// Fewer past days than this that could be forecast are no trial.
const TRIAL_DAYS_MIN: usize = 14;

/// Residuals at this many hours to either side count as of the same clock time.
const NEAR_HOURS: f64 = 0.5;

/// The mean of both models is taken unless one of them has this share of its error or less: over some weeks a single
/// model is best by chance.
const CLEARLY_BETTER: f64 = 0.97;

/// One slot of one past day.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Point {
    day: usize,
    slot: usize,
    truth: f64,
    both: Both,
    /// As a day ago, and as a week ago.
    naive: [f64; 2],
}

/// How wrong a method was over the trial.
#[derive(Debug, Clone, PartialEq)]
pub struct Measure {
    /// Which measure: `mae` in the unit of the series, `mape` as a share, `coverage` as a share.
    pub metric: &'static str,
    /// Of which part: empty for all, `working days`, `other days`.
    pub segment: &'static str,
    /// Of the method that was chosen.
    pub value: f64,
    /// Of the better of both seasonal naive forecasts; `None` where that has none.
    pub baseline: Option<f64>,
    /// How many values were compared.
    pub count: usize,
}

/// What the trial found.
#[derive(Debug, Clone, PartialEq)]
pub struct Backtest {
    /// The best method, which may be the baseline.
    pub method: Method,
    /// Its measures.
    pub measures: Vec<Measure>,
    /// The first step that was compared.
    pub from: i64,
    /// The first step after those.
    pub to: i64,
}

/// The models of one fire, by lead and by the day up to which they were trained.
pub(crate) struct Models<'a> {
    frame: &'a Frame,
    tuning: &'a Tuning,
    fitted: BTreeMap<(usize, usize), Option<Fitted>>,
}

impl<'a> Models<'a> {
    pub(crate) fn new(frame: &'a Frame, tuning: &'a Tuning) -> Self {
        Self {
            frame,
            tuning,
            fitted: BTreeMap::new(),
        }
    }

    /// What the model that a fire on the day `lead` days before `day` would have had says of a slot.
    pub(crate) fn predict(&mut self, lead: usize, day: usize, slot: usize) -> Option<Both> {
        let trained_to = self.trained_to((day + 1).checked_sub(lead)?)?;
        let frame = self.frame;
        let tuning = self.tuning;
        let fitted = self.fitted.entry((lead, trained_to)).or_insert_with(|| {
            let from = trained_to.saturating_sub(TRAIN_DAYS_MAX);
            Fitted::new(frame, tuning, lead, from, trained_to)
        });
        fitted.as_ref()?.predict(frame, day, slot)
    }

    /// The day up to which a fire on this day trains: it changes on fixed days of the calendar, so that every fire between
    /// them trains the same model.
    pub(crate) fn trained_to(&self, fire: usize) -> Option<usize> {
        let every = if fire < EARLY_DAYS {
            REFIT_DAYS_EARLY
        } else {
            REFIT_DAYS
        };
        let number = self.frame.first + i64::try_from(fire).ok()?;
        let first = number.div_euclid(every) * every - self.frame.first;
        usize::try_from(first).ok()
    }
}

/// The trial of one lead.
pub(crate) struct Trial<'a> {
    frame: &'a Frame,
    points: Vec<Point>,
    /// The better naive season: 0 a day, 1 a week.
    season: usize,
    pub(crate) method: Method,
}

impl<'a> Trial<'a> {
    /// Forecasts the `days` days before the fire; `None` where too few of them can be.
    pub(crate) fn new(
        frame: &'a Frame,
        models: &mut Models<'_>,
        lead: usize,
        days: usize,
    ) -> Option<Self> {
        let week = lead.div_ceil(7) * 7;
        let mut points = Vec::new();
        let mut days_found = 0;
        for day in frame.today.saturating_sub(days).max(week)..frame.today {
            let before = points.len();
            for slot in 0..frame.clock.slots() {
                let truth = frame.loads.get(day, slot);
                let naive = [lead, week].map(|back| frame.filled.get(day - back, slot));
                if truth.is_nan() || naive.iter().any(|naive| naive.is_nan()) {
                    continue;
                }
                if let Some(both) = models.predict(lead, day, slot) {
                    points.push(Point {
                        day,
                        slot,
                        truth,
                        both,
                        naive,
                    });
                }
            }
            days_found += usize::from(points.len() > before);
        }
        if days_found < TRIAL_DAYS_MIN {
            return None;
        }
        let mut trial = Self {
            frame,
            points,
            season: 0,
            method: Method::SeasonalNaive,
        };
        let naive = [0, 1].map(|season| trial.naive_error(season));
        trial.season = usize::from(naive[1] < naive[0]);
        let mut least = trial.error(Method::Blend);
        let mut best = Method::Blend;
        for method in [Method::Ridge, Method::Trees] {
            let error = trial.error(method);
            if error < CLEARLY_BETTER * least {
                least = error;
                best = method;
            }
        }
        if least < naive[trial.season] {
            trial.method = best;
        }
        Some(trial)
    }

    fn naive_error(&self, season: usize) -> f64 {
        let sizes = self
            .points
            .iter()
            .map(|p| (p.truth - p.naive[season]).abs());
        accuracy::mean(sizes).unwrap_or(f64::INFINITY)
    }

    fn error(&self, method: Method) -> f64 {
        let sizes = self
            .points
            .iter()
            .map(|p| (p.truth - method.of(p.both)).abs());
        accuracy::mean(sizes).unwrap_or(f64::INFINITY)
    }

    /// The bounds around a forecast of a slot, from the trial's errors near its clock time.
    pub(crate) fn margins(&self, slot: usize, level: f64) -> Option<Margins> {
        self.margins_of(&self.points, slot, level)
    }

    fn margins_of(&self, points: &[Point], slot: usize, level: f64) -> Option<Margins> {
        let slots = self.frame.clock.slots();
        let near = ((slots as f64 * NEAR_HOURS / 24.0) as usize).max(1);
        let is_near = |point: &&Point| {
            let apart = point.slot.abs_diff(slot);
            apart.min(slots - apart) <= near
        };
        let residual = |point: &Point| point.truth - self.method.of(point.both);
        let residuals: Vec<f64> = points.iter().filter(is_near).map(residual).collect();
        conformal::symmetric(&residuals, level)
    }

    /// The measures of the method that was chosen, beside the baseline's.
    pub(crate) fn backtest(&self, level: f64) -> Backtest {
        let working = |p: &&Point| weekday(self.frame.date(p.day, p.slot)) < 5;
        let mut measures = Vec::new();
        let all: Vec<Point> = self.points.clone();
        let (weekdays, weekend): (Vec<Point>, Vec<Point>) =
            all.iter().copied().partition(|point| working(&point));
        for (segment, points) in [
            ("", &all),
            ("working days", &weekdays),
            ("other days", &weekend),
        ] {
            measures.extend(self.measure("mae", segment, points, |_| 1.0));
        }
        if all.iter().all(|point| point.truth > 0.0) {
            measures.extend(self.measure("mape", "", &all, |truth| truth));
        }
        measures.extend(self.coverage(level));
        let first = self.points.first().map_or(0, |point| point.day);
        Backtest {
            method: self.method,
            measures,
            from: self.frame.first_step(first),
            to: self.frame.first_step(self.frame.today),
        }
    }

    fn measure(
        &self,
        metric: &'static str,
        segment: &'static str,
        points: &[Point],
        unit: impl Fn(f64) -> f64,
    ) -> Option<Measure> {
        let naive = points
            .iter()
            .map(|p| ((p.truth - p.naive[self.season]) / unit(p.truth)).abs());
        let baseline = accuracy::mean(naive)?;
        let chosen = |p: &Point| match self.method {
            Method::SeasonalNaive => p.naive[self.season],
            method => method.of(p.both),
        };
        let sizes = points
            .iter()
            .map(|p| ((p.truth - chosen(p)) / unit(p.truth)).abs());
        Some(Measure {
            metric,
            segment,
            value: accuracy::mean(sizes)?,
            baseline: Some(baseline),
            count: points.len(),
        })
    }

    /// The share of truths within bounds made from the days before each alone, over the trial's second half.
    fn coverage(&self, level: f64) -> Option<Measure> {
        let half = self.points.get(self.points.len() / 2)?.day;
        let mut bounds = Vec::new();
        let mut start = self.points.partition_point(|point| point.day <= half);
        while let Some(first) = self.points.get(start) {
            let end = self.points.partition_point(|point| point.day <= first.day);
            for point in &self.points[start..end] {
                if let Some(margins) = self.margins_of(&self.points[..start], point.slot, level) {
                    let value = self.method.of(point.both);
                    bounds.push((point.truth, value - margins.below, value + margins.above));
                }
            }
            start = end;
        }
        let count = bounds.len();
        Some(Measure {
            metric: "coverage",
            segment: "",
            value: accuracy::coverage(bounds)?,
            baseline: None,
            count,
        })
    }
}
