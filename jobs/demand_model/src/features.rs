//! What a forecast of one slot is made from.
//!
//! A row holds nothing of the day `lead` days before the target's and later but what is known ahead. Columns come in three
//! parts: those for both models, those that only a line needs (hinges, day types as dummies), and those that only trees
//! need (the slot itself, the weekday as a number).

use std::f64::consts::TAU;

use crate::{
    clock::{weekday, year_share},
    frame::{DayKind, Frame, Regressor},
};

/// The most days of history that a row looks back over, beyond its lead.
pub(crate) const LOOK_BACK_DAYS: usize = 7 * WEEKS + 7;

/// The weeks that a row looks back over, and those where there is little history yet.
const WEEKS: usize = 4;
const WEEKS_EARLY: usize = 2;

/// With less history than this it is little.
const EARLY_DAYS: usize = 200;

/// Quantiles of the past temperatures at which hinges stand.
const KNOT_QUANTILES: [f64; 5] = [0.1, 0.3, 0.5, 0.7, 0.9];

/// How rows are made for one lead.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Columns {
    /// Days between the last known day and the target's: 1 for the day after.
    lead: usize,
    /// How far rows look back.
    weeks: usize,
    /// Where the hinges of temperature stand.
    knots: Vec<f64>,
}

/// The columns of one row.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Row {
    common: Vec<f64>,
    line: Vec<f64>,
    trees: Vec<f64>,
    /// What the load was on the last day of the same kind, from which trees count.
    pub(crate) reference: f64,
}

impl Row {
    pub(crate) fn for_line(&self, into: &mut Vec<f64>) {
        into.clear();
        into.extend(self.common.iter().chain(&self.line));
    }

    pub(crate) fn for_trees(&self, into: &mut Vec<f64>) {
        into.clear();
        into.extend(self.common.iter().chain(&self.trees));
    }
}

impl Columns {
    /// For rows of this lead, with hinges from the temperatures of days `from` up to `to`.
    pub(crate) fn new(frame: &Frame, lead: usize, from: usize, to: usize) -> Self {
        let knots = frame.temperature.as_ref().map_or_else(Vec::new, |of| {
            let slots = frame.clock.slots();
            let past = &of.values.values()[from * slots..to * slots];
            let mut sorted: Vec<f64> = past.iter().copied().filter(|t| !t.is_nan()).collect();
            sorted.sort_unstable_by(f64::total_cmp);
            let last = sorted.len().saturating_sub(1) as f64;
            let at = |q: &f64| sorted.get((last * q).round() as usize).copied();
            KNOT_QUANTILES.iter().filter_map(at).collect()
        });
        let weeks = if to < EARLY_DAYS { WEEKS_EARLY } else { WEEKS };
        Self { lead, weeks, knots }
    }

    /// The first day that has a row.
    pub(crate) fn look_back(&self) -> usize {
        self.lead + 7 * self.weeks + 7
    }

    /// The row of a slot; `false` where something that it needs is a hole.
    pub(crate) fn row(&self, frame: &Frame, day: usize, slot: usize, row: &mut Row) -> bool {
        if day < self.look_back() {
            return false;
        }
        row.common.clear();
        row.line.clear();
        row.trees.clear();
        self.lags(frame, day, slot, row);
        self.calendar(frame, day, slot, row);
        if let Some(temperature) = &frame.temperature {
            self.temperature(frame, temperature, day, slot, row);
        }
        for regressor in &frame.regressors {
            self.regressor(frame, regressor, day, slot, row);
        }
        let mut all = row.common.iter().chain(&row.line).chain(&row.trees);
        all.all(|x| x.is_finite())
    }

    fn lags(&self, frame: &Frame, day: usize, slot: usize, row: &mut Row) {
        let slots = frame.clock.slots();
        let last = day - self.lead;
        let load = |day: usize, slot: usize| frame.filled.get(day, slot);
        let mean = |day: usize| frame.running.mean(day * slots, (day + 1) * slots);
        let week = self.lead.div_ceil(7) * 7;
        let weeks = (0..self.weeks).map(|i| load(day - week - 7 * i, slot));
        let weeks: Vec<f64> = weeks.collect();
        let like = self.days_of_same_kind(frame, day, slot);
        let same = like.map(|day| load(day, slot));
        row.reference = same[0];
        let common = &mut row.common;
        common.extend([load(last, slot), load(last - 1, slot), load(last - 2, slot)]);
        common.extend([weeks[0], weeks[1]]);
        common.push(weeks.iter().sum::<f64>() / weeks.len() as f64);
        common.extend([same[0], same.iter().sum::<f64>() / same.len() as f64]);
        // How the last known day ended, and how that compares with the week before and with the day before.
        let hour = (slots / 24).max(1);
        let end = frame.filled.mean(last, slots - hour, slots);
        let evening = frame.filled.mean(last, slots - 4 * hour, slots - hour);
        let end_before = frame.filled.mean(last - 1, slots - hour, slots);
        let end_week = frame.filled.mean(last - 7, slots - hour, slots);
        common.extend([end, evening, end - end_before, end - end_week]);
        // Levels: of the last days, of the days that are like the target, of weeks.
        common.extend([mean(last), mean(last - 1), mean(day - week), mean(like[0])]);
        let to = (last + 1) * slots;
        common.push(frame.running.mean(to - 7 * slots, to));
        common.push(frame.running.mean(to - 7 * self.weeks * slots, to));
        // The hours around the target on the days that say most of it.
        let around = |day: usize, by: usize| {
            let at = day * slots + slot;
            let later = (at + by).min((last + 1) * slots - 1);
            let value = |at: usize| frame.filled.values()[at];
            [value(at - by), value(later)]
        };
        row.common.extend(around(last, 2 * hour));
        row.common.extend(around(like[0], 2 * hour));
    }

