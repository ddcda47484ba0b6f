//! What leaves the process, seen from outside: a page for Prometheus and OTLP posts to a collector of the test's own.

#![expect(clippy::unwrap_used, reason = "what a test cannot set up ends it")]

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, http::Uri};
use forebay_telemetry::{Telemetry, TelemetrySettings, names};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

type Posts = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

async fn collector() -> (SocketAddr, Posts) {
    let posts = Posts::default();
    let post = |State(posts): State<Posts>, uri: Uri, body: Bytes| async move {
        posts
            .lock()
            .unwrap()
            .push((uri.path().to_owned(), body.to_vec()));
    };
    let router = Router::new().fallback(post).with_state(posts.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, posts)
}

async fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    timeout(Duration::from_secs(20), stream.read_to_end(&mut answer))
        .await
        .unwrap()
        .unwrap();
    String::from_utf8(answer).unwrap()
}

fn holds(posts: &Posts, path: &str, text: &str) -> bool {
    let posts = posts.lock().unwrap();
    posts.iter().any(|(to, body)| {
        to == path && body.windows(text.len()).any(|part| part == text.as_bytes())
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_traces_and_logs_reach_prometheus_and_a_collector() {
    let (endpoint, posts) = collector().await;
    let settings = TelemetrySettings {
        otlp_endpoint: Some(format!("http://{endpoint}/").parse().unwrap()),
        prometheus_listen: Some("127.0.0.1:0".parse().unwrap()),
        ..TelemetrySettings::default()
    };
    assert!(Telemetry::start(&settings, "g1", "s", Some("no=such=level")).is_err());
    let telemetry = Telemetry::start(&settings, "g1", "werk", None).unwrap();
    telemetry.counter(&names::RECEIVED, || {
        vec![(41, vec![("connector", "boiler \"1\"".to_owned())])]
    });
    telemetry.gauge(&names::COMMIT_SECONDS, || vec![(0.25, Vec::new())]);
    let stop = CancellationToken::new();
    let scrape = telemetry
        .scrape(&settings, stop.clone())
        .await
        .unwrap()
        .unwrap();

    let page = exchange(scrape.address(), "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    let line =
        "forebay_received_total{connector=\"boiler \\\"1\\\"\",otel_scope_name=\"forebay\"} 41";
    assert!(page.lines().any(|found| found == line), "{page}");
    assert!(
        page.contains("forebay_commit_duration_seconds{otel_scope_name=\"forebay\"} 0.25"),
        "{page}"
    );
    assert!(page.contains("service_instance_id=\"g1\""), "{page}");
    assert!(
        exchange(scrape.address(), "GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 404")
    );

    // A client that never ends its request is cut off, and holds up nobody.
    let slow = tokio::spawn(exchange(
        scrape.address(),
        "GET /metrics HTTP/1.1\r\nhost: ",
    ));
    assert!(
        exchange(scrape.address(), "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .contains(line)
    );
    slow.await.unwrap();

    tracing::info_span!(target: "forebay_test", "commit", rows = 3)
        .in_scope(|| tracing::warn!(device = "b1", "poll failed, backing off"));
    tokio::task::spawn_blocking(|| telemetry.stop())
        .await
        .unwrap();
    assert!(
        holds(&posts, "/v1/metrics", "forebay.received"),
        "metrics were posted"
    );
    assert!(
        holds(&posts, "/v1/metrics", "werk"),
        "the site is a resource attribute"
    );
    assert!(holds(&posts, "/v1/traces", "commit"), "spans were posted");
    assert!(
        holds(&posts, "/v1/logs", "poll failed, backing off"),
        "log lines were posted"
    );

    stop.cancel();
    let gone = async {
        while TcpStream::connect(scrape.address()).await.is_ok() {
            tokio::task::yield_now().await
        }
    };
    timeout(Duration::from_secs(10), gone).await.unwrap();
}
