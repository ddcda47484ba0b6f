//! Deleting files that no version within the retention needs (E8).
//!
//! Invariants: a data file is deleted only when the newest version does not have it, its Remove, if the log still has
//! one, is older than the retention, and the store has had it for longer than the retention. The cut-off is committed
//! first, so that an attempt with older files, which may land after this listing, is refused. Only names that this
//! program gives are touched. The store's clock counts where ours runs
//! ahead of it.

use std::collections::{HashMap, HashSet};

use forebay_schemas::Timestamp;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::{ObjectMeta, ObjectStoreExt as _, PutPayload, path::Path};

use super::{MaintainPolicy, RETENTION_MIN, ms};
use crate::{
    LakeError, LakeTable, LakeWriter, Snapshot,
    store::local::TEMPORARY_PREFIX,
    table::change::{Change, Purpose, Transaction},
    table::commit::VACUUM_APP_ID,
    table::stored::is_data_name,
};

/// Folders that hold no data files.
const LOG_FOLDER: &str = "_delta_log";
const STATE_FOLDER: [&str; 2] = ["_forebay", "state"];

/// An empty object that is written to see how the store dates it.
const CLOCK: [&str; 2] = ["_forebay", "clock"];

impl LakeTable {
    /// Deletes what is old enough, if the last vacuum is; answers how many objects.
    pub(super) async fn vacuum_if_due(
        &self,
        lake: &LakeWriter,
        policy: &MaintainPolicy,
        now: Timestamp,
    ) -> Result<Option<u64>, LakeError> {
        let retention_ms = ms(policy.file_retention.max(RETENTION_MIN));
        let now_ms = now.micros() / 1000;
        let last = self.snapshot().await?.state_of(VACUUM_APP_ID).await?;
        // One from the future is due to a clock that was wrong then.
        let is_short_of_room = self
            .local
            .as_ref()
            .is_some_and(|local| local.is_short_of_room());
        let every = ms(if is_short_of_room {
            RETENTION_MIN
        } else {
            policy.vacuum_every()
        });
        if last.is_some_and(|last| {
            last <= now_ms && now_ms - retention_ms < last.saturating_add(every)
        }) {
            return Ok(None);
        }
        let cut_off = now_ms.min(self.store_time().await?) - retention_ms;
        let announcement = Change {
            id: lake.id()?,
            purpose: Purpose::Vacuum { retention_ms },
            transactions: vec![Transaction {
                app_id: VACUUM_APP_ID.to_owned(),
                from_state: last,
                to_state: cut_off,
            }],
            adds: Vec::new(),
            removes: Vec::new(),
        };
        match self.commit_change(&announcement).await {
            Ok(_) => self
                .vacuum(&self.snapshot().await?, cut_off)
                .await
                .map(Some),
            // Another program vacuums just now.
            Err(LakeError::Fenced { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The store's clock, in ms since 1970 UTC: it dates the files.
    async fn store_time(&self) -> Result<i64, LakeError> {
        let clock = Path::from_iter(CLOCK);
        self.store().put(&clock, PutPayload::default()).await?;
        Ok(self
            .store()
            .head(&clock)
            .await?
            .last_modified
            .timestamp_millis())
    }

    /// Deletes what is older than `cut_off`, in ms since 1970 UTC, and not needed by this snapshot.
    async fn vacuum(&self, snapshot: &Snapshot, cut_off: i64) -> Result<u64, LakeError> {
        // By name: names are unique, and a path may be encoded in several ways.
        let mut keep: HashSet<String> = snapshot.paths().iter().map(|path| name_of(path)).collect();
        let mut tombstones = snapshot.state.all_tombstones(self.log.as_ref());
        while let Some(tombstone) = tombstones
            .try_next()
            .await
            .map_err(|e| self.delta_error(e))?
        {
            // 0 stands for none, which other writers may leave out: such a file is kept until the log forgets it.
            if tombstone
                .deletion_timestamp()
                .is_none_or(|at| at == 0 || at >= cut_off)
            {
                keep.insert(name_of(&tombstone.path()));
            }
        }
        drop(tombstones);

        let mut states = HashMap::new();
        let mut doomed = Vec::new();
        let mut listed = self.store().list(None);
        while let Some(object) = listed.try_next().await? {
            if object.last_modified.timestamp_millis() >= cut_off {
                continue;
            }
            let needless = match state_object(&object) {
                Some((app_id, number)) => {
                    number < self.current_state(snapshot, app_id, &mut states).await?
                }
                None => is_needless(&object, &keep),
            };
            if needless {
                doomed.push(object.location);
            }
        }
        drop(listed);
        let locations = futures::stream::iter(doomed.into_iter().map(Ok)).boxed();
        let mut deleted = 0;
        let mut outcomes = self.store().delete_stream(locations);
        while let Some(outcome) = outcomes.next().await {
            match outcome {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => deleted += 1,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(deleted)
    }

    /// The number of the state that counts; 0, so that none is deleted, for a stream that has committed nothing.
    async fn current_state(
        &self,
        snapshot: &Snapshot,
        app_id: String,
        known: &mut HashMap<String, i64>,
    ) -> Result<i64, LakeError> {
        if let Some(number) = known.get(&app_id) {
            return Ok(*number);
        }
        let number = snapshot.state_of(&app_id).await?.unwrap_or(0);
        known.insert(app_id, number);
        Ok(number)
    }
}

/// A stream and a number, if the object is a state.
fn state_object(object: &ObjectMeta) -> Option<(String, i64)> {
    let parts: Vec<_> = object
        .location
        .parts()
        .map(|part| part.as_ref().to_owned())
        .collect();
    let [first, second, app_id, number] = parts.as_slice() else {
        return None;
    };
    ([first.as_str(), second.as_str()] == STATE_FOLDER)
        .then_some((app_id.clone(), number.parse().ok()?))
}

/// Whether the object is a data file that nothing names, or what a crash has left of a file being written.
fn is_needless(object: &ObjectMeta, keep: &HashSet<String>) -> bool {
    let name = object.location.filename().unwrap_or_default();
    let in_log = object
        .location
        .parts()
        .next()
        .is_some_and(|part| part.as_ref() == LOG_FOLDER);
    name.starts_with(TEMPORARY_PREFIX) || (!in_log && is_data_name(name) && !keep.contains(name))
}

fn name_of(path: &str) -> String {
    path.rsplit('/').next().unwrap_or_default().to_owned()
}
