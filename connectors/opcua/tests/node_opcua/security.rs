//! Policies, modes and logins.

use std::{fs, path::Path};

use forebay_connectors_conformance::Rig;
use forebay_opcua::{approve, rejected};
use forebay_schemas::Value;

use crate::peer::{FAST, Shared, start};

pub(crate) const FORCE: &[(&str, &str)] = &[("force", "nsu=urn:forebay:test;s=Force")];

pub(crate) async fn reads(rig: Rig, keys: &str) {
    let samples = rig.samples_since(0, 1).await;
    assert_eq!(samples[0].value, Some(Value::F64(12.5)), "{keys}");
    rig.stop().await;
}

pub(crate) async fn refused(keys: &str) -> String {
    let rig = start(keys, FORCE);
    let (_, why) = rig.down_since(0).await;
    rig.stop().await;
    why
}

fn keys(shared: &Shared, pki: &Path, more: &str) -> String {
    format!(
        "url = \"{}\"\n{FAST}\npki_dir = {pki:?}\n{more}",
        shared.url
    )
}

/// A folder in which the shared server is trusted.
async fn trusting(shared: &Shared) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let keys = keys(shared, folder.path(), "security = \"Basic256Sha256\"");
    let why = refused(&keys).await;
    assert!(
        why.contains("is not trusted: compare the thumbprint"),
        "{why}"
    );
    let found = rejected(folder.path()).unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    approve(folder.path(), &found[0].thumbprint).unwrap();
    folder
}

#[tokio::test]
async fn every_policy_and_mode_is_spoken_and_every_kind_of_user_logs_in() {
    let shared = Shared::get();
    let folder = trusting(shared).await;
    let cert = folder.path().join("own/cert.der");
    let key = folder.path().join("private/private.pem");
    let password = "user = \"forebay\"\npassword = \"geheim ÄÖ\"".to_owned();
    let certificate = format!("user_cert_file = {cert:?}\nuser_key_file = {key:?}");
    for security in [
        "security = \"None\"",
        "security = \"Basic256Sha256\"\nmode = \"sign\"",
        "security = \"Basic256Sha256\"",
        "security = \"Aes128_Sha256_RsaOaep\"\nmode = \"sign\"",
        "security = \"Aes128_Sha256_RsaOaep\"",
        "security = \"Aes256_Sha256_RsaPss\"\nmode = \"sign\"",
        "security = \"Aes256_Sha256_RsaPss\"",
    ] {
        for user in ["", &password, &certificate] {
            let keys = keys(shared, folder.path(), &format!("{security}\n{user}"));
            reads(start(&keys, FORCE), &keys).await;
        }
    }
    let wrong = "security = \"Aes256_Sha256_RsaPss\"\nuser = \"forebay\"\npassword = \"geheimer\"";
    let why = refused(&keys(shared, folder.path(), wrong)).await;
    assert!(why.contains("refused user \"forebay\" with Bad"), "{why}");
    assert!(!why.contains("geheimer"), "{why}");
}

#[tokio::test]
async fn another_certificate_than_the_pinned_one_is_refused() {
    let shared = Shared::get();
    let folder = trusting(shared).await;
    // Our own certificate stands in for that of another server.
    let other = folder.path().join("own/cert.der");
    assert!(fs::metadata(&other).is_ok());
    let more = format!("security = \"Aes256_Sha256_RsaPss\"\nserver_cert_file = {other:?}");
    let why = refused(&keys(shared, folder.path(), &more)).await;
    assert!(
        why.contains("shows another certificate than server_cert_file"),
        "{why}"
    );
}
