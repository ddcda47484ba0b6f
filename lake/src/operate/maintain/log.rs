//! Checkpoints of the Delta log, and the end of what they make needless.
//!
//! Invariants: whoever opens a version within the log's retention finds a checkpoint at or below it and every entry
//! after that;
//! a checkpoint goes only when a newer one is so old that nobody is still opening the older. A pass lists what came
//! since the
//! last, not the whole log.

use std::collections::{BTreeMap, HashMap};

use deltalake_core::{DeltaTable, checkpoints::create_checkpoint, kernel::Version};
use forebay_schemas::Timestamp;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::{ObjectMeta, path::Path};

use crate::{
    LakeError, LakeTable,
    table::log_index::{Checkpoint, LogIndex},
    table::{CheckpointHint, last_checkpoint},
};

/// A checkpoint of so many actions is written again no sooner than after one commit more: what is written stays in
/// proportion to what is committed.
const ACTIONS_A_COMMIT: u64 = 1_000;

/// A writer that opens a table whose log has so many entries beyond its checkpoint makes one: who opens next reads few.
const ENTRIES_AT_OPEN_MAX: u64 = 16;

/// Old checkpoints are kept this often within the log's retention, so that its end can move on.
const KEPT_IN_RETENTION: i64 = 8;

/// Whoever opens a table is done with its checkpoint within this time, in ms.
const OPENING_MS: i64 = 15 * 60 * 1000;

/// A checkpoint may be written so many versions after the one that it holds.
const LISTED_AGAIN: Version = 1_000;

impl LakeTable {
    /// Writes a checkpoint when the last one is `every` commits old, or older than `old_ms` with commits since: entries go only
    /// once a checkpoint holds them, and a table of few commits must get rid of them too. Answers whether it did.
    pub(super) async fn checkpoint_if_due(
        &self,
        every: u64,
        old_ms: i64,
        now: Timestamp,
    ) -> Result<bool, LakeError> {
        let snapshot = self.snapshot().await?;
        // A table without one was last whole when it was created.
        let (hint, written_ms) = match last_checkpoint(self.store().as_ref()).await? {
            Some((hint, written_ms)) => (hint, Some(written_ms)),
            None => (
                CheckpointHint::default(),
                snapshot.state.metadata().created_time(),
            ),
        };
        let commits = snapshot.version().saturating_sub(hint.version);
        let is_old = written_ms.is_some_and(|at| now.micros() / 1000 - at >= old_ms);
        let is_due =
            commits >= every.max(1).max(hint.size / ACTIONS_A_COMMIT) || (commits > 0 && is_old);
        if is_due {
            let mut table = DeltaTable::new(self.log.clone());
            table.state = Some(snapshot.state);
            create_checkpoint(&table, None)
                .await
                .map_err(|e| self.delta_error(e))?;
        }
        Ok(is_due)
    }

    /// Writes a checkpoint if whoever opens the table next would have to read many entries: programs that come,
    /// commit and go,
    /// as imports do, have no housekeeping. A failure harms nothing.
    pub(crate) async fn checkpoint_at_open(&self) {
        let checkpointed = async {
            if self.snapshot().await?.version() < ENTRIES_AT_OPEN_MAX {
                return Ok(false);
            }
            self.checkpoint_if_due(ENTRIES_AT_OPEN_MAX, i64::MAX, Timestamp::from_nanos(0))
                .await
        };
        if let Err(error) = checkpointed.await {
            tracing::warn!(table = self.schema().name, %error, "writing a checkpoint failed, opening the table takes longer");
        }
    }

    /// Deletes entries older than `retention_ms` that a checkpoint has made needless, and checkpoints that newer ones
    /// have.
    pub(super) async fn clean_log(
        &self,
        retention_ms: i64,
        now: Timestamp,
    ) -> Result<u64, LakeError> {
        let mut index = self.index.lock().await;
        self.list_onward(&mut index).await?;
        let now_ms = now.micros() / 1000;
        let safe = index
            .checkpoints
            .iter()
            .rfind(|(_, checkpoint)| checkpoint.holds_ms < now_ms - retention_ms);
        let safe = safe.map(|(version, _)| *version);
        let mut doomed = Vec::new();
        if let (Some(safe), Some(oldest)) = (safe, index.oldest) {
            doomed.extend(
                (oldest..safe).map(|version| Path::from(format!("_delta_log/{version:020}.json"))),
            );
        }
        let needless = needless(
            &index.checkpoints,
            safe,
            retention_ms / KEPT_IN_RETENTION,
            now_ms - OPENING_MS,
        );
        for version in &needless {
            doomed.extend(
                index
                    .checkpoints
                    .get(version)
                    .into_iter()
                    .flat_map(|found| found.files.iter().cloned()),
            );
        }
        let deleted = self.delete_all(doomed).await?;
        index.oldest = index.oldest.max(safe);
        index
            .checkpoints
            .retain(|version, _| !needless.contains(version));
        Ok(deleted)
    }

