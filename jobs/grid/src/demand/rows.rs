//! Answers as rows of `predictions` and `backtests`.

use forebay_demand_model::{Answer, Backtest, Method};
use forebay_jobs::{BacktestRow, Prediction, RunContext, SeriesKey};

use super::GridDemand;

/// Versions of the methods; they stand in `model_version` with what was chosen.
const SEASONAL_NAIVE: &str = "seasonal-naive/2";
const MODEL: &str = "slot-ridge-trees/1";

impl GridDemand {
    pub(super) fn predictions(
        &self,
        key: &SeriesKey,
        answer: &Answer,
        context: &RunContext,
    ) -> Vec<Prediction> {
        let version = self.version(answer);
        let of_one = |target: &forebay_demand_model::Target| {
            Some(Prediction {
                site: key.site.clone(),
                device: key.device.clone(),
                tag: key.tag.clone(),
                issued_at: context.fire().due,
                target_time: self.at(target.index)?,
                value: target.value,
                lo: Some(target.lo),
                hi: Some(target.hi),
                level: Some(self.level),
                model_version: version.clone(),
                data_cutoff: context.cutoff(),
            })
        };
        answer.targets.iter().filter_map(of_one).collect()
    }

    /// The trial's measures, also where it chose the baseline.
    pub(super) fn backtests(&self, key: &SeriesKey, answer: &Answer) -> Vec<BacktestRow> {
        let version = self.version(answer);
        let mut rows = Vec::new();
        for (i, backtest) in answer.backtests.iter().enumerate() {
            rows.extend(self.of_lead(key, &version, i + 1, backtest));
        }
        rows
    }

    fn of_lead(
        &self,
        key: &SeriesKey,
        version: &str,
        lead: usize,
        backtest: &Backtest,
    ) -> Vec<BacktestRow> {
        let Some((from_time, to_time)) = self.at(backtest.from).zip(self.at(backtest.to)) else {
            return Vec::new();
        };
        let segment = |of: &'static str| match lead {
            1 => (!of.is_empty()).then(|| of.to_owned()),
            lead if of.is_empty() => Some(format!("day {lead}")),
            lead => Some(format!("day {lead}, {of}")),
        };
        let rows = backtest.measures.iter().map(|measure| BacktestRow {
            version: version.to_owned(),
            site: Some(key.site.clone()),
            device: Some(key.device.clone()),
            tag: Some(key.tag.clone()),
            metric: measure.metric.to_owned(),
            value: measure.value,
            baseline: measure.baseline,
            baseline_name: measure.baseline.map(|_| "seasonal_naive".to_owned()),
            n: measure.count as u64,
            from_time,
            to_time,
            segment: segment(measure.segment),
        });
        rows.collect()
    }

    fn version(&self, answer: &Answer) -> String {
        if answer.method == Method::SeasonalNaive {
            let season = u32::try_from(answer.season.unwrap_or(0)).unwrap_or(u32::MAX);
            let season = self.step.saturating_mul(season);
            return format!("{SEASONAL_NAIVE} season={}s", season.as_secs_f64());
        }
        let trained_to = answer.trained_to.and_then(|index| self.at(index));
        let trained_to = trained_to.map_or_else(String::new, |at| {
            let at = jiff::Timestamp::from_microsecond(at.micros());
            at.map_or_else(|_| String::new(), |at| format!(" trained_to={at}"))
        });
        format!("{MODEL} method={}{trained_to}", answer.method.name())
    }
}