    /// The last four days of the target's kind that are known; where there are too few, days a week apart.
    fn days_of_same_kind(&self, frame: &Frame, day: usize, slot: usize) -> [usize; 4] {
        let kind = frame.kind_ahead(frame.date(day, slot));
        let known = (self.lead..self.lead + 7 * self.weeks).map(|back| day - back);
        let mut like = known.filter(|day| frame.kind_past(frame.date(*day, slot)) == kind);
        let week = self.lead.div_ceil(7) * 7;
        std::array::from_fn(|i| {
            like.next()
                .unwrap_or(day - week - 7 * i.min(self.weeks - 1))
        })
    }

    fn calendar(&self, frame: &Frame, day: usize, slot: usize, row: &mut Row) {
        let date = frame.date(day, slot);
        let lead = i64::try_from(self.lead).unwrap_or(1);
        let number = |is: bool| f64::from(u8::from(is));
        let holiday = number(frame.holiday_ahead(date));
        let near = |days: i64| {
            let around = (-days..=days).filter(|by| frame.holiday_ahead(date + by));
            around.count() as f64
        };
        row.common.extend([
            holiday,
            number(frame.holiday_ahead(date - 1)),
            number(frame.holiday_ahead(date + 1)),
            number(frame.holiday_past(date - lead)),
            number(frame.holiday_past(date - lead - 1)),
            number(frame.holiday_past(date - (lead + 6) / 7 * 7)),
            near(4),
        ]);
        let year = year_share(date) * TAU;
        row.common.extend([year.sin(), year.cos()]);
        for harmonic in [2.0, 3.0] {
            row.line
                .extend([(harmonic * year).sin(), (harmonic * year).cos()]);
        }
        let of_week = weekday(date);
        row.line.extend((0..6).map(|day| number(day == of_week)));
        let kind = frame.kind_ahead(date);
        row.line.push(number(kind == DayKind::Rest));
        row.common.push((date - frame.first) as f64 / 365.0);
        row.trees.extend([frame.clock.hour(slot), of_week as f64]);
        row.trees.push(match kind {
            DayKind::Working => 0.0,
            DayKind::Saturday => 1.0,
            DayKind::Rest => 2.0,
        });
    }

    fn temperature(&self, frame: &Frame, of: &Regressor, day: usize, slot: usize, row: &mut Row) {
        let slots = frame.clock.slots();
        let hour = (slots / 24).max(1);
        let at = day * slots + slot;
        let known = (day - self.lead + 1) * slots;
        // Without a forecast, the last known hours stand for those of the target.
        let now = if of.ahead { at } else { known - 1 };
        let last = if of.ahead { usize::MAX } else { known };
        let mean = |from: usize, to: usize| of.running.mean(from, to.min(last));
        let near = mean(now - hour, now + hour + 1);
        let day_mean = mean(now + 1 - slots, now + 1);
        let before = mean(now + 1 - 3 * slots, now + 1 - slots);
        let week = mean(now + 1 - 7 * slots, now + 1);
        let month = mean(now + 1 - 7 * self.weeks * slots, now + 1);
        let back = at - self.lead * slots;
        let lag = mean(back - hour, back + hour + 1);
        let lag_day = mean(back + 1 - slots, back + 1);
        let weeks = self.lead.div_ceil(7) * 7;
        let week_back = at - weeks * slots;
        let lag_week = mean(week_back - hour, week_back + hour + 1);
        let recent = &of.values.values()[now + 1 - slots..=now];
        let warmest = recent.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let coldest = recent.iter().copied().fold(f64::INFINITY, f64::min);
        row.common.extend([
            near, day_mean, before, week, month, lag, lag_day, lag_week, warmest, coldest,
        ]);
        for x in [near, day_mean, before, lag, lag_day, lag_week] {
            row.line
                .extend(self.knots.iter().map(|knot| (x - knot).max(0.0)));
        }
        for x in [week, warmest] {
            let upper = self.knots.iter().skip(1).step_by(2);
            row.line.extend(upper.map(|knot| (x - knot).max(0.0)));
        }
    }

    fn regressor(&self, frame: &Frame, of: &Regressor, day: usize, slot: usize, row: &mut Row) {
        let slots = frame.clock.slots();
        let hour = (slots / 24).max(1);
        let at = day * slots + slot;
        let known = (day - self.lead + 1) * slots;
        let back = at - self.lead * slots;
        row.common.push(of.values.values()[back]);
        row.common.push(of.running.mean(known - slots, known));
        let week = at - self.lead.div_ceil(7) * 7 * slots;
        row.common.push(of.values.values()[week]);
        if of.ahead {
            row.common.push(of.values.values()[at]);
            row.common.push(of.running.mean(at - hour, at + hour + 1));
            row.common
                .push(of.running.mean(day * slots, (day + 1) * slots));
        } else {
            row.common.push(of.values.values()[known - 1]);
        }
    }
}
