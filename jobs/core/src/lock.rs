//! A file that says which process does something that only one may do.

use std::{
    fs::{File, TryLockError},
    io::{Read as _, Write as _},
    path::Path,
};

use crate::SchedulerError;

/// Takes a lock, held for as long as the file is open.
///
/// # Errors
/// [`SchedulerError::Held`] while another process holds it.
pub(crate) fn lock(path: &Path) -> Result<File, SchedulerError> {
    let failed = |source| SchedulerError::Lock {
        path: path.to_owned(),
        source,
    };
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0).map_err(failed)?;
            file.write_all(format!("process {}", std::process::id()).as_bytes())
                .map_err(failed)?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            file.read_to_string(&mut holder).map_err(failed)?;
            if holder.is_empty() {
                holder.push_str("another process");
            }
            Err(SchedulerError::Held {
                path: path.to_owned(),
                holder,
            })
        }
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}
