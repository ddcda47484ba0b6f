//! The `[[step]]` tables: steps by patterns over `device/tag`, in the order of the file.
//!
//! A reading walks through the tables from the first to the last; each table that fits its name there takes its steps. A
//! table with `derive` lets the reading pass and sends a copy of it under the new tag through its own steps and the tables
//! behind it. Which tables fit a series is found out once.

mod moment;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use foldhash::fast::RandomState;
use forebay_connectors::Token;
use forebay_schemas::{DeviceId, Reading, TagName, Timestamp};
use globset::GlobSet;

use self::moment::Moment;
use super::{
    Outcome, Passage, SeriesSteps,
    message::MessageTrace,
    series::{Flow, HoldRule, doubt},
    trace::Trace,
};
use crate::{
    clock_skew::ClockSkew,
    expression::LastValues,
    held::{BEHIND_ALL, HeldItem, Passed, Released, token},
    pipeline::SERIES_MAX,
    pseudonym::Pseudonyms,
    rule::Rule,
    series::KeptStatus,
    status::SourceStatus,
    tap::Fate,
};

/// What a window is that a stop ended.
pub(super) const CUT: &str = "cut short by a stop";

/// One `[[step]]`.
#[derive(Debug, Clone)]
pub(crate) struct StepRule {
    /// Over `device/tag`.
    pub(crate) tags: GlobSet,
    /// A tag of its own for what the rule makes.
    pub(crate) derive: Option<TagName>,
    pub(crate) rule: Rule,
    /// Behind the rule's steps: windows, or a swinging door.
    pub(crate) hold: Option<HoldRule>,
}

/// All of a file, shared by its connectors.
#[derive(Debug, Clone, Default)]
pub struct StepSettings {
    pub(crate) rules: Arc<[StepRule]>,
    pub(crate) pseudonyms: Pseudonyms,
}

/// Each reading is looked up in it, by names that strangers may choose: the hasher is a fast one with a seed of its own.
type BySeries<T> = HashMap<(DeviceId, TagName), T, RandomState>;

/// The tables of one connector, with what they remember.
#[derive(Default)]
pub(crate) struct StepTables {
    rules: Arc<[StepRule]>,
    /// By rule: what it remembers of the series that it fits.
    series: Vec<BySeries<SeriesSteps>>,
    /// By rule: whether it fits the series that were seen.
    fitting: Vec<BySeries<bool>>,
    around: Surroundings,
    hold: Holding,
    /// The place of the sample that is looked at in its message.
    place: usize,
    /// Readings that wait for the others of their message.
    moment: Option<Moment>,
}

/// What steps see beside the reading and what they remember of its series.
#[derive(Debug, Default)]
pub(crate) struct Surroundings {
    pub(crate) last: LastValues,
    pub(crate) skew: ClockSkew,
    /// None while nobody looks.
    trace: Option<Trace>,
}

/// What a table does with a reading.
enum Way {
    /// It goes on.
    On(Reading),
    /// A window or a door has taken it, as far to be trusted; what they let go goes its own way.
    Held(KeptStatus),
    LeftOut,
}

/// What the tables have released, and what it takes to hold back.
#[derive(Default)]
struct Holding {
    released: Vec<Released>,
    /// Whether what is held back has changed since it was asked last.
    has_changed: bool,
    next_id: u64,
    /// When the steps began, by the gateway's clock: windows that began before it are not whole.
    since: Option<Timestamp>,
    /// The message that is looked at, where it may come again.
    message: Option<MessageTrace>,
}

