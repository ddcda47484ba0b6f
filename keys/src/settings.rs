//! The table `[keys]` of the configuration: which provider keeps the master keys, and where.

use std::path::{Path, PathBuf};

use forebay_config::{Choice, DefaultedChoice, Optional, Table, TableKeys};

/// The table.
pub const KEYS: TableKeys = TableKeys::one(
    "keys",
    "Where the master keys come from with which the spool and the lake are encrypted.",
    &[&PROVIDER, &PATH],
);

const PROVIDER: DefaultedChoice<Provider> = Choice::new(
    "provider",
    &[("file", Provider::File)],
    "What keeps the keys: file is a keyring in a folder of this machine.",
)
.refused(&[
    ("vault", "\"vault\" is not in this release: use \"file\""),
    (
        "aws-kms",
        "\"aws-kms\" is not in this release: use \"file\"",
    ),
])
.or_first();

const PATH: Optional<PathBuf> = Optional::new(
    "path",
    "Folder of the keyring. Keep a copy of it elsewhere: without it nobody can read the spool and the lake.",
)
.absent("the folder keys in data_dir");

/// What keeps the master keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Provider {
    /// A keyring in a folder of this machine.
    #[default]
    File,
}

/// What `[keys]` says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeySettings {
    /// What keeps the keys.
    pub provider: Provider,
    /// The keyring's folder, where it is named.
    path: Option<PathBuf>,
}

impl KeySettings {
    /// Reads `[keys]`, in which everything has a default; what is wrong is noted.
    pub fn read(root: &mut Table<'_>) -> Self {
        let Some(mut table) = root.table(&KEYS) else {
            return Self::default();
        };
        let provider = table.read(&PROVIDER);
        let path = table.read(&PATH);
        table.finish();
        Self { provider, path }
    }

    /// The keyring's folder: `keys` in the data folder where none is named.
    pub fn folder(&self, data_dir: &Path) -> PathBuf {
        match &self.path {
            Some(path) => path.clone(),
            None => data_dir.join("keys"),
        }
    }
}
