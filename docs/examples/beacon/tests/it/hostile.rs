//! Devices that break the protocol.

use forebay_beacon::BeaconKind;
use forebay_connectors_conformance::{Receipts, Rig};
use forebay_schemas::Quality;
use tokio::{io::AsyncWriteExt as _, net::TcpListener, task::JoinSet};

/// Far more than a number takes, and than the kernel takes without a reader.
const ENDLESS_BYTES: usize = 64 << 20;

/// A connector whose device answers with these bytes and closes. The device ends with the set.
async fn answered_with(bytes: Vec<u8>) -> (Rig, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut device = JoinSet::new();
    device.spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            // The connector reads no more than it needs.
            stream.write_all(&bytes).await.ok();
        }
    });
    let text = format!(
        "[[connector]]\nname = \"b\"\nkind = \"beacon\"\naddress = \"127.0.0.1:{port}\"\n\
         device = \"tower\"\n[[connector.tag]]\nname = \"light\"\n"
    );
    (Rig::start(&BeaconKind, &text, Receipts::Given), device)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_line_with_a_number_is_a_lost_link() {
    let endless = vec![b'9'; ENDLESS_BYTES];
    for bytes in [
        b"".to_vec(),
        b"21.5".to_vec(),
        b"warm\n".to_vec(),
        b"\xff\n".to_vec(),
        endless,
    ] {
        let (rig, _device) = answered_with(bytes).await;
        let reason = rig.until_down().await;
        assert!(reason.len() < 200, "{reason}");
        assert_eq!(rig.stop().await, []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_is_no_value_is_a_bad_reading() {
    let (rig, _device) = answered_with(b"NaN\n".to_vec()).await;
    let samples = rig.samples_since(0, 1).await;
    let status = samples[0].status.clone();
    assert_eq!(
        (samples[0].value.clone(), status.quality),
        (None, Quality::Bad)
    );
    assert_eq!(status.reason.as_deref(), Some("not a number"));
    rig.stop().await;
}