impl StepTables {
    /// The tables, and the last values that they and these rules of tags ask for.
    pub(crate) fn new<'r>(
        settings: &'r StepSettings,
        of_tags: impl Iterator<Item = &'r Rule>,
    ) -> Self {
        let rules = of_tags.chain(settings.rules.iter().map(|step| &step.rule));
        let expressions = rules.flat_map(|rule| rule.expression.iter().chain(&rule.filter));
        let wanted: BTreeSet<String> = expressions.flat_map(|one| one.tags()).collect();
        Self {
            rules: settings.rules.clone(),
            series: settings.rules.iter().map(|_| BySeries::default()).collect(),
            fitting: settings.rules.iter().map(|_| BySeries::default()).collect(),
            around: Surroundings {
                last: LastValues::of(wanted),
                skew: ClockSkew::default(),
                trace: None,
            },
            hold: Holding::default(),
            place: 0,
            moment: None,
        }
    }

    /// The tables, which doubt times so far from the gateway's.
    pub(crate) fn with_clock_skew(mut self, skew: ClockSkew) -> Self {
        self.around.skew = skew;
        self
    }

    /// The tables, which see what comes from this time on.
    pub(crate) fn since(mut self, since: Timestamp) -> Self {
        self.hold.since = Some(since);
        self
    }

    /// What steps see.
    pub(crate) fn around(&self) -> &Surroundings {
        &self.around
    }

    /// Shows readings behind each step from now on, or no more.
    pub(crate) fn set_trace(&mut self, trace: Option<Trace>) {
        self.around.trace = trace;
    }

    /// The readings of one message follow; `before` is what passed of it when it came for the first time.
    pub(crate) fn begin_message(&mut self, before: Option<Passed>) {
        self.hold.message = Some(MessageTrace::new(before));
    }

    /// Those of one sample of it follow.
    pub(crate) fn note_place(&mut self, place: usize) {
        self.place = place;
        self.hold
            .message
            .iter_mut()
            .for_each(|message| message.place = place);
    }

    /// They have come: what passed, where some of them are held back.
    pub(crate) fn end_message(&mut self) -> Option<Passed> {
        self.hold.message.take()?.into_passed()
    }

    /// Takes a reading through all tables, with the others of its message where those are waited for. Answers how far it is to be
    /// trusted where it goes on or is held back; none where a table leaves it out.
    pub(crate) fn take(
        &mut self,
        reading: Reading,
        passage: Passage,
        status: &SourceStatus,
        out: &mut Vec<Reading>,
    ) -> Option<KeptStatus> {
        let Some(moment) = &mut self.moment else {
            return self.take_from(0, reading, passage, status, out);
        };
        self.around.last.note(&reading);
        let waits = KeptStatus::of(&reading.status);
        moment.push(self.place, reading, passage);
        Some(waits)
    }

    fn take_from(
        &mut self,
        first: usize,
        mut reading: Reading,
        passage: Passage,
        status: &SourceStatus,
        out: &mut Vec<Reading>,
    ) -> Option<KeptStatus> {
        self.around.last.note(&reading);
        let rules = self.rules.clone();
        for (at, step) in rules.iter().enumerate().skip(first) {
            if !self.fits(at, &reading) {
                continue;
            }
            if let Some(tag) = &step.derive {
                let mut copy = reading.clone();
                copy.series.tag = tag.clone();
                self.around.set_table(at + 1);
                self.around.show("derive", &copy);
                if let Way::On(derived) = self.step(at, copy, passage, status, out) {
                    self.take_from(at + 1, derived, passage, status, out);
                }
            } else {
                match self.step(at, reading, passage, status, out) {
                    Way::On(next) => reading = next,
                    Way::Held(held) => return Some(held),
                    Way::LeftOut => return None,
                }
            }
        }
        let passed = KeptStatus::of(&reading.status);
        out.push(reading);
        Some(passed)
    }

    /// What one table makes of a reading; what it releases goes its own way.
    fn step(
        &mut self,
        at: usize,
        reading: Reading,
        passage: Passage,
        status: &SourceStatus,
        out: &mut Vec<Reading>,
    ) -> Way {
        self.around.set_table(at + 1);
        let stepped = self.step_in_table(at, reading, passage, status, out);
        self.around.set_table(0);
        stepped
    }

    fn step_in_table(
        &mut self,
        at: usize,
        reading: Reading,
        passage: Passage,
        status: &SourceStatus,
        out: &mut Vec<Reading>,
    ) -> Way {
        let rules = self.rules.clone();
        let StepRule { rule, hold, .. } = &rules[at];
        let key = (reading.series.device.clone(), reading.series.tag.clone());
        let mut passing = SeriesSteps::forgotten();
        let series = &mut self.series[at];
        let is_full = series.len() >= SERIES_MAX && !series.contains_key(&key);
        let state = if is_full {
            &mut passing
        } else {
            series.entry(key).or_default()
        };
        let mut reading = match state.all(reading, rule, &self.around, passage) {
            Outcome::Reading(reading) => reading,
            Outcome::Filtered => {
                status.note_filtered();
                return Way::LeftOut;
            }
            Outcome::Unchanged => {
                status.note_unchanged();
                return Way::LeftOut;
            }
        };
        let Some(hold) = hold else {
            return Way::On(reading);
        };
        if is_full {
            if matches!(hold, HoldRule::Window(_)) {
                let why = || format!("not aggregated: more than {SERIES_MAX} series");
                doubt(&mut reading.status, why);
            }
            return Way::On(reading);
        }
        self.around.show_held(hold.key(), &reading);
        let held = KeptStatus::of(&reading.status);
        let flow = self.hold.take(at, reading, state, hold, self.around.skew);
        self.let_go(at + 1, flow, status, out);
        Way::Held(held)
    }

    /// Sends readings on to the tables behind; those that were held back are released under their ids.
    fn let_go(&mut self, next: usize, flow: Flow, status: &SourceStatus, out: &mut Vec<Reading>) {
        for (id, reading) in flow {
            if let Some(hold) = next
                .checked_sub(1)
                .and_then(|at| self.rules.get(at)?.hold.as_ref())
            {
                self.around.set_table(next);
                self.around.show(hold.key(), &reading);
            }
            let Some(id) = id else {
                self.take_from(next, reading, Passage::Judged, status, out);
                continue;
            };
            let mut readings = Vec::new();
            self.take_from(next, reading, Passage::Judged, status, &mut readings);
            match self
                .hold
                .released
                .iter_mut()
                .find(|released| released.id == id)
            {
                Some(released) => released.readings.extend(readings),
                None => self.hold.released.push(Released { id, readings }),
            }
        }
    }

    /// Releases what nothing more is to be awaited for.
    pub(crate) fn tick(&mut self, now: Timestamp, status: &SourceStatus, out: &mut Vec<Reading>) {
        self.release_where(status, out, |state, hold| state.release_if_over(hold, now));
    }

    /// Releases all that is held back: the gateway stops.
    pub(crate) fn flush(&mut self, now: Timestamp, status: &SourceStatus, out: &mut Vec<Reading>) {
        self.release_where(status, out, |state, hold| {
            state.release(hold, now, Some(CUT))
        });
    }

    fn release_where(
        &mut self,
        status: &SourceStatus,
        out: &mut Vec<Reading>,
        mut release: impl FnMut(&mut SeriesSteps, &HoldRule) -> Flow,
    ) {
        let rules = self.rules.clone();
        for (at, step) in rules.iter().enumerate() {
            let Some(hold) = &step.hold else { continue };
            let flows = self.series[at]
                .values_mut()
                .map(|state| release(state, hold));
            let flow: Flow = flows.flatten().collect();
            self.hold.has_changed |= !flow.is_empty();
            self.let_go(at + 1, flow, status, out);
        }
    }

    /// What an earlier process held back goes on; `stored` are the receipts of what it had released already.
    pub(crate) fn recover(
        &mut self,
        items: Vec<HeldItem>,
        stored: &BTreeSet<Token>,
        status: &SourceStatus,
    ) {
        // All of it was held back: nothing goes on without an id.
        let mut out = Vec::new();
        for HeldItem { id, next, readings } in items {
            self.hold.has_changed = true;
            if !stored.contains(&token(id)) {
                let flow = readings
                    .into_iter()
                    .map(|reading| (Some(id), reading))
                    .collect();
                self.let_go(next, flow, status, &mut out);
            }
        }
    }

    /// What was released since it was asked last.
    pub(crate) fn take_released(&mut self) -> Vec<Released> {
        std::mem::take(&mut self.hold.released)
    }

    /// Whether what is held back has changed since it was asked last.
    pub(crate) fn take_has_changed(&mut self) -> bool {
        std::mem::take(&mut self.hold.has_changed)
    }

    /// What is held back, and what was released and not taken yet.
    pub(crate) fn held(&self) -> Vec<HeldItem> {
        let released = self.hold.released.iter();
        let released = released.filter(|released| !released.readings.is_empty());
        let mut items: Vec<HeldItem> = released
            .map(|Released { id, readings }| HeldItem {
                id: *id,
                next: BEHIND_ALL,
                readings: readings.clone(),
            })
            .collect();
        for (at, step) in self.rules.iter().enumerate() {
            let Some(hold) = &step.hold else { continue };
            let held = self.series[at]
                .values()
                .filter_map(|state| state.held(hold));
            items.extend(held.map(|(id, readings)| HeldItem {
                id,
                next: at + 1,
                readings,
            }));
        }
        items
    }

    /// Whether a table fits a reading's name: found out once for each.
    fn fits(&mut self, at: usize, reading: &Reading) -> bool {
        let key = (reading.series.device.clone(), reading.series.tag.clone());
        let fits = |(device, tag): &(DeviceId, TagName)| {
            self.rules[at].tags.is_match(format!("{device}/{tag}"))
        };
        let known = &mut self.fitting[at];
        if known.len() >= SERIES_MAX && !known.contains_key(&key) {
            return fits(&key);
        }
        *known.entry(key).or_insert_with_key(fits)
    }
}

