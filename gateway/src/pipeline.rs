//! One connector's way from parcels to readings, with what it remembers of each series.
//!
//! Invariants: readings leave in the order of the samples, and where expressions ask for last values those of one device and time
//! together; a lost link makes every known series behind it bad at once and
//! again each minute until it sends; what a device only confirms makes a bad series good and is nothing to any other;
//! what a device says again because it was asked is sent unless the series said just that last, in this process or an earlier one;
//! what is left out is counted by reason. Events pass by the steps: they are no series.

mod events;
mod held;
mod later;
mod moments;
mod report;
mod rules;
mod whole;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use forebay_connectors::{Declared, LinkChange, RuleId, Sample, SampleKind};
use forebay_schemas::{DeviceId, Reading, SiteId, Status, TagName, Timestamp};

use crate::{
    clock_skew::ClockSkew,
    complaints::{Complaint, Complaints},
    filter::Filter,
    kept::KeptSeries,
    pseudonym::Pseudonyms,
    rule::Rule,
    series::{KeptStatus, SeriesState},
    status::SourceStatus,
    steps::{Passage, SeriesSteps, StepSettings, StepTables, Stepped, Surroundings, Trace, step},
};
use later::Later;
use rules::Rules;
use whole::forget_whole_of;

/// Most series that a connector's wildcards may bring; beyond it new ones are still sent, but not remembered: what a step needs
/// its memory for is then missing, with the reason.
pub(crate) const SERIES_MAX: usize = 100_000;

/// One connector's steps.
pub struct Pipeline {
    site: SiteId,
    rules: Rules,
    /// Of `[[step]]`, behind those of the tags.
    tables: StepTables,
    pseudonyms: Pseudonyms,
    skew: ClockSkew,
    filter: Filter,
    series: BTreeMap<Key, Known>,
    /// Why links are down: of one device, or of all.
    down: BTreeMap<Option<DeviceId>, String>,
    status: Arc<SourceStatus>,
    complaints: Complaints,
    news: News,
}

type Key = (DeviceId, TagName);

#[derive(Default)]
struct Known {
    rule: RuleId,
    state: SeriesState,
    /// What the rule's later steps remember; none where it has none.
    steps: Option<Box<SeriesSteps>>,
    /// How far the reading is to be trusted that left the steps last.
    sent: KeptStatus,
    /// Known from configuration alone.
    is_declared: bool,
    /// Whether it was said what holds now: it may be said again to the next process.
    is_current: bool,
}

/// What has changed of what outlives the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum News {
    #[default]
    Nothing,
    /// What series say.
    Words,
    /// Which series there are.
    Series,
}

impl Pipeline {
    /// The steps of a connector whose `declared` series are known before any sample.
    pub fn new(
        site: SiteId,
        rules: Vec<Rule>,
        filter: Filter,
        declared: Vec<Declared>,
        status: Arc<SourceStatus>,
    ) -> Self {
        let known = |declared: Declared| {
            let Declared { rule, device, tag } = declared;
            (
                (device, tag),
                Known {
                    rule,
                    is_declared: true,
                    ..Known::default()
                },
            )
        };
        let series = declared
            .into_iter()
            .filter(|d| filter.takes(&d.device, &d.tag))
            .map(known)
            .collect::<BTreeMap<Key, Known>>();
        for (device, _) in series.keys() {
            status.note_known(device);
        }
        let (complaints, news) = (Complaints::default(), News::default());
        let rules = Rules::new(rules);
        Self {
            site,
            tables: StepTables::new(&StepSettings::default(), rules.different()),
            pseudonyms: Pseudonyms::default(),
            skew: ClockSkew::default(),
            rules,
            filter,
            series,
            down: BTreeMap::new(),
            status,
            complaints,
            news,
        }
    }

    /// The pipeline with the steps of `[[step]]` behind those of the tags.
    #[must_use]
    pub fn with_steps(mut self, settings: &StepSettings) -> Self {
        self.status.name_devices(&settings.pseudonyms);
        let tables = StepTables::new(settings, self.rules.different());
        self.tables = tables.with_clock_skew(self.skew);
        self.pseudonyms = settings.pseudonyms.clone();
        self
    }

