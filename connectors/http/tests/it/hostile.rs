//! Clients that break the protocol, or go away: none holds up the others, and none takes back what is under way.

use forebay_connectors_conformance::Receipts;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Duration, timeout},
};

use crate::peer::{answered, asked, free_port, listening, post};

const TAG: [&str; 1] = ["path = \"/fixed\"\nname = \"level\""];
const DEVICE: &str = "device = \"gate\"";

async fn connect(port: u16) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port)).await.unwrap()
}

#[tokio::test]
async fn what_is_no_request_is_refused_and_nothing_is_kept() {
    let port = free_port();
    let rig = listening(port, DEVICE, &TAG, Receipts::Given).await;
    let many: String = (0..2_000).map(|at| format!("X-{at}: y\r\n")).collect();
    let table: [(&str, Vec<u8>); 7] = [
        ("noise", vec![0xff; 100]),
        (
            "a TLS hello",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(),
        ),
        (
            "a long head",
            format!("POST /{} HTTP/1.1\r\n\r\n", "a".repeat(100_000)).into_bytes(),
        ),
        (
            "many headers",
            format!("POST /fixed HTTP/1.1\r\n{many}\r\n").into_bytes(),
        ),
        (
            "two lengths",
            b"POST /fixed HTTP/1.1\r\nHost: g\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n12"
                .to_vec(),
        ),
        (
            "a negative length",
            b"POST /fixed HTTP/1.1\r\nHost: g\r\nContent-Length: -1\r\n\r\n1".to_vec(),
        ),
        (
            "a bad chunk",
            b"POST /fixed HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_vec(),
        ),
    ];
    for (what, request) in &table {
        let (status, _) = asked(port, request).await;
        assert!(
            status == 0 || (400..=431).contains(&status),
            "{what}: {status}"
        );
    }
    assert_eq!(asked(port, &post("/fixed", "", b"7")).await.0, 204);
    assert_eq!(rig.integers(), [7]);
    rig.stop().await;
}

#[tokio::test]
async fn clients_that_go_away_take_nothing_along() {
    let port = free_port();
    let rig = listening(port, DEVICE, &TAG, Receipts::Withheld).await;
    let mut half = connect(port).await;
    half.write_all(b"POST /fixed HTTP/1.1\r\nHost: g\r\nContent-Length: 10\r\n\r\n12")
        .await
        .unwrap();
    drop(half);
    let mut whole = connect(port).await;
    whole.write_all(&post("/fixed", "", b"1")).await.unwrap();
    rig.until_held().await;
    drop(whole);
    rig.receipts(Receipts::Given);
    assert_eq!(asked(port, &post("/fixed", "", b"2")).await.0, 204);
    assert_eq!(rig.integers(), [1, 2]);
    // No delivery was given up: the rig says so.
    rig.stop().await;
}

/// Each used to hold room for a whole body for as long as it liked, up to 30 s.
#[tokio::test]
async fn slow_bodies_hold_up_nobody() {
    let port = free_port();
    let rig = listening(port, DEVICE, &TAG, Receipts::Given).await;
    let mut slow = Vec::new();
    for _ in 0..40 {
        let mut one = connect(port).await;
        one.write_all(b"POST /fixed HTTP/1.1\r\nHost: g\r\nContent-Length: 1000000\r\n\r\n1")
            .await
            .unwrap();
        slow.push(one);
    }
    let request = post("/fixed", "", b"7");
    let answer = timeout(Duration::from_secs(5), asked(port, &request)).await;
    assert_eq!(answer.expect("slow clients hold up others").0, 204);
    drop(slow);
    rig.stop().await;
}

#[tokio::test]
async fn a_body_of_very_many_values_is_refused() {
    let port = free_port();
    let tags = [
        "path = \"/csv\"\nformat = \"csv\"",
        "path = \"/line\"\nformat = \"line\"",
    ];
    let rig = listening(port, DEVICE, &tags, Receipts::Given).await;
    let csv = |rows: usize| format!("a\n{}", "1\n".repeat(rows));
    let line = |points: usize| "m a=1\n".repeat(points);
    for (path, body) in [("/csv", csv(50_001)), ("/line", line(50_001))] {
        let (status, reason) = asked(port, &post(path, "", body.as_bytes())).await;
        assert_eq!(status, 413, "{path}: {reason}");
        assert!(reason.contains("more than 50000 values"), "{reason}");
    }
    assert_eq!(rig.samples().len(), 0);
    assert_eq!(
        asked(port, &post("/csv", "", csv(50_000).as_bytes()))
            .await
            .0,
        204
    );
    assert_eq!(rig.samples().len(), 50_000);
    rig.stop().await;
}

#[tokio::test]
async fn more_connections_wait_and_idle_ones_hold_up_no_stop() {
    let port = free_port();
    let keys = "device = \"gate\"\nmax_connections = 2";
    let rig = listening(port, keys, &TAG, Receipts::Given).await;
    let mut kept = connect(port).await;
    kept.write_all(&post("/fixed", "", b"1")).await.unwrap();
    assert_eq!(answered(&mut kept).await.0, 204);
    let silent = connect(port).await;
    let mut third = connect(port).await;
    third.write_all(&post("/fixed", "", b"3")).await.unwrap();
    let early = timeout(Duration::from_millis(200), third.read_u8()).await;
    assert!(early.is_err(), "a third connection is served beside two");
    drop(silent);
    assert_eq!(answered(&mut third).await.0, 204);
    kept.write_all(&post("/fixed", "", b"4")).await.unwrap();
    assert_eq!(
        answered(&mut kept).await.0,
        204,
        "a connection serves several requests"
    );
    assert_eq!(rig.integers(), [1, 3, 4]);
    rig.stop().await;
}
