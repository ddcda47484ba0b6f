//! Charts as models: kept once they are trained, used as long as the job's settings are those of the training.
//!
//! What a device is trained on is said in the configuration and does not move on, so that a chart has no challenger: another
//! one takes over when the settings change.

use forebay_jobs::{
    BacktestRow, DeviceSpan, JobError, Model, ModelShelf, Place, Rival, RunContext, Trained,
};
use forebay_schemas::{TagName, Timestamp};
use forebay_statistics::{
    Matrix,
    hotelling::{Chart, Settings},
    stored::{self, Stored},
};
use serde_json::json;

use crate::{
    PredictiveMaintenance,
    job::Judged,
    multivariate::{TrainedChart, just_after},
};

/// The first byte of a kept chart; another is of another release.
const FORMAT: u8 = 1;

/// The share of the training rows on which a chart is tried that was trained on the others.
const TRIED_SHARE: f64 = 0.2;

/// The baseline of the trial: a row in which a tag lies beyond so many deviations of the rows before.
const SIGMAS: f64 = 3.0;

/// A chart with all that judging takes.
struct KeptChart {
    /// What of the job's settings it hangs on.
    settings: String,
    tags: Vec<TagName>,
    from: Timestamp,
    to: Timestamp,
    chart: Chart,
}

impl Stored for KeptChart {
    fn write(&self, out: &mut Vec<u8>) {
        FORMAT.write(out);
        self.settings.write(out);
        let tags: Vec<String> = self.tags.iter().map(TagName::to_string).collect();
        tags.write(out);
        self.from.micros().write(out);
        self.to.micros().write(out);
        self.chart.write(out);
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        if u8::read(from)? != FORMAT {
            return None;
        }
        let settings = Stored::read(from)?;
        let tags: Vec<String> = Stored::read(from)?;
        let tags: Option<Vec<TagName>> = tags.iter().map(|tag| TagName::new(tag).ok()).collect();
        let first = Timestamp::from_micros(Stored::read(from)?)?;
        let after = Timestamp::from_micros(Stored::read(from)?)?;
        let chart: Chart = Stored::read(from)?;
        let tags = tags.filter(|tags| chart.used().all(|column| column < tags.len()))?;
        Some(Self {
            settings,
            tags,
            from: first,
            to: after,
            chart,
        })
    }
}

/// What the rows of a device's training gave.
pub(crate) struct Training<'a> {
    pub(crate) device: &'a DeviceSpan,
    pub(crate) rows: &'a Matrix,
    pub(crate) times: &'a [Timestamp],
    pub(crate) trained: &'a TrainedChart,
}

impl PredictiveMaintenance {
    /// The chart of a device that an earlier run has kept, if the settings are still those.
    pub(crate) async fn kept_chart(
        &self,
        context: &RunContext,
        shelf: &ModelShelf,
        device: &DeviceSpan,
    ) -> Result<Option<TrainedChart>, JobError> {
        let champion: Option<&Model> = shelf.champion(&place(device));
        let Some(object) = champion.and_then(|model| model.row.object.as_deref()) else {
            return Ok(None);
        };
        let kept: Option<KeptChart> = stored::from_bytes(&context.model_bytes(object).await?);
        let kept = kept.filter(|kept| kept.settings == self.fingerprint());
        Ok(kept.map(|kept| TrainedChart {
            chart: kept.chart,
            tags: kept.tags,
            from: kept.from,
            to: kept.to,
            cut: false,
        }))
    }

    /// Keeps a chart that was trained now, with how it did on the last of its training.
    pub(crate) async fn keep_chart(
        &self,
        context: &RunContext,
        shelf: &ModelShelf,
        training: &Training<'_>,
        judged: &mut Judged,
    ) -> Result<(), JobError> {
        let trained = training.trained;
        let kept = KeptChart {
            settings: self.fingerprint(),
            tags: trained.tags.clone(),
            from: trained.from,
            to: trained.to,
            chart: trained.chart.clone(),
        };
        let bytes = stored::to_bytes(&kept);
        let trial = trial(training.rows, self.chart());
        let rows = training.rows.rows();
        let version = format!("multivariate/1 {rows} rows {:016x}", fnv(&bytes));
        let metrics = json!({
            "false_alarm_rate": trial.as_ref().map(|trial| trial.flagged),
            "baseline": trial.as_ref().map(|trial| trial.beyond),
            "baseline_name": "three_sigma",
            "n": trial.as_ref().map(|trial| trial.count),
            "rows": rows,
            "tags": trained.chart.used().count(),
        });
        let model = Trained {
            version: version.clone(),
            place: place(training.device),
            train_from: trained.from,
            train_to: trained.to,
            metrics: metrics.to_string(),
            bytes,
        };
        let rows = context.shelve(shelf, &model, &Rival::Absent).await?;
        judged.models.extend(rows);
        let backtest = trial.map(|trial| training.backtest(&trial, version));
        judged.backtests.extend(backtest);
        Ok(())
    }

