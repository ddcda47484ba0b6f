//! What leaves the process, seen from outside: a page for Prometheus and OTLP posts over TLS to a collector of the test's own.

#![expect(clippy::unwrap_used, reason = "what a test cannot set up ends it")]

use std::{
    fs, io,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    serve::Listener,
};
use forebay_config::Secret;
use forebay_runtime::trace::{self, TraceContext};
use forebay_telemetry::{OtlpSettings, Telemetry, TelemetrySettings, names};
use forebay_tls::OwnCertificate;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;
use tracing::field::Empty;

const AUTHORIZATION: &str = "Bearer of-the-gateway";

type Posts = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// Takes connections of TLS.
struct Secured {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Secured {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (stream, address) = self.listener.accept().await.unwrap();
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Keeps what is posted under the right authorization. Its certificate is for "localhost".
async fn collector(own: &OwnCertificate) -> (SocketAddr, Posts) {
    let posts = Posts::default();
    let post = |State(posts): State<Posts>, headers: HeaderMap, uri: Uri, body: Bytes| async move {
        if headers
            .get("authorization")
            .is_none_or(|value| value != AUTHORIZATION)
        {
            return StatusCode::UNAUTHORIZED;
        }
        posts
            .lock()
            .unwrap()
            .push((uri.path().to_owned(), body.to_vec()));
        StatusCode::OK
    };
    let router = Router::new().fallback(post).with_state(posts.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let secured = Secured {
        listener,
        acceptor: Arc::new(forebay_tls::server_config(own, None).unwrap()).into(),
    };
    tokio::spawn(async move { axum::serve(secured, router).await });
    (address, posts)
}

/// A certificate for "localhost" that vouches for itself.
fn certificate(folder: &Path) -> OwnCertificate {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let own = OwnCertificate {
        chain: folder.join("chain.pem"),
        key: folder.join("key.pem"),
    };
    fs::write(&own.chain, made.cert.pem()).unwrap();
    fs::write(&own.key, made.signing_key.serialize_pem()).unwrap();
    own
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
    holds_bytes(posts, path, text.as_bytes())
}

fn holds_bytes(posts: &Posts, path: &str, bytes: &[u8]) -> bool {
    let posts = posts.lock().unwrap();
    let has = |body: &[u8]| body.windows(bytes.len()).any(|part| part == bytes);
    posts.iter().any(|(to, body)| to == path && has(body))
}

/// A span that goes on from one elsewhere and ends; within a connector a commit with a link to another, whose lines name both.
/// Answers what the commit is called.
fn trace_in_parts(far: TraceContext, behind: TraceContext) -> TraceContext {
    let publish = tracing::info_span!(target: "forebay_test", "publish", trace_id = Empty);
    trace::set_parent(&publish, far);
    trace::show(&publish);
    assert_eq!(trace::context_of(&publish).unwrap().trace_id, far.trace_id);
    let stranger = tracing::info_span!(target: "another_library", "publish");
    assert_eq!(trace::context_of(&stranger), None);
    let connector =
        tracing::error_span!(target: "forebay_test", "connector", connector = "boiler-7");
    let _within = connector.enter();
    assert_eq!(trace::current(), None);
    let commit = tracing::info_span!(target: "forebay_test", "commit", rows = 3, trace_id = Empty);
    trace::link(&commit, behind);
    trace::show(&commit);
    commit.in_scope(|| {
        tracing::error!(target: "forebay_test", device = "b1", "poll failed, backing off");
        tracing::warn!(target: "forebay_test", "not to be seen");
        trace::current().unwrap()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_traces_and_logs_reach_prometheus_and_a_collector() {
    let folder = tempfile::tempdir().unwrap();
    let own = certificate(folder.path());
    let (endpoint, posts) = collector(&own).await;
    let settings = TelemetrySettings {
        otlp: Some(OtlpSettings {
            endpoint: format!("https://localhost:{}/", endpoint.port())
                .parse()
                .unwrap(),
            ca_file: Some(own.chain),
            authorization: Some(Secret::new(AUTHORIZATION)),
        }),
        prometheus_listen: Some("127.0.0.1:0".parse().unwrap()),
        // Of lines alone: spans go out all the same.
        log: "error".into(),
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

    let [far, behind] = [0xfee1, 0xbeef].map(|half: u128| TraceContext {
        trace_id: half << 64 | half,
        span_id: 5,
    });
    let commit = trace_in_parts(far, behind);
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
    assert!(!holds(&posts, "/v1/traces", "connector"), "one without end");
    for (trace, why) in [(far, "a parent elsewhere"), (behind, "a link")] {
        let id = trace.trace_id.to_be_bytes();
        assert!(holds_bytes(&posts, "/v1/traces", &id), "{why}");
    }
    for (text, why) in [
        ("poll failed, backing off", "log lines were posted"),
        ("boiler-7", "with their connector"),
        (&commit.trace_id_text(), "and their trace, as text"),
    ] {
        assert!(holds(&posts, "/v1/logs", text), "{why}");
    }
    let id = commit.trace_id.to_be_bytes();
    assert!(holds_bytes(&posts, "/v1/logs", &id), "and as OTLP has it");
    assert!(!holds(&posts, "/v1/logs", "not to be seen"), "a filter");

    stop.cancel();
    let gone = async {
        while TcpStream::connect(scrape.address()).await.is_ok() {
            tokio::task::yield_now().await
        }
    };
    timeout(Duration::from_secs(10), gone).await.unwrap();
}
