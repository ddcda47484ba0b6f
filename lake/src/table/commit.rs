//! One commit, exactly once: files added and removed, with a step of each writer's state (E5, E6, E7, E8).
//!
//! An attempt names the states that it was built from. It lands only in a version whose predecessor holds just those
//! states, the columns and the format that it was built for, and every file that it removes; and it carries a random
//! id: after any error the log is read onward, and the id found there means success.

#[cfg(test)]
mod tests;

use std::{collections::HashSet, time::Duration};

use deltalake_core::{
    kernel::{
        Action, Version,
        transaction::{CommitBuilder, CommitProperties},
    },
    protocol::{DeltaOperation, SaveMode},
};
use forebay_runtime::Backoff;
use object_store::{ObjectStoreExt as _, path::Path};
use uuid::Uuid;

use crate::{
    LakeError,
    table::change::{Attempt, Change, Purpose, Transaction},
    table::log_entry::{COMMIT_ID, LogEntry},
    table::{LakeTable, Snapshot, last_checkpoint},
};

/// How often others may come first before the caller hears of it.
const ATTEMPTS_MAX: u32 = 16;

/// Pauses after failures of the store. Commits of a table take turns, so there is no one to stay clear of.
const PAUSE: Backoff = Backoff {
    first: Duration::from_millis(20),
    max: Duration::from_secs(2),
};

/// How many entries before the first snapshot are searched for an attempt's id: it may have been tried before.
const LOOK_BACK: u64 = 64;

/// The transaction that tells up to when files that no commit names may have been deleted: ms since 1970 UTC.
pub(crate) const VACUUM_APP_ID: &str = "forebay.vacuum";

/// How far the clock that dated a file may be behind the store's, in ms, before a vacuum is overlooked.
const CLOCK_SKEW_MS: i64 = 24 * 3600 * 1000;

impl LakeTable {
    /// Commits an attempt and answers the table's version that holds it.
    ///
    /// # Errors
    /// [`LakeError::Fenced`] when the stream's state is no longer the one that the attempt was built from,
    /// [`LakeError::Changed`] when the table's columns or format are not, [`LakeError::Vacuumed`] when a file may
    /// have been deleted: then it has not been committed and never will be. Any other error leaves open whether it has.
    pub async fn commit(&self, attempt: &Attempt) -> Result<Version, LakeError> {
        self.commit_change(&Change::from(attempt)).await
    }

    /// As [`LakeTable::commit`]; [`LakeError::Inactive`] when a file to be removed is no longer active.
    pub(crate) async fn commit_change(&self, change: &Change) -> Result<Version, LakeError> {
        let _turn = self.turn.lock().await;
        self.for_writing();
        let mut failures = 0;
        let mut snapshot = self.snapshot().await?;
        let search_from = snapshot.version().saturating_sub(LOOK_BACK);
        for _ in 0..ATTEMPTS_MAX {
            if let Some(refused) = self.refusal(change, &snapshot).await? {
                let landed = self
                    .find_commit(change.id, search_from, snapshot.version())
                    .await?;
                return landed.ok_or(refused);
            }
            match self.try_commit(change, &snapshot).await {
                Ok(committed) => {
                    if self.is_below_a_checkpoint(committed.version()).await? {
                        snapshot = self.snapshot().await?;
                        continue;
                    }
                    if let Some(local) = &self.local {
                        local.committed(committed.version());
                    }
                    self.keep(&committed);
                    return Ok(committed.version());
                }
                Err(error) => {
                    // Whatever is found now may be visible without being durable (E10).
                    if let Some(local) = &self.local {
                        local.doubt();
                    }
                    let onward = self.snapshot().await?;
                    if onward.version() > snapshot.version() {
                        // Somebody has committed, be it this very change: the store works, so there is nothing to wait for.
                        tracing::debug!(table = self.table.name, %error, "another commit came first, going on from it");
                        snapshot = onward;
                        continue;
                    }
                    tracing::warn!(table = self.table.name, %error, "commit not confirmed, reading the log onward");
                    failures += 1;
                    tokio::time::sleep(PAUSE.wait(failures, 1.0)).await;
                    snapshot = self.snapshot().await?;
                }
            }
        }
        let landed = self
            .find_commit(change.id, search_from, snapshot.version())
            .await?;
        landed.ok_or(LakeError::Contended {
            table: self.table.name,
            attempts: ATTEMPTS_MAX,
        })
    }

    /// Whether our entry came so late that nobody will read it: others have committed the same version, made a
    /// checkpoint above
    /// it and cleaned the log, and then a create that had been retried for long found the name free again. Then the
    /// entry goes.
    async fn is_below_a_checkpoint(&self, version: Version) -> Result<bool, LakeError> {
        let last = last_checkpoint(self.store.as_ref()).await?;
        if last.is_none_or(|(hint, _)| hint.version < version) {
            return Ok(false);
        }
        tracing::warn!(
            table = self.table.name,
            version,
            "a commit came later than its log is kept, committing again"
        );
        self.store
            .delete(&Path::from(format!("_delta_log/{version:020}.json")))
            .await?;
        self.forget_newest();
        Ok(true)
    }

