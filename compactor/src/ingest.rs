//! From batches of readings to one commit: files first, then the state object, then the log entry that makes both count.

use std::sync::Arc;

use forebay_lake::{
    Attempt, LakeError, LakeTable, StateKeeper, StreamState,
    keys::{FileKeyring, KeyEncrypter, Random, TABLE_KEY, random_bytes, site_key_name},
    parquet_file::{FileLayout, Profile, write_file},
    partition_rows, readings_partition,
};
use forebay_schemas::{SiteId, Timestamp, wire::ReadingBatch};
use uuid::Uuid;

/// Whether the tables' files are sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sealed {
    /// Profile `columns`.
    Columns,
    /// Profile `none`: everything lies in clear.
    None,
}

/// What it takes to commit readings.
pub struct Ingest {
    /// The `readings` table.
    pub readings: LakeTable,
    /// The `quarantine` table.
    pub quarantine: LakeTable,
    /// Names streams and keeps their states.
    pub keeper: StateKeeper,
    /// The master keys.
    pub keyring: Arc<FileKeyring>,
    /// Makes the files' keys.
    pub encrypter: KeyEncrypter,
    /// The profile of new files.
    pub sealed: Sealed,
    /// The source of ids and nonces.
    pub random: Random,
}

/// One step of a stream, to be committed at once.
pub struct Step<'a> {
    /// The stream and partition, as [`StateKeeper::app_id`] names them.
    pub app_id: &'a str,
    /// The state that the step was built from.
    pub from_state: Option<i64>,
    /// The state after it.
    pub state: &'a StreamState,
    /// The readings that lead from the one to the other.
    pub batches: &'a [ReadingBatch],
}

impl Ingest {
    /// Commits a step and answers the number of the state that now counts.
    ///
    /// # Errors
    /// Nothing counts unless this succeeds, or the state in the table says so later.
    pub async fn commit(&self, step: Step<'_>, now: Timestamp) -> Result<i64, LakeError> {
        let mut adds = Vec::new();
        for partition in partition_rows(step.batches)? {
            let sealing = self.profile(Some(&partition.site))?.seal(&self.encrypter).await?;
            let folder = readings_partition(&partition);
            // Encoding is CPU-bound; the file is whole in memory, bounded by the step.
            let file = write_file(&partition.rows, sealing, &FileLayout::default())?;
            adds.push(self.readings.put_file(file, &folder, self.id()?, now).await?);
        }
        let to_state =
            self.keeper.store(&self.readings, step.app_id, step.from_state, step.state, &self.random).await?;
        let attempt =
            Attempt { id: self.id()?, app_id: step.app_id.to_owned(), from_state: step.from_state, to_state, adds };
        self.readings.commit(&attempt).await?;
        Ok(to_state)
    }

    /// Where a file's columns get their keys; a table without sites has one master key. A new site's is durable before
    /// it is used.
    pub(crate) fn profile(&self, site: Option<&SiteId>) -> Result<Profile, LakeError> {
        if self.sealed == Sealed::None {
            return Ok(Profile::None);
        }
        let table = self.keyring.current_id(TABLE_KEY)?;
        let site = match site {
            Some(site) => self.keyring.ensure(&site_key_name(site))?,
            None => table.clone(),
        };
        Ok(Profile::Columns { table, site })
    }

    /// A random id (RFC 9562, version 4).
    pub(crate) fn id(&self) -> Result<Uuid, LakeError> {
        Ok(uuid::Builder::from_random_bytes(random_bytes(&self.random)?).into_uuid())
    }
}