    /// Adds what has come since the last time.
    async fn list_onward(&self, index: &mut LogIndex) -> Result<(), LakeError> {
        let folder = Path::from("_delta_log");
        let from = index.listed_to.saturating_sub(LISTED_AGAIN);
        let mut listed = match index.listed_to {
            0 => self.store().list(Some(&folder)),
            _ => self
                .store()
                .list_with_offset(Some(&folder), &Path::from(format!("_delta_log/{from:020}"))),
        };
        let mut entries = HashMap::new();
        while let Some(object) = listed.try_next().await? {
            let Some((version, kind)) = file_of_log(&object) else {
                continue;
            };
            index.listed_to = index.listed_to.max(version);
            let time = object.last_modified.timestamp_millis();
            match kind {
                LogFile::Entry => {
                    entries.insert(version, time);
                }
                LogFile::Checkpoint => {
                    let checkpoint = index.checkpoints.entry(version).or_default();
                    checkpoint.written_ms = checkpoint.written_ms.max(time);
                    checkpoint.holds_ms = checkpoint.written_ms;
                    if !checkpoint.files.contains(&object.location) {
                        checkpoint.files.push(object.location);
                    }
                }
            }
        }
        for (version, checkpoint) in &mut index.checkpoints {
            let needless = version
                .checked_sub(1)
                .and_then(|before| entries.get(&before));
            checkpoint.holds_ms = needless.copied().unwrap_or(checkpoint.holds_ms);
        }
        index.oldest = index.oldest.or(entries.keys().min().copied());
        Ok(())
    }

    async fn delete_all(&self, doomed: Vec<Path>) -> Result<u64, LakeError> {
        let locations = futures::stream::iter(doomed.into_iter().map(Ok)).boxed();
        let mut deleted = 0;
        let mut outcomes = self.store().delete_stream(locations);
        while let Some(outcome) = outcomes.next().await {
            match outcome {
                Ok(_) => deleted += 1,
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(deleted)
    }
}

/// The checkpoints that nobody needs: those below `safe`; and those that a newer one, written before `settled_ms`,
/// has replaced,
/// but for one in each `spacing_ms`.
fn needless(
    checkpoints: &BTreeMap<Version, Checkpoint>,
    safe: Option<Version>,
    spacing_ms: i64,
    settled_ms: i64,
) -> Vec<Version> {
    let replaced = checkpoints
        .iter()
        .rfind(|(_, found)| found.written_ms < settled_ms)
        .map(|(version, _)| *version);
    let mut last_kept = None;
    let mut needless = Vec::new();
    for (version, checkpoint) in checkpoints {
        let is_expired = safe.is_some_and(|safe| *version < safe);
        let is_replaced = replaced.is_some_and(|replaced| *version < replaced);
        let is_spaced = last_kept.is_none_or(|kept| checkpoint.holds_ms - kept >= spacing_ms);
        if is_expired || (is_replaced && !is_spaced) {
            needless.push(*version);
        } else {
            last_kept = Some(checkpoint.holds_ms);
        }
    }
    needless
}

enum LogFile {
    Entry,
    Checkpoint,
}

/// What a file of the log is, by its name.
fn file_of_log(object: &ObjectMeta) -> Option<(Version, LogFile)> {
    let (version, rest) = object.location.filename()?.split_at_checked(20)?;
    let version = version.parse().ok()?;
    match rest {
        ".json" => Some((version, LogFile::Entry)),
        _ if rest.starts_with(".checkpoint.") => Some((version, LogFile::Checkpoint)),
        _ => None,
    }
}
