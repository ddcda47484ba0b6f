//! From rows to one commit: files first, then the state object, then the log entry that makes both count.

use forebay_config::{Failpoint, failpoint};
use forebay_lake::{Attempt, LakeError, LakeWriter, PartitionRows, StreamState, readings_partition};
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
    let readings = lake.table(&READINGS)?;
    let mut adds = Vec::new();
    for partition in step.rows {
        let folder = readings_partition(partition);
        adds.push(lake.put(readings, partition.rows.clone(), &folder, Some(&partition.site), now).await?);
    }
    failpoint(Failpoint::AfterFileWrite);
    let to_state = lake.keeper().store(readings, step.app_id, step.from_state, step.state, lake.random()).await?;
    let attempt =
        Attempt { id: lake.id()?, app_id: step.app_id.to_owned(), from_state: step.from_state, to_state, adds };
    readings.commit(&attempt).await?;
    failpoint(Failpoint::AfterCommit);
    Ok(to_state)
}