    /// The pipeline that doubts times of devices so far from the gateway's.
    #[must_use]
    pub fn with_clock_skew(mut self, skew: ClockSkew) -> Self {
        self.skew = skew;
        self.tables = self.tables.with_clock_skew(skew);
        self
    }

    /// The pipeline that begins at this time of the gateway's clock, behind whatever it is set up with: windows that began before it
    /// are not whole.
    #[must_use]
    pub fn since(mut self, since: Timestamp) -> Self {
        self.tables = self.tables.since(since);
        self
    }

    /// Shows readings behind each step from now on, or no more.
    pub(crate) fn set_trace(&mut self, trace: Option<Trace>) {
        self.tables.set_trace(trace);
    }

    /// Takes over what an earlier process left. `brings` says of each rule what it brings: what no rule brings any more is
    /// forgotten.
    pub(crate) fn restore(&mut self, kept: Vec<KeptSeries>, brings: &[Arc<str>]) {
        let mut rules: HashMap<&str, RuleId> = HashMap::with_capacity(brings.len());
        for (place, brings) in brings.iter().enumerate() {
            rules.entry(brings).or_insert(RuleId(place));
        }
        for KeptSeries {
            brings: brought_by,
            device,
            tag,
            kept,
        } in kept.into_iter().take(SERIES_MAX)
        {
            let rule = rules.get(&*brought_by).copied();
            let Some(rule) = rule.filter(|_| self.filter.takes(&device, &tag)) else {
                self.news = News::Series;
                continue;
            };
            self.status.note_known(&device);
            let known = self.series.entry((device, tag)).or_default();
            if !known.is_declared {
                known.rule = rule;
            }
            known.state = SeriesState::restored(kept);
            known.is_current = kept.said.is_some();
        }
        self.forget_wholes();
    }

    /// What is to outlive the process: series that configuration does not name, and what a device may say again.
    pub(crate) fn kept(&self, brings: &[Arc<str>]) -> Vec<KeptSeries> {
        let kept = |((device, tag), known): (&Key, &Known)| {
            let is_kept = !known.is_declared || known.is_current || known.state.is_timed();
            let brings = brings.get(known.rule.0).filter(|_| is_kept)?.clone();
            Some(KeptSeries {
                brings,
                device: device.clone(),
                tag: tag.clone(),
                kept: known.state.kept(),
            })
        };
        self.series.iter().filter_map(kept).collect()
    }

    /// The devices whose series are known, by their own names.
    pub(crate) fn own_devices(&self) -> BTreeSet<DeviceId> {
        self.series
            .keys()
            .map(|(device, _)| device.clone())
            .collect()
    }

    /// The devices whose series are known, by the names that leave the gateway.
    pub(crate) fn devices(&self) -> BTreeSet<DeviceId> {
        self.series
            .keys()
            .map(|(device, _)| self.pseudonyms.of(device))
            .collect()
    }

    /// The series that only messages bring.
    pub(crate) fn brought(&self) -> Vec<Declared> {
        let brought = self.series.iter().filter(|(_, known)| !known.is_declared);
        brought
            .map(|((device, tag), known)| Declared {
                rule: known.rule,
                device: device.clone(),
                tag: tag.clone(),
            })
            .collect()
    }

    /// What has changed of that since it was asked last.
    pub(crate) fn take_news(&mut self) -> News {
        std::mem::take(&mut self.news)
    }

    /// The readings that follow from the samples of one message, or of several that are all new.
    pub fn samples(&mut self, samples: Vec<Sample>, now: Timestamp) -> Vec<Reading> {
        self.status.note_received(samples.len(), now);
        let is_taken = |sample: &Sample| self.filter.takes(&sample.device, &sample.tag);
        self.status.note_heard(&samples, is_taken, now);
        let repeated = self.repeated(&samples, now);
        let take = |this: &mut Self, place, sample, readings: &mut Vec<Reading>| {
            this.tables.note_place(place);
            if repeated.contains(&place) {
                this.status.note_unchanged();
            } else {
                this.sample(sample, now, readings);
            }
        };
        let mut readings = Vec::new();
        if samples.len() > 1 && self.tables.asks_for_last() {
            readings = self.in_moments(samples, now, take);
        } else {
            readings.reserve(samples.len());
            for (place, sample) in samples.into_iter().enumerate() {
                take(self, place, sample, &mut readings);
            }
        }
        self.pseudonyms.name(&mut readings);
        readings
    }

