//! One writer per role and data folder.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{Read as _, Seek as _, Write as _},
    path::Path,
    process,
};

use anyhow::{Context as _, bail};

/// Held as long as the role runs; the system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct RoleLock {
    _file: File,
}

impl RoleLock {
    /// Takes the role in this data folder, or names the process that has it.
    pub(crate) fn take(data_dir: &Path, role: &str) -> anyhow::Result<Self> {
        fs::create_dir_all(data_dir)
            .with_context(|| format!("cannot create the data folder {}", data_dir.display()))?;
        let path = data_dir.join(format!("run-{role}.lock"));
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                file.read_to_string(&mut holder)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                bail!(
                    "the {role} role of {} is held by process {}",
                    data_dir.display(),
                    holder.trim()
                );
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", process::id())?;
        Ok(Self { _file: file })
    }
}
