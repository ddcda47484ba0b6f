//! The life of models: trained as challengers, promoted where their back-test beats the champion's, retired.
//!
//! Invariants: of one job, site and device one model at most is the champion; the bytes of a model never change, and its
//! object outlives every row that names it. Whether a challenger takes over is [`beats`], which is pure.

mod card;
mod champion;

use std::collections::BTreeMap;

use arrow::{
    array::{Array as _, AsArray as _, RecordBatch},
    datatypes::{DataType, Int64Type},
};
use datafusion::{
    logical_expr::cast,
    prelude::{DataFrame, col, lit},
};
use forebay_lake::{LakeError, LakeWriter, Transaction};
use forebay_schemas::{DeviceId, SiteId, Timestamp, table::MODELS};

use crate::{
    JobError, JobName, ModelRow, ModelState, Results, RunContext, SchedulerError,
    clock::from_micros,
};

pub use card::model_card;
pub use champion::{Contest, ModelShelf, Place, Rival, Trained};

/// Which way a metric gets better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Better {
    /// An error: MAPE, RMSE.
    Lower,
    /// A score: F1, skill.
    Higher,
}

/// A metric of one back-test, over the same times for both models.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// The metric.
    pub value: f64,
    /// Over how many judged values.
    pub n: u64,
}

/// How clearly a challenger must win.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Margin {
    /// The share of the champion's value by which it must be better, 0 for any difference.
    pub share: f64,
    /// Fewest judged values of its back-test.
    pub n_min: u64,
}

/// Whether a challenger takes over: its back-test must be long enough, a number, and better than the champion's by the
/// margin. Without a champion any back-test that is long enough does.
pub fn beats(
    challenger: Measured,
    champion: Option<Measured>,
    better: Better,
    margin: Margin,
) -> bool {
    if challenger.n < margin.n_min || !challenger.value.is_finite() {
        return false;
    }
    // A champion whose own back-test is no number has nothing to defend.
    let Some(champion) = champion.filter(|champion| champion.value.is_finite()) else {
        return true;
    };
    let least = champion.value.abs() * margin.share;
    match better {
        Better::Lower => challenger.value < champion.value - least,
        Better::Higher => challenger.value > champion.value + least,
    }
}

/// A model as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Its job.
    pub job: String,
    /// The run that trained it.
    pub run_id: String,
    /// Its latest row.
    pub row: ModelRow,
}

impl RunContext {
    /// The latest row of each model of this job that was trained up to the cutoff, the newest last.
    ///
    /// # Errors
    /// When the lake cannot be read.
    pub async fn models(&self) -> Result<Vec<Model>, JobError> {
        let session = self.session().await?;
        let models = session.table(MODELS.name).await?;
        latest(models.filter(col("job").eq(lit(self.job().as_str())))?).await
    }

    /// Keeps a trained model's bytes, encrypted and for ever; answers the name for [`ModelRow::object`].
    ///
    /// # Errors
    /// When the lake cannot be written.
    pub async fn keep_model(&self, bytes: &[u8]) -> Result<String, JobError> {
        if let Some(name) = self.sight.keep(&self.lake, bytes) {
            return Ok(name);
        }
        Ok(self.lake.keep_object(&MODELS, bytes).await?)
    }

    /// The bytes of a model.
    ///
    /// # Errors
    /// When the object is missing or damaged, or the lake cannot be read.
    pub async fn model_bytes(&self, object: &str) -> Result<Vec<u8>, JobError> {
        if let Some(bytes) = self.sight.kept(object) {
            return Ok(bytes);
        }
        Ok(self.lake.kept_object(&MODELS, object).await?)
    }
}

/// The models of all jobs, or of one, as they stand.
///
/// # Errors
/// When the lake cannot be read.
pub async fn models(lake: &LakeWriter, job: Option<&str>) -> Result<Vec<Model>, SchedulerError> {
    let table = lake.table(&MODELS)?.clone();
    let session = forebay_lake::session(&[table], &lake.decrypter()).await?;
    let models = session.table(MODELS.name).await?;
    let models = match job {
        Some(job) => models.filter(col("job").eq(lit(job)))?,
        None => models,
    };
    latest(models).await.map_err(unreadable)
}

