//! How long files and log entries are kept, told in the table's own properties: other engines heed them, and a checkpoint
//! forgets by them what a vacuum has deleted (E8).
//!
//! Setting them again says the same, so an error of this commit needs no look for its id (E7): the next pass looks.

use std::time::Duration;

use deltalake_core::{DeltaTable, kernel::transaction::CommitProperties};

use super::{DAY, MaintainPolicy};
use crate::{LakeError, LakeTable};

const LOG_RETENTION: &str = "delta.logRetentionDuration";
const FILE_RETENTION: &str = "delta.deletedFileRetentionDuration";

impl LakeTable {
    /// Writes the policy's retentions into the table's properties, where they say something else.
    pub(super) async fn tell_retention(&self, policy: &MaintainPolicy) -> Result<(), LakeError> {
        let snapshot = self.snapshot().await?;
        let wanted = [
            (LOG_RETENTION, policy.log_retention),
            (FILE_RETENTION, policy.file_retention),
        ]
        .map(|(name, retention)| (name.to_owned(), interval(retention)));
        let told = snapshot.state.metadata().configuration();
        if wanted
            .iter()
            .all(|(name, value)| told.get(name) == Some(value))
        {
            return Ok(());
        }
        let mut table = DeltaTable::new(self.log.clone());
        table.state = Some(snapshot.state);
        let properties = CommitProperties::default()
            .with_max_retries(0)
            .with_create_checkpoint(false)
            .with_cleanup_expired_logs(Some(false));
        table
            .set_tbl_properties()
            .with_properties(wanted.into_iter().collect())
            .with_commit_properties(properties)
            .await
            .map(drop)
            .map_err(|error| self.delta_error(error))
    }
}

/// As Delta writes it, and in days where it can be: that is how tables are created.
fn interval(retention: Duration) -> String {
    let seconds = retention.as_secs();
    match seconds % DAY.as_secs() {
        0 => format!("interval {} days", seconds / DAY.as_secs()),
        _ => format!("interval {seconds} seconds"),
    }
}
