//! A local folder as an object store, as durable as the spool (E10).
//!
//! A put is: temporary file written and synced, linked or renamed to its name, folder synced. `object_store`'s own
//! local store never syncs, so a power cut could leave a Delta commit that names files which are not there.
//! Reading, listing and deleting are left to that store.

mod upload;

use std::{
    fmt, fs, io,
    io::Write as _,
    ops::Range,
    path::{Path as FsPath, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, local::LocalFileSystem, path::Path,
};

const NAME: &str = "synced local store";

/// Prefix of files that are being written; a leftover of a crash is never read and may be deleted.
pub(crate) const TEMPORARY_PREFIX: &str = ".forebay-writing-";

/// A folder whose puts are synced before they are visible.
#[derive(Debug)]
pub struct SyncedLocalStore {
    root: PathBuf,
    inner: LocalFileSystem,
    temporaries: Arc<AtomicU64>,
}

impl SyncedLocalStore {
    /// Opens a folder, creating it where it is missing.
    ///
    /// # Errors
    /// When the folder cannot be created or is not a folder.
    pub fn open(root: &FsPath) -> Result<Self> {
        fs::create_dir_all(root).map_err(|source| generic(root, source))?;
        let root = root.canonicalize().map_err(|source| generic(root, source))?;
        let inner = LocalFileSystem::new_with_prefix(&root)?;
        Ok(Self { root, inner, temporaries: Arc::default() })
    }
}

impl fmt::Display for SyncedLocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{NAME} at {}", self.root.display())
    }
}

fn generic(path: &FsPath, source: io::Error) -> object_store::Error {
    let source = io::Error::new(source.kind(), format!("{}: {source}", path.display()));
    object_store::Error::Generic { store: NAME, source: Box::new(source) }
}

/// Creates the folders down to `folder` and syncs each one's parent, so that none is lost with a power cut.
fn create_folders_synced(root: &FsPath, folder: &FsPath) -> io::Result<()> {
    if folder == root || folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        create_folders_synced(root, parent)?;
        match fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => sync_folder(parent)?,
        }
    }
    Ok(())
}

fn sync_folder(folder: &FsPath) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

/// What becomes of an object that is already there.
#[derive(Clone, Copy)]
enum Existing {
    Keep,
    Replace,
}

/// A file of nobody else's. Another store may have this folder too, in a container where its process has the same id:
/// whoever wrote to its temporary file would write into what it commits.
fn create_temporary(folder: &FsPath, numbers: &AtomicU64) -> io::Result<(PathBuf, fs::File)> {
    loop {
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{TEMPORARY_PREFIX}{}-{number}", std::process::id()));
        match fs::File::create_new(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            created => return created.map(|file| (path, file)),
        }
    }
}

fn put_synced(
    root: &FsPath,
    target: &FsPath,
    numbers: &AtomicU64,
    payload: &PutPayload,
    existing: Existing,
) -> io::Result<()> {
    let folder = target.parent().unwrap_or(root);
    create_folders_synced(root, folder)?;
    let (temporary, mut file) = create_temporary(folder, numbers)?;
    let written = (|| {
        for part in payload {
            file.write_all(part)?;
        }
        file.sync_all()?;
        match existing {
            // A hard link fails when the name is taken, atomically; a rename would replace it.
            Existing::Keep => fs::hard_link(&temporary, target),
            Existing::Replace => fs::rename(&temporary, target),
        }
    })();
    // Once renamed, the name may be another's.
    let is_renamed = written.is_ok() && matches!(existing, Existing::Replace);
    if !is_renamed && temporary.exists() {
        fs::remove_file(&temporary)?;
    }
    written?;
    sync_folder(folder)
}

