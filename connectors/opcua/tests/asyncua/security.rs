//! Policies, certificates and logins, against asyncua.

use std::{fs, path::Path};

use crate::peer::{InFolder, Peer, start};
use forebay_connectors_conformance::{Receipts, Rig};
use forebay_opcua::{approve, rejected};
use forebay_schemas::Value;
use serde_json::{Value as Json, json};

const FORCE: &[(&str, &str)] = &[("force", "ns=2;s=Force")];

/// All policies: a server of the plant offers several.
const POLICIES: [&str; 5] = [
    "NoSecurity",
    "Basic256Sha256_SignAndEncrypt",
    "Basic256Sha256_Sign",
    "Aes128Sha256RsaOaep_SignAndEncrypt",
    "Aes256Sha256RsaPss_SignAndEncrypt",
];

fn options(folder: &Path, policies: &[&str]) -> Json {
    json!({"port": 0, "folder": folder, "security": policies, "nodes": [{"id": "Force", "type": "Double", "value": 12.5}]})
}

fn keys(peer: &Peer, folder: &Path, more: &str) -> String {
    format!(
        "url = \"{}\"\npublishing_interval = \"100ms\"\npki_dir = {:?}\n{more}",
        peer.url(),
        folder.join("pki")
    )
}

async fn reads(keys: &str) {
    let rig = start(keys, FORCE);
    assert_eq!(
        rig.samples_since(0, 1).await[0].value,
        Some(Value::F64(12.5)),
        "{keys}"
    );
    rig.stop().await;
}

async fn refused(keys: &str) -> String {
    let rig = start(keys, FORCE);
    let (_, why) = rig.down_since(0).await;
    rig.stop().await;
    why
}

#[tokio::test]
async fn every_policy_is_spoken_with_a_pinned_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let peer = Peer::start(options(folder.path(), &POLICIES)).await;
    let pinned = format!(
        "server_cert_file = {:?}",
        folder.path().join("server_cert.der")
    );
    for security in [
        "security = \"Basic256Sha256\"\nmode = \"sign\"",
        "security = \"Basic256Sha256\"",
        "security = \"Aes128_Sha256_RsaOaep\"",
        "security = \"Aes256_Sha256_RsaPss\"\nmode = \"sign_and_encrypt\"",
    ] {
        reads(&keys(
            &peer,
            folder.path(),
            &format!("{security}\n{pinned}"),
        ))
        .await;
    }
    reads(&keys(&peer, folder.path(), "security = \"None\"")).await;
    let key = folder.path().join("pki/private/private.pem");
    assert!(
        fs::read_to_string(&key)
            .unwrap()
            .starts_with("-----BEGIN PRIVATE KEY-----\n")
    );
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&key).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "nobody else reads our key");
}

