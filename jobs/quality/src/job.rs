//! The run: one series at a time, and what is made of the reports of a device.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use forebay_jobs::{
    AlertRow, Bucket, Condition, EventRow, Job, JobError, Lifecycle, Outcome, Results, RunContext,
    Sample, Score, SeriesKey, Severity, UnitSpan, Verdict,
};
use forebay_schemas::{DeviceId, SiteId, Timestamp};
use forebay_signals::{order::median, quality::Observation};
use serde_json::{Map, Value, json};

use crate::{
    check::{Check, Finding, Report, Seen, report},
    settings::Quality,
};

/// Readings of a quality from this on are bad.
const BAD: i16 = 2;

const HOUR: Duration = Duration::from_secs(3600);

const HOURS_IN_DAY: i64 = 24;

/// A series and what was found.
type Reported = (SeriesKey, Report);

#[async_trait]
impl Job for Quality {
    async fn run(&self, context: &RunContext) -> Result<Outcome, JobError> {
        let cutoff = context.cutoff();
        let since = back(cutoff, self.look_back.history);
        let series = context.inventory(&self.series, since).await?;
        if series.is_empty() {
            return Ok(Outcome {
                note: Some(
                    "no series fits devices and tags in history: nothing was checked".into(),
                ),
                ..Outcome::default()
            });
        }
        let mut daily = self.daily_levels(context, since).await?;
        let mut devices: BTreeMap<(SiteId, DeviceId), Vec<Reported>> = BTreeMap::new();
        for (key, units) in series {
            let levels = daily.remove(&key).unwrap_or_default();
            let report = self.report(context, &key, units, levels).await?;
            let device = (key.site.clone(), key.device.clone());
            devices.entry(device).or_default().push((key, report));
        }
        let mut events = Vec::new();
        let mut scores = Vec::new();
        for ((site, device), reports) in &devices {
            for (key, report) in reports {
                events.extend(report.findings.iter().map(|of| event(context, key, of)));
            }
            scores.extend(self.score(site, device, reports, cutoff));
        }
        let alerts = self.alerts(context, &devices).await?;
        Ok(Outcome {
            results: Results {
                scores,
                alerts,
                events,
                ..Results::default()
            },
            note: None,
        })
    }
}

impl Quality {
    fn window(&self, context: &RunContext) -> [i64; 2] {
        let from = match &context.fire().window {
            Some(window) => window.start,
            None => back(context.cutoff(), self.look_back.span),
        };
        [from.micros(), context.cutoff().micros()]
    }

    /// The median of the hourly means of each day of history, where drift is looked for.
    async fn daily_levels(
        &self,
        context: &RunContext,
        since: Timestamp,
    ) -> Result<BTreeMap<SeriesKey, Vec<f64>>, JobError> {
        if !self.checks.contains(&Check::Drift) {
            return Ok(BTreeMap::new());
        }
        let hours = context.buckets(&self.series, since, HOUR).await?;
        Ok(hours
            .into_iter()
            .map(|(key, hours)| (key, daily(&hours)))
            .collect())
    }

    async fn report(
        &self,
        context: &RunContext,
        key: &SeriesKey,
        units: Vec<UnitSpan>,
        daily_levels: Vec<f64>,
    ) -> Result<Report, JobError> {
        let window = self.window(context);
        let from = self.newest_from(context, &units, window[0]);
        let samples = context
            .samples(key, from, self.look_back.samples_max * 2)
            .await?;
        let history = i64::try_from(self.look_back.history.as_micros()).unwrap_or(i64::MAX);
        let settings = Arc::new(self.clone());
        let work = move || {
            let good: Vec<Observation> = samples.iter().filter_map(observation).collect();
            let is_good = |sample: &&Sample| sample.quality < BAD;
            let heard = samples.iter().filter(is_good);
            let heard: Vec<i64> = heard.map(|sample| sample.event_micros).collect();
            let is_bad =
                |sample: &&Sample| sample.event_micros >= window[0] && sample.quality >= BAD;
            let units: Vec<(Option<String>, i64)> = units
                .into_iter()
                .map(|span| (span.unit, span.first.micros()))
                .collect();
            report(
                &settings,
                &Seen {
                    good: &good,
                    heard: &heard,
                    bad: samples.iter().filter(is_bad).count(),
                    window,
                    daily_levels: &daily_levels,
                    units: &units,
                    drift_from: window[1].div_euclid(history) * history,
                },
            )
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| JobError::retry("the check of a series failed", error))
    }

    /// Where the newest `samples_max` readings of a series begin, if they came evenly; never within the window.
    fn newest_from(&self, context: &RunContext, units: &[UnitSpan], window: i64) -> Timestamp {
        let since = back(context.cutoff(), self.look_back.history);
        let readings: u64 = units.iter().map(|span| span.readings).sum();
        let share = self.look_back.samples_max as f64 / readings.max(1) as f64;
        if share >= 1.0 {
            return since;
        }
        let all = (context.cutoff().micros() - since.micros()) as f64;
        let from = context.cutoff().micros() - (share * all) as i64;
        Timestamp::from_micros(from.min(window)).unwrap_or(since)
    }

    /// The row of a device: its worst tag's, with all tags in `contributions`.
    fn score(
        &self,
        site: &SiteId,
        device: &DeviceId,
        reports: &[Reported],
        event_time: Timestamp,
    ) -> Option<Score> {
        let score = reports
            .iter()
            .map(|(_, report)| report.score())
            .max_by(f64::total_cmp)?;
        let tags: Map<String, Value> = reports
            .iter()
            .map(|(key, report)| (key.tag.as_str().to_owned(), contribution(report)))
            .collect();
        Some(Score {
            site: site.clone(),
            device: device.clone(),
            event_time,
            score,
            limit: self.limit,
            anomalous: score > self.limit,
            contributions: Some(Value::Object(tags).to_string()),
        })
    }

