//! `method = "multivariate"`: all tags of a device together, row by row, against what they were in training.
//!
//! A run over a window judges the rows of that window; any other run those since the job's last score of the device. Before
//! them rows are read to warm the chart up, so that a run begins where the one before it ended. One device is read at a time. Its
//! chart is trained once, and kept (`kept`).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use forebay_jobs::{
    Condition, DeviceRows, DeviceSpan, JobError, ModelShelf, Order, RowReader, RunContext, Score,
    Severity, Verdict,
};
use forebay_schemas::{DeviceId, SiteId, TagName, Timestamp};
use forebay_statistics::{
    Matrix,
    hotelling::{Chart, Judgement},
};

use crate::{
    Method, PredictiveMaintenance, Train,
    job::{CRITICAL, Judged},
    kept::Training,
    words::departure,
};

/// The most rows that one run judges of a device, the newest: a day at one a second.
const JUDGED_ROWS_MAX: usize = 86_400;

/// Rows that are read before the first judged one. The smoothed level has forgotten what was before them, unless smoothing
/// is longer; whether the device was anomalous before them, and has never come back since, is not known.
const WARM_UP_ROWS: usize = 1000;

/// The most readings of a device that are held at once, about 50 bytes each.
const READINGS_MAX: usize = 2_000_000;

/// `auto` takes this method for devices with so many tags that vary in training.
const AUTO_TAGS_MIN: usize = 3;

/// The most tags whose shares stand in a row of `scores`.
const SHARES_MAX: usize = 20;

/// One run of the method.
pub(crate) struct Multivariate<'a> {
    job: &'a PredictiveMaintenance,
    context: &'a RunContext,
    reader: RowReader,
    shelf: ModelShelf,
    scored: BTreeMap<(SiteId, DeviceId), Timestamp>,
}

/// A device's training, or why there is none.
enum Trained {
    Chart(Box<TrainedChart>),
    NotYet(String),
}

pub(crate) struct TrainedChart {
    pub(crate) chart: Chart,
    pub(crate) tags: Vec<TagName>,
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    pub(crate) cut: bool,
}

/// A judged row.
struct JudgedRow {
    at: Timestamp,
    judgement: Judgement,
}

impl<'a> Multivariate<'a> {
    pub(crate) async fn new(
        job: &'a PredictiveMaintenance,
        context: &'a RunContext,
    ) -> Result<Self, JobError> {
        let scored = match context.fire().window {
            Some(_) => BTreeMap::new(),
            None => context.last_scored().await?,
        };
        Ok(Self {
            job,
            context,
            reader: context.rows(&job.series).await?,
            shelf: context.model_shelf().await?,
            scored,
        })
    }

    /// Judges all devices that can be; answers which they are.
    pub(crate) async fn judge(
        &self,
        judged: &mut Judged,
    ) -> Result<BTreeSet<(SiteId, DeviceId)>, JobError> {
        let mut done = BTreeSet::new();
        let mut not_trained = Vec::new();
        let devices = self.reader.devices().await?;
        if devices.is_empty() && self.job.method == Method::Multivariate {
            let note = "no reading fits devices and tags: nothing was judged";
            judged.notes.push(note.to_owned());
        }
        for device in devices {
            let trained = match self.chart_of(&device, judged).await? {
                Trained::Chart(trained) => trained,
                Trained::NotYet(why) => {
                    not_trained.push(format!("{}: {why}", device.device));
                    continue;
                }
            };
            if trained.cut {
                judged.notes.push(format!(
                    "{}: train was cut at {READINGS_MAX} readings",
                    device.device
                ));
            }
            let rows = self.judged_rows(&device, &trained).await?;
            self.add(&device, &trained, &rows, judged);
            done.insert((device.site, device.device));
        }
        // `auto` judges these by change.
        if !not_trained.is_empty() && self.job.method == Method::Multivariate {
            let first = not_trained.iter().take(3).cloned().collect::<Vec<_>>();
            judged.notes.push(format!(
                "{} devices were not judged, such as {}",
                not_trained.len(),
                first.join(", ")
            ));
        }
        Ok(done)
    }

