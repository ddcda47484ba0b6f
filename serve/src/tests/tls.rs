//! TLS on both ports, and files that change while they are served.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    process::Command,
    sync::Arc,
    time::Duration,
};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio::time::Instant;

use super::fixture::{PASSWORD, Site, TestLake, limits, settings};
use crate::TlsFiles;

/// Writes a certificate of its own, and its key.
fn certify(files: &TlsFiles) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    fs::write(&files.key, signing_key.serialize_pem()).unwrap();
    fs::write(&files.cert, cert.pem()).unwrap();
}

async fn site() -> (Site, TlsFiles) {
    let lake = TestLake::filled().await;
    let files = TlsFiles {
        cert: lake.folder.path().join("cert.pem"),
        key: lake.folder.path().join("key.pem"),
    };
    certify(&files);
    let mut settings = settings(&lake, limits());
    settings.tls = Some(files.clone());
    (Site::of(lake, settings).await, files)
}

fn ask(site: &Site, files: &TlsFiles, mode: &str, password: &str) -> String {
    ask_as("quentin", site, files, mode, password)
}

fn ask_as(user: &str, site: &Site, files: &TlsFiles, mode: &str, password: &str) -> String {
    let port = site.postgres().port();
    let target = format!(
        "host=localhost hostaddr=127.0.0.1 port={port} user={user} dbname=forebay sslmode={mode} sslrootcert={}",
        files.cert.display()
    );
    let mut psql = Command::new("psql");
    psql.env("PGPASSWORD", password)
        .args(["-X", "-A", "-t", "-d", &target]);
    let output = psql
        .args(["-c", "SELECT count(*) FROM readings", "-c", "\\conninfo"])
        .output()
        .unwrap();
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_verifies_the_certificate_and_speaks_tls() {
    let (site, files) = site().await;
    let said = ask(&site, &files, "verify-full", PASSWORD);
    assert!(
        said.starts_with("120\n") && said.contains("TLSv1.3"),
        "{said}"
    );
    // On this machine a client may do without.
    assert!(ask(&site, &files, "disable", PASSWORD).starts_with("120\n"));
}

/// Asks again until the answer begins so.
fn answered(begin: &str, ask: impl Fn() -> String) {
    let begun = Instant::now();
    loop {
        let said = ask();
        if said.starts_with(begin) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_and_a_password_that_change_count_without_a_restart() {
    let (site, files) = site().await;
    assert!(ask(&site, &files, "verify-full", PASSWORD).starts_with("120\n"));
    let before = fs::read(&files.cert).unwrap();
    certify(&files);
    // psql knows the new one alone.
    assert_ne!(fs::read(&files.cert).unwrap(), before);
    answered("120\n", || ask(&site, &files, "verify-full", PASSWORD));

    let password = site.lake.folder.path().join("quentin.password");
    fs::write(&password, "another one\n").unwrap();
    answered("120\n", || ask(&site, &files, "disable", "another one"));
    let said = ask(&site, &files, "disable", PASSWORD);
    assert!(said.contains("password authentication failed"), "{said}");

    // What cannot be used leaves what was there: of the password too, which changed with it.
    fs::write(&files.key, "no key").unwrap();
    fs::write(&password, "").unwrap();
    let looked = Instant::now();
    while looked.elapsed() < Duration::from_millis(300) {
        let said = ask(&site, &files, "verify-full", "another one");
        assert!(said.starts_with("120\n"), "{said}");
    }
    certify(&files);
    fs::write(&password, "a third one\n").unwrap();
    answered("120\n", || ask(&site, &files, "verify-full", "a third one"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_secret_keeps_no_other_change_from_counting() {
    let (site, files) = site().await;
    let secret = |name: &str| site.lake.folder.path().join(name);
    fs::remove_file(secret("quentin.password")).unwrap();
    fs::write(secret("admin.password"), "another one\n").unwrap();
    certify(&files);
    // psql knows the new certificate alone.
    answered("214\n", || {
        ask_as("admin", &site, &files, "verify-full", "another one")
    });
    let said = ask(&site, &files, "verify-full", PASSWORD);
    assert!(
        said.starts_with("120\n"),
        "the old one still counts: {said}"
    );
    fs::write(secret("quentin.password"), "a third one\n").unwrap();
    answered("120\n", || ask(&site, &files, "verify-full", "a third one"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_connection_too_many_is_told_so_over_tls() {
    let (site, files) = site().await;
    let address = site.addresses.http.unwrap();
    // More than one address may have that have not signed in.
    let _open: Vec<TcpStream> = (0..16)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(&files.cert).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let config = Arc::new(config);
    answered("HTTP/1.1 503 ", || {
        let name = ServerName::try_from("localhost").unwrap();
        let client = ClientConnection::new(config.clone(), name).unwrap();
        let mut link = StreamOwned::new(client, TcpStream::connect(address).unwrap());
        link.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        let mut said = String::new();
        // Some servers end a connection without TLS's own goodbye.
        let _cut = link.read_to_string(&mut said);
        said
    });
    let refused = site
        .progress
        .refused
        .load(std::sync::atomic::Ordering::Relaxed);
    assert!(refused > 0, "it is counted");
}
