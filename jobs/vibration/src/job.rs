//! The run: waveforms of a window, one tag at a time, and what is made of them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use forebay_jobs::{
    Condition, Job, JobError, Lifecycle, Outcome, PastScore, Results, RunContext, Sample, Score,
    SeriesKey, SeriesPattern, UnitSpan, Verdict,
};
use forebay_schemas::{DeviceId, SiteId, TagName, Timestamp};
use forebay_signals::waveform::Waveform;
use serde_json::{Map, Value, json};

use crate::{
    judge::{Judged, Past, judge},
    measure::{Measured, SignalUnit, measure},
    settings::{ShaftSpeed, Vibration},
    words::{reason, zone},
};

/// Past windows of a device that are read, the newest.
const PAST_MAX: usize = 1000;

/// Readings of the shaft's speed that are read of a window.
const SPEEDS_MAX: usize = 100_000;

/// Series that are named in a note; more are counted.
const NAMED_MAX: usize = 5;

/// Readings of a quality from this on are bad.
const BAD: i16 = 2;

/// One tag that was judged.
struct JudgedTag {
    tag: TagName,
    measured: Measured,
    judged: Judged,
}

#[async_trait]
impl Job for Vibration {
    async fn run(&self, context: &RunContext) -> Result<Outcome, JobError> {
        let from = self.from(context);
        let series = context.inventory(&self.series, from).await?;
        let mut devices: BTreeMap<(SiteId, DeviceId), Vec<(SeriesKey, Vec<UnitSpan>)>> =
            BTreeMap::new();
        for (key, units) in series {
            let device = (key.site.clone(), key.device.clone());
            devices.entry(device).or_default().push((key, units));
        }
        let mut notes = Vec::new();
        if devices.is_empty() {
            notes.push("no series fits devices and tags in the window: nothing was judged".into());
        }
        let mut scores = Vec::new();
        let mut verdicts = BTreeMap::new();
        for ((site, device), series) in devices {
            let past = self.past(context, &site, &device).await?;
            let shaft_hz = self
                .shaft_hz(context, &site, &device, from, &mut notes)
                .await?;
            let mut tags = Vec::new();
            for (key, units) in series {
                let past = past.get(key.tag.as_str()).cloned().unwrap_or_default();
                let judged = self
                    .judge_tag(context, &key, &units, from, shaft_hz, &past)
                    .await?;
                match judged {
                    Ok(judged) => {
                        verdicts.insert(dedupe_key(&key), verdict(&key, &judged));
                        tags.push(judged);
                    }
                    Err(why) => notes.push(format!("{device}/{} was not judged: {why}", key.tag)),
                }
            }
            scores.extend(self.score(site, device, &tags, context.cutoff()));
        }
        let alerts = context
            .advance_alerts(&self.lifecycle(context), verdicts)
            .await?;
        Ok(Outcome {
            results: Results {
                scores,
                alerts,
                ..Results::default()
            },
            note: note(&notes),
        })
    }
}

impl Vibration {
    fn from(&self, context: &RunContext) -> Timestamp {
        match &context.fire().window {
            Some(window) => window.start,
            None => back(context.cutoff(), self.look_back.span),
        }
    }

    fn lifecycle(&self, context: &RunContext) -> Lifecycle {
        let window = context.fire().window.as_ref();
        let length =
            window.map(|w| Duration::from_nanos((w.end.nanos() - w.start.nanos()).unsigned_abs()));
        Lifecycle {
            refractory: self.look_back.refractory,
            resolve_after: length
                .unwrap_or(self.look_back.span)
                .saturating_mul(self.resolve_after),
        }
    }

    /// The features of each tag in the device's past windows, oldest first.
    async fn past(
        &self,
        context: &RunContext,
        site: &SiteId,
        device: &DeviceId,
    ) -> Result<BTreeMap<String, Past>, JobError> {
        let since = back(context.cutoff(), self.look_back.history);
        let rows = context.past_scores(site, device, since, PAST_MAX).await?;
        Ok(past_features(&rows))
    }

    /// The shaft's speed in the window, where it is configured and known.
    async fn shaft_hz(
        &self,
        context: &RunContext,
        site: &SiteId,
        device: &DeviceId,
        from: Timestamp,
        notes: &mut Vec<String>,
    ) -> Result<Option<f64>, JobError> {
        let tag = match &self.shaft {
            None => return Ok(None),
            Some(ShaftSpeed::Hertz(hertz)) => return Ok(Some(*hertz)),
            Some(ShaftSpeed::Tag(tag)) => tag,
        };
        let key = SeriesKey {
            site: site.clone(),
            device: device.clone(),
            tag: tag.clone(),
        };
        let pattern = SeriesPattern {
            devices: vec![device.as_str().to_owned()],
            tags: vec![tag.as_str().to_owned()],
        };
        let units = context.inventory(&pattern, from).await?;
        let unit = units.get(&key).and_then(|spans| spans.last()?.unit.clone());
        let speeds = context.samples(&key, from, SPEEDS_MAX).await?;
        let good: Vec<f64> = speeds.iter().filter_map(usable).collect();
        let mean = good.iter().sum::<f64>() / good.len().max(1) as f64;
        let hertz = mean / revolutions_per_unit(unit.as_deref());
        if hertz > 0.0 {
            return Ok(Some(hertz));
        }
        notes.push(format!(
            "the bearing of {device} was not judged: {tag} says no speed above 0 in the window"
        ));
        Ok(None)
    }

