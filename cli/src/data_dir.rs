//! The data folder: where keys and lake lie, and how to open them.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context as _, bail};
use forebay_lake::{
    Lake, LakeTable, LakeWriter, Sealed, StateKeeper,
    keys::{FileKeyring, KeyDecrypter, Random},
};
use forebay_schemas::{
    GatewayId, Timestamp,
    table::{QUARANTINE, READINGS},
};
use ring::rand::SystemRandom;

/// A data folder.
pub(crate) struct DataDir {
    root: PathBuf,
    random: Random,
}

impl DataDir {
    /// The folder that the user named, else ./forebay-data.
    pub(crate) fn find(named: Option<PathBuf>) -> anyhow::Result<Self> {
        let root = named.unwrap_or_else(|| PathBuf::from("forebay-data"));
        if root.join("forebay.toml").exists() {
            bail!(
                "{}: this release does not read configuration yet; move it away",
                root.join("forebay.toml").display()
            );
        }
        Ok(Self { root, random: Arc::new(SystemRandom::new()) })
    }

    pub(crate) fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// The gateway's name while there is no configuration.
    pub(crate) fn gateway() -> anyhow::Result<GatewayId> {
        Ok(GatewayId::new("local")?)
    }

    pub(crate) fn create_keyring(&self) -> anyhow::Result<FileKeyring> {
        Ok(FileKeyring::create(&self.keys(), self.random.clone())?)
    }

    fn open_keyring(&self) -> anyhow::Result<Arc<FileKeyring>> {
        Ok(Arc::new(FileKeyring::open(&self.keys(), self.random.clone())?))
    }

    /// The keyring, made where there is neither one nor a lake that needs it.
    fn keyring_for_writing(&self) -> anyhow::Result<Arc<FileKeyring>> {
        if !self.keys().exists() && !self.lake().exists() {
            return Ok(Arc::new(self.create_keyring()?));
        }
        self.open_keyring()
    }

    fn lake(&self) -> PathBuf {
        self.root.join("lake")
    }

    /// The lake open for writing, made where it is missing.
    pub(crate) async fn writer(&self) -> anyhow::Result<LakeWriter> {
        let keyring = self.keyring_for_writing()?;
        let lake = Lake::local(&self.lake())?;
        Ok(LakeWriter::open(&lake, keyring, Sealed::Columns, self.random.clone()).await?)
    }

    /// What it takes to read; the lake must be there.
    pub(crate) async fn reader(&self) -> anyhow::Result<Reader> {
        let folder = self.lake();
        if !folder.is_dir() {
            bail!("there is no lake at {}: `forebay import` makes one, --data-dir names another", folder.display());
        }
        let keyring = self.open_keyring().context("cannot read the lake without its keyring")?;
        let lake = Lake::local(&folder)?;
        Ok(Reader {
            readings: lake.table(&READINGS).await?,
            quarantine: lake.table(&QUARANTINE).await?,
            keeper: StateKeeper::of(&keyring)?,
            decrypter: Arc::new(KeyDecrypter::new(keyring)),
        })
    }
}

/// What it takes to read.
pub(crate) struct Reader {
    pub(crate) readings: LakeTable,
    pub(crate) quarantine: LakeTable,
    pub(crate) keeper: StateKeeper,
    pub(crate) decrypter: Arc<KeyDecrypter>,
}

/// The gateway's clock.
#[expect(clippy::disallowed_methods, reason = "the binary is where the clock comes in")]
pub(crate) fn now() -> anyhow::Result<Timestamp> {
    let since_1970 = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .context("this machine's clock is before the year 1970: set it")?;
    let nanos = i64::try_from(since_1970.as_nanos()).context("this machine's clock is after the year 2262: set it")?;
    Ok(Timestamp::from_nanos(nanos))
}
