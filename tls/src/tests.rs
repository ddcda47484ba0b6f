use std::fs;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::TempDir;

use super::*;

/// A folder with `cert.pem`, its `key.pem`, and `other.pem`, the key of another certificate.
fn files() -> (TempDir, OwnCertificate) {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    fs::write(path("cert.pem"), cert.pem()).unwrap();
    fs::write(path("key.pem"), signing_key.serialize_pem()).unwrap();
    let other = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    fs::write(path("other.pem"), other.signing_key.serialize_pem()).unwrap();
    let own = OwnCertificate {
        chain: path("cert.pem"),
        key: path("key.pem"),
    };
    (folder, own)
}

#[test]
fn a_pair_is_read_for_both_sides() {
    let (_folder, own) = files();
    client_config(Some(&own.chain), Some(&own)).unwrap();
    client_config(Some(&own.chain), None).unwrap();
    server_config(&own, Some(&own.chain)).unwrap();
    server_config(&own, None).unwrap();
}

#[test]
fn what_cannot_be_used_is_named() {
    let (folder, own) = files();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("empty.pem"), "").unwrap();
    let with = |chain: &str, key: &str| OwnCertificate {
        chain: path(chain),
        key: path(key),
    };
    for (given, expected) in [
        (with("none.pem", "key.pem"), "cannot read certificates in "),
        (with("empty.pem", "key.pem"), "there is no certificate in "),
        (with("key.pem", "key.pem"), "there is no certificate in "),
        (
            with("cert.pem", "none.pem"),
            "cannot read a private key in ",
        ),
        (
            with("cert.pem", "cert.pem"),
            "cannot read a private key in ",
        ),
        (
            with("cert.pem", "other.pem"),
            "the certificate or key is refused: ",
        ),
    ] {
        let of_server = server_config(&given, None).unwrap_err().to_string();
        let of_client = client_config(Some(&own.chain), Some(&given)).unwrap_err();
        assert!(of_server.starts_with(expected), "{of_server}");
        assert_eq!(of_server, of_client.to_string());
    }
    let missing = client_config(Some(&path("none.pem")), None).unwrap_err();
    assert!(
        missing
            .to_string()
            .starts_with("cannot read certificates in ")
    );
}