    /// Places of samples that say what holds now, of a series that says more after them in the same message and whose last
    /// words are known: then all of them are.
    fn repeated(&self, samples: &[Sample], now: Timestamp) -> BTreeSet<usize> {
        let mut places: BTreeMap<(&DeviceId, &TagName), Vec<usize>> = BTreeMap::new();
        for (place, sample) in samples
            .iter()
            .enumerate()
            .filter(|(_, sample)| sample.kind == SampleKind::Snapshot)
        {
            places
                .entry((&sample.device, &sample.tag))
                .or_default()
                .push(place);
        }
        let mut repeated = BTreeSet::new();
        for mut places in places.into_values().filter(|places| places.len() > 1) {
            let Some(last) = places.pop() else { continue };
            let Sample {
                device,
                tag,
                event_time,
                ..
            } = &samples[last];
            let Some(known) = self.series.get(&(device.clone(), tag.clone())) else {
                continue;
            };
            let Stepped::Reading(reading) = self.step(samples[last].clone(), now) else {
                continue;
            };
            if known.state.has_said(*event_time, &reading) {
                repeated.extend(places);
            }
        }
        repeated
    }

    fn step(&self, sample: Sample, now: Timestamp) -> Stepped {
        let rule = self.rules.of(sample.rule);
        // Nobody is shown what is only compared.
        step(sample, rule, &self.site, now, &Surroundings::default())
    }

    /// What is to be logged of bad samples.
    pub(crate) fn complaint(&mut self) -> Option<Complaint> {
        self.complaints.take()
    }

    /// The readings that follow from a link that came or went.
    pub fn link(&mut self, change: LinkChange, now: Timestamp) -> Vec<Reading> {
        let mut readings = self.changed(change, now);
        self.pseudonyms.name(&mut readings);
        readings
    }

    fn changed(&mut self, change: LinkChange, now: Timestamp) -> Vec<Reading> {
        match change {
            LinkChange {
                device,
                down: Some(reason),
            } => {
                self.status.note_link(Some(&reason));
                self.down.insert(device.clone(), reason.clone());
                // A device behind a link that is down already has that reason: two would take turns for ever.
                if device.is_some() && self.down.contains_key(&None) {
                    return Vec::new();
                }
                self.all_bad(device.as_ref(), &reason, now)
            }
            LinkChange { device, down: None } => {
                if device.is_none() {
                    self.down.clear();
                } else {
                    self.down.remove(&device);
                }
                self.status
                    .note_link(self.down.values().next().map(String::as_str));
                Vec::new()
            }
        }
    }

    /// What has to be said again although nothing came: series behind a link that stays down.
    pub fn tick(&mut self, now: Timestamp) -> Vec<Reading> {
        let whole = self
            .down
            .get_key_value(&None)
            .map(|(all, reason)| vec![(all.clone(), reason.clone())]);
        let down = whole.unwrap_or_else(|| self.down.clone().into_iter().collect());
        let mut readings: Vec<Reading> = down
            .iter()
            .flat_map(|(device, reason)| self.all_bad(device.as_ref(), reason, now))
            .collect();
        self.tables.tick(now, &self.status, &mut readings);
        self.pseudonyms.name(&mut readings);
        readings
    }