    /// What a chart hangs on beside the readings.
    fn fingerprint(&self) -> String {
        let (tags, train, carry) = (&self.series.tags, &self.train, self.carry);
        format!("{tags:?} {train:?} {carry:?} {:?}", self.chart())
    }
}

impl Training<'_> {
    fn backtest(&self, trial: &Trial, version: String) -> BacktestRow {
        let first = self.times.get(trial.first).copied();
        let last = self.times.last().copied();
        BacktestRow {
            version,
            site: Some(self.device.site.clone()),
            device: Some(self.device.device.clone()),
            tag: None,
            metric: "false_alarm_rate".to_owned(),
            value: trial.flagged,
            baseline: Some(trial.beyond),
            baseline_name: Some("three_sigma".to_owned()),
            n: trial.count as u64,
            from_time: first.unwrap_or(self.trained.from),
            to_time: last.map_or(self.trained.to, just_after),
            segment: Some("last fifth of training".to_owned()),
        }
    }
}

fn place(device: &DeviceSpan) -> Place {
    Place {
        site: Some(device.site.clone()),
        device: Some(device.device.clone()),
    }
}

/// How a chart of the first rows did on the others, which are taken for sound.
#[derive(Debug, PartialEq)]
struct Trial {
    /// The first of the others.
    first: usize,
    count: usize,
    /// The share of them that the chart calls anomalous.
    flagged: f64,
    /// The share of them in which a tag lies beyond [`SIGMAS`].
    beyond: f64,
}

fn trial(rows: &Matrix, settings: Settings) -> Option<Trial> {
    let first = (rows.rows() as f64 * (1.0 - TRIED_SHARE)) as usize;
    let mut head = Matrix::new(rows.columns());
    rows.iter().take(first).for_each(|row| head.push(row));
    let chart = Chart::fit(&head, settings).ok()?;
    let spreads: Vec<(usize, f64, f64)> = chart.used().map(|tag| spread(&head, tag)).collect();
    let mut monitor = chart.monitor();
    let mut flagged = 0;
    let mut beyond = 0;
    for (i, row) in rows.iter().enumerate() {
        let judgement = monitor.push(row);
        if i >= first {
            flagged += usize::from(judgement.anomalous);
            let is_far = |(tag, mean, deviation): &(usize, f64, f64)| {
                (row[*tag] - mean).abs() > SIGMAS * deviation
            };
            beyond += usize::from(spreads.iter().any(is_far));
        }
    }
    let count = rows.rows() - first;
    let share = |rows: usize| rows as f64 / count.max(1) as f64;
    (count > 0).then(|| Trial {
        first,
        count,
        flagged: share(flagged),
        beyond: share(beyond),
    })
}

/// A tag, its mean and its standard deviation.
fn spread(rows: &Matrix, tag: usize) -> (usize, f64, f64) {
    let known = rows.iter().map(|row| row[tag]).filter(|x| x.is_finite());
    let known: Vec<f64> = known.collect();
    let count = known.len().max(1) as f64;
    let mean = known.iter().sum::<f64>() / count;
    let variance = known.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
    (tag, mean, variance.sqrt())
}

/// FNV-1a (Fowler, Noll and Vo), 64 bits: a short name, not a proof.
fn fnv(bytes: &[u8]) -> u64 {
    let eat = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, eat)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_judges_rows_that_its_chart_has_not_seen() {
        let noise = |n: usize| (n * 7919 % 1013) as f64 / 1013.0;
        let mut rows = Matrix::new(2);
        for i in 0..1000 {
            // From row 900 on, half of the others, both tags stand higher.
            let shift = if i < 900 { 0.0 } else { 5.0 };
            rows.push(&[noise(i) + shift, 3.0 + noise(3 * i) + shift]);
        }
        let trial = trial(&rows, Settings::default()).unwrap();
        assert_eq!((trial.first, trial.count), (800, 200));
        assert!(trial.flagged > 0.05 && trial.flagged <= 0.6, "{trial:?}");
        assert!((trial.beyond - 0.5).abs() < 0.01, "{trial:?}");
        let mut few = Matrix::new(2);
        rows.iter().take(110).for_each(|row| few.push(row));
        assert_eq!(
            super::trial(&few, Settings::default()),
            None,
            "88 rows are no training"
        );
    }
}
