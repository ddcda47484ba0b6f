//! State objects: what a stream's commits have taken (E5).
//!
//! Each is created once under `_forebay/state/<app id>/<number>`, sealed, and never changed; the application
//! transaction in the Delta log names the number that counts. Objects that no commit names are leftovers of
//! attempts that did not land.

mod each;
mod model;
mod reconcile;
#[cfg(test)]
mod tests;
mod times;

use forebay_schemas::table::TABLE_FORMAT_VERSION;
use futures::StreamExt as _;
use object_store::{ObjectStoreExt as _, PutMode, path::Path};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hmac,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    LakeError,
    file::hex::hex,
    keys::{KeyError, KeyProvider, Random, SecretKey, random_bytes},
    table::change::OWN_PREFIX,
    table::{LakeTable, Snapshot},
};

pub use each::FoundState;
pub use model::{
    DeviceTimes, EpochMark, Forgotten, Gap, GapExtent, GapState, SEQ_UNKNOWN, SideState, SiteTimes,
    StreamState, TakenOver,
};
pub(crate) use reconcile::reconcile;
pub use reconcile::taken_elsewhere;

/// Secrets of the keyring that never rotate: they name streams and seal state objects.
const IDENTITY_SECRET: &str = "forebay.identity";
const STATE_SECRET: &str = "forebay.state";

/// Numbers ascend by a random step of 20 bits: enough for 10^13 commits, and no two attempts draw the same.
const NUMBER_STEP_MAX: u32 = (1 << 20) - 1;

/// The field of a state that says so.
const TIMES_APART: &str = "times_apart";

/// How many states are read at a time.
const LOADS_MAX: usize = 16;

/// First bytes of every state object.
const MAGIC: &[u8; 4] = b"FBST";

/// Seals state objects and names streams, with secrets that never rotate.
pub struct StateKeeper {
    identity: hmac::Key,
    seal: LessSafeKey,
}

impl StateKeeper {
    /// From a provider's secrets, which never rotate.
    ///
    /// # Errors
    /// When the provider has none.
    pub async fn of(keys: &dyn KeyProvider) -> Result<Self, LakeError> {
        Self::new(
            &keys.secret(IDENTITY_SECRET).await?,
            &keys.secret(STATE_SECRET).await?,
        )
    }

    /// From the keyring's two secrets, 32 bytes each.
    pub fn new(identity: &SecretKey, seal: &SecretKey) -> Result<Self, LakeError> {
        let sealing =
            UnboundKey::new(&AES_256_GCM, seal.expose()).map_err(|_| KeyError::KeyLength {
                id: "of state objects".into(),
                bytes: seal.expose().len(),
            })?;
        Ok(Self {
            identity: hmac::Key::new(hmac::HMAC_SHA256, identity.expose()),
            seal: LessSafeKey::new(sealing),
        })
    }

    /// A stream's name in the table: a keyed hash, so that the plain Delta log does not tell which it is.
    pub fn app_id(&self, stream: &str, partition: u32) -> String {
        hex(hmac::sign(&self.identity, format!("{stream}\0{partition}").as_bytes()).as_ref())
    }

    /// A number that stands for `content` for ever: 63 bits of a keyed hash.
    pub fn number_of(&self, content: &[u8]) -> u64 {
        let tag = hmac::sign(&self.identity, content);
        let mut first = [0; 8];
        first.copy_from_slice(&tag.as_ref()[..8]);
        u64::from_be_bytes(first) >> 1
    }

    /// A name that stands for `content` for ever: a keyed hash.
    pub(crate) fn name_of(&self, content: &[u8]) -> String {
        hex(hmac::sign(&self.identity, content).as_ref())
    }

