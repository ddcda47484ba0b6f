//! One Delta table of the lake: created once, opened with its format checked, read as snapshots.

use std::{path::Path, sync::Arc};

use deltalake_core::{
    DeltaTableError,
    kernel::{Add, Version},
    logstore::{LogStoreRef, StorageConfig, default_logstore},
    operations::create::CreateBuilder,
    table::state::DeltaTableState,
};
use forebay_schemas::table::{TABLE_FORMAT_VERSION, Table};
use object_store::{ObjectStore, prefix::PrefixStore};
use url::Url;

use crate::{LakeError, local_store::SyncedLocalStore, schema::delta_fields};

/// The table property that carries [`TABLE_FORMAT_VERSION`].
const FORMAT_PROPERTY: &str = "forebay.formatVersion";

/// Where a lake lies.
#[derive(Debug, Clone)]
pub struct Lake {
    root: Arc<dyn ObjectStore>,
    /// The store that a URL's whole path leads into, as the Delta library wants it.
    of_url: Arc<dyn ObjectStore>,
    url: Url,
}

impl Lake {
    /// Opens a lake in a local folder, creating the folder where it is missing.
    ///
    /// # Errors
    /// [`LakeError::Location`] or [`LakeError::Store`] when there can be no lake.
    pub fn local(folder: &Path) -> Result<Self, LakeError> {
        Self::with_root(folder, Arc::new(SyncedLocalStore::open(folder)?))
    }

    /// `root` holds what lies in `folder`.
    pub(crate) fn with_root(folder: &Path, root: Arc<dyn ObjectStore>) -> Result<Self, LakeError> {
        let location = |why: &str| LakeError::Location { location: folder.display().to_string(), why: why.into() };
        let absolute = folder.canonicalize().map_err(|error| location(&error.to_string()))?;
        let url = Url::from_directory_path(absolute).map_err(|()| location("not an absolute path"))?;
        Ok(Self { root, of_url: Arc::new(SyncedLocalStore::open(Path::new("/"))?), url })
    }

    /// Opens a table, creating it where it is missing.
    ///
    /// # Errors
    /// [`LakeError::NewerFormat`] and [`LakeError::Foreign`] for a table that this release must not touch.
    pub async fn table(&self, table: &'static Table) -> Result<LakeTable, LakeError> {
        let store: Arc<dyn ObjectStore> = Arc::new(PrefixStore::new(self.root.clone(), table.name));
        let url = self
            .url
            .join(&format!("{}/", table.name))
            .map_err(|error| LakeError::Location { location: self.url.to_string(), why: error.to_string() })?;
        let log = default_logstore(store.clone(), self.of_url.clone(), &url, &StorageConfig::default());
        let opened = LakeTable { table, store, log };
        if !opened.exists().await? {
            opened.create().await?;
        }
        opened.snapshot().await?;
        Ok(opened)
    }
}

/// One table of a lake.
#[derive(Clone)]
pub struct LakeTable {
    pub(crate) table: &'static Table,
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) log: LogStoreRef,
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
        let state = DeltaTableState::try_new(self.log.as_ref(), None).await.map_err(|e| self.delta_error(e))?;
        self.check_format(&state)?;
        Ok(Snapshot { state, log: self.log.clone(), table: self.table })
    }

    pub(crate) fn delta_error(&self, source: DeltaTableError) -> LakeError {
        LakeError::Delta { table: self.table.name, source: Box::new(source) }
    }

    async fn exists(&self) -> Result<bool, LakeError> {
        self.log.is_delta_table_location().await.map_err(|e| self.delta_error(e))
    }

    async fn create(&self) -> Result<(), LakeError> {
        let created = CreateBuilder::new()
            .with_log_store(self.log.clone())
            .with_table_name(self.table.name)
            .with_columns(delta_fields(self.table))
            .with_partition_columns(self.table.partition_columns().iter().map(|c| c.name))
            .with_configuration([(FORMAT_PROPERTY, Some(TABLE_FORMAT_VERSION.to_string()))])
            .with_raise_if_key_not_exists(false)
            .await;
        match created {
            Ok(_) => Ok(()),
            // Two may create it at once, or the error came after success (E7): what counts is that it is there.
            Err(_) if self.exists().await? => Ok(()),
            Err(error) => Err(self.delta_error(error)),
        }
    }

    fn check_format(&self, state: &DeltaTableState) -> Result<(), LakeError> {
        let table = self.table.name;
        let Some(found) = state.metadata().configuration().get(FORMAT_PROPERTY) else {
            return Err(LakeError::Foreign { table, why: format!("it has no property {FORMAT_PROPERTY}") });
        };
        match found.parse::<u32>() {
            Ok(version) if version <= TABLE_FORMAT_VERSION => Ok(()),
            _ => Err(LakeError::NewerFormat { table, found: found.clone(), known: TABLE_FORMAT_VERSION }),
        }
    }
}

/// One version of a table.
#[derive(Clone)]
pub struct Snapshot {
    pub(crate) state: DeltaTableState,
    log: LogStoreRef,
    table: &'static Table,
}

impl Snapshot {
    /// Its version.
    pub fn version(&self) -> Version {
        self.state.version()
    }

    /// The Add actions of all its active files.
    #[expect(deprecated, reason = "the arrays that the deprecation points to leave out tags")]
    pub fn files(&self) -> Vec<Add> {
        self.state.log_data().iter().map(|file| file.add_action()).collect()
    }

    /// The state of a stream: the version of its application transaction; `None` before its first commit.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn state_of(&self, app_id: &str) -> Result<Option<i64>, LakeError> {
        self.state
            .snapshot()
            .transaction_version(self.log.as_ref(), app_id)
            .await
            .map_err(|source| LakeError::Delta { table: self.table.name, source: Box::new(source) })
    }
}
