//! The keyring's file: its JSON, its permissions, and how a change becomes durable.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use crate::{KEY_BYTES, KeyError, MasterKeyId, SecretKey};

const VERSION: u64 = 1;

/// Every version of every key, by name.
#[derive(Default)]
pub(super) struct Keys(BTreeMap<String, Named>);

struct Named {
    current: u32,
    versions: BTreeMap<u32, SecretKey>,
}

impl Keys {
    pub(super) fn current_id(&self, name: &str) -> Option<MasterKeyId> {
        let named = self.0.get(name)?;
        Some(MasterKeyId::new(format!("{name}.v{}", named.current)))
    }

    pub(super) fn get(&self, id: &MasterKeyId) -> Option<SecretKey> {
        let (name, version) = id.as_str().rsplit_once(".v")?;
        self.0
            .get(name)?
            .versions
            .get(&version.parse().ok()?)
            .cloned()
    }

    pub(super) fn add_version(&mut self, name: &str, key: SecretKey) {
        let named = self.0.entry(name.to_owned()).or_insert_with(|| Named {
            current: 0,
            versions: BTreeMap::new(),
        });
        named.current = named
            .versions
            .last_key_value()
            .map_or(1, |(last, _)| last + 1);
        named.versions.insert(named.current, key);
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKeyring {
    version: u64,
    keys: BTreeMap<String, RawNamed>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNamed {
    current: u32,
    versions: BTreeMap<u32, Base64>,
}

/// A key as text, wiped like the key itself.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Base64(String);

impl Drop for Base64 {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[derive(Deserialize)]
struct RawVersion {
    version: u64,
}

pub(super) struct KeyringFile {
    dir: PathBuf,
    path: PathBuf,
}

impl KeyringFile {
    pub(super) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            path: dir.join("keyring.json"),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn create(&self, keys: &Keys) -> Result<(), KeyError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.dir)
            .map_err(io("create", &self.dir))?;
        if let Some(parent) = self
            .dir
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
        {
            sync_dir(parent)?;
        }
        let _lock = self.lock()?;
        if self.path.try_exists().map_err(io("look for", &self.path))? {
            return Err(KeyError::Exists {
                path: self.path.clone(),
            });
        }
        self.write(keys)
    }

    pub(super) fn read(&self) -> Result<Keys, KeyError> {
        let mut file = File::open(&self.path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => KeyError::NoKeyring {
                path: self.path.clone(),
            },
            _ => io("open", &self.path)(error),
        })?;
        let meta = file.metadata().map_err(io("inspect", &self.path))?;
        let mode = meta.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Exposed {
                path: self.path.clone(),
                mode,
            });
        }
        // Room for all of it from the start, so that growing leaves no copy behind.
        let mut text = Zeroizing::new(Vec::with_capacity(
            usize::try_from(meta.len()).unwrap_or(0) + 1,
        ));
        file.read_to_end(&mut text)
            .map_err(io("read", &self.path))?;
        self.parse(&text)
    }

    /// Reads, changes and writes under the lock; gives the keys as they now are on disk.
    pub(super) fn update(&self, change: impl FnOnce(&mut Keys)) -> Result<Keys, KeyError> {
        let _lock = self.lock()?;
        let mut keys = self.read()?;
        change(&mut keys);
        self.write(&keys)?;
        Ok(keys)
    }

    fn parse(&self, text: &[u8]) -> Result<Keys, KeyError> {
        let found: RawVersion =
            serde_json::from_slice(text).map_err(|error| self.damaged_at(&error))?;
        if found.version != VERSION {
            let (path, found) = (self.path.clone(), found.version);
            return Err(KeyError::Newer {
                path,
                found,
                supported: VERSION,
            });
        }
        let raw: RawKeyring =
            serde_json::from_slice(text).map_err(|error| self.damaged_at(&error))?;
        let mut keys = Keys::default();
        for (name, named) in raw.keys {
            let mut versions = BTreeMap::new();
            for (version, key) in named.versions {
                let bytes = STANDARD
                    .decode(&key.0)
                    .ok()
                    .filter(|bytes| bytes.len() == KEY_BYTES);
                let bytes =
                    bytes.ok_or_else(|| self.damaged(format!("{name}.v{version} is no key")))?;
                versions.insert(version, SecretKey::new(bytes));
            }
            if !versions.contains_key(&named.current) {
                return Err(self.damaged(format!("{name} has no version {}", named.current)));
            }
            keys.0.insert(
                name,
                Named {
                    current: named.current,
                    versions,
                },
            );
        }
        Ok(keys)
    }

    fn write(&self, keys: &Keys) -> Result<(), KeyError> {
        let encoded = |key: &SecretKey| Base64(STANDARD.encode(key.expose()));
        let keys = keys.0.iter().map(|(name, named)| {
            let versions = named
                .versions
                .iter()
                .map(|(version, key)| (*version, encoded(key)))
                .collect();
            (
                name.clone(),
                RawNamed {
                    current: named.current,
                    versions,
                },
            )
        });
        let raw = RawKeyring {
            version: VERSION,
            keys: keys.collect(),
        };
        let text = serde_json::to_vec_pretty(&raw)
            .map(Zeroizing::new)
            .map_err(|error| self.damaged_at(&error))?;

        let temporary = self.dir.join("keyring.json.new");
        // Left by a crash; under the lock nobody else writes it.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io("remove", &temporary)(error));
            }
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(io("create", &temporary))?;
        file.write_all(&text)
            .and_then(|()| file.sync_all())
            .map_err(io("write", &temporary))?;
        fs::rename(&temporary, &self.path).map_err(io("replace", &self.path))?;
        sync_dir(&self.dir)
    }

    /// Held until dropped; another process waits.
    fn lock(&self) -> Result<File, KeyError> {
        let path = self.dir.join("keyring.lock");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io("open", &path))?;
        flock(&file, FlockOperation::LockExclusive)
            .map_err(|error| io("lock", &path)(error.into()))?;
        Ok(file)
    }

    fn damaged(&self, reason: String) -> KeyError {
        KeyError::Damaged {
            path: self.path.clone(),
            reason,
        }
    }

    /// Where, not what: serde's own message would quote the text, which holds keys.
    fn damaged_at(&self, error: &serde_json::Error) -> KeyError {
        self.damaged(format!(
            "not a keyring at line {} column {}",
            error.line(),
            error.column()
        ))
    }
}

fn sync_dir(dir: &Path) -> Result<(), KeyError> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(io("sync", dir))
}

fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyError {
    let path = path.to_owned();
    move |source| KeyError::Io {
        doing,
        path,
        source,
    }
}
