//! A local folder as an object store, as durable as the spool (E10).
//!
//! A put is: temporary file written and synced, linked or renamed to its name, folder synced (`disk`).
//! `object_store`'s own
//! local store never syncs, so a power cut could leave a Delta commit that names files which are not there.
//! Reading, listing and deleting are left to that store.

mod disk;
mod medium;
#[cfg(test)]
mod tests;
mod upload;

use std::{fmt, io, ops::Range, path::Path as FsPath, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    local::LocalFileSystem, path::Path,
};

use self::disk::Existing;
pub(crate) use self::{
    disk::Disk,
    medium::{Medium, OsMedium},
};

const NAME: &str = "synced local store";

/// Prefix of files that are being written; a leftover of a crash is never read and may be deleted.
pub(crate) const TEMPORARY_PREFIX: &str = ".forebay-writing-";

/// A folder whose puts are synced before they are visible.
#[derive(Debug, Clone)]
pub struct SyncedLocalStore {
    disk: Arc<Disk>,
    inner: Arc<LocalFileSystem>,
}

impl SyncedLocalStore {
    /// Opens a folder, creating it where it is missing. Paths are relative to it.
    ///
    /// # Errors
    /// When the folder cannot be created or is not a folder.
    pub fn open(folder: &FsPath) -> Result<Self> {
        let disk =
            Disk::open(folder, Box::new(OsMedium)).map_err(|source| generic(folder, source))?;
        let inner = LocalFileSystem::new_with_prefix(disk.home())?;
        Ok(Self {
            disk: Arc::new(disk),
            inner: Arc::new(inner),
        })
    }

    /// As [`SyncedLocalStore::open`], but paths are absolute, as the Delta library has them in URLs.
    pub(crate) fn with_absolute_paths(folder: &FsPath, medium: Box<dyn Medium>) -> Result<Self> {
        let disk = Disk::open(folder, medium).map_err(|source| generic(folder, source))?;
        Ok(Self {
            disk: Arc::new(disk),
            inner: Arc::new(LocalFileSystem::new()),
        })
    }

    /// The folder that was opened, absolute and without links.
    pub(crate) fn folder(&self) -> &FsPath {
        self.disk.home()
    }

    /// What does the work.
    pub(crate) fn disk(&self) -> &Arc<Disk> {
        &self.disk
    }
}

impl fmt::Display for SyncedLocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{NAME} at {}", self.folder().display())
    }
}

pub(crate) fn generic(path: &FsPath, source: io::Error) -> object_store::Error {
    let source = io::Error::new(source.kind(), format!("{}: {source}", path.display()));
    object_store::Error::Generic {
        store: NAME,
        source: Box::new(source),
    }
}

#[async_trait]
impl ObjectStore for SyncedLocalStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let existing = match options.mode {
            PutMode::Create => Existing::Keep,
            PutMode::Overwrite => Existing::Replace,
            PutMode::Update(_) => {
                return Err(object_store::Error::NotImplemented {
                    operation: "conditional replacement".into(),
                    implementer: NAME.into(),
                });
            }
        };
        let target = self.inner.path_to_filesystem(location)?;
        let (disk, written_to) = (self.disk.clone(), target.clone());
        let written =
            tokio::task::spawn_blocking(move || disk.put(&written_to, &payload, existing)).await?;
        match written {
            Ok(()) => Ok(PutResult {
                e_tag: None,
                version: None,
            }),
            Err(source) if source.kind() == io::ErrorKind::AlreadyExists => {
                Err(object_store::Error::AlreadyExists {
                    path: location.to_string(),
                    source: Box::new(source),
                })
            }
            Err(source) => Err(generic(&target, source)),
        }
    }

    /// Ours put files whole; the Delta library writes a checkpoint above 10 MiB in parts.
    async fn put_multipart_opts(
        &self,
        location: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let target = self.inner.path_to_filesystem(location)?;
        Ok(Box::new(
            upload::SyncedUpload::begin(self.disk.clone(), target).await?,
        ))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    /// Looks at no file before the offset: a log of many entries is listed from its newest ones.
    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(object_store::Error::NotImplemented {
            operation: "copy".into(),
            implementer: NAME.into(),
        })
    }
}