#[async_trait]
impl ObjectStore for SyncedLocalStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
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
        let (root, written_to) = (self.root.clone(), target.clone());
        let numbers = self.temporaries.clone();
        let written =
            tokio::task::spawn_blocking(move || put_synced(&root, &written_to, &numbers, &payload, existing)).await?;
        match written {
            Ok(()) => Ok(PutResult { e_tag: None, version: None }),
            Err(source) if source.kind() == io::ErrorKind::AlreadyExists => {
                Err(object_store::Error::AlreadyExists { path: location.to_string(), source: Box::new(source) })
            }
            Err(source) => Err(generic(&target, source)),
        }
    }

    /// Ours put files whole; the Delta library writes a checkpoint above 10 MiB in parts.
    async fn put_multipart_opts(&self, location: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let target = self.inner.path_to_filesystem(location)?;
        let numbers = self.temporaries.clone();
        Ok(Box::new(upload::SyncedUpload::begin(self.root.clone(), target, numbers).await?))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    /// Looks at no file before the offset: a log of many entries is listed from its newest ones.
    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(object_store::Error::NotImplemented { operation: "copy".into(), implementer: NAME.into() })
    }
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt as _;

    use super::*;

    #[tokio::test]
    async fn of_many_that_create_one_name_one_wins() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(SyncedLocalStore::open(folder.path()).unwrap());
        one_wins(folder.path(), &(0..8).map(|_| store.clone()).collect::<Vec<_>>()).await;
    }

    /// As the processes of two containers on one volume, which may have the same id.
    #[tokio::test]
    async fn stores_that_know_nothing_of_each_other_do_not_write_into_each_others_files() {
        for _ in 0..20 {
            let folder = tempfile::tempdir().unwrap();
            let open = |_| Arc::new(SyncedLocalStore::open(folder.path()).unwrap());
            one_wins(folder.path(), &(0..8).map(open).collect::<Vec<_>>()).await;
        }
    }

    async fn one_wins(folder: &FsPath, stores: &[Arc<SyncedLocalStore>]) {
        let at = Path::from("a/b/00000000000000000000.json");
        let puts = stores.iter().zip(0_u8..).map(|(store, n)| {
            let (store, at) = (store.clone(), at.clone());
            tokio::spawn(async move { (n, store.put_opts(&at, vec![n].into(), PutMode::Create.into()).await) })
        });
        let mut winner = None;
        for put in puts.collect::<Vec<_>>() {
            match put.await.unwrap() {
                (n, Ok(_)) => assert_eq!(winner.replace(n), None, "two writers created one object"),
                (_, Err(error)) => assert!(matches!(error, object_store::Error::AlreadyExists { .. }), "{error}"),
            }
        }
        let bytes = stores[0].get(&at).await.unwrap().bytes().await.unwrap();
        assert_eq!(bytes.as_ref(), [winner.unwrap()]);
        let left: Vec<_> = fs::read_dir(folder.join("a/b")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["00000000000000000000.json"], "temporary files are gone");
    }

    #[tokio::test]
    async fn parts_become_one_object_when_all_are_there() {
        let folder = tempfile::tempdir().unwrap();
        let store = SyncedLocalStore::open(folder.path()).unwrap();
        let at = Path::from("a/b");
        store.put(&at, b"before".to_vec().into()).await.unwrap();
        let mut upload = store.put_multipart(&at).await.unwrap();
        let parts = [b"one ".to_vec(), b"two ".to_vec(), b"three".to_vec()].map(|part| upload.put_part(part.into()));
        // In another order than they were given.
        for part in parts.into_iter().rev() {
            part.await.unwrap();
        }
        assert_eq!(store.get(&at).await.unwrap().bytes().await.unwrap().as_ref(), b"before");
        upload.complete().await.unwrap();
        assert_eq!(store.get(&at).await.unwrap().bytes().await.unwrap().as_ref(), b"one two three");

        let mut upload = store.put_multipart(&at).await.unwrap();
        upload.put_part(b"never".to_vec().into()).await.unwrap();
        upload.abort().await.unwrap();
        assert_eq!(store.get(&at).await.unwrap().bytes().await.unwrap().as_ref(), b"one two three");
        let left: Vec<_> = fs::read_dir(folder.path().join("a")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["b"], "temporary files are gone");
    }

    #[tokio::test]
    async fn overwriting_replaces_whole() {
        let folder = tempfile::tempdir().unwrap();
        let store = SyncedLocalStore::open(folder.path()).unwrap();
        let at = Path::from("x");
        store.put(&at, b"longer than the next".to_vec().into()).await.unwrap();
        store.put(&at, b"short".to_vec().into()).await.unwrap();
        assert_eq!(store.get(&at).await.unwrap().bytes().await.unwrap().as_ref(), b"short");
    }
}
