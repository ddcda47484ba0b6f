//! From rows to one commit: files first, then the state object, then the log entry that makes both count.

use forebay_lake::{
    Add, Attempt, LakeError, LakeWriter, PartitionRows, StreamState, readings_partition,
};
use forebay_runtime::{Failpoint, failpoint};
use forebay_schemas::{Timestamp, table::READINGS};

/// One step of a stream, to be committed at once.
pub struct Step<'a> {
    /// The stream and partition, as [`forebay_lake::StateKeeper::app_id`] names them.
    pub app_id: &'a str,
    /// The state that the step was built from.
    pub from_state: Option<i64>,
    /// The state after it.
    pub state: &'a StreamState,
    /// The readings that lead from the one to the other.
    pub rows: &'a [PartitionRows],
}

/// Commits a step and answers the number of the state that now counts.
///
/// # Errors
/// Nothing counts unless this succeeds, or the state in the table says so later.
pub async fn commit(lake: &LakeWriter, step: Step<'_>, now: Timestamp) -> Result<i64, LakeError> {
    Upload::default().commit(lake, step, now).await
}

/// What of a step is in the store already: its next try goes on from here. Files and state object are put once, however often
/// the log entry fails.
#[derive(Debug, Default)]
pub(crate) struct Upload {
    adds: Vec<Add>,
    attempt: Option<Attempt>,
}

impl Upload {
    /// As [`commit`]; each call must be for the same step.
    ///
    /// # Errors
    /// As [`commit`].
    pub(crate) async fn commit(
        &mut self,
        lake: &LakeWriter,
        step: Step<'_>,
        now: Timestamp,
    ) -> Result<i64, LakeError> {
        let readings = lake.table(&READINGS)?;
        let attempt = match self.attempt.take() {
            Some(attempt) => attempt,
            None => self.put(lake, step, now).await?,
        };
        let committed = readings.commit(&attempt).await;
        let to_state = attempt.to_state;
        match committed {
            Ok(_) => {
                failpoint(Failpoint::AfterCommit);
                Ok(to_state)
            }
            // A vacuum may have deleted the files: all of it again.
            Err(error @ LakeError::Vacuumed { .. }) => {
                self.adds.clear();
                Err(error)
            }
            Err(error) => {
                self.attempt = Some(attempt);
                Err(error)
            }
        }
    }

    /// Puts what is not there yet.
    async fn put(
        &mut self,
        lake: &LakeWriter,
        step: Step<'_>,
        now: Timestamp,
    ) -> Result<Attempt, LakeError> {
        let readings = lake.table(&READINGS)?;
        for partition in step.rows.iter().skip(self.adds.len()) {
            let folder = readings_partition(partition);
            let add = lake
                .put(
                    readings,
                    partition.rows.clone(),
                    &folder,
                    Some(&partition.site),
                    now,
                )
                .await?;
            self.adds.push(add);
        }
        failpoint(Failpoint::AfterFileWrite);
        let keeper = lake.keeper();
        let to_state = keeper
            .store(
                readings,
                step.app_id,
                step.from_state,
                step.state,
                lake.random(),
            )
            .await?;
        failpoint(Failpoint::AfterState);
        let (app_id, adds) = (step.app_id.to_owned(), self.adds.clone());
        Ok(Attempt {
            id: lake.id()?,
            app_id,
            from_state: step.from_state,
            to_state,
            adds,
        })
    }
}
