//! The forecast of one series by one fire.

use jiff::{Span, Timestamp, tz::TimeZone};

use crate::{
    Backtest, Forecast, SeasonalNaive, Step, TooLittle, Tuning,
    clock::DAY_SECONDS,
    features::LOOK_BACK_DAYS,
    fit::Both,
    frame::Frame,
    seasonal::without_outliers,
    trial::{Models, TRAIN_DAYS_MAX, Trial},
};

/// Most steps of history that are looked at: three years of quarter-hours.
const HISTORY_STEPS_MAX: i64 = 3 * 366 * 96;

/// More slots of a day than this are forecast by the seasonal naive method alone.
const SLOTS_MAX: i64 = 288;

/// Fewer than this are no shape of a day.
const SLOTS_MIN: i64 = 4;

/// Targets more days ahead than this are forecast by the seasonal naive method alone.
const LEAD_DAYS_MAX: usize = 7;

/// How a value was forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// As a season ago.
    SeasonalNaive,
    /// Ridge regression by slot.
    Ridge,
    /// Boosted trees.
    Trees,
    /// The mean of both.
    Blend,
}

impl Method {
    /// As `model_version` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::SeasonalNaive => "seasonal-naive",
            Self::Ridge => "ridge",
            Self::Trees => "trees",
            Self::Blend => "blend",
        }
    }

    pub(crate) fn of(self, both: Both) -> f64 {
        match self {
            Self::Ridge => both.line,
            Self::Trees => both.trees,
            Self::Blend | Self::SeasonalNaive => both.line / 2.0 + both.trees / 2.0,
        }
    }
}

/// A series beside the load.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Known {
    /// Its steps, ascending.
    pub steps: Vec<Step>,
    /// Whether steps from the fire on may be used: a forecast, a calendar.
    pub ahead: bool,
}

impl Known {
    /// The steps that a fire at `now` may use.
    pub(crate) fn seen_at(&self, now: i64) -> &[Step] {
        if self.ahead {
            return &self.steps;
        }
        &self.steps[..self.steps.partition_point(|step| step.index < now)]
    }
}

/// What a forecast is made from. All series have the same steps, counted from 1970-01-01T00:00Z.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Inputs {
    /// The load, ascending. Steps from the fire on are not looked at.
    pub load: Vec<Step>,
    /// Not zero on each step of a holiday.
    pub holiday: Option<Known>,
    /// The outdoor temperature, in any unit.
    pub temperature: Option<Known>,
    /// What else the load may depend on.
    pub regressors: Vec<Known>,
}

/// The settings of a series' forecast.
#[derive(Debug, Clone, PartialEq)]
pub struct DemandModel {
    /// The length of a step.
    pub step_seconds: i64,
    /// The zone whose clocks the users of the load live by.
    pub zone: TimeZone,
    /// The share of true values that the bounds should hold.
    pub level: f64,
    /// How many past days choose the method and make the bounds.
    pub trailing_days: usize,
    /// The fallback.
    pub baseline: SeasonalNaive,
    /// Of the fits.
    pub tuning: Tuning,
}

/// A forecast of one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target {
    /// Which step.
    pub index: i64,
    /// The value.
    pub value: f64,
    /// Lower bound.
    pub lo: f64,
    /// Upper bound.
    pub hi: f64,
}

/// The forecasts of one fire.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// One for each step that could be forecast.
    pub targets: Vec<Target>,
    /// How.
    pub method: Method,
    /// The season of the seasonal naive method, in steps.
    pub season: Option<i64>,
    /// The first step that the newest model was not trained on.
    pub trained_to: Option<i64>,
    /// What the trial over past days found, if there was enough history for one.
    pub backtests: Vec<Backtest>,
}

impl DemandModel {
    /// Whether steps of this length are forecast by models, not as a season ago alone.
    pub fn has_models(&self) -> bool {
        let slots = DAY_SECONDS.checked_div(self.step_seconds).unwrap_or(0);
        (SLOTS_MIN..=SLOTS_MAX).contains(&slots) && DAY_SECONDS % self.step_seconds == 0
    }

    /// How many steps of history are of use: three years and what a row and the trial look back over, at most
    /// three years of quarter-hours; where there are no models, what the baseline needs.
    pub fn history(&self) -> i64 {
        let of_baseline = self.baseline.history();
        if !self.has_models() {
            return of_baseline;
        }
        let beyond = self.trailing_days + 2 * LOOK_BACK_DAYS + LEAD_DAYS_MAX;
        let days = i64::try_from(TRAIN_DAYS_MAX + beyond).unwrap_or(i64::MAX);
        let steps = days.saturating_mul(DAY_SECONDS / self.step_seconds);
        steps.min(HISTORY_STEPS_MAX).max(of_baseline)
    }