    /// Why the change must not be built on this snapshot.
    async fn refusal(
        &self,
        change: &Change,
        snapshot: &Snapshot,
    ) -> Result<Option<LakeError>, LakeError> {
        for Transaction {
            app_id, from_state, ..
        } in &change.transactions
        {
            let found = snapshot.state_of(app_id).await?;
            if found != *from_state {
                return Ok(Some(LakeError::Fenced {
                    app_id: app_id.clone(),
                    expected: *from_state,
                    found,
                }));
            }
        }
        if let Err(changed) = snapshot.check_unchanged() {
            return Ok(Some(changed));
        }
        if !change.removes.is_empty() {
            let active: HashSet<String> = snapshot.paths().into_iter().collect();
            if let Some(gone) = change
                .removes
                .iter()
                .find(|remove| !active.contains(&remove.path))
            {
                return Ok(Some(LakeError::Inactive {
                    table: self.table.name,
                    path: gone.path.clone(),
                }));
            }
        }
        self.vacuumed(change, snapshot).await
    }

    /// The first added file that a vacuum may have deleted: dated before its cut-off, and so by the store's clock too.
    async fn vacuumed(
        &self,
        change: &Change,
        snapshot: &Snapshot,
    ) -> Result<Option<LakeError>, LakeError> {
        if change.adds.is_empty() {
            return Ok(None);
        }
        let Some(cut_off) = snapshot.state_of(VACUUM_APP_ID).await? else {
            return Ok(None);
        };
        for add in change
            .adds
            .iter()
            .filter(|add| add.modification_time < cut_off.saturating_add(CLOCK_SKEW_MS))
        {
            let path = Path::parse(&add.path).map_err(object_store::Error::from)?;
            let safe = match self.store.head(&path).await {
                Ok(meta) => meta.last_modified.timestamp_millis() >= cut_off,
                Err(object_store::Error::NotFound { .. }) => false,
                Err(error) => return Err(error.into()),
            };
            if !safe {
                return Ok(Some(LakeError::Vacuumed {
                    table: self.table.name,
                    path: add.path.clone(),
                }));
            }
        }
        Ok(None)
    }

    async fn try_commit(
        &self,
        change: &Change,
        snapshot: &Snapshot,
    ) -> Result<Snapshot, LakeError> {
        let transactions = change
            .transactions
            .iter()
            .map(|t| deltalake_core::kernel::Transaction::new(&t.app_id, t.to_state))
            .collect();
        let properties = CommitProperties::default()
            .with_metadata([(COMMIT_ID.to_owned(), change.id.to_string().into())])
            .with_application_transactions(transactions)
            .with_max_retries(0)
            .with_create_checkpoint(false)
            .with_cleanup_expired_logs(Some(false));
        let removes = change.removes.iter().cloned().map(Action::Remove);
        let actions = removes
            .chain(change.adds.iter().cloned().map(Action::Add))
            .collect();
        let committed = CommitBuilder::from(properties)
            .with_actions(actions)
            .build(
                Some(&snapshot.state),
                self.log.clone(),
                self.operation(change),
            )
            .await
            .map_err(|e| self.delta_error(e))?;
        Ok(snapshot.after(committed.snapshot(), &change.transactions))
    }

    fn operation(&self, change: &Change) -> DeltaOperation {
        match change.purpose {
            Purpose::Append => DeltaOperation::Write {
                mode: SaveMode::Append,
                partition_by: Some(
                    self.table
                        .partition_columns()
                        .iter()
                        .map(|c| c.name.to_owned())
                        .collect(),
                ),
                predicate: None,
            },
            Purpose::Rewrite => DeltaOperation::Optimize {
                predicate: None,
                target_size: change
                    .adds
                    .iter()
                    .map(|add| add.size)
                    .max()
                    .unwrap_or_default(),
            },
            Purpose::Erase => DeltaOperation::Delete { predicate: None },
            Purpose::Vacuum { retention_ms } => DeltaOperation::VacuumStart {
                retention_check_enabled: true,
                specified_retention_millis: Some(retention_ms),
                default_retention_millis: retention_ms,
            },
        }
    }

    /// The version, after `after` and up to `up_to`, whose commit has this id.
    async fn find_commit(
        &self,
        id: Uuid,
        after: Version,
        up_to: Version,
    ) -> Result<Option<Version>, LakeError> {
        let id = id.to_string();
        for version in after + 1..=up_to {
            let Some(entry) = self
                .log
                .read_commit_entry(version)
                .await
                .map_err(|e| self.delta_error(e))?
            else {
                continue;
            };
            if LogEntry::parse(&entry).is_ok_and(|entry| entry.commit_id.as_deref() == Some(&id)) {
                return Ok(Some(version));
            }
        }
        Ok(None)
    }
}
