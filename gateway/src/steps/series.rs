//! The steps of one table that remember something of a series, and those that come behind them.

use forebay_schemas::{Quality, Reading, Status, Timestamp, Value};

use super::{
    Stepped,
    conversion::SeriesConversion,
    door::{Door, DoorRule, Swung},
    is_value,
    message::Again,
    name_unit,
    rate::{Counter, Rated, rate},
    raw_steps,
    tables::{CUT, Surroundings},
    value_steps,
    window::{Window, WindowRule, named},
};
use crate::{
    clock_skew::ClockSkew,
    expression::{LastValues, Scope, Term},
    gate::{Gate, Judgement},
    pipeline::SERIES_MAX,
    rule::{RatePer, Rule, ToUnit},
    series::elapsed,
};

/// What one table remembers of one series. What few tables have is elsewhere: a gateway may have 100,000 series.
#[derive(Debug, Clone, Default)]
pub(crate) struct SeriesSteps {
    counter: Option<Counter>,
    conversion: SeriesConversion,
    gate: Gate,
    window: Option<Box<OpenWindow>>,
    /// Where the last window ended that was closed, in nanoseconds.
    closed_until: Option<i64>,
    door: Option<Box<Door>>,
    door_id: u64,
    /// Nothing of it is there for the next reading: there are too many series.
    is_forgotten: bool,
}

/// A window that is held back under its id.
#[derive(Debug, Clone)]
struct OpenWindow {
    id: u64,
    window: Window,
}

/// How a table holds readings back.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum HoldRule {
    Window(WindowRule),
    Door(DoorRule),
}

/// What goes on, each under the id of what was held back, or of nothing that was.
pub(crate) type Flow = Vec<(Option<u64>, Reading)>;

/// Whether a dead-band may hold a reading back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passage {
    Judged,
    /// It says that what was sent before holds again.
    Forced,
}

/// What became of a reading.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outcome {
    /// It goes on.
    Reading(Reading),
    /// Bounds or a filter left it out.
    Filtered,
    /// It says nothing new.
    Unchanged,
}

/// What a window is that ended early because the gateway's clock was set back.
const CLOCK_SET_BACK: &str = "cut short by the gateway's clock, which was set back,";

impl HoldRule {
    /// Its key in `[[step]]`.
    pub(super) fn key(&self) -> &'static str {
        match self {
            Self::Window(_) => "window",
            Self::Door(_) => "swinging_door",
        }
    }
}

impl SeriesSteps {
    /// Of a series for which there is no room: its steps remember nothing.
    pub(crate) fn forgotten() -> Self {
        Self {
            is_forgotten: true,
            ..Self::default()
        }
    }

    /// All steps of a `[[step]]` table.
    pub(crate) fn all(
        &mut self,
        mut reading: Reading,
        rule: &Rule,
        around: &Surroundings,
        passage: Passage,
    ) -> Outcome {
        raw_steps(&mut reading, rule, around);
        name_unit(&mut reading, rule, around);
        let stepped = if rule.computes() {
            Stepped::Reading(reading)
        } else {
            let conversion = self.conversion.of(&reading, rule);
            value_steps(reading, rule, conversion, around)
        };
        let Stepped::Reading(mut reading) = stepped else {
            return Outcome::Filtered;
        };
        reading.series.tag = rule.named(reading.series.tag);
        if rule.rename.is_some() {
            around.show("rename", &reading);
        }
        self.later(reading, rule, around, passage)
    }

    /// The steps behind those that look at one reading alone.
    pub(crate) fn later(
        &mut self,
        mut reading: Reading,
        rule: &Rule,
        around: &Surroundings,
        passage: Passage,
    ) -> Outcome {
        if rule.computes() {
            reading = match self.computed(reading, rule, around) {
                Outcome::Reading(reading) => reading,
                left_out => return left_out,
            };
        }
        if rule.filter.is_some() {
            if !is_kept(&mut reading, rule, &around.last) {
                around.show_left_out("filter", &reading);
                return Outcome::Filtered;
            }
            around.show("filter", &reading);
        }
        if passage == Passage::Forced {
            self.gate.open(&reading);
            return Outcome::Reading(reading);
        }
        let band = rule.band();
        match self.gate.judge(&reading, band) {
            Judgement::Passes => {
                if band.is_some() {
                    around.show("deadband", &reading);
                }
                Outcome::Reading(reading)
            }
            Judgement::Unchanged => {
                around.show_left_out("deadband", &reading);
                Outcome::Unchanged
            }
        }
    }

    /// Rate, expression, and what follows from their values.
    fn computed(&mut self, mut reading: Reading, rule: &Rule, around: &Surroundings) -> Outcome {
        if let Some(per) = rule.rate {
            let rated = self.rated(&mut reading, per, rule.counter_end(), around.skew);
            if let Some(outcome) = rated {
                around.show_left_out("rate", &reading);
                return outcome;
            }
            around.show("rate", &reading);
        }
        if rule.expression.is_some() {
            compute(&mut reading, rule, &around.last);
            around.show("expression", &reading);
        }
        let conversion = self.conversion.of(&reading, rule);
        let unit = reading.unit.clone();
        reading = match value_steps(reading, rule, conversion, around) {
            Stepped::Reading(reading) => reading,
            Stepped::OutOfRange => return Outcome::Filtered,
        };
        if let Some(ToUnit::Each(code)) = &rule.to_unit {
            self.conversion.name_unit(&mut reading, unit, code);
            around.show("to_unit", &reading);
        }
        Outcome::Reading(reading)
    }

