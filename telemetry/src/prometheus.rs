//! `/metrics` for Prometheus: one small server with time-outs, since anyone on the network may knock.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use hyper::server::conn::http1::Builder;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use prometheus::{Registry, TEXT_FORMAT, TextEncoder};
use tokio::{
    net::{TcpListener, TcpStream},
    select,
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::TelemetryError;

/// Connections at once; more wait.
const CONNECTIONS_MAX: usize = 16;
/// How long a client may take to send its request's head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause after a connection that could not be taken.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a connection may live.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);

/// A server at work. It ends with its token, or when it is dropped.
pub struct Scrape {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Scrape {
    pub(crate) async fn listen(
        address: SocketAddr,
        registry: Registry,
        stop: CancellationToken,
    ) -> Result<Self, TelemetryError> {
        let failed = |source| TelemetryError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        let router = Router::new()
            .route("/metrics", get(page))
            .with_state(registry);
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, router, stop));
        Ok(Self {
            address: bound,
            _tasks: tasks,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn page(State(registry): State<Registry>) -> impl IntoResponse {
    match TextEncoder::new().encode_to_string(&registry.gather()) {
        Ok(text) => (StatusCode::OK, [("content-type", TEXT_FORMAT)], text),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            [("content-type", "text/plain")],
            error.to_string(),
        ),
    }
}

async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let accepted = select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        while connections.try_join_next().is_some() {}
        // The semaphore is never closed.
        let Ok(permit) = room.clone().acquire_owned().await else {
            return;
        };
        match accepted {
            Ok((stream, _)) => {
                let router = router.clone();
                connections.spawn(async move {
                    connection(stream, router).await;
                    drop(permit);
                });
            }
            Err(error) => {
                debug!(%error, "accepting a metrics connection failed");
                // Without file handles the next attempt fails at once: no spinning.
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, router: Router) {
    let mut builder = Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .keep_alive(false);
    let serving = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    match timeout(CONNECTION_TIMEOUT, serving).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "a metrics connection failed"),
        Err(_) => debug!("a metrics connection timed out"),
    }
}
