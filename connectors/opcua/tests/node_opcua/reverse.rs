//! Servers that connect to us. Neither of the foreign servers does so: a go-between says for it what OPC 10000-6, 7.1.3
//! has a server say, and passes on the rest.

use std::time::Duration;

use forebay_schemas::Value;
use tokio::{
    io::{AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{
    peer::{FAST, Shared, start},
    security::{FORCE, reads, refused},
};

/// Calls a client for a server, and again when a connection has ended, as the standard has it.
async fn call(client: u16, server: u16, endpoint: String) {
    let mut hello = b"RHEF\0\0\0\0".to_vec();
    for text in ["urn:forebay:test", endpoint.as_str()] {
        hello.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
        hello.extend(text.as_bytes());
    }
    let size = u32::try_from(hello.len()).unwrap();
    hello[4..8].copy_from_slice(&size.to_le_bytes());
    loop {
        // Nobody listens yet, or not any more.
        if let Ok(mut to_client) = TcpStream::connect(("127.0.0.1", client)).await {
            let mut to_server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
            if to_client.write_all(&hello).await.is_ok() {
                copy_bidirectional(&mut to_client, &mut to_server)
                    .await
                    .ok();
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

fn keys(shared: &Shared, port: u16, more: &str) -> String {
    format!(
        "url = \"{}\"\nreverse_connect = \"opc.tcp://127.0.0.1:{port}\"\n{FAST}\n{more}",
        shared.url
    )
}

#[tokio::test]
async fn a_server_that_calls_is_read_and_read_again_when_it_has_hung_up() {
    let shared = Shared::get();
    let port = free_port().await;
    let mut caller = JoinSet::new();
    caller.spawn(call(port, shared.port, shared.url.clone()));
    let rig = start(&keys(shared, port, ""), FORCE);
    let samples = rig.samples_since(0, 1).await;
    assert_eq!(samples[0].value, Some(Value::F64(12.5)));
    let from = rig.count();
    caller.shutdown().await;
    rig.down_since(from).await;
    let from = rig.count();
    caller.spawn(call(port, shared.port, shared.url.clone()));
    rig.up_since(from).await;
    rig.stop().await;

    let pki = tempfile::tempdir().unwrap();
    let secured = format!(
        "security = \"Aes256_Sha256_RsaPss\"\ntrust_any = true\npki_dir = {:?}",
        pki.path()
    );
    let keys = keys(shared, port, &secured);
    reads(start(&keys, FORCE), &keys).await;
}

#[tokio::test]
async fn nobody_and_another_endpoint_are_told() {
    let shared = Shared::get();
    let port = free_port().await;
    let mut caller = JoinSet::new();
    let other = "opc.tcp://127.0.0.1:1/other".to_owned();
    caller.spawn(call(port, shared.port, other));
    let why = refused(&keys(shared, port, "timeout = \"300ms\"")).await;
    let words = format!("no server has connected to 127.0.0.1:{port} within 300 ms");
    assert!(why.contains(&words), "{why}");
}
