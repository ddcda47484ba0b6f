//! One writer per role and data folder.

use std::{fs, path::Path};

use anyhow::{Context as _, anyhow};
use forebay_runtime::{LockError, LockFile};

/// Takes the role in this data folder, or names the process that has it.
pub(crate) fn take_role(data_dir: &Path, role: &str) -> anyhow::Result<LockFile> {
    fs::create_dir_all(data_dir)
        .with_context(|| format!("cannot create the data folder {}", data_dir.display()))?;
    let path = data_dir.join(format!("run-{role}.lock"));
    LockFile::take(&path).map_err(|error| match error {
        LockError::Held { holder, .. } => anyhow!(
            "the {role} role of {} is held by process {holder}",
            data_dir.display()
        ),
        error @ LockError::Io { .. } => error.into(),
    })
}
