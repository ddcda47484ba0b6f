//! What runs read: the lake as it is now, or the one view that all fires of a back-fill share.
//!
//! A back-fill writes in batches. What its fires have found and not written yet is seen by the fires after them as if it
//! stood in the lake, so that results do not depend on when a batch is written. What all its fires ask for is read once:
//! the steps of series (`steps`) and the job's own warnings (`warnings`).

mod steps;
mod warnings;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arrow::array::RecordBatch;
use datafusion::{execution::runtime_env::RuntimeEnv, prelude::SessionContext};
use forebay_lake::{LakeError, LakeView, LakeWriter};
use forebay_schemas::{
    Timestamp,
    table::{
        ALERTS, BACKTESTS, EVENTS, JOB_RUNS, MODELS, PREDICTIONS, READINGS, SCORES, Table, WINDOWS,
    },
};

use crate::{AlertRow, JobError, Sink};
use steps::KeptSteps;
pub(crate) use steps::{Steps, StepsOf};
pub(crate) use warnings::{KnownWarnings, LatestWarnings};

/// What jobs read from.
const SOURCES: [&Table; 3] = [&READINGS, &WINDOWS, &JOB_RUNS];

/// What jobs write.
const RESULTS: [&Table; 6] = [&SCORES, &PREDICTIONS, &ALERTS, &EVENTS, &MODELS, &BACKTESTS];

/// Where the sessions of a run get their tables from.
#[derive(Clone, Default)]
pub(crate) enum Sight {
    /// Each session sees the newest version.
    #[default]
    Newest,
    /// All see one version of the readings.
    Held(Arc<HeldView>),
}

/// The view of a back-fill.
pub(crate) struct HeldView {
    sources: LakeView,
    results: Mutex<HeldResults>,
    /// The models of a run that writes nothing, by name; none for a run that writes.
    kept: Option<Mutex<BTreeMap<String, Vec<u8>>>>,
    /// Steps of series that were read.
    steps: tokio::sync::Mutex<KeptSteps>,
}

struct HeldResults {
    stored: LakeView,
    /// Rows that are not stored yet, oldest first.
    found: Vec<(&'static Table, RecordBatch)>,
    /// The job's warnings, those found among them, once a fire has asked for them.
    warnings: Option<KnownWarnings>,
}

impl Sight {
    /// A session over the tables that jobs see, not cut off anywhere.
    pub(crate) async fn session(
        &self,
        lake: &LakeWriter,
        runtime: &Arc<RuntimeEnv>,
    ) -> Result<SessionContext, JobError> {
        match self {
            Self::Newest => {
                let sources = view(lake, &SOURCES).await?;
                let results = view(lake, &RESULTS).await?;
                Ok(LakeView::session(&[&sources, &results], runtime)?)
            }
            Self::Held(held) => held.session(runtime).await,
        }
    }
}

impl Sight {
    /// Keeps a model where nothing is written, and answers its name.
    pub(crate) fn keep(&self, lake: &LakeWriter, bytes: &[u8]) -> Option<String> {
        let mut kept = self.in_memory()?;
        let name = lake.object_name(bytes);
        kept.insert(name.clone(), bytes.to_owned());
        Some(name)
    }

    /// A model that was kept so.
    pub(crate) fn kept(&self, name: &str) -> Option<Vec<u8>> {
        self.in_memory()?.get(name).cloned()
    }

    fn in_memory(&self) -> Option<MutexGuard<'_, BTreeMap<String, Vec<u8>>>> {
        match self {
            Self::Newest => None,
            Self::Held(held) => {
                let kept = held.kept.as_ref()?.lock();
                Some(kept.unwrap_or_else(PoisonError::into_inner))
            }
        }
    }
}

impl HeldView {
    /// The lake as it is now.
    pub(crate) async fn open(lake: &LakeWriter, sink: Sink) -> Result<Self, LakeError> {
        let kept = match sink {
            Sink::Lake => None,
            Sink::Caller => Some(Mutex::default()),
        };
        Ok(Self {
            kept,
            sources: view(lake, &SOURCES).await?,
            results: Mutex::new(HeldResults {
                stored: view(lake, &RESULTS).await?,
                found: Vec::new(),
                warnings: None,
            }),
            steps: tokio::sync::Mutex::default(),
        })
    }

    /// Shows rows to the sessions that are opened from now on, and the warnings among them to the fires after.
    pub(crate) fn add(
        &self,
        rows: impl IntoIterator<Item = (&'static Table, RecordBatch)>,
        warnings: &[AlertRow],
    ) {
        let mut results = self.results();
        results.found.extend(rows);
        if let Some(known) = &mut results.warnings {
            known.add(warnings);
        }
    }

    /// The job's warnings that were last seen at or after `since`; `None` where they must be read.
    pub(crate) fn warnings_since(&self, since: Timestamp) -> Option<Vec<AlertRow>> {
        self.results().warnings.as_ref()?.since(since)
    }

    /// Keeps the job's warnings until a batch is written.
    pub(crate) fn keep_warnings(&self, known: KnownWarnings) {
        self.results().warnings = Some(known);
    }

    /// The steps that were read so far, for one reader at a time.
    pub(crate) async fn steps(&self) -> tokio::sync::MutexGuard<'_, KeptSteps> {
        self.steps.lock().await
    }

    fn results(&self) -> MutexGuard<'_, HeldResults> {
        self.results.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the results from the lake again: what was added is stored there.
    pub(crate) async fn renew(&self, lake: &LakeWriter) -> Result<(), LakeError> {
        let stored = view(lake, &RESULTS).await?;
        *self.results() = HeldResults {
            stored,
            found: Vec::new(),
            warnings: None,
        };
        Ok(())
    }

    async fn session(&self, runtime: &Arc<RuntimeEnv>) -> Result<SessionContext, JobError> {
        let (stored, found) = {
            let results = self.results();
            (results.stored.clone(), results.found.clone())
        };
        let session = LakeView::session(&[&self.sources, &stored], runtime)?;
        for table in RESULTS {
            let rows: Vec<RecordBatch> = found
                .iter()
                .filter(|(of, _)| of.name == table.name)
                .map(|(_, rows)| rows.clone())
                .collect();
            if rows.is_empty() {
                continue;
            }
            let stored = session.table(table.name).await?;
            let both = stored.union(session.read_batches(rows)?)?.into_view();
            session.deregister_table(table.name)?;
            session.register_table(table.name, both)?;
        }
        Ok(session)
    }
}

async fn view(lake: &LakeWriter, tables: &[&'static Table]) -> Result<LakeView, LakeError> {
    let mut opened = Vec::with_capacity(tables.len());
    for table in tables {
        opened.push(lake.table(table)?.clone());
    }
    LakeView::open(&opened, &lake.decrypter()).await
}
