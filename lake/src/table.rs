//! One Delta table of the lake: created once, opened with its format checked, read as snapshots.

pub(crate) mod change;
pub(crate) mod commit;
pub(crate) mod lake_writer;
mod local_log;
pub(crate) mod log_entry;
pub(crate) mod log_index;
mod objects;
pub(crate) mod site_keys;
mod snapshot;
pub(crate) mod state;
pub(crate) mod stored;
#[cfg(test)]
mod tests;
mod transactions;

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use deltalake_core::{
    DeltaTableError,
    kernel::transaction::CommitProperties,
    logstore::{LogStoreRef, StorageConfig, default_logstore},
    operations::create::CreateBuilder,
};
use forebay_schemas::table::{TABLE_FORMAT_VERSION, TABLES, Table};
use object_store::{ObjectStore, prefix::PrefixStore};
use url::Url;
use uuid::Uuid;

use crate::{
    LakeError,
    file::schema::delta_fields,
    store::local::{Disk, OsMedium, SyncedLocalStore},
    store::s3::{S3Settings, check_creation},
};

use local_log::LocalLog;
use log_index::LogIndex;
pub use snapshot::Snapshot;
pub(crate) use transactions::{CheckpointHint, last_checkpoint};

/// The table property that carries [`TABLE_FORMAT_VERSION`].
const FORMAT_PROPERTY: &str = "forebay.formatVersion";

/// Properties that other engines heed. `setTransactionRetentionDuration` must never be among them: the streams'
/// states are application transactions, and an expired one would be read as "nothing taken yet".
const PROPERTIES: [(&str, &str); 3] = [
    ("delta.checkpointInterval", "100"),
    ("delta.logRetentionDuration", "interval 30 days"),
    ("delta.deletedFileRetentionDuration", "interval 7 days"),
];

/// Where a lake is to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A local folder.
    Folder(std::path::PathBuf),
    /// A bucket, or a part of one.
    S3(Box<S3Settings>),
}

/// Where a lake lies.
#[derive(Debug, Clone)]
pub struct Lake {
    root: Arc<dyn ObjectStore>,
    /// The store that a URL's whole path leads into, as the Delta library wants it.
    of_url: Arc<dyn ObjectStore>,
    url: Url,
    /// The lake in a bucket and its endpoint, for errors; none for a folder, where a name is taken by a hard link.
    bucket: Option<String>,
    /// The folder that it lies in, if it does not lie in a bucket.
    disk: Option<Arc<Disk>>,
}

impl Lake {
    /// Opens a lake wherever it lies.
    ///
    /// # Errors
    /// As [`Lake::local`] and [`Lake::s3`].
    pub async fn open(location: &Location) -> Result<Self, LakeError> {
        match location {
            Location::Folder(folder) => Self::local(folder),
            Location::S3(settings) => Self::s3(settings).await,
        }
    }

    /// Opens a lake in a local folder, creating the folder where it is missing.
    ///
    /// # Errors
    /// [`LakeError::Location`] or [`LakeError::Store`] when there can be no lake.
    pub fn local(folder: &Path) -> Result<Self, LakeError> {
        let store = SyncedLocalStore::with_absolute_paths(folder, Box::new(OsMedium))?;
        let disk = store.disk().clone();
        Self::on_disk(Arc::new(store), disk)
    }

    /// Opens a lake in an S3 bucket, after asking whether the bucket is there.
    ///
    /// # Errors
    /// [`LakeError::Location`] for settings, credentials or a bucket that are wrong, [`LakeError::Unreachable`] when
    /// the endpoint does not answer.
    pub async fn s3(settings: &S3Settings) -> Result<Self, LakeError> {
        let (bucket, prefix, url) = settings.open().await?;
        let root = Arc::new(PrefixStore::new(bucket.clone(), prefix));
        Ok(Self {
            root,
            of_url: bucket,
            url,
            bucket: Some(settings.to_string()),
            disk: None,
        })
    }

    /// Refuses a store on which two writers would overwrite each other's commits (E7). `id` is random.
    pub(crate) async fn check_creation(&self, id: Uuid) -> Result<(), LakeError> {
        match &self.bucket {
            Some(location) => check_creation(self.root.as_ref(), location, id).await,
            None => Ok(()),
        }
    }

    /// In a disk's folder. `store` takes absolute paths, as URLs have them.
    pub(crate) fn on_disk(store: Arc<dyn ObjectStore>, disk: Arc<Disk>) -> Result<Self, LakeError> {
        let folder = disk.home();
        let location = |why: &str| LakeError::Location {
            location: folder.display().to_string(),
            why: why.into(),
        };
        let url =
            Url::from_directory_path(folder).map_err(|()| location("not an absolute path"))?;
        let prefix = object_store::path::Path::from_absolute_path(folder)
            .map_err(|e| location(&e.to_string()))?;
        let root = Arc::new(PrefixStore::new(store.clone(), prefix));
        Ok(Self {
            root,
            of_url: store,
            url,
            bucket: None,
            disk: Some(disk),
        })
    }

