//! All that a fire knows, by day and slot: loads, calendar, weather.

use crate::{
    DemandModel, Inputs, Known, Step,
    clock::{Clock, weekday},
    grid::{Grid, Running},
};

/// The share of a target day's slots that a regressor must know for it to count as known ahead.
const AHEAD_SHARE_MIN: f64 = 0.75;

/// What kind of day it is, which decides which past day it is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DayKind {
    Working,
    Saturday,
    /// A Sunday or a holiday.
    Rest,
}

/// A regressor: its values, whether those of the target days are known, and running sums.
#[derive(Debug, Clone)]
pub(crate) struct Regressor {
    pub(crate) values: Grid,
    pub(crate) running: Running,
    pub(crate) ahead: bool,
}

/// The frame of one fire.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) clock: Clock,
    /// The number of day 0.
    pub(crate) first: i64,
    /// The day of the fire: the first to be forecast. It and all after it have no loads.
    pub(crate) today: usize,
    /// How many days there are, with those to be forecast.
    pub(crate) days: usize,
    pub(crate) loads: Grid,
    /// The loads without the holes that can be filled.
    pub(crate) filled: Grid,
    pub(crate) running: Running,
    /// By date from `first`.
    holidays: Vec<bool>,
    holidays_ahead: bool,
    pub(crate) temperature: Option<Regressor>,
    pub(crate) regressors: Vec<Regressor>,
}

impl Frame {
    /// The frame of the loads before `now` and, of what is known ahead, up to `end`. `None` where there are no loads, or a
    /// day is not a whole number of steps.
    pub(crate) fn new(
        loads: &[Step],
        inputs: &Inputs,
        model: &DemandModel,
        now: i64,
        end: i64,
    ) -> Option<Self> {
        let clock = Clock::new(model.step_seconds, model.zone.clone(), now)?;
        let first = clock.place(loads.first()?.index).day;
        let today = clock.place(now).day;
        let last = clock.place(end - 1).day;
        let days = usize::try_from(last - first + 1).ok()?;
        let today = usize::try_from(today - first).ok()?;
        let loads = Grid::new(&clock, loads, first, days);
        let filled = loads.filled(today);
        let mut frame = Self {
            running: Running::new(filled.values()),
            holidays: Vec::new(),
            holidays_ahead: false,
            temperature: None,
            regressors: Vec::new(),
            clock,
            first,
            today,
            days,
            loads,
            filled,
        };
        if let Some(holiday) = &inputs.holiday {
            frame.holidays = frame.holidays_of(holiday.seen_at(now));
            frame.holidays_ahead = holiday.ahead;
        }
        let temperature = inputs.temperature.as_ref();
        frame.temperature = temperature.and_then(|of| frame.regressor(of, now));
        let regressors = inputs.regressors.iter();
        frame.regressors = regressors
            .filter_map(|of| frame.regressor(of, now))
            .collect();
        Some(frame)
    }

    fn regressor(&self, of: &Known, now: i64) -> Option<Regressor> {
        let raw = Grid::new(&self.clock, of.seen_at(now), self.first, self.days);
        let coming = &raw.values()[self.today * self.clock.slots()..];
        let found = coming.iter().filter(|value| !value.is_nan()).count();
        // A forecast that did not come is no forecast: what is past then has to do.
        let ahead = of.ahead && found as f64 >= AHEAD_SHARE_MIN * coming.len() as f64;
        let values = raw.filled(if ahead { self.days } else { self.today });
        let any = values.values().iter().any(|value| !value.is_nan());
        any.then(|| Regressor {
            running: Running::new(values.values()),
            values,
            ahead,
        })
    }

    fn holidays_of(&self, steps: &[Step]) -> Vec<bool> {
        let mut holidays = vec![false; self.days + 10];
        for step in steps.iter().filter(|step| step.mean >= 0.5) {
            let place = self.clock.place(step.index);
            let date = self.clock.date(place.day, place.slot) - self.first;
            if let Some(day) = usize::try_from(date)
                .ok()
                .and_then(|at| holidays.get_mut(at))
            {
                *day = true;
            }
        }
        holidays
    }

    /// The step with which a day begins.
    pub(crate) fn first_step(&self, day: usize) -> i64 {
        self.clock
            .first_step(self.first + i64::try_from(day).unwrap_or(0))
    }

    /// The calendar's day of a slot.
    pub(crate) fn date(&self, day: usize, slot: usize) -> i64 {
        self.clock
            .date(self.first + i64::try_from(day).unwrap_or(0), slot)
    }

    fn is_holiday(&self, date: i64) -> bool {
        let at = usize::try_from(date - self.first).ok();
        at.and_then(|at| self.holidays.get(at))
            .copied()
            .unwrap_or(false)
    }

    /// Whether a day to be forecast, or one after it, is a holiday; always false where that is not known ahead, also of
    /// days that are past by now: a model must learn from what it will see.
    pub(crate) fn holiday_ahead(&self, date: i64) -> bool {
        self.holidays_ahead && self.is_holiday(date)
    }

    /// Whether a day before the target was a holiday.
    pub(crate) fn holiday_past(&self, date: i64) -> bool {
        self.is_holiday(date)
    }

    pub(crate) fn kind_ahead(&self, date: i64) -> DayKind {
        kind(date, self.holiday_ahead(date))
    }

    pub(crate) fn kind_past(&self, date: i64) -> DayKind {
        kind(date, self.holiday_past(date))
    }
}

fn kind(date: i64, holiday: bool) -> DayKind {
    match weekday(date) {
        _ if holiday => DayKind::Rest,
        5 => DayKind::Saturday,
        6 => DayKind::Rest,
        _ => DayKind::Working,
    }
}