impl Surroundings {
    fn set_table(&mut self, table: usize) {
        if let Some(trace) = &mut self.trace {
            trace.set_table(table);
        }
    }

    /// Shows a reading behind a step, to who looks.
    pub(super) fn show(&self, step: &'static str, reading: &Reading) {
        self.show_fate(step, Fate::GoesOn, reading);
    }

    /// Shows a reading that a step leaves out.
    pub(super) fn show_left_out(&self, step: &'static str, reading: &Reading) {
        self.show_fate(step, Fate::LeftOut, reading);
    }

    /// Shows a reading that a step may hold back: what goes on is shown behind it.
    fn show_held(&self, step: &'static str, reading: &Reading) {
        self.show_fate(step, Fate::Held, reading);
    }

    fn show_fate(&self, step: &'static str, fate: Fate, reading: &Reading) {
        if let Some(trace) = &self.trace {
            trace.show(step, fate, reading);
        }
    }
}

impl Holding {
    /// Has a window or a door take a reading, unless it did so already.
    fn take(
        &mut self,
        at: usize,
        reading: Reading,
        state: &mut SeriesSteps,
        hold: &HoldRule,
        skew: ClockSkew,
    ) -> Flow {
        let series = reading.series.clone();
        let message = self.message.as_ref();
        if let Some(again) = message.and_then(|message| message.again(at, &series)) {
            return SeriesSteps::hold_again(reading, hold, again);
        }
        self.next_id = self
            .next_id
            .max(reading.observed_time.nanos().cast_unsigned());
        let flow = state.hold(reading, hold, skew, self.since, &mut self.next_id);
        self.has_changed = true;
        if let Some(message) = &mut self.message {
            let passes = flow.iter().any(|(id, _)| id.is_none());
            if passes {
                message.note_passed(at, &series);
            } else {
                message.is_held = true;
            }
        }
        flow
    }
}
