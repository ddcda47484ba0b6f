//! The figures of a model card, from `models` and `backtests`: what is in use, on what it was trained, and how it did.
//!
//! It deliberately says nothing of the method and of where it fails: that stands in the card of the kind, docs/models/.

use std::fmt::Write as _;

use arrow::{
    array::{Array as _, AsArray as _, RecordBatch},
    datatypes::{DataType, Float64Type, Int64Type},
};
use datafusion::{
    logical_expr::cast,
    prelude::{col, lit},
};
use forebay_lake::LakeWriter;
use forebay_schemas::{
    Timestamp,
    table::{BACKTESTS, MODELS},
};

use super::{Model, latest, unreadable};
use crate::{ModelState, SchedulerError, clock::rfc3339};

/// Most models of a card.
const MODELS_MAX: usize = 50;

/// One metric of a model.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Figure {
    pub(crate) version: String,
    pub(crate) site: Option<String>,
    pub(crate) device: Option<String>,
    pub(crate) metric: String,
    pub(crate) segment: Option<String>,
    pub(crate) value: f64,
    pub(crate) baseline: Option<f64>,
    pub(crate) baseline_name: Option<String>,
    pub(crate) n: i64,
}

/// The models of a job that are in use or wait to be, with their back-tests, as tables in Markdown; those that are retired are
/// left out. At most fifty models, the newest.
///
/// # Errors
/// When the lake cannot be read.
pub async fn model_card(lake: &LakeWriter, job: &str) -> Result<String, SchedulerError> {
    let tables = [
        lake.table(&MODELS)?.clone(),
        lake.table(&BACKTESTS)?.clone(),
    ];
    let session = forebay_lake::session(&tables, &lake.decrypter()).await?;
    let of_job = || col("job").eq(lit(job));
    let models = session.table(MODELS.name).await?.filter(of_job())?;
    let models = latest(models).await.map_err(unreadable)?;
    let texts = [
        "version",
        "site",
        "device",
        "metric",
        "segment",
        "baseline_name",
    ]
    .map(|name| cast(col(name), DataType::Utf8).alias(name));
    let columns = texts.into_iter().chain([
        cast(col("n"), DataType::Int64).alias("n"),
        col("value"),
        col("baseline"),
    ]);
    let figures = session.table(BACKTESTS.name).await?.filter(of_job())?;
    let figures = figures
        .select(columns.collect::<Vec<_>>())?
        .collect()
        .await?;
    let figures: Vec<Figure> = figures.iter().flat_map(figures_of).collect();
    Ok(card(&models, &figures))
}

/// The tables.
pub(crate) fn card(models: &[Model], figures: &[Figure]) -> String {
    let in_use = |model: &&Model| model.row.state != ModelState::Retired;
    let shown: Vec<&Model> = models
        .iter()
        .rev()
        .filter(in_use)
        .take(MODELS_MAX)
        .collect();
    let mut text = String::from(
        "| Model | State | For | Trained on readings | Readings known up to |\n|---|---|---|---|---|\n",
    );
    for model in &shown {
        let row = &model.row;
        let (from, to) = (day(row.train_from), day(row.train_to));
        let (state, known) = (row.state.name(), day(row.data_cutoff));
        let place = place_of(model);
        // A string takes what it is given.
        writeln!(
            text,
            "| {} | {state} | {place} | {from} to {to} | {known} |",
            row.version
        )
        .ok();
    }
    text.push_str("\n| Model | For | Metric | Value | Baseline | Judged values |\n|---|---|---|---|---|---|\n");
    for model in &shown {
        let of_model = figures.iter().filter(|figure| figure.is_of(model));
        let mut lines: Vec<String> = of_model
            .map(|figure| figure.line(&place_of(model)))
            .collect();
        // A run that was done again has written its rows once more.
        lines.sort();
        lines.dedup();
        text.extend(lines);
    }
    text
}

