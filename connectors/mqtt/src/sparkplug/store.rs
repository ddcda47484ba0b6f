//! Births on disk: one file a node, replaced as a whole. A file that cannot be read or written is warned of and costs a rebirth.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use forebay_schemas::path_segment;
use tokio::task::spawn_blocking;
use tracing::warn;

use super::{NodeId, births::Births};

/// Larger files are not read.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A file to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodeFile {
    id: NodeId,
    bytes: Vec<u8>,
}

impl NodeFile {
    pub(super) fn of(id: &NodeId, births: &Births) -> Self {
        Self {
            id: id.clone(),
            bytes: births.to_file(id),
        }
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// What is kept in a folder.
pub(crate) async fn restore(connector: &str, folder: &Path) -> Vec<(NodeId, Births)> {
    let (connector, folder) = (connector.to_owned(), folder.to_owned());
    let reading = spawn_blocking(move || read_all(&connector, &folder));
    // Only a process that ends takes the reading away.
    reading.await.unwrap_or_default()
}

fn read_all(connector: &str, folder: &Path) -> Vec<(NodeId, Births)> {
    let mut found = Vec::new();
    for path in files(folder) {
        match read(&path) {
            Ok(Some(node)) => found.push(node),
            Ok(None) => warn!(
                connector,
                path = %path.display(),
                "births in this file cannot be read, the node is asked for them"
            ),
            Err(error) => warn!(
                connector,
                path = %path.display(),
                %error,
                "reading births failed, the node is asked for them"
            ),
        }
    }
    found
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = |folder: &Path| -> Vec<PathBuf> {
        let found = fs::read_dir(folder).into_iter().flatten().flatten();
        found.map(|entry| entry.path()).collect()
    };
    let groups = entries(folder);
    let mut files: Vec<_> = groups.iter().flat_map(|group| entries(group)).collect();
    files.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "json")
    });
    files.sort();
    files
}

fn read(path: &Path) -> io::Result<Option<(NodeId, Births)>> {
    if fs::metadata(path)?.len() > FILE_BYTES_MAX {
        return Ok(None);
    }
    Ok(Births::of_file(&fs::read(path)?))
}

/// Writes files. What fails is warned of and written when the node changes again.
pub(crate) async fn save(connector: &str, folder: &Path, files: Vec<NodeFile>) {
    if files.is_empty() {
        return;
    }
    let (connector, folder) = (connector.to_owned(), folder.to_owned());
    let writing = spawn_blocking(move || write_all(&connector, &folder, files));
    writing.await.unwrap_or_default();
}

fn write_all(connector: &str, folder: &Path, files: Vec<NodeFile>) {
    for NodeFile { id, bytes } in files {
        if let Err(error) = write(folder, &id, &bytes) {
            warn!(
                connector,
                node = %id.node,
                %error,
                "writing births failed, after a restart the node is asked for them"
            );
        }
    }
}

fn write(folder: &Path, id: &NodeId, bytes: &[u8]) -> io::Result<()> {
    let folder = folder.join(path_segment(&id.group));
    fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{}.json", path_segment(&id.node)));
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, bytes)?;
    fs::File::open(&temporary)?.sync_all()?;
    fs::rename(&temporary, &path)
}
