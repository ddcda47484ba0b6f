//! The lake and its keyring, opened as the configuration says.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, bail};
use forebay_lake::{
    Lake, LakeTable, LakeWriter, Location, Sealed, StateKeeper, keys::KeyDecrypter,
};
use forebay_schemas::table::{READINGS, TABLES};

use crate::{
    clock::random,
    config::{Config, Reading},
    keyring::{KeyringPlace, derived_key, open_keyring},
};

/// Where a lake and its keys lie.
pub(crate) struct Store {
    location: Location,
    keys: KeyringPlace,
    sealed: Sealed,
}

impl Store {
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            location: config.lake.location(&config.gateway.data_dir),
            keys: KeyringPlace::of(config),
            sealed: config.lake.sealed,
        }
    }

    /// For verbs that only read.
    pub(crate) fn for_reading(reading: &Reading) -> ReadingStore {
        ReadingStore {
            location: reading.lake.location(&reading.data_dir),
            keys: reading.keys.clone(),
        }
    }

    /// The lake open for writing, made where it is missing.
    pub(crate) async fn writer(&self) -> anyhow::Result<LakeWriter> {
        if self.sealed == Sealed::None {
            tracing::warn!(
                "[lake] profile = \"none\": everything in the lake is stored unencrypted"
            );
        }
        let keyring = self.keys.for_writing()?;
        let lake = Lake::open(&self.location).await?;
        Ok(LakeWriter::open(&lake, keyring, self.sealed, random()).await?)
    }

    /// The lake, if it may be there: a folder that is not there is none. Nothing is made.
    pub(crate) async fn lake_there(&self) -> anyhow::Result<Option<Lake>> {
        match &self.location {
            Location::Folder(folder) if !folder.is_dir() => Ok(None),
            location => Ok(Some(Lake::open(location).await?)),
        }
    }

    /// What it takes to read; the lake must be there.
    pub(crate) async fn reader(&self) -> anyhow::Result<Reader> {
        reader(&self.location, self.keys.dir()).await
    }
}

/// Where a lake and its keys lie, for who only reads.
pub(crate) struct ReadingStore {
    location: Location,
    keys: PathBuf,
}

impl ReadingStore {
    /// As [`Store::reader`].
    pub(crate) async fn reader(&self) -> anyhow::Result<Reader> {
        reader(&self.location, &self.keys).await
    }

    /// As [`derived_key`], from the keyring that is there.
    pub(crate) async fn derived_key(&self, secret: &str) -> anyhow::Result<[u8; 32]> {
        derived_key(&*open_keyring(&self.keys)?, secret).await
    }
}

async fn reader(location: &Location, keys: &Path) -> anyhow::Result<Reader> {
    if let Location::Folder(folder) = location
        && !folder.is_dir()
    {
        bail!(
            "there is no lake at {}: `forebay import` makes one, --data-dir names another",
            folder.display()
        );
    }
    let keyring = open_keyring(keys).context("cannot read the lake without its keyring")?;
    let lake = Lake::open(location).await?;
    let mut tables = Vec::new();
    for table in TABLES {
        tables.push(lake.table(table).await?);
    }
    Ok(Reader {
        tables,
        keeper: StateKeeper::of(&*keyring).await?,
        decrypter: Arc::new(KeyDecrypter::new(keyring)),
    })
}

/// What it takes to read.
pub(crate) struct Reader {
    pub(crate) tables: Vec<LakeTable>,
    pub(crate) keeper: StateKeeper,
    pub(crate) decrypter: Arc<KeyDecrypter>,
}

impl Reader {
    pub(crate) fn readings(&self) -> anyhow::Result<&LakeTable> {
        let readings = self
            .tables
            .iter()
            .find(|table| table.schema().name == READINGS.name);
        readings.context("the lake has no table of readings")
    }
}