/// Makes a model the champion of its job, site and device, and retires the one that was; or retires it.
///
/// # Errors
/// [`SchedulerError::UnknownModel`] when there is no such model; when the lake cannot be written.
pub async fn set_model_state(
    lake: &LakeWriter,
    job: &JobName,
    version: &str,
    state: ModelState,
    now: Timestamp,
) -> Result<Vec<Model>, SchedulerError> {
    let known = models(lake, Some(job.as_str())).await?;
    let changed = changes(&known, version, state, now);
    if changed.is_empty() {
        return Err(SchedulerError::UnknownModel {
            job: job.to_string(),
            version: version.to_owned(),
        });
    }
    let mut rows = Vec::new();
    for model in &changed {
        let results = Results {
            models: vec![model.row.clone()],
            ..Results::default()
        };
        let batches = results.batches(job.as_str(), &model.run_id);
        rows.extend(
            batches
                .map_err(LakeError::from)?
                .into_iter()
                .map(|(_, rows)| rows),
        );
    }
    let Some(first) = rows.first() else {
        return Ok(changed);
    };
    let rows = arrow::compute::concat_batches(&first.schema(), &rows).map_err(LakeError::from)?;
    let app_id = lake.keeper().app_id(&format!("models/{job}"), 0);
    let from_state = lake
        .table(&MODELS)?
        .snapshot()
        .await?
        .state_of(&app_id)
        .await?;
    let transaction = Transaction {
        app_id,
        from_state,
        to_state: from_state.unwrap_or(0) + 1,
    };
    lake.append(&MODELS, rows, transaction, now).await?;
    Ok(changed)
}

/// The rows to append so that the models of this version have this state.
fn changes(known: &[Model], version: &str, state: ModelState, now: Timestamp) -> Vec<Model> {
    let chosen: Vec<&Model> = known
        .iter()
        .filter(|model| model.row.version == version)
        .collect();
    let place = |model: &Model| (model.row.site.clone(), model.row.device.clone());
    let with = |model: &Model, state| Model {
        row: ModelRow {
            state,
            changed_at: now,
            ..model.row.clone()
        },
        ..model.clone()
    };
    let mut changed: Vec<Model> = chosen.iter().map(|model| with(model, state)).collect();
    if state == ModelState::Champion {
        let is_replaced = |model: &&Model| {
            model.row.state == ModelState::Champion
                && model.row.version != version
                && chosen.iter().any(|other| place(other) == place(model))
        };
        let replaced = known.iter().filter(is_replaced);
        changed.extend(replaced.map(|model| with(model, ModelState::Retired)));
    }
    changed
}

fn unreadable(error: JobError) -> SchedulerError {
    SchedulerError::RunFailed {
        job: "models".into(),
        fire: "a list".into(),
        why: forebay_runtime::report(&error),
    }
}

const TEXTS: [&str; 8] = [
    "job", "run_id", "version", "site", "device", "metrics", "state", "object",
];
const TIMES: [&str; 5] = [
    "trained_at",
    "train_from",
    "train_to",
    "data_cutoff",
    "changed_at",
];

async fn latest(rows: DataFrame) -> Result<Vec<Model>, JobError> {
    let texts = TEXTS
        .iter()
        .map(|name| cast(col(*name), DataType::Utf8).alias(*name));
    let times = TIMES
        .iter()
        .map(|name| cast(col(*name), DataType::Int64).alias(*name));
    let columns: Vec<_> = texts.chain(times).collect();
    let rows = rows.select(columns)?.collect().await?;
    let mut latest = BTreeMap::new();
    for model in rows.iter().flat_map(of_rows) {
        let row = &model.row;
        let key = (
            model.job.clone(),
            row.version.clone(),
            row.site.clone(),
            row.device.clone(),
        );
        let known: Option<&Model> = latest.get(&key);
        if known.is_none_or(|known| known.row.changed_at <= row.changed_at) {
            latest.insert(key, model);
        }
    }
    let mut models: Vec<Model> = latest.into_values().collect();
    models.sort_by(|a, b| (&a.job, a.row.trained_at).cmp(&(&b.job, b.row.trained_at)));
    Ok(models)
}