    /// The tag's judgement, or why there is none.
    async fn judge_tag(
        &self,
        context: &RunContext,
        key: &SeriesKey,
        units: &[UnitSpan],
        from: Timestamp,
        shaft_hz: Option<f64>,
        past: &Past,
    ) -> Result<Result<JudgedTag, String>, JobError> {
        let samples = context
            .samples(key, from, self.look_back.samples_max)
            .await?;
        let unit = self.unit.or_else(|| unit_of(units));
        let (settings, past) = (Arc::new(self.clone()), past.clone());
        let tag = key.tag.clone();
        let work = move || {
            let samples: Vec<(i64, f64)> = samples
                .iter()
                .filter_map(|sample| Some((sample.event_micros, usable(sample)?)))
                .collect();
            let wave = Waveform::longest(&samples, settings.sample_rate)
                .map_err(|error| error.to_string())?;
            drop(samples);
            let measured = measure(&settings, &wave, unit, shaft_hz);
            let judged = judge(&settings, &measured, &past);
            Ok(JudgedTag {
                tag,
                measured,
                judged,
            })
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| JobError::retry("the analysis of a waveform failed", error))
    }

    /// The row of a device: its worst tag's, with all tags in `contributions`.
    fn score(
        &self,
        site: SiteId,
        device: DeviceId,
        tags: &[JudgedTag],
        event_time: Timestamp,
    ) -> Option<Score> {
        // The first of equally bad tags counts.
        let worst = tags
            .iter()
            .rev()
            .max_by(|a, b| a.judged.score.total_cmp(&b.judged.score))?;
        let mut contributions = self.contributions(worst);
        let all: Map<String, Value> = tags
            .iter()
            .map(|of| (of.tag.as_str().to_owned(), self.contributions(of).into()))
            .collect();
        contributions.insert("tag".to_owned(), json!(worst.tag.as_str()));
        contributions.insert("tags".to_owned(), all.into());
        Some(Score {
            site,
            device,
            event_time,
            score: worst.judged.score,
            limit: 1.0,
            anomalous: worst.judged.score > 1.0,
            contributions: Some(Value::Object(contributions).to_string()),
        })
    }

    fn contributions(&self, of: &JudgedTag) -> Map<String, Value> {
        let mut json = of.measured.as_json();
        json.insert("score".to_owned(), json!(of.judged.score));
        json.insert("trend".to_owned(), json!(of.judged.trend));
        if let Some((velocity, zones)) = of.measured.velocity_mm_s.zip(self.zones) {
            json.insert("zone".to_owned(), json!(zone(velocity, &zones)));
        }
        json
    }
}

/// The features of each tag in a device's earlier rows.
fn past_features(rows: &[PastScore]) -> BTreeMap<String, Past> {
    let mut past: BTreeMap<String, Past> = BTreeMap::new();
    for row in rows {
        let text = row.contributions.as_deref().unwrap_or_default();
        // A row that another release wrote in another form has no past for this one.
        let Ok(Value::Object(json)) = serde_json::from_str::<Value>(text) else {
            continue;
        };
        let Some(Value::Object(tags)) = json.get("tags") else {
            continue;
        };
        for (tag, features) in tags {
            let of_tag = past.entry(tag.clone()).or_default();
            for (name, value) in features.as_object().into_iter().flatten() {
                if let Some(value) = value.as_f64() {
                    of_tag.entry(name.clone()).or_default().push(value);
                }
            }
        }
    }
    past
}

fn usable(sample: &Sample) -> Option<f64> {
    sample.value.filter(|_| sample.quality < BAD)
}

/// The unit of the most readings, if all that name one this job knows agree.
fn unit_of(units: &[UnitSpan]) -> Option<SignalUnit> {
    let mut known = units
        .iter()
        .filter_map(|span| SignalUnit::of_reading(span.unit.as_deref()?));
    let first = known.next()?;
    known.all(|unit| unit == first).then_some(first)
}

/// How many of this unit are one revolution per second.
fn revolutions_per_unit(unit: Option<&str>) -> f64 {
    match unit {
        Some("rpm" | "/min" | "1/min" | "r/min" | "{rpm}" | "min-1") => 60.0,
        _ => 1.0,
    }
}

fn dedupe_key(key: &SeriesKey) -> String {
    format!(
        "{}/{}/{}",
        key.site.path_segment(),
        key.device.path_segment(),
        key.tag.path_segment()
    )
}

fn verdict(key: &SeriesKey, of: &JudgedTag) -> Verdict {
    let Some(cause) = of.judged.cause.as_ref().filter(|_| of.judged.score > 1.0) else {
        return Verdict::Healthy;
    };
    Verdict::Wrong(Condition {
        site: key.site.clone(),
        device: key.device.clone(),
        tag: Some(key.tag.clone()),
        severity: of.judged.severity,
        score: of.judged.score,
        contributions: Some(Value::Object(of.measured.as_json()).to_string()),
        reason: reason(key.tag.as_str(), &of.measured, cause),
    })
}

fn back(at: Timestamp, by: Duration) -> Timestamp {
    let nanos = i64::try_from(by.as_nanos()).unwrap_or(i64::MAX);
    Timestamp::from_nanos(at.nanos().saturating_sub(nanos))
}

fn note(notes: &[String]) -> Option<String> {
    let named = notes
        .iter()
        .take(NAMED_MAX)
        .cloned()
        .collect::<Vec<_>>()
        .join("; ");
    match notes.len().checked_sub(NAMED_MAX) {
        None | Some(0) => (!notes.is_empty()).then_some(named),
        Some(more) => Some(format!("{named}; and {more} more")),
    }
}