    /// Alerts of silence: of a device where all its tags are silent, else of its tags.
    async fn alerts(
        &self,
        context: &RunContext,
        devices: &BTreeMap<(SiteId, DeviceId), Vec<Reported>>,
    ) -> Result<Vec<AlertRow>, JobError> {
        if !self.checks.contains(&Check::Silence) {
            return Ok(Vec::new());
        }
        let mut verdicts = BTreeMap::new();
        for ((site, device), reports) in devices {
            let of_device = format!("{}/{}", site.path_segment(), device.path_segment());
            let Some(seconds) = silent_seconds(reports) else {
                verdicts.insert(of_device.clone(), Verdict::Healthy);
                for (key, report) in reports {
                    let dedupe_key = format!("{of_device}/{}", key.tag.path_segment());
                    verdicts.insert(dedupe_key, self.tag_verdict(key, report));
                }
                continue;
            };
            // Of a silent device nothing is said of its tags: they are neither sound nor a condition of their own.
            let reason =
                format!("{device} is silent: no good reading of any tag for {seconds:.0} s");
            let condition = silence(site, device, seconds, reason);
            verdicts.insert(of_device, Verdict::Wrong(condition));
        }
        let lifecycle = Lifecycle {
            refractory: self.look_back.refractory,
            // A tag that speaks again is no longer silent.
            resolve_after: Duration::ZERO,
        };
        context.advance_alerts(&lifecycle, verdicts).await
    }

    fn tag_verdict(&self, key: &SeriesKey, report: &Report) -> Verdict {
        let Some(seconds) = report.silent_seconds else {
            return Verdict::Healthy;
        };
        let reason = format!("{} is silent: no good reading for {seconds:.0} s", key.tag);
        Verdict::Wrong(Condition {
            tag: Some(key.tag.clone()),
            ..silence(&key.site, &key.device, seconds, reason)
        })
    }
}

/// For how long a device has been silent, if it is: since the newest good reading of any of its tags. A tag of which none is
/// known says nothing of the others; where none is known of any tag, the window's start counts.
fn silent_seconds(reports: &[Reported]) -> Option<f64> {
    let is_heard = |report: &&Report| report.last_good_micros.is_some();
    let reports = || reports.iter().map(|(_, report)| report);
    let least = |a: Option<f64>, b: Option<f64>| Some(a?.min(b?));
    let of_heard = reports()
        .filter(is_heard)
        .map(|report| report.silent_seconds);
    match of_heard.reduce(least) {
        Some(seconds) => seconds,
        None => reports()
            .map(|report| report.silent_seconds)
            .reduce(least)?,
    }
}

fn silence(site: &SiteId, device: &DeviceId, seconds: f64, reason: String) -> Condition {
    Condition {
        site: site.clone(),
        device: device.clone(),
        tag: None,
        severity: Severity::Warning,
        score: seconds,
        contributions: None,
        reason,
    }
}

/// The medians of days of 24 hours (UTC) that have at least half of their hours.
fn daily(hours: &[Bucket]) -> Vec<f64> {
    let mut days: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
    for hour in hours {
        let day = hour.index.div_euclid(HOURS_IN_DAY);
        days.entry(day).or_default().push(hour.mean);
    }
    days.into_values()
        .filter(|hours| 2 * hours.len() as i64 >= HOURS_IN_DAY)
        .map(|mut hours| median(&mut hours))
        .collect()
}

fn observation(sample: &Sample) -> Option<Observation> {
    let value = sample.value.filter(|_| sample.quality < BAD)?;
    Some(Observation {
        event_micros: sample.event_micros,
        observed_micros: sample.observed_micros,
        value,
    })
}

/// What `scores.contributions` says of a tag.
fn contribution(report: &Report) -> Value {
    let mut found: BTreeMap<&str, usize> = BTreeMap::new();
    for finding in &report.findings {
        *found.entry(finding.check.name()).or_default() += 1;
    }
    json!({
        "completeness": report.completeness,
        "faulty": report.faulty,
        "readings": report.readings,
        "bad": report.bad,
        "silent_seconds": report.silent_seconds,
        "found": found,
    })
}

fn event(context: &RunContext, key: &SeriesKey, of: &Finding) -> EventRow {
    let from_time = at(of.from_micros);
    let kind = of.check.name();
    EventRow {
        event_id: context.event_id(kind, &key.site, &key.device, Some(&key.tag), from_time),
        changed_at: context.now(),
        site: key.site.clone(),
        device: key.device.clone(),
        tag: Some(key.tag.clone()),
        kind: kind.to_owned(),
        from_time,
        to_time: of.to_micros.map(at),
        value: of.value,
        severity: of.severity,
        text: format!("{}: {}", key.tag, of.text),
        attributes: None,
    }
}

fn at(micros: i64) -> Timestamp {
    // Stored times are within the range of nanoseconds (E11).
    Timestamp::from_micros(micros).unwrap_or(Timestamp::from_nanos(0))
}

fn back(at: Timestamp, by: Duration) -> Timestamp {
    let nanos = i64::try_from(by.as_nanos()).unwrap_or(i64::MAX);
    Timestamp::from_nanos(at.nanos().saturating_sub(nanos))
}
