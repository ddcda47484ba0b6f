//! TLS, with and without certificates of clients.

use std::{path::Path, sync::Arc};

use forebay_connectors_conformance::Receipts;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_rustls::TlsConnector;

use crate::peer::{answered, free_port, listening, post};

const TAG: [&str; 1] = ["path = \"/fixed\"\nname = \"level\""];

/// An authority of its own.
fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate by an authority, and its key.
fn certificate(by: &CertifiedIssuer<'static, KeyPair>) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    (params.signed_by(&key, by).unwrap(), key)
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

async fn posted(
    port: u16,
    trusted: &CertificateDer<'static>,
    own: Option<(CertificateDer<'static>, &KeyPair)>,
) -> Option<u16> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match own {
        Some((certificate, key)) => {
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
            builder
                .with_client_auth_cert(vec![certificate], key)
                .unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .ok()?;
    stream.write_all(&post("/fixed", "", b"1")).await.ok()?;
    Some(answered(&mut stream).await.0).filter(|status| *status > 0)
}

#[tokio::test]
async fn only_clients_with_a_certificate_of_the_authority_are_let_in() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (authority(), authority());
    let (server, server_key) = certificate(&ours);
    let chain = write(folder.path(), "server.pem", &server.pem());
    let key = write(folder.path(), "server.key", &server_key.serialize_pem());
    let ca = write(folder.path(), "ca.pem", &ours.pem());
    let trusted = ours.der().clone();
    let table = [("", true, true), ("client_ca_file", false, true)];
    for (with_ca, without_own, with_ours) in table {
        let port = free_port();
        let client_ca = if with_ca.is_empty() {
            String::new()
        } else {
            format!("client_ca_file = \"{ca}\"")
        };
        let keys = format!(
            "device = \"gate\"\n[connector.tls]\ncert_file = \"{chain}\"\nkey_file = \"{key}\"\n{client_ca}"
        );
        let rig = listening(port, &keys, &TAG, Receipts::Given).await;
        let (client, client_key) = certificate(&ours);
        let (foreign, foreign_key) = certificate(&theirs);
        let anonymous = posted(port, &trusted, None).await;
        assert_eq!(
            anonymous == Some(204),
            without_own,
            "{with_ca}: {anonymous:?}"
        );
        let own = posted(port, &trusted, Some((client.der().clone(), &client_key))).await;
        assert_eq!(own == Some(204), with_ours, "{with_ca}: {own:?}");
        if !with_ca.is_empty() {
            let foreign = posted(port, &trusted, Some((foreign.der().clone(), &foreign_key))).await;
            assert_eq!(foreign, None);
        }
        rig.stop().await;
    }
}