    /// Opens a table, creating it where it is missing.
    ///
    /// # Errors
    /// [`LakeError::NewerFormat`] and [`LakeError::Foreign`] for a table that this release must not touch.
    pub async fn table(&self, table: &'static Table) -> Result<LakeTable, LakeError> {
        let opened = self.place_of(table)?;
        if !opened.exists().await? {
            opened.create().await?;
        }
        opened.snapshot().await?;
        Ok(opened)
    }

    /// The tables that are there; none is made.
    pub(crate) async fn tables_there(&self) -> Result<Vec<LakeTable>, LakeError> {
        let mut there = Vec::new();
        for table in TABLES {
            let table = self.place_of(table)?;
            if table.exists().await? {
                there.push(table);
            }
        }
        Ok(there)
    }

    /// A table, whether it is there or not.
    fn place_of(&self, table: &'static Table) -> Result<LakeTable, LakeError> {
        let store: Arc<dyn ObjectStore> = Arc::new(PrefixStore::new(self.root.clone(), table.name));
        let url = self
            .url
            .join(&format!("{}/", table.name))
            .map_err(|error| LakeError::Location {
                location: self.url.to_string(),
                why: error.to_string(),
            })?;
        let log = default_logstore(
            store.clone(),
            self.of_url.clone(),
            &url,
            &StorageConfig::default(),
        );
        let local = self.disk.as_ref().map(|disk| {
            let folder = disk.home().join(table.name).join("_delta_log");
            Arc::new(LocalLog::new(disk.clone(), folder))
        });
        let (newest, turn, index) = Default::default();
        Ok(LakeTable {
            table,
            store,
            log,
            local,
            newest,
            turn,
            index,
        })
    }
}

/// One table of a lake.
#[derive(Clone)]
pub struct LakeTable {
    pub(crate) table: &'static Table,
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) log: LogStoreRef,
    /// Of a table in a folder: whether what is read of its log is durable.
    pub(crate) local: Option<Arc<LocalLog>>,
    /// The newest version that was read here, from which the next is read onward.
    newest: Arc<Mutex<Option<Snapshot>>>,
    /// Whose turn it is to commit. Writers of one process would only get in each other's way, and under load one of many
    /// could lose again and again.
    pub(crate) turn: Arc<tokio::sync::Mutex<()>>,
    /// What is known of the log's files, for cleaning it.
    pub(crate) index: Arc<tokio::sync::Mutex<LogIndex>>,
}

impl LakeTable {
    /// Its columns.
    pub fn schema(&self) -> &'static Table {
        self.table
    }

    /// The store that holds its files; paths are relative to the table.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// The newest version of the table.
    ///
    /// # Errors
    /// As [`Lake::table`].
    pub async fn snapshot(&self) -> Result<Snapshot, LakeError> {
        let newest = self
            .newest
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let onward = match newest {
            Some(newest) => newest.onward().await.ok(),
            None => None,
        };
        let snapshot = match onward {
            Some(snapshot) => snapshot,
            // Also after an error: another program may have cleaned up the log behind what was kept.
            None => Snapshot::load(self.table, self.log.clone()).await?,
        };
        snapshot.check_format()?;
        if let Some(local) = &self.local {
            local.believe(snapshot.version()).await?;
        }
        self.keep(&snapshot);
        Ok(snapshot)
    }

    /// From now on what is read of the table is acted on, so it is made durable first (E10).
    pub(crate) fn for_writing(&self) {
        if let Some(local) = &self.local {
            local.for_writing();
        }
    }

    /// Reads the next version from the log's last checkpoint on.
    pub(crate) fn forget_newest(&self) {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Goes on from this version next time.
    pub(crate) fn keep(&self, snapshot: &Snapshot) {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(snapshot.clone());
    }

    pub(crate) fn delta_error(&self, source: DeltaTableError) -> LakeError {
        snapshot::delta_error(self.table, source)
    }

    async fn exists(&self) -> Result<bool, LakeError> {
        self.log
            .is_delta_table_location()
            .await
            .map_err(|e| self.delta_error(e))
    }

    async fn create(&self) -> Result<(), LakeError> {
        let format = TABLE_FORMAT_VERSION.to_string();
        let created = CreateBuilder::new()
            .with_log_store(self.log.clone())
            .with_table_name(self.table.name)
            .with_columns(delta_fields(self.table))
            .with_partition_columns(self.table.partition_columns().iter().map(|c| c.name))
            .with_configuration(PROPERTIES.map(|(name, value)| (name, Some(value))))
            .with_configuration([(FORMAT_PROPERTY, Some(format))])
            .with_raise_if_key_not_exists(false)
            // With retries, an answer that got lost would make a second entry with another table id.
            .with_commit_properties(
                CommitProperties::default()
                    .with_max_retries(0)
                    .with_create_checkpoint(false),
            )
            .await;
        match created {
            Ok(_) => Ok(()),
            // Two may create it at once, or the error came after success (E7): what counts is that it is there.
            Err(_) if self.exists().await? => Ok(()),
            Err(error) => Err(self.delta_error(error)),
        }
    }
}
