//! The model that a run predicts by: the champion while it holds, else one that is trained on the runs to failure that are over.
//!
//! The champion holds while the job's settings are those that it was trained with, and until runs have failed since and
//! `retrain_every` has passed. A new model takes over where it was better on those runs: the champion has not seen them, and
//! the new one is judged there by parts that were fitted without them.

use std::collections::BTreeSet;

use forebay_jobs::{
    BacktestRow, Better, Contest, DeviceSpan, JobError, Margin, Measured, Model, ModelRow,
    ModelShelf, Place, Rival, RowReader, RunContext, Trained,
};
use forebay_schemas::{TagName, Timestamp};
use forebay_statistics::{
    Matrix,
    remaining_life::{LifeModel, UnitErrors, Validation},
    stored::{self, Stored},
};
use serde_json::json;

use crate::{
    RemainingLife,
    job::{UNITS_MIN, rul},
    units::{Columns, Unit},
};

/// The first byte of a kept model; another is of another release.
const FORMAT: u8 = 1;

/// How clearly a new model must win on the runs that have failed since.
const MARGIN: Margin = Margin {
    share: 0.02,
    n_min: 1,
};

/// What a run predicts by.
pub(crate) struct Used {
    pub(crate) model: KeptModel,
    pub(crate) version: String,
    /// Of the model that this run has trained, if it has.
    pub(crate) models: Vec<ModelRow>,
    pub(crate) backtests: Vec<BacktestRow>,
}

/// A model with all that predicting takes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct KeptModel {
    /// What of the job's settings it hangs on.
    settings: String,
    pub(crate) columns: Columns,
    /// The runs that it was trained on: site and device as paths have them, and the last reading, µs since 1970.
    learned: Vec<((String, String), i64)>,
    pub(crate) life: LifeModel,
}

impl Stored for KeptModel {
    fn write(&self, out: &mut Vec<u8>) {
        FORMAT.write(out);
        self.settings.write(out);
        self.columns.write(out);
        self.learned.write(out);
        self.life.write(out);
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        if u8::read(from)? != FORMAT {
            return None;
        }
        let model = Self {
            settings: Stored::read(from)?,
            columns: Stored::read(from)?,
            learned: Stored::read(from)?,
            life: Stored::read(from)?,
        };
        (model.columns.len() == model.life.columns()).then_some(model)
    }
}

impl KeptModel {
    /// The runs that it was not trained on.
    fn unseen<'a>(&self, over: &[&'a DeviceSpan]) -> Vec<&'a DeviceSpan> {
        let learned: BTreeSet<_> = self.learned.iter().collect();
        let is_new = |run: &&&DeviceSpan| !learned.contains(&name(run));
        over.iter().filter(is_new).copied().collect()
    }
}

fn name(run: &DeviceSpan) -> ((String, String), i64) {
    let place = (run.site.path_segment(), run.device.path_segment());
    (place, run.last.micros())
}

impl RemainingLife {
    /// The model to predict by, or why there is none. `failed` are the devices of `failed`.
    pub(crate) async fn model(
        &self,
        context: &RunContext,
        reader: &RowReader,
        failed: &[DeviceSpan],
    ) -> Result<Result<Used, String>, JobError> {
        let place = Place::default();
        let shelf = context.model_shelf().await?;
        let champion = self.champion(context, &shelf, &place).await?;
        let over = self.over(failed, context.cutoff());
        if let Some((row, model)) = &champion
            && (model.unseen(&over).is_empty()
                || !shelf.is_due(&place, self.retrain_every, context.cutoff()))
        {
            return Ok(Ok(used(row, model.clone())));
        }
        let units = self.failed_units(reader, &over).await?;
        if units.len() < UNITS_MIN {
            return Ok(match champion {
                Some((row, model)) => Ok(used(&row, model)),
                None => Err(format!(
                    "{} runs to failure are over, at least {UNITS_MIN} are needed: nothing was predicted",
                    units.len()
                )),
            });
        }
        let columns = Columns::new(&units);
        let matrices: Vec<Matrix> = units.iter().map(|unit| columns.of(unit)).collect();
        let (life, validation) = self.fit(matrices).await?;
        let challenger = KeptModel {
            settings: self.fingerprint(),
            columns,
            learned: units.iter().map(|unit| name(&unit.device)).collect(),
            life,
        };
        let rival = match &champion {
            None => Rival::Absent,
            Some((_, champion)) => contest(champion, &units, &validation),
        };
        let bytes = stored::to_bytes(&challenger);
        let version = version(&units, &self.fingerprint());
        let trained = Trained {
            version: version.clone(),
            place,
            train_from: first_of(&units),
            train_to: after_last_of(&units),
            metrics: metrics(units.len(), &validation, &rival),
            bytes,
        };
        let models = context.shelve(&shelf, &trained, &rival).await?;
        let backtests = backtests(&units, &validation, &version)?;
        let goes_on = match champion {
            Some((row, model)) if !rival.yields() => used(&row, model),
            _ => Used {
                model: challenger,
                version,
                models: Vec::new(),
                backtests: Vec::new(),
            },
        };
        Ok(Ok(Used {
            models,
            backtests,
            ..goes_on
        }))
    }

