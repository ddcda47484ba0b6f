//! A collector that takes connections and never answers: nobody waits for it, and what it does not take is counted.

#![expect(clippy::unwrap_used, reason = "what a test cannot set up ends it")]

use std::{process::Command, time::Duration};

use forebay_telemetry::{OtlpSettings, Telemetry, TelemetrySettings};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// More than may wait.
const COUNT: u64 = 20_000;

async fn page(address: std::net::SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    page
}

fn dropped(page: &str, signal: &str) -> u64 {
    let label = format!("signal=\"{signal}\"");
    let mut lines = page.lines();
    let line = lines
        .find(|line| line.starts_with("forebay_telemetry_dropped_total{") && line.contains(&label));
    line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

/// Says that this process is the one whose lines nobody reads.
const INNER: &str = "FOREBAY_TEST_INNER";

/// In a process of its own, since each line stands on stderr too.
#[test]
fn a_collector_that_hangs_holds_up_nothing_and_what_it_missed_is_counted() {
    let name = "a_collector_that_hangs_holds_up_nothing_and_what_it_missed_is_counted";
    if std::env::var_os(INNER).is_some() {
        return hangs();
    }
    let inner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(INNER, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&inner.stderr);
    let last: Vec<&str> = said.lines().rev().take(5).collect();
    assert!(inner.status.success(), "{last:?}");
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn hangs() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = listener.local_addr().unwrap();
    let mut hangs = JoinSet::new();
    hangs.spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    let settings = TelemetrySettings {
        otlp: Some(OtlpSettings {
            endpoint: format!("http://{endpoint}").parse().unwrap(),
            ca_file: None,
            authorization: None,
        }),
        prometheus_listen: Some("127.0.0.1:0".parse().unwrap()),
        // Lines go to the collector as well; thousands of them need not stand in the output of the test.
        log: "off,forebay_test::quiet=info".into(),
        ..TelemetrySettings::default()
    };
    let telemetry = Telemetry::start(&settings, "g1", "werk", None).unwrap();
    let stop = CancellationToken::new();
    let scrape = telemetry.scrape(&settings, stop.clone()).await.unwrap();
    let scrape = scrape.unwrap();

    let begun = Instant::now();
    for row in 0..COUNT {
        let commit = tracing::info_span!(target: "forebay_test", "commit", row);
        commit.in_scope(|| tracing::info!(target: "forebay_test::quiet", row, "a line"));
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?} for {COUNT} spans");
    let page = page(scrape.address()).await;
    for signal in ["spans", "logs"] {
        // What waits, and what is under way, is not lost yet.
        let lost = dropped(&page, signal);
        assert!((COUNT - 3_000..COUNT).contains(&lost), "{signal}: {lost}");
    }

    let begun = Instant::now();
    tokio::task::spawn_blocking(|| telemetry.stop())
        .await
        .unwrap();
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?} to stop");
}
