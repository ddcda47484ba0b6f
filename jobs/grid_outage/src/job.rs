//! The job: which meters hang on which feeder, and what is made of their silence.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use forebay_config::{Defaulted, Describe, Mapping, Optional, Table, TableKeys};
use forebay_jobs::{
    EventRow, Job, JobError, JobKind, Outcome, Results, RunContext, SeriesPattern, Severity,
};
use forebay_schemas::{DeviceId, SiteId, Timestamp};
use forebay_signals::outage::{Evidence, Loss, LossKind, LossModel, Meter};
use serde_json::json;

/// The keys of the kind.
const GRID_OUTAGE: TableKeys = TableKeys::many(
    "job",
    "Finds power losses of feeders and tells them from communication losses, by last gasps and by the meters' neighbours.",
    &[
        &FEEDERS,
        &TAGS,
        &LAST_GASP,
        &STEP,
        &SILENT_INTERVALS,
        &METERS_MIN,
        &SHARE_MIN,
        &GASP_SHARE,
        &NEIGHBOUR_SHARE,
        &HISTORY,
        &SPAN,
    ],
);

const FEEDERS: Mapping<Vec<String>> = Mapping::new(
    "feeders",
    "The feeders, each with its meters as patterns of devices in which * stands for any text and ? for one character. A feeder's name stands as device in events.",
);

const TAGS: Defaulted<Vec<String>> = Defaulted::list(
    "tags",
    &["*"],
    "The tags by whose readings a meter is heard, as patterns.",
);

const LAST_GASP: Optional<String> = Optional::new(
    "last_gasp",
    "The tag under which a meter says that its supply has failed: any reading but 0 is a last gasp.",
)
.absent("the neighbours alone tell a power loss");

const STEP: Defaulted<Duration> = Defaulted::new(
    "step",
    Duration::from_secs(60),
    "How exactly times are taken; at most the interval of the meters.",
);

const SILENT_INTERVALS: Defaulted<f64> = Defaulted::new(
    "silent_intervals",
    2.0,
    "A meter is silent after this many of its usual intervals without a reading; at least 2.",
);

const METERS_MIN: Defaulted<u32> = Defaulted::new(
    "meters_min",
    2,
    "Fewest meters that fall silent together and make an event; all of a feeder that has fewer. At least 1.",
);

const SHARE_MIN: Defaulted<f64> = Defaulted::new(
    "share_min",
    0.2,
    "Least share of a feeder's meters that fall silent together and make an event; above 0, up to 1.",
);

const GASP_SHARE: Defaulted<f64> = Defaulted::new(
    "gasp_share",
    0.05,
    "With last_gasp: a power loss when this share of the silent meters, and one at least, sent a last gasp; from 0 to 1.",
);

const NEIGHBOUR_SHARE: Defaulted<f64> = Defaulted::new(
    "neighbour_share",
    0.8,
    "Without last_gasp: a power loss when at least this share of the feeder is silent, and of the other feeders' meters at most the rest; above 0.5, up to 1.",
);

const HISTORY: Defaulted<Duration> = Defaulted::new(
    "history",
    Duration::from_secs(2 * 86_400),
    "How far before the window readings say a meter's usual interval, and a loss that ends in the window may have begun.",
);

const SPAN: Defaulted<Duration> = Defaulted::new(
    "span",
    Duration::from_secs(86_400),
    "How far back a run by the clock looks for losses: at least the time between its runs. A run over a window looks at the window.",
);

/// The job's settings.
#[derive(Debug, Clone, PartialEq)]
pub struct GridOutage {
    feeders: BTreeMap<DeviceId, Vec<String>>,
    tags: Vec<String>,
    last_gasp: Option<String>,
    step: Duration,
    model: LossModel,
    history: Duration,
    span: Duration,
}

/// `kind = "grid_outage"`.
#[derive(Debug, Clone, Copy, Default)]
pub struct GridOutageKind;