    /// The champion, if it was trained with the settings that the job has now.
    async fn champion(
        &self,
        context: &RunContext,
        shelf: &ModelShelf,
        place: &Place,
    ) -> Result<Option<(Model, KeptModel)>, JobError> {
        let Some(row) = shelf.champion(place) else {
            return Ok(None);
        };
        let Some(object) = &row.row.object else {
            return Ok(None);
        };
        let bytes = context.model_bytes(object).await?;
        let model: Option<KeptModel> = stored::from_bytes(&bytes);
        let model = model.filter(|model| model.settings == self.fingerprint());
        Ok(model.map(|model| (row.clone(), model)))
    }

    /// What a model hangs on beside the readings.
    fn fingerprint(&self) -> String {
        let (failed, settings) = (&self.failed, &self.settings);
        format!("{:?} {:?} {settings:?}", failed, self.step)
    }

    /// Fits away from the reactor: it takes seconds.
    async fn fit(&self, units: Vec<Matrix>) -> Result<(LifeModel, Validation), JobError> {
        let settings = self.settings.clone();
        let fit = move || LifeModel::fit(&units, settings);
        let fitted = tokio::task::spawn_blocking(fit).await;
        fitted
            .map_err(|error| JobError::retry("training stopped", error))?
            .map_err(|error| JobError::reject(format!("nothing was learned: {error}")))
    }
}

fn used(row: &Model, model: KeptModel) -> Used {
    Used {
        model,
        version: row.row.version.clone(),
        models: Vec::new(),
        backtests: Vec::new(),
    }
}

/// Both models on the runs that the champion has not seen.
fn contest(champion: &KeptModel, units: &[Unit], validation: &Validation) -> Rival {
    let spans: Vec<&DeviceSpan> = units.iter().map(|unit| &unit.device).collect();
    let unseen: BTreeSet<_> = champion.unseen(&spans).into_iter().map(name).collect();
    let mut old = UnitErrors::default();
    let mut new = UnitErrors::default();
    for (unit, errors) in units.iter().zip(&validation.by_unit) {
        if !unseen.contains(&name(&unit.device)) {
            continue;
        }
        let rows = champion.columns.of(unit);
        let of_champion = champion.life.errors(&rows, validation.stride);
        old.squares += of_champion.squares;
        old.count += of_champion.count;
        new.squares += errors.squares;
        new.count += errors.count;
    }
    Rival::Held(Contest {
        challenger: rmse(new),
        champion: rmse(old),
        better: Better::Lower,
        margin: MARGIN,
    })
}

fn rmse(errors: UnitErrors) -> Measured {
    Measured {
        value: (errors.squares / errors.count as f64).sqrt(),
        n: errors.count as u64,
    }
}

fn first_of(units: &[Unit]) -> Timestamp {
    let first = units.iter().map(|unit| unit.device.first).min();
    first.unwrap_or(Timestamp::from_nanos(0))
}

fn after_last_of(units: &[Unit]) -> Timestamp {
    let last = units.iter().map(|unit| unit.device.last).max();
    let last = last.unwrap_or(Timestamp::from_nanos(0));
    Timestamp::from_nanos(last.nanos().saturating_add(1_000))
}

/// In cross-validation over units, and against the champion on the runs that it has not seen.
fn metrics(units: usize, validation: &Validation, rival: &Rival) -> String {
    let of_all = validation.all_rows;
    let against_champion = match rival {
        Rival::Absent => None,
        Rival::Held(contest) => Some(json!({
            "rmse": contest.challenger.value,
            "champion_rmse": contest.champion.value,
            "n": contest.challenger.n,
        })),
    };
    json!({
        "rmse": of_all.rmse,
        "baseline": of_all.baseline_rmse,
        "baseline_name": "mean_life",
        "coverage": of_all.coverage,
        "n": of_all.count,
        "units": units,
        "against_champion": against_champion,
    })
    .to_string()
}

/// The name of what these runs teach with these settings: the same give the same model, and so the same name.
fn version(failed: &[Unit], settings: &str) -> String {
    // FNV-1a (Fowler, Noll and Vo), 64 bits: a short name, not a proof.
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut eat = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    eat(settings.as_bytes());
    for unit in failed {
        eat(unit.device.site.as_str().as_bytes());
        eat(unit.device.device.as_str().as_bytes());
        eat(&unit.device.last.micros().to_le_bytes());
        eat(&unit.len().to_le_bytes());
    }
    format!("remaining_life/1 {} units {hash:016x}", failed.len())
}

fn backtests(
    failed: &[Unit],
    validation: &Validation,
    version: &str,
) -> Result<Vec<BacktestRow>, JobError> {
    let tag: TagName = rul()?;
    let row =
        |metric: &str, value: f64, baseline: Option<f64>, count: usize, segment| BacktestRow {
            version: version.to_owned(),
            site: None,
            device: None,
            tag: Some(tag.clone()),
            metric: metric.to_owned(),
            value,
            baseline,
            baseline_name: baseline.map(|_| "mean_life".to_owned()),
            n: count as u64,
            from_time: first_of(failed),
            to_time: after_last_of(failed),
            segment,
        };
    let mut rows = Vec::new();
    for (segment, measured) in [
        (None, validation.all_rows),
        (Some("one step of each unit"), validation.one_row),
        (Some("less than cap left"), validation.worn),
    ] {
        let segment = segment.map(str::to_owned);
        let count = measured.count;
        if count == 0 {
            continue;
        }
        let baseline = Some(measured.baseline_rmse);
        rows.push(row("rmse", measured.rmse, baseline, count, segment.clone()));
        if let Some(coverage) = measured.coverage {
            rows.push(row("coverage", coverage, None, count, segment));
        }
    }
    Ok(rows)
}
