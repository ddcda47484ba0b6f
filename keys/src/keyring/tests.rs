//! The keyring on a real file system.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, sync::Arc};

use forebay_schemas::{ErrorKind, SiteId};
use ring::rand::SystemRandom;

use super::*;
use crate::site_key_name;

fn random() -> Random {
    Arc::new(SystemRandom::new())
}

fn home() -> (tempfile::TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data").join("keys");
    (home, dir)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn the_keyring_is_a_provider_like_any_other() {
    let (_home, dir) = home();
    let keyring = FileKeyring::create(&dir, random()).unwrap();
    crate::conformance::suite(keyring, || FileKeyring::open(&dir, random()).unwrap()).await;
}

#[tokio::test]
async fn keys_outlive_their_process() {
    let (_home, dir) = home();
    let site = site_key_name(&SiteId::new("Werk 1/Süd").unwrap());
    assert_eq!(site, "forebay.site.Werk%201%2FS%C3%BCd");
    let keyring = FileKeyring::create(&dir, random()).unwrap();
    assert!(matches!(
        keyring.current_id(&site),
        Err(KeyError::MissingKey { .. })
    ));
    let id = keyring.add_if_missing(&site).unwrap();
    assert_eq!(id.as_str(), format!("{site}.v1"));
    let wrapped = keyring.wrap(&id, &[5; 32]).await.unwrap();
    let secret = keyring.derive_secret("forebay.spool").unwrap();
    drop(keyring);

    assert_eq!(
        (mode(&dir), mode(&dir.join("keyring.json"))),
        (0o700, 0o600)
    );
    let keyring = FileKeyring::open(&dir, random()).unwrap();
    assert_eq!(keyring.add_if_missing(&site).unwrap(), id);
    assert_eq!(
        keyring.unwrap(&id, &wrapped).await.unwrap().expose(),
        [5; 32]
    );
    assert_eq!(
        keyring.derive_secret("forebay.spool").unwrap().expose(),
        secret.expose()
    );
    assert_ne!(
        keyring.derive_secret("forebay.identity").unwrap().expose(),
        secret.expose()
    );
}

#[tokio::test]
async fn an_old_version_still_opens() {
    let (_home, dir) = home();
    let keyring = FileKeyring::create(&dir, random()).unwrap();
    let old = keyring.current_id(TABLE_KEY).unwrap();
    let wrapped = keyring.wrap(&old, &[5; 32]).await.unwrap();
    let new = keyring.rotate(TABLE_KEY).unwrap();
    assert_eq!(
        (old.as_str(), new.as_str()),
        ("forebay.table.v1", "forebay.table.v2")
    );
    assert_eq!(
        keyring.unwrap(&old, &wrapped).await.unwrap().expose(),
        [5; 32]
    );
    assert!(matches!(
        keyring.unwrap(&new, &wrapped).await,
        Err(KeyError::WrongKey { .. })
    ));
    assert!(keyring.rotate("never added").is_err());
}

#[tokio::test]
async fn two_processes_lose_no_key() {
    let (_home, dir) = home();
    let first = FileKeyring::create(&dir, random()).unwrap();
    let second = FileKeyring::open(&dir, random()).unwrap();
    let (a, b) = (
        first.add_if_missing("a").unwrap(),
        second.add_if_missing("b").unwrap(),
    );
    let wrapped = second.wrap(&a, &[1; 32]).await.unwrap();
    assert_eq!(first.unwrap(&a, &wrapped).await.unwrap().expose(), [1; 32]);
    assert!(first.wrap(&b, &[1; 32]).await.is_ok());
    assert_eq!(second.add_if_missing("a").unwrap(), a);
}

#[test]
fn a_keyring_is_never_replaced() {
    let (_home, dir) = home();
    FileKeyring::create(&dir, random()).unwrap();
    let before = fs::read(dir.join("keyring.json")).unwrap();
    assert!(matches!(
        FileKeyring::create(&dir, random()),
        Err(KeyError::Exists { .. })
    ));
    assert_eq!(fs::read(dir.join("keyring.json")).unwrap(), before);
}

#[test]
fn a_crash_between_write_and_rename_changes_nothing() {
    let (_home, dir) = home();
    let keyring = FileKeyring::create(&dir, random()).unwrap();
    fs::write(dir.join("keyring.json.new"), "half").unwrap();
    let id = keyring.add_if_missing("a").unwrap();
    assert_eq!(
        FileKeyring::open(&dir, random())
            .unwrap()
            .current_id("a")
            .unwrap(),
        id
    );
    assert!(!dir.join("keyring.json.new").exists());
}

#[test]
fn refuses_what_it_must_not_use() {
    let (_home, dir) = home();
    assert!(matches!(
        FileKeyring::open(&dir, random()),
        Err(KeyError::NoKeyring { .. })
    ));
    FileKeyring::create(&dir, random()).unwrap();
    let path = dir.join("keyring.json");
    let good = fs::read_to_string(&path).unwrap();

    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let error = FileKeyring::open(&dir, random()).unwrap_err();
    assert!(
        matches!(error, KeyError::Exposed { mode: 0o640, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("chmod 600"), "{error}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();

    let secret = good.split('"').find(|text| text.len() == 44).unwrap();
    let cases = [
        (
            good.replace("\"version\": 1", "\"version\": 2"),
            ErrorKind::Fatal,
            "newer",
        ),
        (
            good.replace("\"current\": 1", "\"current\": 7"),
            ErrorKind::Corrupt,
            "no version 7",
        ),
        (
            good.replace(secret, &secret[4..]),
            ErrorKind::Corrupt,
            "is no key",
        ),
        (
            good.replace("\"current\": 1", &format!("\"current\": \"{secret}\"")),
            ErrorKind::Corrupt,
            "line",
        ),
        (
            good[..good.len() / 2].to_owned(),
            ErrorKind::Corrupt,
            "restore it",
        ),
    ];
    for (text, kind, says) in cases {
        fs::write(&path, text).unwrap();
        let error = FileKeyring::open(&dir, random()).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(
            error.to_string().contains(says) && !format!("{error:?}").contains(&secret[4..]),
            "{error:?}"
        );
    }
}

#[test]
fn reads_the_stored_format() {
    let (_home, dir) = home();
    fs::create_dir_all(&dir).unwrap();
    let path = dir.join("keyring.json");
    fs::write(&path, include_str!("../golden/keyring.v1.json")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let keyring = FileKeyring::open(&dir, random()).unwrap();
    assert_eq!(
        keyring.current_id(TABLE_KEY).unwrap().as_str(),
        "forebay.table.v2"
    );
    assert_eq!(
        keyring
            .find(&MasterKeyId::new("forebay.table.v1"))
            .unwrap()
            .expose(),
        [1; 32]
    );
    // HKDF-SHA256 of 32 bytes of 3, computed with Python's `cryptography`.
    let hex: String = keyring
        .derive_secret("forebay.spool")
        .unwrap()
        .expose()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(hex, include_str!("../golden/derived.txt").trim());
    keyring.file.update(|_| {}).unwrap();
    assert_eq!(
        fs::read_to_string(&path).unwrap() + "\n",
        include_str!("../golden/keyring.v1.json")
    );
}
