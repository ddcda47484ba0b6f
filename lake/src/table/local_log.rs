//! Whether what is read of a local log may be acted on (E10).
//!
//! An entry is visible once it is linked, and durable once its folder is synced. Between the two its writer may fail or be
//! killed; whoever then found the entry and let a spool forget its readings would lose them with a power cut. So a writer
//! believes a version only after a sync of its own that came after reading it.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use deltalake_core::kernel::Version;
use tokio::task::spawn_blocking;

use crate::{
    LakeError,
    store::local::{Disk, generic},
};

/// The log of one table in a folder.
#[derive(Debug)]
pub(crate) struct LocalLog {
    disk: Arc<Disk>,
    folder: PathBuf,
    /// Who only reads acts on nothing.
    is_written: AtomicBool,
    /// The newest version that is known to be durable.
    durable: Mutex<Option<Version>>,
}

impl LocalLog {
    pub(super) fn new(disk: Arc<Disk>, folder: PathBuf) -> Self {
        Self {
            disk,
            folder,
            is_written: AtomicBool::default(),
            durable: Mutex::default(),
        }
    }

    /// Whether the disk is full.
    pub(crate) fn is_short_of_room(&self) -> bool {
        self.disk.is_short()
    }

    /// From now on what is read is acted on.
    pub(crate) fn for_writing(&self) {
        self.is_written.store(true, Ordering::SeqCst);
    }

    /// After an error nothing that is found counts before the next sync.
    pub(crate) fn doubt(&self) {
        *self.durable() = None;
    }

    /// A commit has synced this version.
    pub(crate) fn committed(&self, version: Version) {
        *self.durable() = Some(version);
    }

    /// Makes a version that was read durable, if it is not known to be.
    pub(super) async fn believe(&self, version: Version) -> Result<(), LakeError> {
        if !self.is_written.load(Ordering::SeqCst) || *self.durable() == Some(version) {
            return Ok(());
        }
        let (disk, folder) = (self.disk.clone(), self.folder.clone());
        let synced = spawn_blocking(move || disk.sync_folder(&folder))
            .await
            .map_err(object_store::Error::from)?;
        synced.map_err(|source| generic(&self.folder, source))?;
        *self.durable() = Some(version);
        Ok(())
    }

    fn durable(&self) -> std::sync::MutexGuard<'_, Option<Version>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
