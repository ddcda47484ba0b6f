//! A file that comes in parts: written beside its name, synced, then renamed.

use std::{
    fs,
    path::{Path as FsPath, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use object_store::{MultipartUpload, PutPayload, PutResult, Result, UploadPart};
use tokio::task::spawn_blocking;

use super::{disk::Disk, generic};

/// An upload under way. Dropped without an end it leaves its temporary file, which a vacuum deletes.
#[derive(Debug)]
pub(super) struct SyncedUpload {
    disk: Arc<Disk>,
    target: PathBuf,
    temporary: PathBuf,
    file: Arc<fs::File>,
    /// Where the next part begins.
    offset: u64,
}

impl SyncedUpload {
    pub(super) async fn begin(disk: Arc<Disk>, target: PathBuf) -> Result<Self> {
        let (of_task, beside) = (disk.clone(), target.clone());
        let create =
            move |beside: &FsPath| of_task.with_room(beside, || of_task.create_temporary(beside));
        let created = spawn_blocking(move || create(&beside));
        let (temporary, file) = created.await?.map_err(|source| generic(&target, source))?;
        Ok(Self {
            disk,
            target,
            temporary,
            file: Arc::new(file),
            offset: 0,
        })
    }
}

#[async_trait]
impl MultipartUpload for SyncedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (disk, file, target, at) = (
            self.disk.clone(),
            self.file.clone(),
            self.target.clone(),
            self.offset,
        );
        self.offset += data.content_length() as u64;
        Box::pin(async move {
            let beside = target.clone();
            let written = spawn_blocking(move || disk.write(&beside, &file, &data, at));
            written.await?.map_err(|source| generic(&target, source))
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let (disk, file) = (self.disk.clone(), self.file.clone());
        let (temporary, target) = (self.temporary.clone(), self.target.clone());
        let completed = spawn_blocking(move || disk.finish(&file, &temporary, &target));
        completed
            .await?
            .map_err(|source| generic(&self.target, source))?;
        Ok(PutResult {
            e_tag: None,
            version: None,
        })
    }

    async fn abort(&mut self) -> Result<()> {
        let temporary = self.temporary.clone();
        spawn_blocking(move || fs::remove_file(temporary))
            .await?
            .map_err(|source| generic(&self.target, source))
    }
}
