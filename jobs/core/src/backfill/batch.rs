//! The runs of a back-fill that are written together.

use std::collections::{BTreeMap, BTreeSet};

use arrow::{array::RecordBatch, compute::concat_batches};
use forebay_lake::{LakeError, LakeWriter};
use forebay_schemas::{Timestamp, table::Table};
use tokio::time::Instant;

use super::{AGE_MAX, FIRES_MAX, ROWS_MAX};
use crate::{
    JobName, Results, RunState, SchedulerError,
    outbox::{Outbox, RunNumber, Track, WRITTEN},
    store::{Run, Store},
};

/// Rows of a table.
type TableRows = (&'static Table, RecordBatch);

/// Runs that have ended, and what they have found.
#[derive(Default)]
pub(super) struct Batch {
    runs: Vec<(Run, Vec<TableRows>)>,
    rows: usize,
    began: Option<Instant>,
}

/// What a batch has come to.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) succeeded: u64,
    pub(super) failed: u64,
    pub(super) rows: u64,
}

/// The tables of a job in which the rows of the batch that ends with this number stand.
pub(super) async fn tables_at(
    lake: &LakeWriter,
    job: &JobName,
    last: RunNumber,
) -> Result<BTreeSet<&'static str>, LakeError> {
    let outbox = Outbox::new(lake, job, Track::Backfill);
    let mut stored = BTreeSet::new();
    for table in WRITTEN {
        if outbox.number_in(table).await? == Some(last.0) {
            stored.insert(table.name);
        }
    }
    Ok(stored)
}

impl Batch {
    /// Adds a run, and answers its rows.
    pub(super) fn push(
        &mut self,
        run: Run,
        results: &Results,
    ) -> Result<Vec<TableRows>, LakeError> {
        let rows = results.batches(run.job.as_str(), &run.id())?;
        self.rows += results.rows();
        self.began.get_or_insert_with(Instant::now);
        self.runs.push((run, rows.clone()));
        Ok(rows)
    }

    pub(super) fn is_full(&self) -> bool {
        let is_old = self.began.is_some_and(|began| began.elapsed() > AGE_MAX);
        self.runs.len() >= FIRES_MAX || self.rows >= ROWS_MAX || is_old
    }

    /// Notes the runs, writes their rows and records, and settles them. `None` where there are no runs.
    pub(super) async fn write(
        self,
        store: &Store,
        lake: &LakeWriter,
        job: &JobName,
        now: Timestamp,
    ) -> Result<Option<Written>, SchedulerError> {
        if self.runs.is_empty() {
            return Ok(None);
        }
        let runs = self.runs.iter().map(|(run, _)| run.clone()).collect();
        let noted: BTreeSet<RunNumber> = store
            .note_batch(runs)
            .await?
            .iter()
            .map(|run| run.number)
            .collect();
        let kept = self.runs.into_iter();
        let kept = Self {
            runs: kept
                .filter(|(run, _)| noted.contains(&run.number))
                .collect(),
            ..Self::default()
        };
        kept.write_noted(store, lake, job, now).await.map(Some)
    }

    /// The same for runs that are noted already.
    pub(super) async fn write_noted(
        self,
        store: &Store,
        lake: &LakeWriter,
        job: &JobName,
        now: Timestamp,
    ) -> Result<Written, SchedulerError> {
        let Some(last) = self.runs.last().map(|(run, _)| run.number) else {
            return Ok(Written::default());
        };
        let outbox = Outbox::new(lake, job, Track::Backfill);
        let mut of_table: BTreeMap<&str, (&'static Table, Vec<RecordBatch>)> = BTreeMap::new();
        let mut runs = Vec::with_capacity(self.runs.len());
        for (run, rows) in self.runs {
            for (table, rows) in rows {
                let entry = of_table
                    .entry(table.name)
                    .or_insert_with(|| (table, Vec::new()));
                entry.1.push(rows);
            }
            runs.push(run);
        }
        for table in WRITTEN {
            let Some((table, rows)) = of_table.remove(table.name) else {
                continue;
            };
            let Some(first) = rows.first() else { continue };
            let rows = concat_batches(&first.schema(), &rows).map_err(LakeError::from)?;
            outbox.append(last, table, rows, now).await?;
        }
        outbox.record(last, &runs, now).await?;
        store.settle_batch(&runs).await?;
        let count =
            |wanted: fn(RunState) -> bool| runs.iter().filter(|run| wanted(run.state)).count();
        let succeeded = count(|state| state == RunState::Succeeded) as u64;
        Ok(Written {
            succeeded,
            failed: runs.len() as u64 - succeeded,
            rows: runs.iter().filter_map(|run| run.rows).sum(),
        })
    }
}
