//! The lake and its keyring, opened as the configuration says.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context as _, bail};
use forebay_lake::{
    Lake, LakeTable, LakeWriter, Sealed, StateKeeper,
    keys::{FileKeyring, KeyDecrypter},
};
use forebay_schemas::table::{READINGS, TABLES};

use crate::{clock::random, config::Config};

/// Where a lake and its keys lie.
pub(crate) struct Store {
    lake: PathBuf,
    keys: PathBuf,
    sealed: Sealed,
}

impl Store {
    pub(crate) fn of(config: &Config) -> Self {
        Self { lake: config.gateway.data_dir.join("lake"), keys: config.keys.clone(), sealed: Sealed::Columns }
    }

    pub(crate) fn keys(&self) -> &PathBuf {
        &self.keys
    }

    pub(crate) fn create_keyring(&self) -> anyhow::Result<FileKeyring> {
        Ok(FileKeyring::create(&self.keys, random())?)
    }

    fn open_keyring(&self) -> anyhow::Result<Arc<FileKeyring>> {
        Ok(Arc::new(FileKeyring::open(&self.keys, random())?))
    }

    /// The keyring, made where there is neither one nor a lake that needs it.
    pub(crate) fn keyring_for_writing(&self) -> anyhow::Result<Arc<FileKeyring>> {
        if !self.keys.exists() && !self.lake.exists() {
            return Ok(Arc::new(self.create_keyring()?));
        }
        self.open_keyring()
    }

    /// The lake open for writing, made where it is missing.
    pub(crate) async fn writer(&self) -> anyhow::Result<LakeWriter> {
        let keyring = self.keyring_for_writing()?;
        let lake = Lake::local(&self.lake)?;
        Ok(LakeWriter::open(&lake, keyring, self.sealed, random()).await?)
    }

    /// What it takes to read; the lake must be there.
    pub(crate) async fn reader(&self) -> anyhow::Result<Reader> {
        if !self.lake.is_dir() {
            bail!("there is no lake at {}: `forebay import` makes one, --data-dir names another", self.lake.display());
        }
        let keyring = self.open_keyring().context("cannot read the lake without its keyring")?;
        let lake = Lake::local(&self.lake)?;
        let mut tables = Vec::new();
        for table in TABLES {
            tables.push(lake.table(table).await?);
        }
        Ok(Reader { tables, keeper: StateKeeper::of(&keyring)?, decrypter: Arc::new(KeyDecrypter::new(keyring)) })
    }
}

/// What it takes to read.
pub(crate) struct Reader {
    pub(crate) tables: Vec<LakeTable>,
    pub(crate) keeper: StateKeeper,
    pub(crate) decrypter: Arc<KeyDecrypter>,
}

impl Reader {
    pub(crate) fn readings(&self) -> anyhow::Result<&LakeTable> {
        let readings = self.tables.iter().find(|table| table.schema().name == READINGS.name);
        readings.context("the lake has no table of readings")
    }
}
