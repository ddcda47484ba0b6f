//! Checkpoints of the Delta log, and the end of entries that they hold.

use deltalake_core::{
    DeltaTable,
    checkpoints::{cleanup_expired_logs_for, create_checkpoint},
};
use object_store::{ObjectStoreExt as _, path::Path};
use serde::Deserialize;

use crate::{LakeError, LakeTable};

/// Names the newest checkpoint.
const LAST_CHECKPOINT: &str = "_delta_log/_last_checkpoint";

#[derive(Deserialize)]
struct LastCheckpoint {
    version: u64,
}

impl LakeTable {
    /// Writes a checkpoint when the last one is `every` commits old; answers whether it did.
    pub(super) async fn checkpoint_if_due(&self, every: u64) -> Result<bool, LakeError> {
        let snapshot = self.snapshot().await?;
        if snapshot.version().saturating_sub(self.last_checkpoint().await?) < every.max(1) {
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

    /// The version of the newest checkpoint; 0 when there is none.
    async fn last_checkpoint(&self) -> Result<u64, LakeError> {
        match self.store().get(&Path::from(LAST_CHECKPOINT)).await {
            // One that cannot be read is no harm: the next checkpoint replaces it.
            Ok(found) => Ok(serde_json::from_slice::<LastCheckpoint>(&found.bytes().await?).map_or(0, |c| c.version)),
            Err(object_store::Error::NotFound { .. }) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }
}
