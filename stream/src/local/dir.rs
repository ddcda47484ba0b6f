//! The spool's directory.
//!
//! Invariants: one opener at a time; a file under its final name is whole and synced, with its directory entry; names of
//! segments ascend with their first offsets. A small reserve file is given up on a full disk, so that opening and
//! forgetting, which free space, still work.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use forebay_runtime::{LockError, LockFile};
use tracing::warn;

use super::medium::Medium;
use crate::StreamError;

const RESERVE_BYTES: usize = 64 * 1024;
const RESERVE_NAME: &str = "reserve";
const TEMPORARY: &str = "tmp";

/// Whether a write may use up the reserve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reserve {
    Keep,
    Use,
}

/// A segment's file.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) first: u64,
    pub(super) path: Arc<Path>,
    pub(super) bytes: u64,
}

/// A locked directory.
pub(super) struct Dir {
    path: PathBuf,
    handle: File,
    pub(super) medium: Arc<dyn Medium>,
    /// Held for as long as the directory is used; the system lets go of it with the process.
    _lock: LockFile,
}

impl Dir {
    /// Creates the directory if need be, and locks it.
    pub(super) fn open(path: &Path, medium: Arc<dyn Medium>) -> Result<Self, StreamError> {
        fs::create_dir_all(path).map_err(StreamError::io("create", path))?;
        let lock = lock(path)?;
        let handle = File::open(path).map_err(StreamError::io("open", path))?;
        if let Some(parent) = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
        {
            File::open(parent)
                .and_then(|parent| medium.sync_folder(&parent))
                .map_err(StreamError::io("sync", parent))?;
        }
        Ok(Self {
            path: path.to_owned(),
            handle,
            medium,
            _lock: lock,
        })
    }

    /// A file's path here.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// All segments, in the order of their offsets.
    pub(super) fn segments(&self) -> Result<Vec<Found>, StreamError> {
        list_segments(&self.path)
    }

    /// Removes what an earlier process did not finish.
    pub(super) fn clean(&self) -> Result<(), StreamError> {
        for entry in fs::read_dir(&self.path).map_err(StreamError::io("list", &*self.path))? {
            let path = entry.map_err(StreamError::io("list", &*self.path))?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == TEMPORARY)
            {
                fs::remove_file(&path).map_err(StreamError::io("remove", &*path))?;
            }
        }
        Ok(())
    }

    /// Puts a file in place, whole and synced, instead of one of that name.
    pub(super) fn put(
        &self,
        name: &str,
        bytes: &[u8],
        reserve: Reserve,
    ) -> Result<File, StreamError> {
        match self.put_once(name, bytes) {
            Err(error)
                if error.is_no_space() && reserve == Reserve::Use && self.give_up_reserve() =>
            {
                self.put_once(name, bytes)
            }
            result => result,
        }
    }

    fn put_once(&self, name: &str, bytes: &[u8]) -> Result<File, StreamError> {
        let (path, temporary) = (self.file(name), self.file(&format!("{name}.{TEMPORARY}")));
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        let file = options
            .open(&temporary)
            .map_err(StreamError::io("create", &*temporary))?;
        let written = self
            .medium
            .write(&file, bytes, 0)
            .and_then(|()| self.medium.sync(&file));
        if let Err(source) = written {
            if let Err(error) = fs::remove_file(&temporary) {
                warn!(path = %temporary.display(), %error, "could not remove a temporary file, the next opening will");
            }
            return Err(StreamError::io("write", temporary)(source));
        }
        fs::rename(&temporary, &path).map_err(StreamError::io("rename", &*temporary))?;
        self.sync()?;
        Ok(file)
    }

    /// Removes a file durably; one that is gone already is as good.
    pub(super) fn remove(&self, path: &Path) -> Result<(), StreamError> {
        match fs::remove_file(path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(StreamError::io("remove", path)(source))
            }
            _ => self.sync(),
        }
    }

    /// Lays the reserve down again where there is room for it.
    pub(super) fn restore_reserve(&self) {
        if self.file(RESERVE_NAME).exists() {
            return;
        }
        if let Err(error) = self.put_once(RESERVE_NAME, &[0; RESERVE_BYTES]) {
            warn!(%error, "no room for the spool's reserve, retrying later");
        }
    }

    fn give_up_reserve(&self) -> bool {
        fs::remove_file(self.file(RESERVE_NAME)).is_ok()
    }

    fn sync(&self) -> Result<(), StreamError> {
        self.medium
            .sync_folder(&self.handle)
            .map_err(StreamError::io("sync", &*self.path))
    }
}

/// All segments in a folder, in the order of their offsets.
pub(super) fn list_segments(folder: &Path) -> Result<Vec<Found>, StreamError> {
    let failed = || StreamError::io("list", folder);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        let name = entry.file_name();
        if let Some(first) = name.to_str().and_then(first_offset) {
            let bytes = entry.metadata().map_err(failed())?.len();
            found.push(Found {
                first,
                path: entry.path().into(),
                bytes,
            });
        }
    }
    found.sort_by_key(|segment| segment.first);
    Ok(found)
}

/// Name of the segment whose first record has this offset.
pub(super) fn segment_name(first: u64) -> String {
    format!("{first:020}.seg")
}

fn first_offset(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    (digits.len() == 20 && digits.bytes().all(|digit| digit.is_ascii_digit()))
        .then(|| digits.parse().ok())
        .flatten()
}

fn lock(dir: &Path) -> Result<LockFile, StreamError> {
    LockFile::take(&dir.join("lock")).map_err(|error| match error {
        LockError::Held { holder, .. } => StreamError::Held {
            path: dir.to_owned(),
            holder,
        },
        LockError::Io { what, path, source } => StreamError::io(what, path)(source),
    })
}
