//! A file that comes in parts: written beside its name, synced, then renamed.

use std::{
    fs, io,
    os::unix::fs::FileExt as _,
    path::PathBuf,
    sync::{Arc, atomic::AtomicU64},
};

use async_trait::async_trait;
use object_store::{MultipartUpload, PutPayload, PutResult, Result, UploadPart};
use tokio::task::spawn_blocking;

use super::{create_folders_synced, create_temporary, generic, sync_folder};

/// An upload under way. Dropped without an end it leaves its temporary file, which a vacuum deletes.
#[derive(Debug)]
pub(super) struct SyncedUpload {
    target: PathBuf,
    temporary: PathBuf,
    file: Arc<fs::File>,
    /// Where the next part begins.
    offset: u64,
}

impl SyncedUpload {
    pub(super) async fn begin(root: PathBuf, target: PathBuf, numbers: Arc<AtomicU64>) -> Result<Self> {
        let folder = target.parent().unwrap_or(&root).to_owned();
        let created = spawn_blocking(move || {
            create_folders_synced(&root, &folder)?;
            create_temporary(&folder, &numbers)
        });
        let (temporary, file) = created.await?.map_err(|source| generic(&target, source))?;
        Ok(Self { target, temporary, file: Arc::new(file), offset: 0 })
    }
}

#[async_trait]
impl MultipartUpload for SyncedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (file, target, mut at) = (self.file.clone(), self.target.clone(), self.offset);
        self.offset += data.content_length() as u64;
        Box::pin(async move {
            let written = spawn_blocking(move || -> io::Result<()> {
                for part in &data {
                    file.write_all_at(part, at)?;
                    at += part.len() as u64;
                }
                Ok(())
            });
            written.await?.map_err(|source| generic(&target, source))
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let (file, temporary, target) = (self.file.clone(), self.temporary.clone(), self.target.clone());
        let completed = spawn_blocking(move || {
            file.sync_all()?;
            fs::rename(&temporary, &target)?;
            target.parent().map_or(Ok(()), sync_folder)
        });
        completed.await?.map_err(|source| generic(&self.target, source))?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn abort(&mut self) -> Result<()> {
        let temporary = self.temporary.clone();
        spawn_blocking(move || fs::remove_file(temporary)).await?.map_err(|source| generic(&self.target, source))
    }
}
