//! One connection after the other: bounded in number, in the time for a head, and in what its requests may hold in memory.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{Method, Response, StatusCode},
};
use forebay_config::Secret;
use forebay_connectors::Outlet;
use forebay_runtime::RateLimit;
use hyper::server::conn::http1::Builder;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    select,
    sync::{Semaphore, mpsc, oneshot},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{
    auth, body,
    intake::Posted,
    refusal::Refusal,
    request::{check_type, routes, samples},
    route::Rule,
    weight,
};

/// How long a client may take for a request's head, and how long a connection may lie idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a client may take for its TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a stop waits for the requests under way.
const DRAIN_TIME: Duration = Duration::from_secs(5);
/// Largest head of a request.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Pause after a connection that could not be taken.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Bytes of bodies that may be in memory at once.
const BODIES_BYTES_MAX: usize = 16 << 20;
/// Bytes of samples, of all bodies, that may be in memory at once: until they are durable.
const SAMPLES_BYTES_MAX: usize = 16 << 20;

/// What a server needs.
pub(crate) struct Settings {
    pub(crate) rules: Vec<Rule>,
    pub(crate) token: Option<Secret>,
    pub(crate) body_bytes_max: usize,
    pub(crate) connections_max: usize,
}

/// What requests share.
#[derive(Clone)]
struct Shared {
    settings: Arc<Settings>,
    posted: mpsc::Sender<Posted>,
    /// Where bodies are shown to who looks.
    outlet: Outlet,
    /// A permit for each byte of a body that has come.
    bodies: Arc<Semaphore>,
    /// A permit for each byte of samples.
    samples: Arc<Semaphore>,
    refusals: Arc<Mutex<RateLimit>>,
}

/// Serves until `stop`, then lets the requests under way end; they end when the gateway has answered them.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    settings: Arc<Settings>,
    posted: mpsc::Sender<Posted>,
    outlet: Outlet,
    stop: CancellationToken,
) {
    let room = Arc::new(Semaphore::new(settings.connections_max));
    let bodies = BODIES_BYTES_MAX.max(settings.body_bytes_max);
    let samples = SAMPLES_BYTES_MAX.max(weight::most(settings.body_bytes_max));
    let shared = Shared {
        settings,
        posted,
        outlet,
        bodies: Arc::new(Semaphore::new(bodies)),
        samples: Arc::new(Semaphore::new(samples)),
        refusals: Arc::default(),
    };
    let router = Router::new().fallback(answer).with_state(shared);
    let mut connections = JoinSet::new();
    loop {
        // The semaphore is never closed.
        let permit = select! {
            permit = room.clone().acquire_owned() => permit,
            () = stop.cancelled() => break,
        };
        let accepted = select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        while connections.try_join_next().is_some() {}
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                debug!(%error, "accepting a connection failed");
                // Without file handles the next attempt fails at once: no spinning.
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let connection = connection(stream, peer, tls.clone(), router.clone(), stop.clone());
        connections.spawn(async move {
            connection.await;
            drop(permit);
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    router: Router,
    stop: CancellationToken,
) {
    stream.set_nodelay(true).ok();
    let Some(tls) = tls else {
        return http(stream, peer, router, stop).await;
    };
    let shaken = select! {
        shaken = timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)) => shaken,
        () = stop.cancelled() => return,
    };
    match shaken {
        Ok(Ok(stream)) => http(stream, peer, router, stop).await,
        Ok(Err(error)) => debug!(%peer, %error, "TLS handshake failed"),
        Err(_) => debug!(%peer, "TLS handshake timed out"),
    }
}

async fn http<S>(stream: S, peer: SocketAddr, router: Router, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX);
    let service = TowerToHyperService::new(router);
    let serving = builder.serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    let served = select! {
        served = serving.as_mut() => served,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            // A connection that has not sent a whole head would wait for its time-out. A request that is cut off here is kept
            // all the same, and its client does not hear of it.
            match timeout(DRAIN_TIME, serving).await {
                Ok(served) => served,
                Err(_) => return debug!(%peer, "connection closed by the stop"),
            }
        }
    };
    if let Err(error) = served {
        debug!(%peer, %error, "connection failed");
    }
}

async fn answer(State(shared): State<Shared>, request: Request) -> Response<Body> {
    let path = request.uri().path().to_owned();
    match taken(&shared, request).await {
        Ok(()) => {
            let mut done = Response::new(Body::empty());
            *done.status_mut() = StatusCode::NO_CONTENT;
            done
        }
        Err(refusal) => {
            let mut limit = shared
                .refusals
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if let Some(others) = limit.admit() {
                let status = refusal.status.as_u16();
                let reason = &refusal.reason;
                warn!(path, status, reason, others, "request refused");
            }
            refusal.response()
        }
    }
}

async fn taken(shared: &Shared, request: Request) -> Result<(), Refusal> {
    let began = Instant::now();
    let settings = &shared.settings;
    auth::check(settings.token.as_ref(), request.headers())?;
    let routes = routes(&settings.rules, request.uri().path())?;
    if request.method() != Method::POST {
        return Err(Refusal::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "POST is expected",
        ));
    }
    for (rule, _) in &routes {
        check_type(request.headers(), rule.format)?;
    }
    let gone = || {
        Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the gateway is stopping, try again",
        )
    };
    // Behind those that wait for room: while the spool is full no more bodies are read.
    drop(shared.samples.acquire().await.map_err(|_| gone())?);
    let (head, body) = request.into_parts();
    let bytes_max = settings.body_bytes_max;
    let body = body::read(&head.headers, body, bytes_max, &shared.bodies).await?;
    // Held until the readings are durable: this is what keeps memory bounded while the spool is full.
    let most = permits(weight::most(body.bytes.len()));
    let room = shared.samples.acquire_many(most).await;
    let mut room = room.map_err(|_| gone())?;
    let made = samples(&head.uri, &routes, &body.bytes);
    let shown = made.as_ref().map_or(&[][..], Vec::as_slice);
    let path = || head.uri.path().to_owned();
    shared.outlet.show_raw(path, &body.bytes, shown);
    let samples = made?;
    drop(body);
    let surplus = most.saturating_sub(permits(weight::of(&samples)));
    drop(room.split(surplus as usize));
    let (receipt, durable) = oneshot::channel();
    let posted = Posted {
        samples,
        began,
        receipt,
    };
    shared.posted.send(posted).await.map_err(|_| gone())?;
    durable.await.map_err(|_| gone())
}

fn permits(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
