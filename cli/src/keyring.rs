//! The keyring, opened or made as the configuration says.
//!
//! Invariant: no keyring is made beside what another one has sealed, for no other keyring opens that.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, bail};
use forebay_keys::{FileKeyring, KeyProvider};

use crate::{
    clock::random,
    config::Config,
    lake_place::{LakePlace, SealedFolder},
};

/// Where the keyring lies, and what is sealed under it on this machine.
pub(crate) struct KeyringPlace {
    dir: PathBuf,
    sealed: Vec<SealedFolder>,
    /// The lake lies in a bucket: another gateway may have made its keyring.
    lake_in_bucket: bool,
}

impl KeyringPlace {
    /// As the configuration says; nothing is opened.
    pub(crate) fn of(config: &Config) -> Self {
        let LakePlace { folder, in_bucket } = LakePlace::of(config);
        let spools = config.spools_path();
        let spools = SealedFolder {
            signs: vec![spools.clone()],
            folder: spools,
        };
        let sealed = folder.into_iter().chain([spools]).collect();
        Self {
            dir: config.keys.clone(),
            sealed,
            lake_in_bucket: in_bucket,
        }
    }

    /// The keyring's folder.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// What lies here sealed under a keyring, if anything does.
    fn sealed_already(&self) -> Option<&Path> {
        let holds = |sealed: &&SealedFolder| sealed.signs.iter().any(|sign| sign.exists());
        self.sealed
            .iter()
            .find(holds)
            .map(|sealed| sealed.folder.as_path())
    }

    /// Why nothing can be opened here: what lies here is sealed, and its keyring is not there.
    pub(crate) fn lost(&self) -> Option<String> {
        let sealed = self.sealed_already().filter(|_| !self.dir.exists())?;
        Some(lost_keyring(sealed, &self.dir))
    }

    /// A new keyring; one that is there is never replaced.
    pub(crate) fn create(&self) -> anyhow::Result<FileKeyring> {
        Ok(FileKeyring::create(&self.dir, random())?)
    }

    /// The keyring, made where there is neither one nor anything that is sealed already. For a lake in a bucket it must
    /// be there: another gateway may have made it.
    pub(crate) fn for_writing(&self) -> anyhow::Result<Arc<FileKeyring>> {
        let keys = self.dir.display();
        if self.dir.exists() {
            return open_keyring(&self.dir);
        }
        if let Some(lost) = self.lost() {
            bail!(lost);
        }
        if self.lake_in_bucket {
            bail!(
                "no keyring at {keys}: bring a copy of the lake's, or make its first one with `forebay keys init`"
            );
        }
        let keyring = self.create()?;
        tracing::warn!(%keys, "created a keyring: keep a copy of it away from this machine, without it nobody can read the lake");
        Ok(Arc::new(keyring))
    }

    /// The key under which a part of the data folder is sealed.
    pub(crate) async fn derived_key(&self, secret: &str) -> anyhow::Result<[u8; 32]> {
        derived_key(&*self.for_writing()?, secret).await
    }
}

/// The keyring in a folder.
pub(crate) fn open_keyring(dir: &Path) -> anyhow::Result<Arc<FileKeyring>> {
    Ok(Arc::new(FileKeyring::open(dir, random())?))
}

/// The key under which a part of the data folder is sealed.
pub(crate) async fn derived_key(keys: &dyn KeyProvider, secret: &str) -> anyhow::Result<[u8; 32]> {
    keys.secret(secret)
        .await?
        .expose()
        .try_into()
        .context("a derived secret has 32 bytes")
}

/// Why no keyring is made beside what another one has sealed.
fn lost_keyring(sealed: &Path, keys: &Path) -> String {
    format!(
        "{} is sealed, and its keyring is not at {}: mount it or bring back a copy, because no other keyring opens it",
        sealed.display(),
        keys.display()
    )
}
