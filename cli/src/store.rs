//! The lake and its keyring, opened as the configuration says.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, bail};
use forebay_compactor::{LakeSettings, ProfileChoice};
use forebay_lake::{
    Lake, LakeTable, LakeWriter, Location, S3Credentials, S3Settings, Sealed, StateKeeper,
    keys::{FileKeyring, KeyDecrypter},
};
use forebay_schemas::table::{READINGS, TABLES};
use url::Url;

use crate::{
    clock::random,
    config::{Config, Reading},
};

/// Where a lake and its keys lie.
pub(crate) struct Store {
    location: Location,
    keys: PathBuf,
    spools: PathBuf,
    sealed: Sealed,
}

impl Store {
    pub(crate) fn of(config: &Config) -> anyhow::Result<Self> {
        let sealed = match config.lake.profile {
            ProfileChoice::Columns => Sealed::Columns,
            ProfileChoice::None => Sealed::None,
        };
        let location = location(&config.lake, &config.gateway.data_dir)?;
        Ok(Self { location, keys: config.keys.clone(), spools: config.spools_path(), sealed })
    }

    /// For verbs that only read.
    pub(crate) fn for_reading(reading: &Reading) -> anyhow::Result<ReadingStore> {
        Ok(ReadingStore { location: location(&reading.lake, &reading.data_dir)?, keys: reading.keys.clone() })
    }

    pub(crate) fn keys(&self) -> &Path {
        &self.keys
    }

    /// What lies here sealed under a keyring, if anything does: no other keyring opens it.
    pub(crate) fn sealed_already(&self) -> Option<&Path> {
        let local = match &self.location {
            Location::Folder(folder) => Some(folder.as_path()),
            Location::S3(_) => None,
        };
        let lake = local.filter(|folder| TABLES.iter().any(|table| folder.join(table.name).exists()));
        lake.or_else(|| Some(self.spools.as_path()).filter(|folder| folder.exists()))
    }

    pub(crate) fn create_keyring(&self) -> anyhow::Result<FileKeyring> {
        Ok(FileKeyring::create(&self.keys, random())?)
    }

    fn open_keyring(&self) -> anyhow::Result<Arc<FileKeyring>> {
        open_keyring(&self.keys)
    }

    /// The keyring, made where there is neither one nor anything that is sealed already. For a lake in a bucket it must be
    /// there: another gateway may have made it.
    pub(crate) fn keyring_for_writing(&self) -> anyhow::Result<Arc<FileKeyring>> {
        let keys = self.keys.display();
        if self.keys.exists() {
            return self.open_keyring();
        }
        if let Some(sealed) = self.sealed_already() {
            bail!("{}", lost_keyring(sealed, &self.keys));
        }
        if let Location::S3(_) = &self.location {
            bail!("no keyring at {keys}: bring a copy of the lake's, or make its first one with `forebay keys init`");
        }
        let keyring = self.create_keyring()?;
        tracing::warn!(%keys, "made a keyring: keep a copy of it away from this machine, without it nobody reads the lake");
        Ok(Arc::new(keyring))
    }

    /// The lake open for writing, made where it is missing.
    pub(crate) async fn writer(&self) -> anyhow::Result<LakeWriter> {
        if self.sealed == Sealed::None {
            tracing::warn!("[lake] profile = \"none\": everything in the lake lies in clear");
        }
        let keyring = self.keyring_for_writing()?;
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
        reader(&self.location, &self.keys).await
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
    pub(crate) fn derived_key(&self, secret: &str) -> anyhow::Result<[u8; 32]> {
        derived_key(&*open_keyring(&self.keys)?, secret)
    }
}

/// The key under which a part of the data folder is sealed.
pub(crate) fn derived_key(keyring: &FileKeyring, secret: &str) -> anyhow::Result<[u8; 32]> {
    keyring.derive_secret(secret)?.expose().try_into().context("a derived secret has 32 bytes")
}

fn open_keyring(keys: &Path) -> anyhow::Result<Arc<FileKeyring>> {
    Ok(Arc::new(FileKeyring::open(keys, random())?))
}

async fn reader(location: &Location, keys: &Path) -> anyhow::Result<Reader> {
    if let Location::Folder(folder) = location
        && !folder.is_dir()
    {
        bail!("there is no lake at {}: `forebay import` makes one, --data-dir names another", folder.display());
    }
    let keyring = open_keyring(keys).context("cannot read the lake without its keyring")?;
    let lake = Lake::open(location).await?;
    let mut tables = Vec::new();
    for table in TABLES {
        tables.push(lake.table(table).await?);
    }
    Ok(Reader { tables, keeper: StateKeeper::of(&keyring)?, decrypter: Arc::new(KeyDecrypter::new(keyring)) })
}

/// Why no keyring is made beside what another one has sealed.
pub(crate) fn lost_keyring(sealed: &Path, keys: &Path) -> String {
    format!(
        "{} is sealed, and its keyring is not at {}: mount it or bring back a copy, for no other keyring opens it",
        sealed.display(),
        keys.display()
    )
}

fn location(settings: &LakeSettings, data_dir: &Path) -> anyhow::Result<Location> {
    let Some(url) = &settings.url else { return Ok(Location::Folder(data_dir.join("lake"))) };
    if url.starts_with("s3://") {
        return Ok(Location::S3(Box::new(bucket(settings, url)?)));
    }
    match url.strip_prefix("file://") {
        Some(folder) => Ok(Location::Folder(PathBuf::from(folder))),
        None => Ok(Location::Folder(data_dir.join(url))),
    }
}

fn bucket(settings: &LakeSettings, url: &str) -> anyhow::Result<S3Settings> {
    let url = Url::parse(url).with_context(|| format!("lake.url {url:?} is no URL"))?;
    let defaults = S3Settings::from_url(&url)?;
    let s3 = settings.s3.clone().unwrap_or_default();
    let endpoint = s3.endpoint.as_deref().map(Url::parse).transpose().context("lake.s3.endpoint is no URL")?;
    let credentials =
        s3.access_key_id.zip(s3.secret_access_key).map(|(id, secret)| S3Credentials::new(id, secret.expose()));
    Ok(S3Settings {
        endpoint,
        region: s3.region.unwrap_or(defaults.region),
        credentials,
        allow_http: s3.allow_http,
        ..defaults
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
        let readings = self.tables.iter().find(|table| table.schema().name == READINGS.name);
        readings.context("the lake has no table of readings")
    }
}