#[tokio::test]
async fn an_unknown_certificate_is_refused_until_a_person_moves_it() {
    let folder = tempfile::tempdir().unwrap();
    let peer = Peer::start(options(folder.path(), &POLICIES)).await;
    let keys = keys(&peer, folder.path(), "security = \"Basic256Sha256\"");
    let rig = start(&keys, FORCE);
    let (_, why) = rig.down_since(0).await;
    let pki = folder.path().join("pki");
    let rejected: Vec<_> = fs::read_dir(pki.join("rejected"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    assert_eq!(rejected.len(), 1);
    assert_eq!(
        fs::read(&rejected[0]).unwrap(),
        fs::read(folder.path().join("server_cert.der")).unwrap()
    );
    for words in [
        "is not trusted",
        "thumbprint",
        rejected[0].to_str().unwrap(),
        pki.join("trusted").to_str().unwrap(),
    ] {
        assert!(why.contains(words), "{words} in {why}");
    }
    let from = rig.count();
    fs::rename(&rejected[0], pki.join("trusted/press.der")).unwrap();
    assert_eq!(
        rig.samples_since(from, 1).await[0].value,
        Some(Value::F64(12.5)),
        "without a restart"
    );
    rig.stop().await;
}

/// The page's own words, but for the address, the secret and what is the gateway's.
fn example() -> String {
    let page = include_str!("../../../../docs/reference/connectors/opcua.md");
    let block = page.split("```toml\n").nth(1).unwrap();
    let block = block.split("```").next().unwrap();
    let kept = block.lines().filter(|line| !line.starts_with("unit = "));
    kept.map(|line| format!("{line}\n")).collect()
}

#[tokio::test]
async fn the_example_of_the_page_reads_once_its_certificate_is_approved() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(folder.path(), &POLICIES);
    options["users"] = json!({"forebay": "geheim"});
    options["models"] = json!(true);
    let peer = Peer::start(options).await;
    let text = example()
        .replace("opc.tcp://10.0.0.9:4840", &peer.url())
        .replace("${PRESS_PASSWORD}", "geheim");
    assert!(text.contains("security = \"Aes256_Sha256_RsaPss\""));
    let kind = InFolder(folder.path().to_owned());
    let rig = Rig::start(&kind, &text, Receipts::Given);
    let (_, why) = rig.down_since(0).await;
    let refused = rejected(folder.path()).unwrap();
    assert_eq!(refused.len(), 1);
    assert!(why.contains(&refused[0].thumbprint), "{why}");
    let from = rig.count();
    approve(folder.path(), &refused[0].thumbprint).unwrap();
    rig.up_since(from).await;
    // The force; the state and its name; the press's fields with the name of its state left out.
    let samples = rig.samples_since(from, 1 + 2 + 8).await;
    let force = samples.iter().find(|sample| sample.tag.as_str() == "force");
    assert_eq!(force.unwrap().value, Some(Value::F64(12.5)));
    let state = samples
        .iter()
        .find(|sample| sample.tag.as_str() == "state.text");
    assert_eq!(state.unwrap().value, Some(Value::Text("starting".into())));
    rig.stop().await;
}

#[tokio::test]
async fn another_certificate_than_the_pinned_one_is_refused_unless_anyone_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let peer = Peer::start(options(folder.path(), &POLICIES)).await;
    reads(&keys(
        &peer,
        folder.path(),
        "security = \"Aes256_Sha256_RsaPss\"\ntrust_any = true",
    ))
    .await;
    // Our own certificate stands in for that of another server.
    let other = folder.path().join("pki/own/cert.der");
    let pinned = format!("security = \"Aes256_Sha256_RsaPss\"\nserver_cert_file = {other:?}");
    let why = refused(&keys(&peer, folder.path(), &pinned)).await;
    assert!(
        why.contains("shows another certificate than server_cert_file"),
        "{why}"
    );
}

#[tokio::test]
async fn user_and_password_are_right_or_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(folder.path(), &POLICIES);
    options["users"] = json!({"forebay": "geheim ÄÖ"});
    let peer = Peer::start(options).await;
    let pinned = format!(
        "server_cert_file = {:?}",
        folder.path().join("server_cert.der")
    );
    let secured = format!("security = \"Aes256_Sha256_RsaPss\"\n{pinned}");
    let signed = format!("security = \"Basic256Sha256\"\nmode = \"sign\"\n{pinned}");
    // Without security the password is still encrypted, with the certificate that the server shows.
    let open = "security = \"None\"".to_owned();
    for security in [&secured, &signed, &open] {
        let more = format!("{security}\nuser = \"forebay\"\npassword = \"geheim ÄÖ\"");
        reads(&keys(&peer, folder.path(), &more)).await;
    }
    let wrong = format!("{secured}\nuser = \"forebay\"\npassword = \"geheimer\"");
    let why = refused(&keys(&peer, folder.path(), &wrong)).await;
    assert!(
        why.contains("refused user \"forebay\" with BadUserAccessDenied: check user and password"),
        "{why}"
    );
    assert!(!why.contains("geheimer"));
    let why = refused(&keys(&peer, folder.path(), &secured)).await;
    assert!(
        why.contains("takes no anonymous user: set user and password"),
        "{why}"
    );
}

#[tokio::test]
async fn a_user_certificate_logs_in() {
    let folder = tempfile::tempdir().unwrap();
    let pinned = format!(
        "server_cert_file = {:?}",
        folder.path().join("server_cert.der")
    );
    // A first connector makes the pair that is then the user's.
    let maker = Peer::start(options(folder.path(), &POLICIES)).await;
    reads(&keys(
        &maker,
        folder.path(),
        &format!("security = \"Basic256Sha256\"\n{pinned}"),
    ))
    .await;
    let (cert, key) = (
        folder.path().join("pki/own/cert.der"),
        folder.path().join("pki/private/private.pem"),
    );
    let mut options = options(folder.path(), &POLICIES);
    options["trusted_user_cert"] = json!(cert);
    let peer = Peer::start(options).await;
    let user = format!(
        "security = \"Basic256Sha256\"\n{pinned}\nuser_cert_file = {cert:?}\nuser_key_file = {key:?}"
    );
    reads(&keys(&peer, folder.path(), &user)).await;
}

