//! The blocking half of the local store: folders, files and the room for them.
//!
//! Invariants: a file is whole and synced before it has its name, and its name is synced before a put succeeds; a
//! folder's name
//! counts as durable only once this process has synced it, since whoever made it may have been killed before that. The
//! files that free room (log entries, checkpoints, the vacuum's clock) may use up a reserve; all others wait until it
//! is there again.

use std::{
    collections::HashSet,
    fs, io,
    path::{Component, Path as FsPath, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use object_store::PutPayload;

use super::{TEMPORARY_PREFIX, medium::Medium};

/// Room for the log entries and checkpoints that a vacuum of a full disk takes.
pub(crate) const RESERVE_BYTES: u64 = 2 << 20;

/// The folders of a table, and of the lake, in which lies what frees room or says what was committed.
const LOG: &str = "_delta_log";
const OURS: &str = "_forebay";
const RESERVE_NAME: &str = "reserve";

/// So many folders are known to be durable; beyond that they are synced again.
const DURABLE_MAX: usize = 10_000;

/// What becomes of an object that is already there.
#[derive(Debug, Clone, Copy)]
pub(super) enum Existing {
    Keep,
    Replace,
}

/// A folder on a disk.
#[derive(Debug)]
pub(crate) struct Disk {
    home: PathBuf,
    medium: Box<dyn Medium>,
    temporaries: AtomicU64,
    durable: Mutex<HashSet<PathBuf>>,
    /// The last write that may not use the reserve found no room.
    is_short: AtomicBool,
}

impl Disk {
    /// Makes the folder where it is missing; its own name is durable when this returns.
    pub(super) fn open(home: &FsPath, medium: Box<dyn Medium>) -> io::Result<Self> {
        let absolute = std::path::absolute(home)?;
        let missing: Vec<_> = absolute
            .ancestors()
            .take_while(|folder| !folder.exists())
            .collect();
        fs::create_dir_all(&absolute)?;
        // What is there was perhaps made by somebody who was killed before syncing it.
        for made in missing.iter().copied().chain([absolute.as_path()]) {
            if let Some(parent) = made.parent() {
                sync_readable(medium.as_ref(), parent)?;
            }
        }
        let home = absolute.canonicalize()?;
        let durable = Mutex::new(HashSet::from([home.clone()]));
        Ok(Self {
            home,
            medium,
            temporaries: AtomicU64::default(),
            durable,
            is_short: AtomicBool::default(),
        })
    }

    /// The folder, absolute and without links.
    pub(crate) fn home(&self) -> &FsPath {
        &self.home
    }

    /// Whether the disk is full, as far as writes have told.
    pub(crate) fn is_short(&self) -> bool {
        self.is_short.load(Ordering::Relaxed)
    }

    /// Makes the names in a folder durable.
    pub(crate) fn sync_folder(&self, folder: &FsPath) -> io::Result<()> {
        self.medium.sync_folder(folder)
    }

    pub(super) fn put(
        &self,
        target: &FsPath,
        payload: &PutPayload,
        existing: Existing,
    ) -> io::Result<()> {
        self.with_room(target, || self.put_once(target, payload, existing))
    }

    fn put_once(
        &self,
        target: &FsPath,
        payload: &PutPayload,
        existing: Existing,
    ) -> io::Result<()> {
        let (temporary, file) = self.create_temporary(target)?;
        let written = (|| {
            let mut at = 0;
            for part in payload {
                self.medium.write(&file, part, at)?;
                at += part.len() as u64;
            }
            self.medium.sync(&file)?;
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
        self.medium.sync_folder(parent_of(target))
    }

    /// A file of nobody else's beside `target`. Another store may have this folder too, in a container where its
    /// process has the
    /// same id: whoever wrote to its temporary file would write into what it commits.
    pub(super) fn create_temporary(&self, target: &FsPath) -> io::Result<(PathBuf, fs::File)> {
        let folder = parent_of(target);
        self.make_folder(folder)?;
        loop {
            let number = self.temporaries.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(format!("{TEMPORARY_PREFIX}{}-{number}", std::process::id()));
            match fs::File::create_new(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                created => return created.map(|file| (path, file)),
            }
        }
    }

    pub(super) fn write(
        &self,
        target: &FsPath,
        file: &fs::File,
        payload: &PutPayload,
        at: u64,
    ) -> io::Result<()> {
        self.with_room(target, || {
            let mut at = at;
            for part in payload {
                self.medium.write(file, part, at)?;
                at += part.len() as u64;
            }
            Ok(())
        })
    }

    /// Syncs a whole file and gives it its name.
    pub(super) fn finish(
        &self,
        file: &fs::File,
        temporary: &FsPath,
        target: &FsPath,
    ) -> io::Result<()> {
        self.medium.sync(file)?;
        fs::rename(temporary, target)?;
        self.medium.sync_folder(parent_of(target))
    }

    /// Makes the folders down to `folder`, and each one's name durable.
    fn make_folder(&self, folder: &FsPath) -> io::Result<()> {
        let is_durable = self
            .durable
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(folder);
        if is_durable && folder.is_dir() {
            return Ok(());
        }
        let Some(parent) = folder.parent().filter(|_| folder.starts_with(&self.home)) else {
            return fs::create_dir_all(folder);
        };
        if folder != self.home {
            self.make_folder(parent)?;
        }
        match fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => self.medium.sync_folder(parent)?,
        }
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        if durable.len() >= DURABLE_MAX {
            durable.clear();
        }
        durable.insert(folder.to_owned());
        Ok(())
    }

    /// Does a step that needs room for `target`. What frees room may use the reserve; anything else needs it to be
    /// there.
    pub(super) fn with_room<T>(
        &self,
        target: &FsPath,
        step: impl Fn() -> io::Result<T>,
    ) -> io::Result<T> {
        if self.may_use_reserve(target) {
            return match step() {
                Err(error) if is_no_space(&error) && self.give_up_reserve() => step(),
                done => done,
            };
        }
        let done = self.keep_reserve().and_then(|()| step());
        let is_short = done.as_ref().is_err_and(is_no_space);
        if is_short && !self.is_short.swap(is_short, Ordering::Relaxed) {
            tracing::warn!(folder = %self.home.display(), "the lake's disk is full, deleting expired files now");
        }
        if done.is_ok() {
            self.is_short.store(false, Ordering::Relaxed);
        }
        done
    }

    fn may_use_reserve(&self, target: &FsPath) -> bool {
        let inside = target.strip_prefix(&self.home).unwrap_or(target);
        inside
            .components()
            .any(|part| matches!(part, Component::Normal(name) if name == LOG || name == OURS))
    }

    fn reserve(&self) -> PathBuf {
        self.home.join(OURS).join(RESERVE_NAME)
    }

    /// Makes the reserve where it is missing.
    fn keep_reserve(&self) -> io::Result<()> {
        let reserve = self.reserve();
        if reserve.exists() {
            return Ok(());
        }
        let (temporary, file) = self.create_temporary(&reserve)?;
        let made = self
            .medium
            .allocate(&file, RESERVE_BYTES)
            .and_then(|()| self.finish(&file, &temporary, &reserve));
        if made.is_err() && temporary.exists() {
            fs::remove_file(&temporary)?;
        }
        made
    }

    fn give_up_reserve(&self) -> bool {
        fs::remove_file(self.reserve()).is_ok()
    }
}

/// Whether space may help: no room on the device, or the user's quota.
fn is_no_space(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// A folder that may not be read, above a lake that may, cannot be synced by us: whoever made it could.
fn sync_readable(medium: &dyn Medium, folder: &FsPath) -> io::Result<()> {
    match medium.sync_folder(folder) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        synced => synced,
    }
}

fn parent_of(target: &FsPath) -> &FsPath {
    target.parent().unwrap_or(target)
}
