//! TLS on both ports.

use std::{fs, process::Command};

use rcgen::{CertifiedKey, generate_simple_self_signed};

use super::fixture::{PASSWORD, Site, TestLake, limits, settings};
use crate::TlsFiles;

#[tokio::test(flavor = "multi_thread")]
async fn psql_verifies_the_certificate_and_speaks_tls() {
    let lake = TestLake::filled().await;
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let files = TlsFiles {
        cert: lake.folder.path().join("cert.pem"),
        key: lake.folder.path().join("key.pem"),
    };
    fs::write(&files.cert, cert.pem()).unwrap();
    fs::write(&files.key, signing_key.serialize_pem()).unwrap();
    let mut settings = settings(&lake, limits());
    settings.tls = Some(files.clone());
    let site = Site::of(lake, settings).await;
    let ask = |mode: &str| {
        let port = site.postgres().port();
        let target = format!(
            "host=localhost hostaddr=127.0.0.1 port={port} user=quentin dbname=forebay sslmode={mode} sslrootcert={}",
            files.cert.display()
        );
        let mut psql = Command::new("psql");
        psql.env("PGPASSWORD", PASSWORD)
            .args(["-X", "-A", "-t", "-d", &target]);
        let output = psql
            .args(["-c", "SELECT count(*) FROM readings", "-c", "\\conninfo"])
            .output()
            .unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    let said = ask("verify-full");
    assert!(
        said.starts_with("120\n") && said.contains("TLSv1.3"),
        "{said}"
    );
    // On this machine a client may do without.
    assert!(ask("disable").starts_with("120\n"));
}
