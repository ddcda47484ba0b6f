//! One commit of data files and one stream's state, exactly once (E5, E6, E7).
//!
//! An attempt names the state that it was built from. It lands only in a version whose predecessor holds just that
//! state, and it carries a random id: after any error the log is read onward, and the id found there means success.

#[cfg(test)]
mod tests;

use std::{collections::HashMap, time::Duration};

use deltalake_core::{
    kernel::{
        Action, Add, Transaction, Version,
        transaction::{CommitBuilder, CommitProperties},
    },
    protocol::{DeltaOperation, SaveMode},
};
use uuid::Uuid;

use crate::{
    LakeError,
    table::{LakeTable, Snapshot},
};

/// Key of the commit's id in `commitInfo`.
const COMMIT_ID: &str = "forebayCommitId";

/// How often others may come first before the caller hears of it.
const ATTEMPTS_MAX: u32 = 16;

/// First pause after a failure of the store; it doubles up to [`PAUSE_MAX`].
const PAUSE_FIRST: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Files to add, and the step of one stream's state that they make.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Random, drawn anew for each attempt.
    pub id: Uuid,
    /// The stream and partition, as a keyed hash.
    pub app_id: String,
    /// The state that this attempt was built from.
    pub from_state: Option<i64>,
    /// The state after it; above `from_state`.
    pub to_state: i64,
    /// The files.
    pub adds: Vec<Add>,
}

impl LakeTable {
    /// Commits an attempt and answers the table's version that holds it.
    ///
    /// # Errors
    /// [`LakeError::Fenced`] when the stream's state is no longer the one that the attempt was built from; then it
    /// has not been committed and never will be. Any other error leaves open whether it has.
    pub async fn commit(&self, attempt: &Attempt) -> Result<Version, LakeError> {
        let mut pause = PAUSE_FIRST;
        let mut snapshot = self.snapshot().await?;
        let started_at = snapshot.version();
        for _ in 0..ATTEMPTS_MAX {
            let found = snapshot.state_of(&attempt.app_id).await?;
            if found != attempt.from_state {
                return match self.find_commit(attempt.id, started_at, snapshot.version()).await? {
                    Some(version) => Ok(version),
                    None => {
                        Err(LakeError::Fenced { app_id: attempt.app_id.clone(), expected: attempt.from_state, found })
                    }
                };
            }
            match self.try_commit(attempt, &snapshot).await {
                Ok(version) => return Ok(version),
                Err(error) => {
                    tracing::warn!(table = self.table.name, %error, "commit not confirmed, reading the log onward");
                    tokio::time::sleep(pause).await;
                    pause = PAUSE_MAX.min(pause * 2);
                    snapshot = self.snapshot().await?;
                }
            }
        }
        match self.find_commit(attempt.id, started_at, snapshot.version()).await? {
            Some(version) => Ok(version),
            None => Err(LakeError::Contended { table: self.table.name, attempts: ATTEMPTS_MAX }),
        }
    }

    async fn try_commit(&self, attempt: &Attempt, snapshot: &Snapshot) -> Result<Version, LakeError> {
        let operation = DeltaOperation::Write {
            mode: SaveMode::Append,
            partition_by: Some(self.table.partition_columns().iter().map(|c| c.name.to_owned()).collect()),
            predicate: None,
        };
        let transaction = Transaction::new(&attempt.app_id, attempt.to_state);
        let properties = CommitProperties::default()
            .with_metadata([(COMMIT_ID.to_owned(), attempt.id.to_string().into())])
            .with_application_transaction(transaction)
            .with_max_retries(0)
            .with_create_checkpoint(false)
            .with_cleanup_expired_logs(Some(false));
        let committed = CommitBuilder::from(properties)
            .with_actions(attempt.adds.iter().cloned().map(Action::Add).collect())
            .build(Some(&snapshot.state), self.log.clone(), operation)
            .await
            .map_err(|e| self.delta_error(e))?;
        Ok(committed.version())
    }

    /// The version, after `after` and up to `up_to`, whose commit has this id.
    async fn find_commit(&self, id: Uuid, after: Version, up_to: Version) -> Result<Option<Version>, LakeError> {
        let id = id.to_string();
        for version in after + 1..=up_to {
            let Some(entry) = self.log.read_commit_entry(version).await.map_err(|e| self.delta_error(e))? else {
                continue;
            };
            if commit_id(&entry).is_some_and(|found| found == id) {
                return Ok(Some(version));
            }
        }
        Ok(None)
    }
}

fn commit_id(entry: &[u8]) -> Option<String> {
    entry.split(|byte| *byte == b'\n').find_map(|line| {
        let action: HashMap<String, serde_json::Value> = serde_json::from_slice(line).ok()?;
        Some(action.get("commitInfo")?.get(COMMIT_ID)?.as_str()?.to_owned())
    })
}