fn place_of(model: &Model) -> String {
    match (&model.row.site, &model.row.device) {
        (Some(site), Some(device)) => format!("{site}/{device}"),
        (Some(site), None) => site.to_string(),
        (None, Some(device)) => device.to_string(),
        (None, None) => "all".to_owned(),
    }
}

/// The day of an instant.
fn day(at: Timestamp) -> String {
    let text = rfc3339(at);
    text.split('T').next().unwrap_or(&text).to_owned()
}

impl Figure {
    fn is_of(&self, model: &Model) -> bool {
        let row = &model.row;
        self.version == row.version
            && self.site.as_deref() == row.site.as_ref().map(|site| site.as_str())
            && self.device.as_deref() == row.device.as_ref().map(|device| device.as_str())
    }

    fn line(&self, place: &str) -> String {
        let metric = match &self.segment {
            Some(segment) => format!("{}, {segment}", self.metric),
            None => self.metric.clone(),
        };
        let baseline = match (self.baseline, &self.baseline_name) {
            (Some(value), Some(name)) => format!("{} ({name})", number(value)),
            (Some(value), None) => number(value),
            (None, _) => "–".to_owned(),
        };
        let (version, value, n) = (&self.version, number(self.value), self.n);
        format!("| {version} | {place} | {metric} | {value} | {baseline} | {n} |\n")
    }
}

/// Three digits.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

fn figures_of(rows: &RecordBatch) -> Vec<Figure> {
    let text = |i: usize, row: usize| {
        let column = rows.column(i).as_string_opt::<i32>()?;
        (!column.is_null(row)).then(|| column.value(row).to_owned())
    };
    let double = |i: usize, row: usize| {
        let column = rows.column(i).as_primitive_opt::<Float64Type>()?;
        (!column.is_null(row)).then(|| column.value(row))
    };
    let of_row = |row: usize| {
        Some(Figure {
            version: text(0, row)?,
            site: text(1, row),
            device: text(2, row),
            metric: text(3, row)?,
            segment: text(4, row),
            baseline_name: text(5, row),
            n: rows.column(6).as_primitive_opt::<Int64Type>()?.value(row),
            value: double(7, row)?,
            baseline: double(8, row),
        })
    };
    (0..rows.num_rows()).filter_map(of_row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ModelRow;

    #[test]
    fn a_card_shows_what_is_in_use_with_its_figures() {
        let at = |day: i64| Timestamp::from_nanos(day * 86_400_000_000_000);
        let model = |version: &str, state| Model {
            job: "engines".into(),
            run_id: "engines-1".into(),
            row: ModelRow {
                version: version.into(),
                site: None,
                device: None,
                trained_at: at(9),
                train_from: at(0),
                train_to: at(8),
                data_cutoff: at(9),
                metrics: "{}".into(),
                state,
                changed_at: at(9),
                object: None,
            },
        };
        let figure = |version: &str, metric: &str, segment: Option<&str>| Figure {
            version: version.into(),
            site: None,
            device: None,
            metric: metric.into(),
            segment: segment.map(str::to_owned),
            value: 8.127,
            baseline: segment.is_none().then_some(30.71),
            baseline_name: segment.is_none().then(|| "mean_life".to_owned()),
            n: 40,
        };
        let figures = [
            figure("2", "rmse", None),
            figure("2", "rmse", Some("worn")),
            figure("2", "rmse", None),
            figure("1", "rmse", None),
        ];
        let models = [
            model("1", ModelState::Retired),
            model("2", ModelState::Champion),
        ];
        assert_eq!(
            card(&models, &figures),
            "| Model | State | For | Trained on readings | Readings known up to |\n|---|---|---|---|---|\n\
             | 2 | champion | all | 1970-01-01 to 1970-01-09 | 1970-01-10 |\n\n\
             | Model | For | Metric | Value | Baseline | Judged values |\n|---|---|---|---|---|---|\n\
             | 2 | all | rmse | 8.13 | 30.7 (mean_life) | 40 |\n\
             | 2 | all | rmse, worn | 8.13 | – | 40 |\n"
        );
    }
}