    fn sample(&mut self, sample: Sample, now: Timestamp, readings: &mut Vec<Reading>) {
        if !self.filter.takes(&sample.device, &sample.tag) {
            return self.status.note_filtered();
        }
        let (id, key) = (sample.rule, (sample.device.clone(), sample.tag.clone()));
        let (own_time, kind) = (sample.event_time, sample.kind);
        let rule = self.rules.of(id);
        // Looked up once: it is what each reading costs, and there may be many series.
        let known = self.series.get_mut(&key);
        let sent_is_bad = known.as_ref().is_none_or(|known| known.state.is_bad());
        if kind == SampleKind::Confirmation && !sent_is_bad {
            return self.status.note_unchanged();
        }
        let around = self.tables.around();
        let Stepped::Reading(mut reading) = step(sample, rule, &self.site, now, around) else {
            return self.status.note_filtered();
        };
        // Events have this tag for their own: what is published under it, or renamed to it, would pass for one.
        if reading.series.tag.is_of_events() {
            return self.status.note_filtered();
        }
        let is_known = |known: &&mut Known| {
            let state = &known.state;
            // The first words to this process, under a time of the device's own, may be the last ones to the process before.
            let is_first = kind == SampleKind::Update && own_time.is_some() && state.is_recalled();
            (kind == SampleKind::Snapshot || is_first) && state.has_said(own_time, &reading)
        };
        let is_repeat = known.as_ref().is_some_and(is_known);
        if is_repeat && !sent_is_bad {
            return self.status.note_unchanged();
        }
        if self.complaints.note(&reading) {
            self.status.note_bad();
        }
        let is_new = known.is_none();
        let known = match known {
            Some(known) => known,
            None => {
                if self.series.len() >= SERIES_MAX {
                    self.skew.judge(&mut reading, kind);
                    let mut later = Later {
                        steps: &mut Some(Box::new(SeriesSteps::forgotten())),
                        sent: &mut KeptStatus::default(),
                        rule,
                        tables: &mut self.tables,
                        status: &self.status,
                    };
                    return later.take(reading, Passage::Judged, readings);
                }
                forget_whole_of(&key, id, &mut self.series);
                self.series.entry(key).or_default()
            }
        };
        (known.rule, known.is_current) = (id, known.is_current || kind == SampleKind::Snapshot);
        if is_repeat {
            // It is stored already; that it holds again is so by the gateway's clock.
            reading.event_time = now;
        } else if kind != SampleKind::Confirmation {
            known.state.hear(own_time, &reading);
        }
        if !known.is_declared || known.is_current || own_time.is_some() {
            let news = if is_new { News::Series } else { News::Words };
            self.news = self.news.max(news);
        }
        let holds_again = known.state.holds_again(&reading, kind);
        if !known.state.is_news(&reading) {
            return self.status.note_unchanged();
        }
        self.skew.judge(&mut reading, kind);
        let again = holds_again.then(|| Reading {
            event_time: now,
            ..reading.clone()
        });
        let mut later = Later {
            steps: &mut known.steps,
            sent: &mut known.sent,
            rule,
            tables: &mut self.tables,
            status: &self.status,
        };
        later.take(reading, Passage::Judged, readings);
        if let Some(again) = again {
            known.state.send(&again);
            later.take(again, Passage::Forced, readings);
        }
    }

    /// A bad reading for each series behind a link, unless it has said just that lately.
    fn all_bad(&mut self, device: Option<&DeviceId>, reason: &str, now: Timestamp) -> Vec<Reading> {
        let mut readings = Vec::new();
        let status = Status::bad(None, format!("link lost: {reason}"));
        for ((of, tag), known) in &mut self.series {
            // Asked of each series once a second while its link is down.
            if device.is_some_and(|device| device != of) || known.state.is_bad_as(&status, now) {
                continue;
            }
            let rule = self.rules.of(known.rule);
            let sample = Sample {
                rule: known.rule,
                device: of.clone(),
                tag: tag.clone(),
                event_time: None,
                value: None,
                unit: None,
                status: status.clone(),
                kind: SampleKind::Update,
            };
            let around = self.tables.around();
            let Stepped::Reading(reading) = step(sample, rule, &self.site, now, around) else {
                continue;
            };
            if !reading.series.tag.is_of_events() && known.state.is_news(&reading) {
                let is_kept = !known.is_declared || known.is_current || known.state.is_timed();
                self.news = self
                    .news
                    .max(if is_kept { News::Words } else { News::Nothing });
                let mut later = Later {
                    steps: &mut known.steps,
                    sent: &mut known.sent,
                    rule,
                    tables: &mut self.tables,
                    status: &self.status,
                };
                later.take(reading, Passage::Judged, &mut readings);
            }
        }
        readings
    }
}
