//! Certificates that an authority vouches for.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::json;

use crate::{
    peer::{FAST, Node, Peer, start},
    security::{FORCE, reads, refused},
};

/// Authorities and what they have signed, by the script beside this file.
fn made() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let python = std::env::var("FOREBAY_TEST_PYTHON")
        .expect("FOREBAY_TEST_PYTHON is not set: name a Python that has cryptography");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/authorities.py");
    let status = Command::new(python).arg(script).arg(folder.path()).status();
    assert!(status.unwrap().success());
    folder
}

/// A server that shows a chain.
fn serve(node: &Node, made: &Path, name: &str, folder: &Path) -> Peer {
    node.serve(json!({
        "folder": folder,
        "security": ["Basic256Sha256", "Aes256_Sha256_RsaPss"],
        "nodes": [["Force", "Double", 12.5]],
        "certificate": made.join(format!("{name}.pem")),
        "key": made.join("server.key"),
    }))
}

/// Folders below `pki_dir`, and a file in each.
type Files<'a> = &'a [(&'a str, PathBuf)];

/// A folder of certificates with these in it.
fn pki(folder: &Path, name: &str, files: Files<'_>) -> PathBuf {
    let pki = folder.join(name);
    for (kind, file) in files {
        fs::create_dir_all(pki.join(kind)).unwrap();
        let to = pki.join(kind).join(file.file_name().unwrap());
        fs::copy(file, to).unwrap();
    }
    pki
}

#[tokio::test]
async fn a_chain_is_followed_to_an_authority_that_is_trusted_and_to_no_other() {
    let made = made();
    let made = made.path();
    let node = Node::start();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let keys = |peer: &Peer, pki: &Path, more: &str| {
        format!(
            "url = \"{}\"\n{FAST}\npki_dir = {pki:?}\n{more}",
            peer.url()
        )
    };
    let of = |name: &str| made.join(format!("{name}.der"));
    let root = || ("trusted", of("root"));
    let safe = "security = \"Basic256Sha256\"";

    // The server's own, the authority below the root, the root.
    let whole = serve(&node, made, "whole", &folder.join("whole"));
    for (name, security) in [("sign", "mode = \"sign\""), ("encrypt", "")] {
        for policy in ["Basic256Sha256", "Aes256_Sha256_RsaPss"] {
            let pki = pki(folder, name, &[root()]);
            let keys = keys(
                &whole,
                &pki,
                &format!("security = \"{policy}\"\n{security}"),
            );
            reads(start(&keys, FORCE), &keys).await;
        }
    }
    // Pinning takes the server's own certificate of the chain, and asks for nothing more.
    let pinned = format!("{safe}\nserver_cert_file = {:?}", of("server"));
    let keys_pinned = keys(&whole, &pki(folder, "pinned", &[]), &pinned);
    reads(start(&keys_pinned, FORCE), &keys_pinned).await;
    // The server's own, trusted in the folder.
    let moved = keys(
        &whole,
        &pki(folder, "moved", &[("trusted", of("server"))]),
        safe,
    );
    reads(start(&moved, FORCE), &moved).await;

    let cases: [(&str, Files<'_>, &str); 3] = [
        ("nothing", &[], "is not trusted: compare the thumbprint"),
        // An authority that is not trusted itself.
        (
            "issuers",
            &[("issuers", of("below"))],
            "is not trusted: compare",
        ),
        ("revoked", &[root(), ("crl", of("revoked"))], "Revoked"),
    ];
    for (name, files, words) in cases {
        let why = refused(&keys(&whole, &pki(folder, name, files), safe)).await;
        assert!(why.contains(words), "{name}: {words} in {why}");
    }

    // A server that leaves its issuers out: they are found in `issuers`, and nowhere else.
    let alone = serve(&node, made, "alone", &folder.join("alone"));
    let why = refused(&keys(&alone, &pki(folder, "missing", &[root()]), safe)).await;
    assert!(why.contains("UnknownIssuer"), "{why}");
    let found = keys(
        &alone,
        &pki(folder, "found", &[root(), ("issuers", of("below"))]),
        safe,
    );
    reads(start(&found, FORCE), &found).await;
    let below = keys(
        &alone,
        &pki(folder, "below", &[("trusted", of("below"))]),
        safe,
    );
    reads(start(&below, FORCE), &below).await;
}