    /// Takes a reading into a window or behind a door; answers what goes on. A time too far ahead passes: it would shut out all
    /// readings until it comes. `since` is when the steps began.
    pub(crate) fn hold(
        &mut self,
        reading: Reading,
        rule: &HoldRule,
        skew: ClockSkew,
        since: Option<Timestamp>,
        next_id: &mut u64,
    ) -> Flow {
        if skew.is_ahead(&reading) {
            return vec![(None, reading)];
        }
        let latest = skew.latest(reading.observed_time);
        let is_wrong = |known: Timestamp| latest.is_some_and(|latest| known > latest);
        let mut id = || {
            *next_id += 1;
            *next_id
        };
        match rule {
            HoldRule::Window(rule) => self.take_into_window(reading, rule, since, is_wrong, id),
            HoldRule::Door(rule) => {
                let door = self.door.get_or_insert_default();
                let Swung { released, passes } = if door.newest().is_some_and(is_wrong) {
                    door.restart(reading)
                } else {
                    door.take(reading, *rule)
                };
                let released = released.map(|released| (Some(self.door_id), released));
                if released.is_some() || self.door_id == 0 {
                    self.door_id = id();
                }
                let passes = passes.map(|passes| (None, passes));
                released.into_iter().chain(passes).collect()
            }
        }
    }

    /// What a window or a door lets pass of a message that comes again: what it let pass the first time.
    pub(super) fn hold_again(reading: Reading, rule: &HoldRule, again: Again) -> Flow {
        match (again, rule) {
            (Again::Skipped, _) => Vec::new(),
            (Again::Passes, HoldRule::Door(_)) => vec![(None, reading)],
            (Again::Passes, HoldRule::Window(rule)) => match number(&reading) {
                Some(_) => late(reading),
                None => without_number(reading, rule),
            },
        }
    }

    fn take_into_window(
        &mut self,
        reading: Reading,
        rule: &WindowRule,
        since: Option<Timestamp>,
        is_wrong: impl Fn(Timestamp) -> bool,
        mut id: impl FnMut() -> u64,
    ) -> Flow {
        let Some(value) = number(&reading) else {
            if reading.value.is_none() {
                self.window
                    .iter_mut()
                    .for_each(|open| open.window.note_bad());
            }
            return without_number(reading, rule);
        };
        let start = rule.start(reading.event_time);
        let open = self.window.as_ref().map(|open| open.window.start);
        let earliest = open.or(self.closed_until).unwrap_or(i64::MIN);
        if is_wrong(Timestamp::from_nanos(earliest)) {
            let closed = self.close(rule, reading.observed_time, Some(CLOCK_SET_BACK));
            self.closed_until = None;
            self.open(id(), Window::new(start, &reading, value));
            return closed;
        }
        if start < earliest {
            return late(reading);
        }
        match &mut self.window {
            Some(open) if open.window.start == start => {
                open.window.add(&reading, value);
                Vec::new()
            }
            _ => {
                let closed = self.close(rule, reading.observed_time, None);
                let mut window = Window::new(start, &reading, value);
                // The one in which the steps began may come behind an older one, of values that waited.
                let is_begun_before = |since: &Timestamp| {
                    self.closed_until.is_none() || (start..rule.end(start)).contains(&since.nanos())
                };
                if let Some(since) = since.filter(is_begun_before) {
                    window = window.joined(&reading, since);
                }
                self.open(id(), window);
                closed
            }
        }
    }

    fn open(&mut self, id: u64, window: Window) {
        self.window = Some(Box::new(OpenWindow { id, window }));
    }

    fn close(&mut self, rule: &WindowRule, now: Timestamp, cut: Option<&str>) -> Flow {
        let Some(open) = self.window.take() else {
            return Vec::new();
        };
        let OpenWindow { id, window } = *open;
        self.closed_until = Some(rule.end(window.start));
        let readings = window.readings(rule, now, cut);
        readings
            .into_iter()
            .map(|reading| (Some(id), reading))
            .collect()
    }

    /// What a window or a door has held back long enough.
    pub(crate) fn release_if_over(&mut self, rule: &HoldRule, now: Timestamp) -> Flow {
        let is_over = match rule {
            HoldRule::Window(rule) => self
                .window
                .as_ref()
                .is_some_and(|open| rule.is_over(open.window.start, now)),
            HoldRule::Door(rule) => self
                .door
                .as_deref()
                .and_then(Door::held)
                .is_some_and(|held| elapsed(held.observed_time, now) > rule.gap_max),
        };
        if is_over {
            self.release(rule, now, None)
        } else {
            Vec::new()
        }
    }

