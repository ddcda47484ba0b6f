//! MQTT over WebSocket against mosquitto's own listener (libwebsockets), with and without TLS.

use std::net::TcpListener;

use forebay_schemas::Value;

use crate::{
    certificates::certificates,
    support::{Broker, Peer, Proxy, start, until},
};

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap().port()
}

/// A broker whose first listener is plain, for the publisher, and whose second speaks WebSocket.
fn broker(folder: tempfile::TempDir, more: &str) -> (Broker, u16) {
    let port = free_port();
    let listener = format!(
        "allow_anonymous true\nmax_queued_messages 0\nlistener {port} 127.0.0.1\nprotocol websockets\n{more}"
    );
    (Broker::start_in(folder, &listener), port)
}

#[tokio::test(flavor = "multi_thread")]
async fn readings_come_over_a_foreign_websocket() {
    let (broker, port) = broker(tempfile::tempdir().unwrap(), "");
    for version in [4, 5] {
        let proxy = Proxy::start_blind(port).await;
        let keys = format!(
            "url = \"ws://127.0.0.1:{}/mqtt\"\nversion = {version}\nclient_id = \"w{version}\"",
            proxy.port
        );
        let gateway = start(0, &keys);
        gateway.until_up().await;
        let mut peer = Peer::connect(broker.port, version, "");
        peer.count("site/d/cell/t", 1, 500);
        gateway.samples_since(0, 500).await;
        // In frames of 4 KiB, ten a second: mosquitto 2.0.11 has its pace.
        let from = gateway.count();
        peer.command("\"topic\": \"site/d/cell/t\", \"bytes\": 20000");
        let long = gateway.samples_since(from, 1).await;
        let kept = match &long[0].value {
            Some(Value::Bytes(bytes)) => bytes.len(),
            _ => 0,
        };
        assert_eq!(kept, 20_000);
        // What is on its way at a cut comes again, over a new handshake.
        peer.send("\"topic\": \"site/d/cell/t\", \"first\": 501, \"last\": 1000");
        proxy.cut();
        gateway.until_down().await;
        gateway.until_up().await;
        peer.finish();
        until("all numbers", || {
            (gateway.integers().len() >= 1000).then_some(())
        })
        .await;
        assert_eq!(gateway.integers(), (1..=1000).collect::<Vec<_>>());
        gateway.stop().await;
        until("mosquitto to see the DISCONNECT", || {
            let farewell = format!("Received DISCONNECT from w{version}");
            broker.log().contains(&farewell).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readings_come_over_a_foreign_websocket_with_tls() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let (broker, port) = broker(
        folder,
        "certfile {folder}/server.pem\nkeyfile {folder}/server.key",
    );
    let place = broker.folder.path().display().to_string();
    let trusted = format!("ca_file = \"{place}/ca.pem\"");
    for version in [4, 5] {
        let keys = |tls: &str| {
            format!(
                "url = \"wss://localhost:{port}/mqtt\"\nversion = {version}\nclient_id = \"s{version}\"\n[connector.tls]\n{tls}"
            )
        };
        let gateway = start(0, &keys(&trusted));
        gateway.until_up().await;
        let mut peer = Peer::connect(broker.port, version, "");
        peer.count("site/d/cell/t", 1, 300);
        gateway.samples_since(0, 300).await;
        assert_eq!(gateway.integers(), (1..=300).collect::<Vec<_>>());
        gateway.stop().await;

        let gateway = start(0, &keys(&format!("server_name = \"other\"\n{trusted}")));
        let reason = gateway.until_down().await;
        assert!(reason.contains("not valid for name"), "{reason}");
        gateway.stop().await;
    }
    // No WebSocket is spoken on the plain port.
    let url = format!("url = \"ws://127.0.0.1:{}/mqtt\"", broker.port);
    let gateway = start(0, &url);
    let reason = gateway.until_down().await;
    assert!(reason.contains("WebSocket"), "{reason}");
    gateway.stop().await;
}