    /// The chart of a device: one that was kept, or one that is trained now.
    async fn chart_of(
        &self,
        device: &DeviceSpan,
        judged: &mut Judged,
    ) -> Result<Trained, JobError> {
        let kept = self.job.kept_chart(self.context, &self.shelf, device);
        match kept.await? {
            Some(chart) => Ok(Trained::Chart(Box::new(chart))),
            None => self.train(device, judged).await,
        }
    }

    async fn train(&self, device: &DeviceSpan, judged: &mut Judged) -> Result<Trained, JobError> {
        let cutoff = self.context.cutoff();
        let (from, to) = match self.job.train {
            Train::Rows(wanted) => {
                let oldest = Order::OldestFirst;
                let nth = self
                    .reader
                    .nth_time(device, device.first, cutoff, oldest, wanted);
                match nth.await? {
                    Some(nth) if nth.number == wanted => (device.first, just_after(nth.at)),
                    other => {
                        let rows = other.map_or(0, |nth| nth.number);
                        return Ok(Trained::NotYet(format!(
                            "{rows} of {wanted} rows to train on"
                        )));
                    }
                }
            }
            Train::First(time) => (device.first, plus(device.first, time)),
            Train::Span { from, to } => (from, to),
        };
        if to > just_after(cutoff) {
            return Ok(Trained::NotYet("its training is not over yet".into()));
        }
        let rows = self.reader.of(device, from, to, READINGS_MAX).await?;
        let cut = rows.cut;
        let matrix = carried_forward(&rows, &rows.tags, self.job.carry);
        let chart = match Chart::fit(&matrix, self.job.chart()) {
            Ok(chart) => chart,
            Err(error) => return Ok(Trained::NotYet(error.to_string())),
        };
        let tags = chart.used().count();
        if self.job.method == Method::Auto && tags < AUTO_TAGS_MIN {
            return Ok(Trained::NotYet(format!("{tags} tags vary in training")));
        }
        let trained = TrainedChart {
            chart,
            tags: rows.tags,
            from,
            to,
            cut,
        };
        let training = Training {
            device,
            rows: &matrix,
            times: &rows.times,
            trained: &trained,
        };
        let keep = self
            .job
            .keep_chart(self.context, &self.shelf, &training, judged);
        keep.await?;
        Ok(Trained::Chart(Box::new(trained)))
    }

    async fn judged_rows(
        &self,
        device: &DeviceSpan,
        trained: &TrainedChart,
    ) -> Result<Vec<JudgedRow>, JobError> {
        let cutoff = self.context.cutoff();
        let mut from = trained.to;
        if let Some(window) = &self.context.fire().window {
            from = from.max(window.start);
        } else {
            let newest = Order::NewestFirst;
            let key = (device.site.clone(), device.device.clone());
            if let Some(last) = self.scored.get(&key) {
                from = from.max(just_after(*last));
            }
            let oldest = self
                .reader
                .nth_time(device, from, cutoff, newest, JUDGED_ROWS_MAX);
            from = oldest.await?.map_or(from, |oldest| oldest.at);
        }
        if from >= cutoff || device.last < from {
            return Ok(Vec::new());
        }
        let newest = Order::NewestFirst;
        let warm_up = WARM_UP_ROWS.max(self.job.chart().memory());
        let warm = self
            .reader
            .nth_time(device, trained.from, from, newest, warm_up);
        let warm_from = warm.await?.map_or(from, |warm| warm.at);
        let rows = self
            .reader
            .of(device, warm_from, cutoff, READINGS_MAX)
            .await?;
        let matrix = carried_forward(&rows, &trained.tags, self.job.carry);
        let used: Vec<usize> = trained.chart.used().collect();
        let mut monitor = trained.chart.monitor();
        let mut judged = Vec::new();
        for (at, row) in rows.times.iter().zip(matrix.iter()) {
            let judgement = monitor.push(row);
            let known = used
                .iter()
                .filter(|column| row[**column].is_finite())
                .count();
            // Of fewer than half of the tags too little is known.
            if *at >= from && 2 * known >= used.len() {
                judged.push(JudgedRow { at: *at, judgement });
            }
        }
        Ok(judged)
    }

