//! The envelope against a keyring, with the provider's calls counted.

use std::{
    collections::BTreeSet,
    num::NonZeroU64,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use forebay_schemas::ErrorKind;
use ring::rand::SystemRandom;

use super::{
    super::{
        FileKeyring, KeyError, KeyProvider, KeyUse, MasterKeyId, Random, SecretKey, TABLE_KEY,
        WrappedKek,
    },
    *,
};

#[derive(Debug)]
struct Counted {
    keyring: FileKeyring,
    calls: AtomicUsize,
}

#[async_trait]
impl KeyProvider for Counted {
    async fn current(&self, name: &str) -> Result<MasterKeyId, KeyError> {
        self.keyring.current(name).await
    }

    async fn ensure(
        &self,
        name: &str,
        in_use: &BTreeSet<MasterKeyId>,
    ) -> Result<MasterKeyId, KeyError> {
        self.keyring.ensure(name, in_use).await
    }

    async fn check_not_older(&self, in_use: &BTreeSet<MasterKeyId>) -> Result<(), KeyError> {
        self.keyring.check_not_older(in_use).await
    }

    async fn secret(&self, name: &str) -> Result<SecretKey, KeyError> {
        self.keyring.secret(name).await
    }

    async fn wrap(&self, master: &MasterKeyId, key: &[u8]) -> Result<String, KeyError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.keyring.wrap(master, key).await
    }

    async fn unwrap(&self, master: &MasterKeyId, wrapped: &str) -> Result<SecretKey, KeyError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.keyring.unwrap(master, wrapped).await
    }
}

struct Bench {
    _dir: tempfile::TempDir,
    provider: Arc<Counted>,
    random: Random,
    table: MasterKeyId,
}

fn bench() -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let random: Random = Arc::new(SystemRandom::new());
    let keyring = FileKeyring::create(&dir.path().join("keys"), Arc::clone(&random)).unwrap();
    let table = keyring.current_id(TABLE_KEY).unwrap();
    Bench {
        _dir: dir,
        provider: Arc::new(Counted {
            keyring,
            calls: AtomicUsize::new(0),
        }),
        random,
        table,
    }
}

impl Bench {
    fn encrypter(&self) -> KeyEncrypter {
        KeyEncrypter::new(
            Arc::clone(&self.provider) as Arc<dyn KeyProvider>,
            Arc::clone(&self.random),
        )
    }

    fn decrypter(&self) -> KeyDecrypter {
        KeyDecrypter::new(Arc::clone(&self.provider) as Arc<dyn KeyProvider>)
    }

    fn calls(&self) -> usize {
        self.provider.calls.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn data_keys_are_fresh_and_come_back() {
    let bench = bench();
    let keys = bench
        .encrypter()
        .file_keys(&[&bench.table, &bench.table])
        .await
        .unwrap();
    let footer = keys.data_key(&bench.table, KeyUse::Footer).unwrap();
    let column = keys.data_key(&bench.table, KeyUse::Column).unwrap();
    assert_eq!(footer.secret.expose().len(), 32);
    assert_ne!(footer.secret.expose(), column.secret.expose());

    let decrypter = bench.decrypter();
    let error = decrypter.data_key(&footer.metadata).unwrap_err();
    assert!(
        matches!(error, KeyError::Unprepared { .. }) && error.kind() == ErrorKind::Fatal,
        "{error}"
    );
    decrypter.prepare(&keys.keks()).await.unwrap();
    for key in [&footer, &column] {
        assert_eq!(
            decrypter.data_key(&key.metadata).unwrap().expose(),
            key.secret.expose()
        );
    }
}

#[tokio::test]
async fn the_provider_is_asked_once_per_kek() {
    let bench = bench();
    let encrypter = bench
        .encrypter()
        .with_files_per_kek(NonZeroU64::new(2).unwrap());
    let mut keks = Vec::new();
    for _ in 0..4 {
        keks.extend(encrypter.file_keys(&[&bench.table]).await.unwrap().keks());
    }
    assert_eq!(bench.calls(), 2);
    assert!(keks[0] == keks[1] && keks[1] != keks[2] && keks[2] == keks[3]);

    let decrypter = bench.decrypter();
    decrypter.prepare(&keks).await.unwrap();
    decrypter.prepare(&keks).await.unwrap();
    assert_eq!(bench.calls(), 4);
}

#[tokio::test]
async fn an_unknown_master_key_is_an_error() {
    let bench = bench();
    let unknown = MasterKeyId::new("forebay.site.nowhere.v1");
    let error = bench
        .encrypter()
        .file_keys(&[&bench.table, &unknown])
        .await
        .unwrap_err();
    assert!(matches!(error, KeyError::MissingKey { .. }), "{error}");
    assert!(error.to_string().contains(unknown.as_str()), "{error}");
}

#[tokio::test]
async fn a_forged_kek_spoils_no_other() {
    let bench = bench();
    let encrypter = bench.encrypter().with_files_per_kek(NonZeroU64::MIN);
    let keys = encrypter.file_keys(&[&bench.table]).await.unwrap();
    let other = encrypter
        .file_keys(&[&bench.table])
        .await
        .unwrap()
        .keks()
        .remove(0);
    let real = keys.keks().remove(0);
    let forged = WrappedKek {
        wrapped: other.wrapped,
        ..real.clone()
    };
    let decrypter = bench.decrypter();
    decrypter.prepare(&[forged, real]).await.unwrap();
    let key = keys.data_key(&bench.table, KeyUse::Column).unwrap();
    assert_eq!(
        decrypter.data_key(&key.metadata).unwrap().expose(),
        key.secret.expose()
    );
}

#[test]
fn a_wrapped_kek_is_a_stored_format() {
    let kek = WrappedKek {
        master: MasterKeyId::new("forebay.table.v1"),
        kek_id: "aWQ=".into(),
        wrapped: "dw==".into(),
    };
    let json = serde_json::to_string(&kek).unwrap();
    assert_eq!(json, r#"{"m":"forebay.table.v1","i":"aWQ=","w":"dw=="}"#);
    assert_eq!(serde_json::from_str::<WrappedKek>(&json).unwrap(), kek);
}

#[test]
fn nothing_shows_a_secret() {
    let key = DataKey {
        secret: SecretKey::new(vec![171; 32]),
        metadata: Vec::new(),
    };
    assert_eq!(
        format!("{key:?}"),
        "DataKey { secret: SecretKey(32 bytes), metadata: [] }"
    );
}
