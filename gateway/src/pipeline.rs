//! One connector's way from parcels to readings, with what it remembers of each series.
//!
//! Invariants: readings leave in the order of the samples; a lost link makes every known series behind it bad at once and
//! again each minute until it sends; what a device only tells again makes a bad series good and is nothing to any other;
//! what is left out is counted by reason.

use std::{collections::BTreeMap, sync::Arc};

use forebay_connectors::{Declared, LinkChange, RuleId, Sample, Told};
use forebay_schemas::{DeviceId, Reading, SiteId, Status, TagName, Timestamp};

use crate::{
    complaints::{Complaint, Complaints},
    filter::Filter,
    rule::Rule,
    series::SeriesState,
    status::SourceStatus,
    steps::{Stepped, step},
};

/// Most series that a connector's wildcards may bring; beyond it new ones are still sent, but not remembered.
const SERIES_MAX: usize = 100_000;

/// One connector's steps.
pub struct Pipeline {
    site: SiteId,
    rules: Vec<Rule>,
    filter: Filter,
    series: BTreeMap<(DeviceId, TagName), Known>,
    /// Why links are down: of one device, or of all.
    down: BTreeMap<Option<DeviceId>, String>,
    status: Arc<SourceStatus>,
    complaints: Complaints,
}

#[derive(Default)]
struct Known {
    rule: RuleId,
    state: SeriesState,
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
            ((device, tag), Known { rule, state: SeriesState::default() })
        };
        let series = declared.into_iter().filter(|d| filter.takes(&d.device, &d.tag)).map(known).collect();
        Self { site, rules, filter, series, down: BTreeMap::new(), status, complaints: Complaints::default() }
    }

    /// The readings that follow from samples.
    pub fn samples(&mut self, samples: Vec<Sample>, now: Timestamp) -> Vec<Reading> {
        self.status.note_received(samples.len(), now);
        samples.into_iter().filter_map(|sample| self.sample(sample, now)).collect()
    }

    /// What is to be told of bad samples.
    pub(crate) fn complaint(&mut self, now: Timestamp) -> Option<Complaint> {
        self.complaints.take(now)
    }

    /// The readings that follow from a link that came or went.
    pub fn link(&mut self, change: LinkChange, now: Timestamp) -> Vec<Reading> {
        match change {
            LinkChange { device, down: Some(reason) } => {
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
                self.status.note_link(self.down.values().next().map(String::as_str));
                Vec::new()
            }
        }
    }

    /// What has to be said again although nothing came: series behind a link that stays down.
    pub fn tick(&mut self, now: Timestamp) -> Vec<Reading> {
        let whole = self.down.get_key_value(&None).map(|(all, reason)| vec![(all.clone(), reason.clone())]);
        let down = whole.unwrap_or_else(|| self.down.clone().into_iter().collect());
        down.iter().flat_map(|(device, reason)| self.all_bad(device.as_ref(), reason, now)).collect()
    }

    fn sample(&mut self, sample: Sample, now: Timestamp) -> Option<Reading> {
        if !self.filter.takes(&sample.device, &sample.tag) {
            self.status.note_filtered();
            return None;
        }
        let default = Rule::default();
        let rule = self.rules.get(sample.rule.0).unwrap_or(&default);
        let (id, key) = (sample.rule, (sample.device.clone(), sample.tag.clone()));
        let sent_is_bad = self.series.get(&key).is_none_or(|known| known.state.is_bad());
        if sample.told == Told::Again && !sent_is_bad {
            self.status.note_unchanged();
            return None;
        }
        let reading = match step(sample, rule, &self.site, now) {
            Stepped::Reading(reading) => reading,
            Stepped::OutOfRange => {
                self.status.note_filtered();
                return None;
            }
        };
        if self.complaints.note(&reading) {
            self.status.note_bad();
        }
        if !self.series.contains_key(&key) && self.series.len() >= SERIES_MAX {
            return Some(reading);
        }
        let known = self.series.entry(key).or_default();
        known.rule = id;
        if known.state.is_news(&reading, rule) {
            return Some(reading);
        }
        self.status.note_unchanged();
        None
    }

    /// A bad reading for each series behind a link, unless it has said just that lately.
    fn all_bad(&mut self, device: Option<&DeviceId>, reason: &str, now: Timestamp) -> Vec<Reading> {
        let mut readings = Vec::new();
        let default = Rule::default();
        for ((of, tag), known) in &mut self.series {
            if device.is_some_and(|device| device != of) {
                continue;
            }
            let rule = self.rules.get(known.rule.0).unwrap_or(&default);
            let sample = Sample {
                rule: known.rule,
                device: of.clone(),
                tag: tag.clone(),
                event_time: None,
                value: None,
                unit: None,
                status: Status::bad(None, format!("link lost: {reason}")),
                told: Told::Anew,
            };
            let Stepped::Reading(reading) = step(sample, rule, &self.site, now) else { continue };
            if known.state.is_news(&reading, rule) || known.state.is_due(now) {
                readings.push(reading);
            }
        }
        readings
    }
}
