//! Which gateway a data folder belongs to.
//!
//! A spool goes on with epochs that were begun under an id. Under another one they would count as that gateway's: what the
//! lake has of them would be missed for ever, as a gap that never was.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use forebay_schemas::GatewayId;

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("gateway.id")
}

/// The id under which the folder's readings are kept; `None` before the edge ran in it.
pub(crate) fn of(data_dir: &Path) -> Option<String> {
    let id = fs::read_to_string(path(data_dir)).ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
}

/// Keeps the id, durably, unless the folder has one.
pub(crate) fn claim(data_dir: &Path, id: &GatewayId) -> anyhow::Result<()> {
    if of(data_dir).is_some() {
        return Ok(());
    }
    let path = path(data_dir);
    let written = File::create(&path).and_then(|mut file| {
        writeln!(file, "{id}")?;
        file.sync_all()?;
        File::open(data_dir)?.sync_all()
    });
    written.with_context(|| format!("cannot store the gateway's id in {}", path.display()))
}
