//! TLS, passwords and hostile brokers.

use crate::{
    certificates::certificates,
    support::{Broker, Peer, password_file, start},
};
use forebay_schemas::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};

#[tokio::test(flavor = "multi_thread")]
async fn tls_with_certificates_and_a_password() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    password_file(folder.path());
    let broker = Broker::start_in(
        folder,
        "cafile {folder}/ca.pem\ncertfile {folder}/server.pem\nkeyfile {folder}/server.key\n\
         require_certificate true\nallow_anonymous false\npassword_file {folder}/passwords",
    );
    let place = broker.folder.path().display().to_string();
    for version in [4, 5] {
        let keys = |host: &str, tls: &str| {
            format!(
                "url = \"mqtts://{host}:{}\"\nversion = {version}\nclient_id = \"c{version}\"\nuser = \"edge\"\n\
                 password = \"geheim\"\n[connector.tls]\n{tls}",
                broker.port
            )
        };
        let own = format!("cert_file = \"{place}/client.pem\"\nkey_file = \"{place}/client.key\"");
        let trusted = format!("ca_file = \"{place}/ca.pem\"\n{own}");
        let gateway = start(0, &keys("localhost", &trusted));
        gateway.until_up().await;
        gateway.stop().await;

        let gateway = start(
            0,
            &keys(
                "127.0.0.1",
                &format!("server_name = \"localhost\"\n{trusted}"),
            ),
        );
        gateway.until_up().await;
        gateway.stop().await;

        let gateway = start(
            0,
            &keys("127.0.0.1", &format!("server_name = \"other\"\n{trusted}")),
        );
        let reason = gateway.until_down().await;
        assert!(
            reason.contains("TLS with") && reason.contains("not valid for name"),
            "{reason}"
        );
        gateway.stop().await;

        // Another authority than the broker's.
        let strangers = tempfile::tempdir().unwrap();
        certificates(strangers.path());
        let tls = format!("ca_file = \"{}/ca.pem\"\n{own}", strangers.path().display());
        let gateway = start(0, &keys("localhost", &tls));
        let reason = gateway.until_down().await;
        assert!(
            reason.contains("TLS with") && reason.contains("invalid peer certificate"),
            "{reason}"
        );
        gateway.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_named_and_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    password_file(folder.path());
    let broker = Broker::start_in(
        folder,
        "allow_anonymous false\npassword_file {folder}/passwords",
    );
    for version in [4, 5] {
        let wrong = format!("version = {version}\nuser = \"edge\"\npassword = \"falsch\"");
        let gateway = start(broker.port, &wrong);
        let reason = gateway.until_down().await;
        assert!(
            reason.starts_with("the broker refused the connection: not authorized: check user"),
            "{reason}"
        );
        gateway.stop().await;

        let right = format!("version = {version}\nuser = \"edge\"\npassword = \"geheim\"");
        let gateway = start(broker.port, &right);
        gateway.until_up().await;
        let mut peer = Peer::connect(
            broker.port,
            version,
            "\"user\": \"edge\", \"password\": \"geheim\",",
        );
        peer.count("site/d/cell/t", 1, 1);
        assert_eq!(
            gateway.samples_since(0, 1).await[0].value,
            Some(Value::I64(1))
        );
        gateway.stop().await;
    }
}

/// A broker that sends the same bytes to whoever connects, one group for each packet that it receives.
async fn scripted(replies: &'static [&'static [u8]]) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let broker = tokio::spawn(async move {
        loop {
            let Ok((mut client, _)) = listener.accept().await else {
                return;
            };
            let mut received = [0; 4096];
            for reply in replies {
                if !matches!(client.read(&mut received).await, Ok(1..))
                    || client.write_all(reply).await.is_err()
                {
                    break;
                }
            }
            while matches!(client.read(&mut received).await, Ok(1..)) {}
        }
    });
    (port, broker)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_misbehaves_is_named_and_left() {
    const CONNACK: &[u8] = &[0x20, 3, 0, 0, 0];
    let table: [(&'static [&'static [u8]], &str); 8] = [
        (
            &[b"HTTP/1.1 400 Bad Request\r\n\r\n"],
            "another packet than CONNACK: is this an MQTT port?",
        ),
        (
            &[&[0x20, 0xff, 0xff, 0xff, 0xff, 0x7f]],
            "length is malformed",
        ),
        (
            &[&[0x20, 3, 0, 0x86, 0]],
            "bad user name or password (code 134)",
        ),
        (&[&[0x20, 2, 0, 1]], "set version = 4"),
        (
            &[CONNACK, &[0x90, 4, 0, 1, 0, 0x87]],
            "refused the subscription to \"site/+/cell/+\": not authorized",
        ),
        (&[CONNACK, &[0x90, 5, 0, 1, 0, 1, 1]], "fits no SUBSCRIBE"),
        (&[CONNACK, &[0xe0, 2, 0x8e, 0]], "session taken over"),
        (&[CONNACK, &[0x32, 3, 0, 9, b'a']], "malformed PUBLISH"),
    ];
    for (replies, expected) in table {
        let (port, broker) = scripted(replies).await;
        let gateway = start(port, "");
        let reason = gateway.until_down().await;
        assert!(reason.contains(expected), "{replies:?}: {reason}");
        gateway.stop().await;
        broker.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_never_answers_is_named() {
    let (port, broker) = scripted(&[]).await;
    let gateway = start(port, "");
    let reason = gateway.until_down().await;
    assert_eq!(
        reason,
        format!("127.0.0.1:{port} did not answer CONNECT within 10s")
    );
    gateway.stop().await;
    broker.abort();
}
