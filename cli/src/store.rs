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

use crate::{clock::random, config::Config};

/// Where a lake and its keys lie.
pub(crate) struct Store {
    location: Location,
    keys: PathBuf,
    sealed: Sealed,
}

impl Store {
    pub(crate) fn of(config: &Config) -> anyhow::Result<Self> {
        let sealed = match config.lake.profile {
            ProfileChoice::Columns => Sealed::Columns,
            ProfileChoice::None => Sealed::None,
        };
        let location = location(&config.lake, &config.gateway.data_dir)?;
        Ok(Self { location, keys: config.keys.clone(), sealed })
    }

    pub(crate) fn keys(&self) -> &Path {
        &self.keys
    }

    /// Whether a local lake is there, which only its own keyring opens.
    pub(crate) fn has_local_lake(&self) -> bool {
        matches!(&self.location, Location::Folder(folder) if folder.exists())
    }

    pub(crate) fn create_keyring(&self) -> anyhow::Result<FileKeyring> {
        Ok(FileKeyring::create(&self.keys, random())?)
    }

    fn open_keyring(&self) -> anyhow::Result<Arc<FileKeyring>> {
        Ok(Arc::new(FileKeyring::open(&self.keys, random())?))
    }

    /// The keyring, made where there is neither one nor a local lake that needs it. For a lake in a bucket it must be
    /// there: another gateway may have made it.
    pub(crate) fn keyring_for_writing(&self) -> anyhow::Result<Arc<FileKeyring>> {
        let fresh = matches!(&self.location, Location::Folder(folder) if !folder.exists());
        if !self.keys.exists() && fresh {
            return Ok(Arc::new(self.create_keyring()?));
        }
        self.open_keyring()
            .context("the keyring cannot be opened: `forebay keys init` makes one, or bring a copy of the lake's")
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

    /// What it takes to read; the lake must be there.
    pub(crate) async fn reader(&self) -> anyhow::Result<Reader> {
        if let Location::Folder(folder) = &self.location
            && !folder.is_dir()
        {
            bail!("there is no lake at {}: `forebay import` makes one, --data-dir names another", folder.display());
        }
        let keyring = self.open_keyring().context("cannot read the lake without its keyring")?;
        let lake = Lake::open(&self.location).await?;
        let mut tables = Vec::new();
        for table in TABLES {
            tables.push(lake.table(table).await?);
        }
        Ok(Reader { tables, keeper: StateKeeper::of(&keyring)?, decrypter: Arc::new(KeyDecrypter::new(keyring)) })
    }
}

fn location(settings: &LakeSettings, data_dir: &Path) -> anyhow::Result<Location> {
    let Some(url) = &settings.url else { return Ok(Location::Folder(data_dir.join("lake"))) };
    if url.starts_with("s3://") {
        return Ok(Location::S3(Box::new(bucket(settings, url)?)));
    }
    match url.strip_prefix("file://") {
        Some(folder) => Ok(Location::Folder(PathBuf::from(folder))),
        None if url.contains("://") => {
            bail!("lake.url {url:?}: \"s3://bucket/prefix\", \"file:///folder\" or a folder is expected")
        }
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
