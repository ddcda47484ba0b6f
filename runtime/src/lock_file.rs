//! A lock on a file that names its holder: one process at a time, and the others can say which.
//!
//! The lock is the system's (`flock`): it ends with the process, however that ends. What the file says is for people: it
//! may name a process that is gone.

use std::{
    fs::{File, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
};

use thiserror::Error;

/// A lock that is held until this is dropped.
#[derive(Debug)]
pub struct LockFile {
    _file: File,
}

/// Why a lock was not taken.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another process, or another part of this one, has it.
    #[error("{} is locked by process {holder}", path.display())]
    Held {
        /// The file.
        path: PathBuf,
        /// The process id that the file names; "unknown" where it names none.
        holder: String,
    },
    /// The file system failed.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl LockFile {
    /// Takes the lock without waiting, and writes this process's id into the file. The file is created if need be, its
    /// folder is not.
    ///
    /// # Errors
    /// [`LockError::Held`] names the holder; the file is unchanged then.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let failed = |what| {
            move |source| LockError::Io {
                what,
                path: path.to_owned(),
                source,
            }
        };
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed("open"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                file.read_to_string(&mut holder).map_err(failed("read"))?;
                let holder = match holder.trim() {
                    // Its holder has the lock and has not written yet.
                    "" => "unknown".to_owned(),
                    holder => holder.to_owned(),
                };
                let path = path.to_owned();
                return Err(LockError::Held { path, holder });
            }
            Err(TryLockError::Error(source)) => return Err(failed("lock")(source)),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(failed("write"))?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_lock_has_one_holder_at_a_time_and_names_it() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("lock");
        // What a process that is gone left there, longer than what follows it.
        std::fs::write(&path, "a process with a long name").unwrap();
        let ours = std::process::id().to_string();

        let lock = LockFile::take(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap().trim(), ours);
        match LockFile::take(&path).unwrap_err() {
            LockError::Held { path: held, holder } => {
                assert_eq!(held, path);
                assert_eq!(holder, ours);
            }
            other => panic!("the lock is held, but: {other}"),
        }
        // Between locking and writing the file is empty.
        std::fs::write(&path, "").unwrap();
        let error = LockFile::take(&path).unwrap_err().to_string();
        assert!(error.ends_with("is locked by process unknown"), "{error}");

        drop(lock);
        LockFile::take(&path).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("missing/lock");
        let error = LockFile::take(&path).unwrap_err().to_string();
        assert_eq!(error, format!("cannot open {}", path.display()));
    }
}