    /// All that is held back.
    pub(crate) fn release(&mut self, rule: &HoldRule, now: Timestamp, cut: Option<&str>) -> Flow {
        match rule {
            HoldRule::Window(rule) => self.close(rule, now, cut),
            HoldRule::Door(_) => {
                let id = self.door_id;
                // The next one that is held needs an id of its own.
                self.door_id = 0;
                let released = self.door.as_deref_mut().and_then(Door::release);
                released
                    .map(|released| (Some(id), released))
                    .into_iter()
                    .collect()
            }
        }
    }

    /// What is held back, as it would be sent if the gateway ended now.
    pub(crate) fn held(&self, rule: &HoldRule) -> Option<(u64, Vec<Reading>)> {
        match rule {
            HoldRule::Window(rule) => {
                let OpenWindow { id, window } = self.window.as_deref()?;
                Some((*id, window.readings(rule, window.seen_at(), Some(CUT))))
            }
            HoldRule::Door(_) => Some((self.door_id, vec![self.door.as_deref()?.held()?.clone()])),
        }
    }

    /// A counter's count becomes its rate; an outcome where there is none. What is no number passes.
    fn rated(
        &mut self,
        reading: &mut Reading,
        per: RatePer,
        end: Option<f64>,
        skew: ClockSkew,
    ) -> Option<Outcome> {
        reading.unit = reading.unit.as_ref().map(|unit| per.unit(unit).into());
        let count = number(reading)?;
        if skew.is_ahead(reading) {
            no_rate(reading, "the device's time is ahead of the gateway's clock");
            return None;
        }
        if self.is_forgotten {
            let why = format!("more than {SERIES_MAX} series, none is remembered beyond them");
            no_rate(reading, &why);
            return None;
        }
        let now = (reading.event_time, count);
        let rated = rate(&mut self.counter, now, reading.observed_time, per, end);
        match rated {
            Rated::Rate(rate) => {
                reading.value = Some(Value::F64(rate));
                None
            }
            Rated::First | Rated::NotNewer => Some(Outcome::Unchanged),
            Rated::Reset(before) => {
                let reason = format!("counter was reset: {before} before, {count} now");
                reading.value = None;
                reading.status = Status::bad(reading.status.code, reason);
                None
            }
        }
    }
}

fn number(reading: &Reading) -> Option<f64> {
    reading.value.as_ref().and_then(Value::as_f64)
}

/// A count of which no rate can be told.
fn no_rate(reading: &mut Reading, why: &str) {
    reading.value = None;
    reading.status = Status::bad(reading.status.code, format!("no rate: {why}"));
}

/// A number that a window has no place for any more.
fn late(mut reading: Reading) -> Flow {
    doubt(&mut reading.status, || {
        "it came after its window had closed".to_owned()
    });
    vec![(None, reading)]
}

/// What a window makes of what is no number: a text passes; where there is no value its aggregates are bad, since nobody
/// reads the tag itself.
fn without_number(reading: Reading, rule: &WindowRule) -> Flow {
    if reading.value.is_some() {
        return vec![(None, reading)];
    }
    let series = rule
        .aggregates
        .iter()
        .filter_map(|one| named(&reading.series, *one));
    let bad = series.map(|series| Reading {
        series,
        ..reading.clone()
    });
    bad.map(|bad| (None, bad)).collect()
}

/// The value that the rule's expression gives; a bad reading without a value stays one.
fn compute(reading: &mut Reading, rule: &Rule, last: &LastValues) {
    let Some(expression) = &rule.expression else {
        return;
    };
    if reading.value.is_none() {
        return;
    }
    let scope = Scope { reading, last };
    match expression.evaluate(&scope) {
        Ok(Term::Number(number)) => {
            if is_value(reading, number, number) {
                reading.value = Some(Value::F64(number));
            }
        }
        Ok(Term::Truth(truth)) => reading.value = Some(Value::Bool(truth)),
        Ok(Term::Text(text)) => reading.value = Some(Value::Text(text)),
        Err(error) => {
            reading.value = None;
            reading.status =
                Status::bad(reading.status.code, format!("expression failed at {error}"));
        }
    }
}

/// Whether a filter keeps a reading. What has no value is always kept, or nobody could tell missing from unchanged; where
/// the filter fails the reading is kept and uncertain.
fn is_kept(reading: &mut Reading, rule: &Rule, last: &LastValues) -> bool {
    let Some(filter) = &rule.filter else {
        return true;
    };
    if reading.value.is_none() {
        return true;
    }
    let scope = Scope { reading, last };
    let failed = match filter.evaluate(&scope) {
        Ok(Term::Truth(truth)) => return truth,
        Ok(_) => "filter failed: it gives neither true nor false".to_owned(),
        Err(error) => format!("filter failed at {error}"),
    };
    doubt(&mut reading.status, || failed);
    true
}

pub(super) fn doubt(status: &mut Status, reason: impl FnOnce() -> String) {
    status.quality = status.quality.max(Quality::Uncertain);
    status.reason.get_or_insert_with(reason);
}