    /// Stores a state under a number above `after` that nobody has used, and answers the number.
    ///
    /// The number is drawn, so that a state is put once however many attempts before it have left theirs behind.
    ///
    /// # Errors
    /// When the store fails, and when the numbers are used up.
    pub async fn store<S: Serialize + Sync>(
        &self,
        table: &LakeTable,
        app_id: &str,
        after: Option<i64>,
        state: &S,
        random: &Random,
    ) -> Result<i64, LakeError> {
        loop {
            let step = i64::from(u32::from_le_bytes(random_bytes::<4>(random)?) & NUMBER_STEP_MAX);
            let number =
                after
                    .unwrap_or(0)
                    .checked_add(1 + step)
                    .ok_or_else(|| LakeError::State {
                        path: path_of(app_id, i64::MAX).to_string(),
                        why: "the numbers of its stream are used up".into(),
                    })?;
            // Taken is one number in a million: draw again.
            if self
                .create(table, &path_of(app_id, number), state, random)
                .await?
            {
                return Ok(number);
            }
        }
    }

    /// Puts a state under just this number, which no other state ever has; one that is there already stays.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn note<S: Serialize + Sync>(
        &self,
        table: &LakeTable,
        app_id: &str,
        number: i64,
        state: &S,
        random: &Random,
    ) -> Result<(), LakeError> {
        self.create(table, &path_of(app_id, number), state, random)
            .await
            .map(drop)
    }

    /// Puts a sealed object where none is yet; answers whether it did.
    async fn create<S: Serialize + Sync>(
        &self,
        table: &LakeTable,
        path: &Path,
        state: &S,
        random: &Random,
    ) -> Result<bool, LakeError> {
        let sealed = self.seal(path, state, random)?;
        match table
            .store()
            .put_opts(path, sealed.into(), PutMode::Create.into())
            .await
        {
            Ok(_) => Ok(true),
            Err(
                object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. },
            ) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads the state with this number, with the times of its devices where they lie apart.
    ///
    /// # Errors
    /// [`LakeError::StateLost`] when it is missing, damaged or sealed with another keyring, [`LakeError::State`] when it is of a
    /// later release.
    pub async fn load<S: DeserializeOwned>(
        &self,
        table: &LakeTable,
        app_id: &str,
        number: i64,
    ) -> Result<S, LakeError> {
        let path = path_of(app_id, number);
        let mut state: serde_json::Value = match self.open(table, &path).await {
            // Waiting brings it back no more than it does a damaged one.
            Err(error) if error.is_not_found() => return Err(lost(table, &path, "it is missing")),
            state => state?,
        };
        if state
            .get(TIMES_APART)
            .is_some_and(|apart| apart == &serde_json::Value::Bool(true))
        {
            self.add_times(table, app_id, &mut state).await;
        }
        serde_json::from_value(state).map_err(|e| LakeError::State {
            path: path.to_string(),
            why: e.to_string(),
        })
    }

    /// Reads a sealed object.
    async fn open<S: DeserializeOwned>(
        &self,
        table: &LakeTable,
        path: &Path,
    ) -> Result<S, LakeError> {
        let bytes = table.store().get(path).await?.bytes().await?.to_vec();
        let fail = |why: &str| LakeError::State {
            path: path.to_string(),
            why: why.into(),
        };
        let plain = self.open_bytes(table, path, bytes)?;
        let version: Format = serde_json::from_slice(&plain).map_err(|e| fail(&e.to_string()))?;
        if version.format > TABLE_FORMAT_VERSION {
            return Err(fail("it is of a later release: update this program"));
        }
        serde_json::from_slice(&plain).map_err(|e| fail(&e.to_string()))
    }

    /// What [`StateKeeper::seal_bytes`] has sealed for this place.
    pub(crate) fn open_bytes(
        &self,
        table: &LakeTable,
        path: &Path,
        mut bytes: Vec<u8>,
    ) -> Result<Vec<u8>, LakeError> {
        let sealed = bytes
            .split_at_mut_checked(MAGIC.len())
            .filter(|(magic, _)| *magic == MAGIC)
            .map(|(_, rest)| rest)
            .ok_or_else(|| lost(table, path, "it does not start like one"))?;
        let cut_short = || lost(table, path, "it is cut short");
        let (nonce, sealed) = sealed
            .split_at_mut_checked(NONCE_LEN)
            .ok_or_else(cut_short)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| cut_short())?;
        let plain = self
            .seal
            .open_in_place(nonce, Aad::from(path.as_ref()), sealed)
            .map_err(|_| lost(table, path, "it is damaged, or sealed with another keyring"))?;
        Ok(plain.to_vec())
    }

    /// The states that count in a snapshot of a table, of every stream.
    ///
    /// # Errors
    /// As [`StateKeeper::load`], and when the log or the store cannot be read.
    pub async fn states<S: DeserializeOwned>(
        &self,
        table: &LakeTable,
        snapshot: &Snapshot,
    ) -> Result<Vec<S>, LakeError> {
        let mut states = Vec::new();
        for (app_id, number) in self.numbers(table, snapshot).await? {
            states.push(self.load(table, &app_id, number).await?);
        }
        Ok(states)
    }

    /// By stream's app id, the number of the state that counts in a snapshot of a table, whether the state is there or not.
    ///
    /// # Errors
    /// When the log or the store cannot be read.
    pub async fn numbers(
        &self,
        table: &LakeTable,
        snapshot: &Snapshot,
    ) -> Result<Vec<(String, i64)>, LakeError> {
        let is_stream = |app_id: &str| !app_id.starts_with(OWN_PREFIX);
        self.numbers_of(table, snapshot, is_stream).await
    }

    /// The numbers of the states whose transactions are wanted.
    async fn numbers_of(
        &self,
        table: &LakeTable,
        snapshot: &Snapshot,
        is_wanted: impl Fn(&str) -> bool,
    ) -> Result<Vec<(String, i64)>, LakeError> {
        if let Some(mut all) = snapshot.all_states().await? {
            all.retain(|(app_id, _)| is_wanted(app_id));
            return Ok(all);
        }
        // A log of another shape: the streams that have a state here are asked for one by one.
        let folder = Path::from_iter(["_forebay", "state"]);
        let found = table.store().list_with_delimiter(Some(&folder)).await?;
        let mut numbers = Vec::new();
        for app_id in found
            .common_prefixes
            .iter()
            .filter_map(|folder| folder.filename())
            .filter(|app_id| is_wanted(app_id))
        {
            if let Some(number) = snapshot.state_of(app_id).await? {
                numbers.push((app_id.to_owned(), number));
            }
        }
        Ok(numbers)
    }

    /// The states with these numbers, in their order, loaded several at a time; each may be unreadable on its own.
    pub async fn load_each<S: DeserializeOwned>(
        &self,
        table: &LakeTable,
        numbers: Vec<(String, i64)>,
    ) -> Vec<(String, i64, Result<S, LakeError>)> {
        let loads = numbers.into_iter().map(|(app_id, number)| async move {
            let state = self.load(table, &app_id, number).await;
            (app_id, number, state)
        });
        futures::stream::iter(loads)
            .buffered(LOADS_MAX)
            .collect()
            .await
    }

    fn seal<S: Serialize>(
        &self,
        path: &Path,
        state: &S,
        random: &Random,
    ) -> Result<Vec<u8>, LakeError> {
        let fail = |why: &str| LakeError::State {
            path: path.to_string(),
            why: why.into(),
        };
        let plain = serde_json::to_vec(state).map_err(|e| fail(&e.to_string()))?;
        self.seal_bytes(path, &plain, random)
    }

    /// Bytes for this place, which no other place opens.
    pub(crate) fn seal_bytes(
        &self,
        path: &Path,
        plain: &[u8],
        random: &Random,
    ) -> Result<Vec<u8>, LakeError> {
        let nonce = random_bytes::<NONCE_LEN>(random)?;
        let mut sealed = plain.to_vec();
        self.seal
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(path.as_ref()),
                &mut sealed,
            )
            .map_err(|_| LakeError::State {
                path: path.to_string(),
                why: "it is too large to seal".into(),
            })?;
        Ok([MAGIC.as_slice(), &nonce, &sealed].concat())
    }
}

/// Only the version, which is checked before the rest is believed.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

fn lost(table: &LakeTable, path: &Path, why: &str) -> LakeError {
    LakeError::StateLost {
        table: table.schema().name,
        path: path.to_string(),
        why: why.into(),
    }
}

fn path_of(app_id: &str, number: i64) -> Path {
    Path::from_iter(["_forebay", "state", app_id, &format!("{number:020}")])
}