/// The rows that this release can read.
fn of_rows(rows: &RecordBatch) -> Vec<Model> {
    let text = |i: usize, row: usize| {
        let column = rows.column(i).as_string_opt::<i32>()?;
        (!column.is_null(row)).then(|| column.value(row).to_owned())
    };
    let time = |i: usize, row: usize| {
        let micros = rows
            .column(TEXTS.len() + i)
            .as_primitive_opt::<Int64Type>()?;
        Some(from_micros(micros.value(row)))
    };
    let of_row = |row: usize| {
        Some(Model {
            job: text(0, row)?,
            run_id: text(1, row)?,
            row: ModelRow {
                version: text(2, row)?,
                site: text(3, row).and_then(|site| SiteId::new(&site).ok()),
                device: text(4, row).and_then(|device| DeviceId::new(&device).ok()),
                metrics: text(5, row)?,
                state: ModelState::from_name(&text(6, row)?)?,
                object: text(7, row),
                trained_at: time(0, row)?,
                train_from: time(1, row)?,
                train_to: time(2, row)?,
                data_cutoff: time(3, row)?,
                changed_at: time(4, row)?,
            },
        })
    };
    (0..rows.num_rows()).filter_map(of_row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenger_takes_over_only_where_its_back_test_beats_the_champion() {
        let of = |value, n| Measured { value, n };
        let margin = Margin {
            share: 0.02,
            n_min: 100,
        };
        use Better::{Higher, Lower};
        for (challenger, champion, better, expected, why) in [
            (of(2.7, 100), Some(of(3.0, 500)), Lower, true, "less error"),
            (
                of(2.95, 100),
                Some(of(3.0, 500)),
                Lower,
                false,
                "within the margin",
            ),
            (of(3.0, 100), Some(of(3.0, 500)), Lower, false, "equal"),
            (of(3.5, 100), Some(of(3.0, 500)), Lower, false, "more error"),
            (of(2.0, 99), Some(of(3.0, 500)), Lower, false, "too short"),
            (
                of(2.0, 99),
                None,
                Lower,
                false,
                "too short, and no champion",
            ),
            (of(9.0, 100), None, Lower, true, "no champion"),
            (
                of(f64::NAN, 900),
                Some(of(3.0, 500)),
                Lower,
                false,
                "no number",
            ),
            (
                of(9.0, 100),
                Some(of(f64::NAN, 500)),
                Lower,
                true,
                "against no number",
            ),
            (
                of(0.9, 100),
                Some(of(0.8, 500)),
                Higher,
                true,
                "a better score",
            ),
            (
                of(0.81, 100),
                Some(of(0.8, 500)),
                Higher,
                false,
                "hardly a better score",
            ),
            (of(-0.5, 100), Some(of(-1.0, 500)), Higher, true, "below 0"),
            (
                of(-1.01, 100),
                Some(of(-1.0, 500)),
                Lower,
                false,
                "below 0, hardly",
            ),
        ] {
            assert_eq!(
                beats(challenger, champion, better, margin),
                expected,
                "{why}"
            );
        }
    }

    fn model(version: &str, device: Option<&str>, state: ModelState) -> Model {
        let at = Timestamp::from_nanos(0);
        Model {
            job: "j".into(),
            run_id: "j-1".into(),
            row: ModelRow {
                version: version.into(),
                site: None,
                device: device.map(|device| DeviceId::new(device).unwrap()),
                trained_at: at,
                train_from: at,
                train_to: at,
                data_cutoff: at,
                metrics: "{}".into(),
                state,
                changed_at: at,
                object: None,
            },
        }
    }

    #[test]
    fn a_promotion_retires_the_champion_of_the_same_place_alone() {
        use ModelState::{Challenger, Champion, Retired};
        let known = [
            model("1", Some("a"), Champion),
            model("1", Some("b"), Champion),
            model("2", Some("a"), Challenger),
            model("0", Some("a"), Retired),
        ];
        let at = Timestamp::from_nanos(9);
        let told = |version, state| -> Vec<(String, ModelState)> {
            changes(&known, version, state, at)
                .into_iter()
                .map(|model| {
                    let device = model.row.device.unwrap();
                    assert_eq!(model.row.changed_at, at);
                    (
                        format!("{} {}", model.row.version, device.as_str()),
                        model.row.state,
                    )
                })
                .collect()
        };
        assert_eq!(
            told("2", Champion),
            [("2 a".into(), Champion), ("1 a".into(), Retired)]
        );
        assert_eq!(
            told("1", Retired),
            [("1 a".into(), Retired), ("1 b".into(), Retired)]
        );
        assert!(told("3", Champion).is_empty());
    }
}
