//! Checkpoints of the Delta log, and the end of entries that they hold.

use deltalake_core::{
    DeltaTable,
    checkpoints::{cleanup_expired_logs_for, create_checkpoint},
};
use forebay_schemas::Timestamp;
use object_store::{ObjectStoreExt as _, path::Path};
use serde::Deserialize;

use crate::{LakeError, LakeTable, Snapshot};

/// Names the newest checkpoint.
const LAST_CHECKPOINT: &str = "_delta_log/_last_checkpoint";

#[derive(Deserialize)]
struct LastCheckpoint {
    version: u64,
}

/// What a checkpoint holds, and since when, in ms since 1970 UTC.
struct Checkpoint {
    version: u64,
    written_ms: Option<i64>,
}

impl LakeTable {
    /// Writes a checkpoint when the last one is `every` commits old, or older than `old_ms` with commits since: entries go only
    /// once a checkpoint holds them, and a table of few commits must get rid of them too. Answers whether it did.
    pub(super) async fn checkpoint_if_due(&self, every: u64, old_ms: i64, now: Timestamp) -> Result<bool, LakeError> {
        let snapshot = self.snapshot().await?;
        let last = self.last_checkpoint(&snapshot).await?;
        let commits = snapshot.version().saturating_sub(last.version);
        let is_old = last.written_ms.is_some_and(|at| now.micros() / 1000 - at >= old_ms);
        if commits < every.max(1) && !(commits > 0 && is_old) {
            return Ok(false);
        }
        let mut table = DeltaTable::new(self.log.clone());
        table.state = Some(snapshot.state);
        create_checkpoint(&table, None).await.map_err(|e| self.delta_error(e))?;
        Ok(true)
    }

    /// Deletes entries older than `cut_off_ms` that a checkpoint of that age, or an older one, has made needless.
    pub(super) async fn clean_log(&self, cut_off_ms: i64) -> Result<u64, LakeError> {
        let version = self.snapshot().await?.version();
        let deleted = cleanup_expired_logs_for(version, self.log.as_ref(), cut_off_ms, None)
            .await
            .map_err(|e| self.delta_error(e))?;
        Ok(deleted as u64)
    }

    /// The newest checkpoint; a table without one was last whole when it was created.
    async fn last_checkpoint(&self, snapshot: &Snapshot) -> Result<Checkpoint, LakeError> {
        match self.store().get(&Path::from(LAST_CHECKPOINT)).await {
            Ok(found) => {
                let written_ms = Some(found.meta.last_modified.timestamp_millis());
                // One that cannot be read is no harm: the next checkpoint replaces it.
                let version =
                    serde_json::from_slice(&found.bytes().await?).map_or(0, |last: LastCheckpoint| last.version);
                Ok(Checkpoint { version, written_ms })
            }
            Err(object_store::Error::NotFound { .. }) => {
                Ok(Checkpoint { version: 0, written_ms: snapshot.state.metadata().created_time() })
            }
            Err(error) => Err(error.into()),
        }
    }
}