impl JobKind for GridOutageKind {
    fn name(&self) -> &'static str {
        "grid_outage"
    }

    fn keys(&self) -> &'static TableKeys {
        &GRID_OUTAGE
    }

    fn configure(&self, table: &mut Table<'_>) -> Option<Box<dyn Job>> {
        let feeders = table.read(&FEEDERS);
        let last_gasp = table.read(&LAST_GASP);
        let gasp_share = table.read(&GASP_SHARE);
        let neighbour_share = table.read(&NEIGHBOUR_SHARE);
        let evidence = match last_gasp {
            Some(_) => Evidence::LastGasps(gasp_share),
            None => Evidence::Neighbours(neighbour_share),
        };
        let job = GridOutage {
            feeders: names(table, feeders.as_ref()),
            tags: table.read(&TAGS),
            last_gasp,
            step: table.read(&STEP),
            model: LossModel {
                silent_intervals: table.read(&SILENT_INTERVALS),
                meters_min: table.read(&METERS_MIN) as usize,
                share_min: table.read(&SHARE_MIN),
                evidence,
            },
            history: table.read(&HISTORY),
            span: table.read(&SPAN),
        };
        let mut problems = job.problems();
        if !(0.0..=1.0).contains(&gasp_share) {
            problems.push((&GASP_SHARE, "a share from 0 to 1 is expected"));
        }
        if !(neighbour_share > 0.5 && neighbour_share <= 1.0) {
            problems.push((&NEIGHBOUR_SHARE, "a share above 0.5, up to 1, is expected"));
        }
        for (key, message) in &problems {
            table.problem(*key, message);
        }
        let is_whole = feeders.is_some_and(|feeders| feeders.len() == job.feeders.len());
        (problems.is_empty() && is_whole).then(|| Box::new(job) as Box<dyn Job>)
    }
}

/// The feeders whose names devices may have; the others are noted.
fn names(
    table: &Table<'_>,
    feeders: Option<&BTreeMap<String, Vec<String>>>,
) -> BTreeMap<DeviceId, Vec<String>> {
    let mut named = BTreeMap::new();
    for (feeder, meters) in feeders.into_iter().flatten() {
        match DeviceId::new(feeder) {
            Ok(name) => drop(named.insert(name, meters.clone())),
            Err(error) => table.problem(&FEEDERS, error.to_string()),
        }
    }
    named
}

#[async_trait]
impl Job for GridOutage {
    async fn run(&self, context: &RunContext) -> Result<Outcome, JobError> {
        let mut sites: BTreeMap<SiteId, BTreeMap<DeviceId, Vec<Meter>>> = BTreeMap::new();
        for feeder in self.feeders.keys() {
            for (site, meters) in self.meters(context, feeder).await? {
                sites
                    .entry(site)
                    .or_default()
                    .insert(feeder.clone(), meters);
            }
        }
        let mut events = Vec::new();
        for (site, feeders) in &sites {
            for (feeder, meters) in feeders {
                let others: Vec<Meter> = feeders
                    .iter()
                    .filter(|(other, _)| *other != feeder)
                    .flat_map(|(_, meters)| meters.iter().cloned())
                    .collect();
                let end = self.step_of(context.cutoff());
                let losses = self.model.losses(meters, &others, end);
                let news = losses
                    .into_iter()
                    .filter(|loss| self.is_news(context, loss));
                events.extend(news.map(|loss| self.event(context, site, feeder, &loss)));
            }
        }
        let note = sites
            .is_empty()
            .then(|| "no meter of any feeder was heard in history: nothing was judged".to_owned());
        Ok(Outcome {
            results: Results {
                events,
                ..Results::default()
            },
            note,
        })
    }
}

impl GridOutage {
    /// What is wrong with the settings together.
    fn problems(&self) -> Vec<(&'static dyn Describe, &'static str)> {
        let mut problems: Vec<(&'static dyn Describe, &'static str)> = Vec::new();
        let mut check = |is_fit: bool, key: &'static dyn Describe, message: &'static str| {
            if !is_fit {
                problems.push((key, message));
            }
        };
        let has_meters = self.feeders.values().all(|meters| !meters.is_empty());
        check(
            has_meters,
            &FEEDERS,
            "a feeder without meters has no silence",
        );
        check(!self.tags.is_empty(), &TAGS, "no tag fits an empty list");
        check(
            self.step >= Duration::from_secs(1),
            &STEP,
            "at least \"1s\"",
        );
        check(
            self.model.silent_intervals >= 2.0,
            &SILENT_INTERVALS,
            "at least 2: a reading may be late",
        );
        check(self.model.meters_min > 0, &METERS_MIN, "at least 1");
        check(
            self.model.share_min > 0.0 && self.model.share_min <= 1.0,
            &SHARE_MIN,
            "a share above 0, up to 1, is expected",
        );
        check(!self.history.is_zero(), &HISTORY, "more than 0 is expected");
        check(!self.span.is_zero(), &SPAN, "more than 0 is expected");
        problems
    }