    fn add(
        &self,
        device: &DeviceSpan,
        trained: &TrainedChart,
        rows: &[JudgedRow],
        judged: &mut Judged,
    ) {
        let score = |row: &JudgedRow| Score {
            site: device.site.clone(),
            device: device.device.clone(),
            event_time: row.at,
            score: row.judgement.score,
            limit: 1.0,
            anomalous: row.judgement.anomalous,
            contributions: Some(contributions(&trained.tags, &row.judgement)),
        };
        judged.scores.extend(rows.iter().map(score));
        let by_score =
            |a: &&JudgedRow, b: &&JudgedRow| a.judgement.score.total_cmp(&b.judgement.score);
        let anomalous = rows.iter().filter(|row| row.judgement.anomalous);
        let verdict = match anomalous.max_by(by_score) {
            Some(worst) => Verdict::Wrong(condition(device, trained, worst)),
            None if rows.is_empty() => return,
            None => Verdict::Healthy,
        };
        let key = format!(
            "{}/{}",
            device.site.path_segment(),
            device.device.path_segment()
        );
        judged.verdicts.insert(key, verdict);
    }
}

fn condition(device: &DeviceSpan, trained: &TrainedChart, worst: &JudgedRow) -> Condition {
    let score = worst.judgement.score;
    let severity = if score > CRITICAL {
        Severity::Critical
    } else {
        Severity::Warning
    };
    let shares = by_share(&trained.tags, &worst.judgement);
    Condition {
        site: device.site.clone(),
        device: device.device.clone(),
        tag: None,
        severity,
        score,
        contributions: Some(contributions(&trained.tags, &worst.judgement)),
        reason: departure(score, trained.chart.used().count(), &shares),
    }
}

/// The tags by their share of a score, the largest first.
fn by_share<'t>(tags: &'t [TagName], judgement: &Judgement) -> Vec<(&'t str, f64)> {
    let shares = tags.iter().zip(&judgement.shares);
    let mut shares: Vec<(&str, f64)> = shares.map(|(tag, share)| (tag.as_str(), *share)).collect();
    shares.sort_by(|a, b| b.1.total_cmp(&a.1));
    shares
}

/// The share of each tag in a score: `{"flow":0.62,"temp":0.2}`, to three digits.
fn contributions(tags: &[TagName], judgement: &Judgement) -> String {
    let rounded = |share: f64| (share * 1000.0).round() / 1000.0;
    let shares: serde_json::Map<String, serde_json::Value> = by_share(tags, judgement)
        .into_iter()
        .take(SHARES_MAX)
        .map(|(tag, share)| (tag.to_owned(), rounded(share).into()))
        .collect();
    serde_json::Value::Object(shares).to_string()
}

/// Rows with these columns, in which a tag's last value stands for it where it was not read, for so long at most.
fn carried_forward(rows: &DeviceRows, tags: &[TagName], carry: Duration) -> Matrix {
    let place = |tag: &TagName| rows.tags.iter().position(|other| other == tag);
    let places: Vec<Option<usize>> = tags.iter().map(place).collect();
    let mut last: Vec<Option<(Timestamp, f64)>> = vec![None; tags.len()];
    let mut matrix = Matrix::new(tags.len());
    let mut row = vec![f64::NAN; tags.len()];
    for (at, values) in rows.times.iter().zip(&rows.values) {
        for (column, place) in places.iter().enumerate() {
            let value = place.map_or(f64::NAN, |place| values[place]);
            if value.is_finite() {
                last[column] = Some((*at, value));
            }
            row[column] = match last[column] {
                Some((since, value)) if *at <= plus(since, carry) => value,
                _ => f64::NAN,
            };
        }
        matrix.push(&row);
    }
    matrix
}

fn plus(at: Timestamp, time: Duration) -> Timestamp {
    let nanos = i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
    Timestamp::from_nanos(at.nanos().saturating_add(nanos))
}

/// The next instant that tables know.
pub(crate) fn just_after(at: Timestamp) -> Timestamp {
    plus(at, Duration::from_micros(1))
}