#[tokio::test]
async fn connectors_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let peer = Peer::start(options(folder.path(), &POLICIES)).await;
    let pinned = format!(
        "security = \"Basic256Sha256\"\nserver_cert_file = {:?}",
        folder.path().join("server_cert.der")
    );
    let keys = keys(
        &peer,
        folder.path(),
        &format!("{pinned}\napplication_uri = \"urn:plant:collector\""),
    );
    let rigs = [
        start(&keys, FORCE),
        start(&format!("{keys}\nname = \"mill\""), FORCE),
    ];
    for rig in rigs {
        rig.samples_since(0, 1).await;
        rig.stop().await;
    }
}

#[tokio::test]
async fn what_a_server_does_not_offer_is_named_with_what_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let peer = Peer::start(options(
        folder.path(),
        &["NoSecurity", "Basic256Sha256_Sign"],
    ))
    .await;
    let why = refused(&keys(
        &peer,
        folder.path(),
        "security = \"Aes256_Sha256_RsaPss\"\ntrust_any = true",
    ))
    .await;
    let expected = "no endpoint with security Aes256_Sha256_RsaPss with sign_and_encrypt; \
                    it offers Basic256Sha256 with sign, None";
    assert!(why.contains(expected), "{why}");
}

#[tokio::test]
async fn unusable_files_of_our_own_are_a_lost_link_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let own = |cert: &str, key: &str, more: &str| {
        let (cert, key) = (folder.path().join(cert), folder.path().join(key));
        format!(
            "url = \"opc.tcp://127.0.0.1:1\"\nsecurity = \"Basic256Sha256\"\npki_dir = {:?}\ncert_file = {cert:?}\n\
             key_file = {key:?}\n{more}",
            folder.path().join("pki")
        )
    };
    let why = refused(&own("none.der", "none.pem", "")).await;
    assert!(why.contains("none.pem"), "{why}");
    fs::write(
        folder.path().join("broken.pem"),
        "-----BEGIN PRIVATE KEY-----\nxx\n",
    )
    .unwrap();
    let why = refused(&own("none.der", "broken.pem", "")).await;
    assert!(
        why.contains("broken.pem") && why.contains("PKCS #8"),
        "{why}"
    );
}

/// A folder that cannot be made, as a file stands in its place: the connector goes on trying, and starts when it is mended.
#[tokio::test]
async fn a_pki_folder_that_cannot_be_written_is_told_and_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let peer = Peer::start(options(folder.path(), &POLICIES)).await;
    fs::write(folder.path().join("pki"), "in the way").unwrap();
    let more = format!(
        "security = \"Basic256Sha256\"\nserver_cert_file = {:?}",
        folder.path().join("server_cert.der")
    );
    let rig = start(&keys(&peer, folder.path(), &more), FORCE);
    let (_, why) = rig.down_since(0).await;
    assert!(
        why.contains(folder.path().join("pki").to_str().unwrap()),
        "{why}"
    );
    fs::remove_file(folder.path().join("pki")).unwrap();
    rig.up_since(0).await;
    assert_eq!(
        rig.samples_since(0, 1).await[0].value,
        Some(Value::F64(12.5))
    );
    rig.stop().await;
}

#[tokio::test]
async fn keys_are_renewed_while_values_flow() {
    let folder = tempfile::tempdir().unwrap();
    let mut peer = Peer::start(options(folder.path(), &POLICIES)).await;
    let more = format!(
        "security = \"Basic256Sha256\"\nchannel_lifetime = \"2s\"\nserver_cert_file = {:?}",
        folder.path().join("server_cert.der")
    );
    let rig = start(&keys(&peer, folder.path(), &more), FORCE);
    rig.samples_since(0, 1).await;
    let from = rig.count();
    // Longer than two lifetimes of a key.
    for n in 0..45 {
        peer.tell(json!({"write": [["Force", "Double", n, 0, 1_780_000_000_000_000_i64 + n]]}))
            .await;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let values: Vec<_> = rig
        .samples_since(from, 45)
        .await
        .into_iter()
        .map(|sample| sample.value.unwrap())
        .collect();
    assert_eq!(
        values,
        (0..45)
            .map(|n| Value::F64(f64::from(n)))
            .collect::<Vec<_>>()
    );
    assert_eq!(rig.links().len(), 1, "the link stays up");
    let opened = peer.tell(json!({"opened": true})).await.as_u64().unwrap();
    assert!(
        opened >= 4,
        "discovery, the session's channel, and at least two renewals: {opened}"
    );
    rig.stop().await;
}