    fn step_micros(&self) -> i64 {
        i64::try_from(self.step.as_micros()).unwrap_or(i64::MAX)
    }

    fn step_of(&self, at: Timestamp) -> i64 {
        at.micros().div_euclid(self.step_micros())
    }

    fn at(&self, step: i64) -> Timestamp {
        // Steps come from stored times, which are within the range of nanoseconds (E11).
        let micros = step.saturating_mul(self.step_micros());
        Timestamp::from_micros(micros).unwrap_or(Timestamp::from_nanos(0))
    }

    fn window_from(&self, context: &RunContext) -> Timestamp {
        match &context.fire().window {
            Some(window) => window.start,
            None => back(context.cutoff(), self.span),
        }
    }

    /// The meters of a feeder, by site.
    async fn meters(
        &self,
        context: &RunContext,
        feeder: &DeviceId,
    ) -> Result<BTreeMap<SiteId, Vec<Meter>>, JobError> {
        let from = back(self.window_from(context), self.history);
        let mut tags = self.tags.clone();
        tags.extend(self.last_gasp.clone());
        let pattern = SeriesPattern {
            devices: self.feeders.get(feeder).cloned().unwrap_or_default(),
            tags,
        };
        let series = context.buckets(&pattern, from, self.step).await?;
        let mut meters: BTreeMap<(SiteId, DeviceId), Meter> = BTreeMap::new();
        for (key, steps) in series {
            let is_gasp = self.last_gasp.as_deref() == Some(key.tag.as_str());
            let meter = meters.entry((key.site, key.device)).or_default();
            if is_gasp {
                let gasps = steps.iter().filter(|step| step.mean != 0.0);
                meter.gasps.extend(gasps.map(|step| step.index));
            } else {
                meter.heard.extend(steps.iter().map(|step| step.index));
            }
        }
        let mut sites: BTreeMap<SiteId, Vec<Meter>> = BTreeMap::new();
        for ((site, _), mut meter) in meters {
            // A meter may speak under several tags at once.
            meter.heard.sort_unstable();
            meter.heard.dedup();
            sites.entry(site).or_default().push(meter);
        }
        Ok(sites)
    }

    /// Whether a run over this window is the one that says so: the loss became known, or ended, within it.
    fn is_news(&self, context: &RunContext, loss: &Loss) -> bool {
        let end = self.step_of(context.cutoff());
        let window = self.step_of(self.window_from(context))..end;
        // A loss is known from this step on, so the run that ends with it knows it.
        let is_known_now = (window.start + 1..=end).contains(&loss.known_at);
        is_known_now || loss.to.is_some_and(|to| window.contains(&to))
    }

    fn event(
        &self,
        context: &RunContext,
        site: &SiteId,
        feeder: &DeviceId,
        loss: &Loss,
    ) -> EventRow {
        let from_time = self.at(loss.from);
        let kind = loss.kind.name();
        let percent = 100.0 * loss.share;
        let text = match loss.kind {
            LossKind::Power => format!(
                "{} of {feeder}'s meters ({percent:.0} %) have no power; {} sent a last gasp",
                loss.meters, loss.gasps
            ),
            LossKind::Communication => format!(
                "{} of {feeder}'s meters ({percent:.0} %) cannot be reached; {} sent a last gasp",
                loss.meters, loss.gasps
            ),
        };
        EventRow {
            event_id: context.event_id(kind, site, feeder, None, from_time),
            changed_at: context.now(),
            site: site.clone(),
            device: feeder.clone(),
            tag: None,
            kind: kind.to_owned(),
            from_time,
            to_time: loss.to.map(|to| self.at(to)),
            value: Some(loss.share),
            severity: match loss.kind {
                LossKind::Power => Severity::Critical,
                LossKind::Communication => Severity::Warning,
            },
            text,
            attributes: Some(json!({"meters": loss.meters, "last_gasps": loss.gasps}).to_string()),
        }
    }
}

fn back(at: Timestamp, by: Duration) -> Timestamp {
    let nanos = i64::try_from(by.as_nanos()).unwrap_or(i64::MAX);
    Timestamp::from_nanos(at.nanos().saturating_sub(nanos))
}