    /// Where a horizon ends: whole days are days by the clock, be they 23, 24 or 25 hours long.
    pub fn end(&self, now: i64, horizon_seconds: i64) -> i64 {
        let by_length = now.saturating_add(horizon_seconds / self.step_seconds.max(1));
        if horizon_seconds <= 0 || horizon_seconds % DAY_SECONDS != 0 {
            return by_length;
        }
        let clock = || {
            let from = Timestamp::from_second(now.checked_mul(self.step_seconds)?).ok()?;
            let days = Span::new().try_days(horizon_seconds / DAY_SECONDS).ok()?;
            let to = from.to_zoned(self.zone.clone()).checked_add(days).ok()?;
            Some(to.timestamp().as_second().div_euclid(self.step_seconds))
        };
        clock().unwrap_or(by_length)
    }

    /// The loads before `now` without outliers, which are sought in stretches as long as the baseline's history: over
    /// years a new level of some hours would look like one.
    fn sound(&self, inputs: &Inputs, now: i64) -> Vec<Step> {
        let known = &inputs.load[..inputs.load.partition_point(|step| step.index < now)];
        let stretch = self.baseline.history().max(1);
        let back = |step: &Step| (now - 1 - step.index) / stretch;
        let stretches = known.chunk_by(|a, b| back(a) == back(b));
        stretches
            .flat_map(|steps| without_outliers(steps).into_owned())
            .collect()
    }

    /// Forecasts the steps from `now` up to `end`.
    ///
    /// # Errors
    /// [`TooLittle`] where no method can forecast a step.
    pub fn forecast(&self, inputs: &Inputs, now: i64, end: i64) -> Result<Answer, TooLittle> {
        match self.by_model(inputs, now, end) {
            Some(answer) => Ok(answer),
            None => self.by_baseline(inputs, now, end, Vec::new()),
        }
    }

    fn by_baseline(
        &self,
        inputs: &Inputs,
        now: i64,
        end: i64,
        backtests: Vec<Backtest>,
    ) -> Result<Answer, TooLittle> {
        let baseline = SeasonalNaive {
            horizon: end - now,
            ..self.baseline.clone()
        };
        let oldest = now.saturating_sub(baseline.history());
        let counts = inputs.load.partition_point(|step| step.index < oldest);
        let forecasts = baseline.forecast(&inputs.load[counts..], now)?;
        Ok(Answer {
            backtests,
            ..Answer::from(forecasts)
        })
    }

    /// `None` where there is too little history, or a day is no whole number of steps.
    fn by_model(&self, inputs: &Inputs, now: i64, end: i64) -> Option<Answer> {
        if !self.has_models() {
            return None;
        }
        let load = self.sound(inputs, now);
        let frame = Frame::new(&load, inputs, self, now, end)?;
        let leads = frame.days - frame.today;
        if leads > LEAD_DAYS_MAX {
            return None;
        }
        let mut models = Models::new(&frame, &self.tuning);
        let mut targets = Vec::new();
        let mut backtests = Vec::new();
        let mut method = Method::SeasonalNaive;
        for lead in 1..=leads {
            let trial = Trial::new(&frame, &mut models, lead, self.trailing_days)?;
            backtests.push(trial.backtest(self.level));
            if trial.method == Method::SeasonalNaive {
                return self.by_baseline(inputs, now, end, backtests).ok();
            }
            method = trial.method;
            for index in now..end {
                let place = frame.clock.place(index);
                let day = usize::try_from(place.day - frame.first).ok()?;
                if day != frame.today + lead - 1 {
                    continue;
                }
                let both = models.predict(lead, day, place.slot)?;
                let margins = trial.margins(place.slot, self.level)?;
                let value = method.of(both);
                targets.push(Target {
                    index,
                    value,
                    lo: value - margins.below,
                    hi: value + margins.above,
                });
            }
        }
        Some(Answer {
            targets,
            method,
            season: None,
            trained_to: Some(frame.first_step(models.trained_to(frame.today)?)),
            backtests,
        })
    }
}

impl From<Vec<Forecast>> for Answer {
    fn from(forecasts: Vec<Forecast>) -> Self {
        let target = |forecast: &Forecast| Target {
            index: forecast.index,
            value: forecast.value,
            lo: forecast.lo,
            hi: forecast.hi,
        };
        Self {
            targets: forecasts.iter().map(target).collect(),
            method: Method::SeasonalNaive,
            season: forecasts.first().map(|forecast| forecast.season),
            trained_to: None,
            backtests: Vec::new(),
        }
    }
}
