//! Queries over HTTP: `GET` and `POST /api/v1/query`, with a bearer token.

mod format;

use std::{io, net::SocketAddr, sync::Arc, sync::atomic::Ordering, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{
        HeaderMap, Method, StatusCode,
        header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{IntoResponse as _, Response},
    routing::{any, get},
};
use bytes::Bytes;
use datafusion_postgres::pgwire::tokio::TlsAcceptor;
use futures::{StreamExt as _, stream};
use hyper::server::conn::http1::Builder;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    select,
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{
    audit::{Asker, Door, ServeProgress},
    doorway::{Doorway, Place, Refusal},
    engine::{Engine, Rows, Terms},
    error::QueryError,
    guard::STATEMENT_BYTES_MAX,
    lockout::Lockout,
    pg::command_of,
    secrets::Secrets,
    user::User,
};
use format::{Format, Writer};

/// How long a client may take to send its request's head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long its TLS handshake, and its body, may take.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(10);
/// How much longer than a query a connection may live.
const CONNECTION_GRACE: Duration = Duration::from_secs(30);
/// So much of an answer is gathered before its status is sent.
const HELD_BYTES: usize = 1 << 20;
/// How long it may take to say that a connection is not taken.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);
/// Connections that are told at once why they are not taken; more are closed without a word.
const REFUSALS_MAX: usize = 32;
/// Pause after a connection that could not be taken.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What all connections of the port share.
pub(crate) struct HttpPort {
    pub(crate) engine: Arc<Engine>,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) lockout: Arc<Lockout>,
    pub(crate) progress: Arc<ServeProgress>,
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) doorway: Arc<Doorway>,
}

#[derive(Clone)]
struct Caller {
    port: Arc<HttpPort>,
    peer: SocketAddr,
    place: Arc<Place>,
}

impl HttpPort {
    /// Serves until the stop; connections under way are cut then.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener, stop: CancellationToken) {
        let mut connections = JoinSet::new();
        let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
        loop {
            let accepted = select! {
                accepted = listener.accept() => accepted,
                () = stop.cancelled() => return,
            };
            while connections.try_join_next().is_some() {}
            match accepted {
                Ok((stream, peer)) => match self.doorway.enter(peer.ip()) {
                    Ok(place) => {
                        connections.spawn(self.clone().come(stream, peer, place));
                    }
                    Err(refusal) => {
                        debug!(%peer, why = refusal.why(), "connection refused");
                        if let Ok(leave) = refusals.clone().try_acquire_owned() {
                            let tls = self.tls.clone();
                            connections.spawn(refuse(stream, tls, refusal, leave));
                        }
                    }
                },
                Err(error) => {
                    debug!(%error, "accepting a connection failed");
                    // Without file handles the next attempt fails at once: no spinning.
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn come(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, place: Place) {
        let caller = Caller {
            port: self.clone(),
            peer,
            place: Arc::new(place),
        };
        match &self.tls {
            None => connection(stream, caller).await,
            Some(tls) => match timeout(CLIENT_TIMEOUT, tls.accept(stream)).await {
                Ok(Ok(stream)) => connection(stream, caller).await,
                Ok(Err(error)) => debug!(%peer, %error, "a TLS handshake failed"),
                Err(_) => debug!(%peer, "a TLS handshake timed out"),
            },
        }
    }
}

/// Answers that there are too many connections, in the little time that there is for it.
async fn refuse(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    refusal: Refusal,
    _leave: OwnedSemaphorePermit,
) {
    let answering = async {
        match tls {
            None => say_why(stream, refusal).await,
            Some(tls) => say_why(tls.accept(stream).await?, refusal).await,
        }
    };
    // The connection is lost either way.
    let _answered = timeout(REFUSAL_TIMEOUT, answering).await;
}

async fn say_why<S>(mut stream: S, refusal: Refusal) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let why = refusal.why();
    let (status, length) = (StatusCode::SERVICE_UNAVAILABLE, why.len() + 1);
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nRetry-After: 1\r\nConnection: close\r\n\r\n{why}\n"
    );
    // What is left unread would make a reset of the end, and lose the words.
    let mut request = [0; 4_096];
    let _unread = stream.read(&mut request).await?;
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

async fn connection<S>(stream: S, caller: Caller)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (peer, most) = (caller.peer, caller.port.engine.timeout() + CONNECTION_GRACE);
    let router = Router::new()
        .route("/api/v1/query", any(query))
        .route("/healthz", get(|| async { "ok\n" }))
        .with_state(caller);
    let mut builder = Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .keep_alive(false);
    let serving = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    match timeout(most, serving).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%peer, %error, "an HTTP connection failed"),
        Err(_) => debug!(%peer, "an HTTP connection timed out"),
    }
}

async fn query(State(caller): State<Caller>, request: Request) -> Response {
    match answered(&caller, request).await {
        Ok(response) => response,
        Err(refused) => refused.response(),
    }
}

/// Why a request has no rows.
enum Refused {
    Query(QueryError),
    Request(StatusCode, &'static str),
    LockedOut(Duration),
}

impl From<QueryError> for Refused {
    fn from(error: QueryError) -> Self {
        Self::Query(error)
    }
}

impl Refused {
    fn response(self) -> Response {
        match self {
            Self::Query(error) => {
                let (status, code) = (status_of(&error), error.sqlstate());
                let text = format!("{error}\n");
                (status, [("x-sqlstate", code)], text).into_response()
            }
            Self::Request(StatusCode::UNAUTHORIZED, why) => {
                let challenge = [(WWW_AUTHENTICATE, "Bearer")];
                (StatusCode::UNAUTHORIZED, challenge, format!("{why}\n")).into_response()
            }
            Self::Request(status, why) => (status, format!("{why}\n")).into_response(),
            Self::LockedOut(wait) => {
                let seconds = wait.as_secs_f64().ceil().to_string();
                let text = format!("too many wrong tokens: locked out for {seconds} s\n");
                (
                    StatusCode::TOO_MANY_REQUESTS,
                    [(RETRY_AFTER, seconds)],
                    text,
                )
                    .into_response()
            }
        }
    }
}

fn status_of(error: &QueryError) -> StatusCode {
    match error {
        QueryError::Syntax(_) | QueryError::Planning(_) | QueryError::Data(_) => {
            StatusCode::BAD_REQUEST
        }
        QueryError::NotSupported(_) | QueryError::TooComplex(_) => StatusCode::BAD_REQUEST,
        QueryError::ReadOnly(_) => StatusCode::FORBIDDEN,
        QueryError::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
        QueryError::TimedOut(_) | QueryError::Cancelled => StatusCode::GATEWAY_TIMEOUT,
        QueryError::TooManyRows(_) | QueryError::TooMuchMemory(_) | QueryError::TooMuchHeld(..) => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        QueryError::LakeUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        QueryError::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

async fn answered(caller: &Caller, request: Request) -> Result<Response, Refused> {
    let user = user_of(caller, request.headers())?;
    if let Err(refusal) = caller.place.signed_in(&user.name) {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        return Err(Refused::Request(status, refusal.why()));
    }
    let asked = asked(request).await?;
    let engine = &caller.port.engine;
    let mut parsed = engine.parse(&asked.sql)?;
    let Some(statement) = parsed.pop().filter(|_| parsed.is_empty()) else {
        return Err(Refused::Request(
            StatusCode::BAD_REQUEST,
            "one statement is expected",
        ));
    };
    if !command_of(&statement)?.is_query() {
        let why = "only queries are possible over HTTP";
        return Err(Refused::Request(StatusCode::BAD_REQUEST, why));
    }
    let asker = Asker {
        user,
        peer: caller.peer,
        door: Door::Http,
    };
    let turn = engine.turn().await?;
    let rows = engine
        .run(asker, &statement, None, &Terms::default(), turn)
        .await?;
    let body = body(rows, asked.format).await?;
    Ok(([(CONTENT_TYPE, asked.format.content_type())], body).into_response())
}

/// Whose token the request bears.
fn user_of(caller: &Caller, headers: &HeaderMap) -> Result<Arc<User>, Refused> {
    let address = caller.peer.ip();
    let header = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let Some(token) = header.and_then(|value| value.strip_prefix("Bearer ")) else {
        let why = "a token is expected: Authorization: Bearer TOKEN";
        return Err(Refused::Request(StatusCode::UNAUTHORIZED, why));
    };
    // A right one passes whatever others of its address do: it is too long to be guessed.
    if let Some(user) = caller.port.secrets.users().by_token(token.trim()) {
        caller.port.lockout.passed(address, "");
        return Ok(user);
    }
    // Of tokens there is no name: what counts is the address.
    match caller.port.lockout.wait(address, "") {
        Some(wait) => Err(Refused::LockedOut(wait)),
        None => {
            caller.port.lockout.failed(address, "");
            caller
                .port
                .progress
                .logins_failed
                .fetch_add(1, Ordering::Relaxed);
            warn!(peer = %caller.peer, door = "http", "sign-in failed: wrong token");
            Err(Refused::Request(
                StatusCode::UNAUTHORIZED,
                "the token is wrong",
            ))
        }
    }
}

struct Asked {
    sql: String,
    format: Format,
}

/// The statement and the format, from the query of the address or from the body: a form, or the statement alone.
async fn asked(request: Request) -> Result<Asked, Refused> {
    let wrong = |why| Refused::Request(StatusCode::BAD_REQUEST, why);
    let (head, body) = request.into_parts();
    let mut fields = head.uri.query().unwrap_or_default().as_bytes().to_vec();
    let mut sql = None;
    if head.method == Method::POST {
        // Percent-encoding makes three bytes of one.
        let reading = timeout(CLIENT_TIMEOUT, to_bytes(body, 3 * STATEMENT_BYTES_MAX));
        let bytes = reading.await.map_err(|_| wrong("the body timed out"))?;
        let too_long = "the body is too long";
        let bytes = bytes.map_err(|_| Refused::Request(StatusCode::PAYLOAD_TOO_LARGE, too_long))?;
        if is_form(&head.headers) && !is_statement(&bytes) {
            fields.push(b'&');
            fields.extend_from_slice(&bytes);
        } else {
            sql = String::from_utf8(bytes.to_vec())
                .ok()
                .filter(|text| !text.trim().is_empty());
        }
    } else if head.method != Method::GET {
        return Err(Refused::Request(
            StatusCode::METHOD_NOT_ALLOWED,
            "GET or POST is expected",
        ));
    }
    let mut format = Format::Json;
    for (name, value) in url::form_urlencoded::parse(&fields) {
        match &*name {
            "q" => sql = Some(value.into_owned()),
            "format" => {
                let known = Format::of(&value);
                format = known.ok_or_else(|| wrong("format is json, csv or arrow"))?;
            }
            "" => {}
            _ => return Err(wrong("q and format are the only parameters")),
        }
    }
    let sql = sql.ok_or_else(|| wrong("a statement is expected: q=SELECT …"))?;
    Ok(Asked { sql, format })
}

/// Whether a body is a statement although its header says form, as curl's `--data` does: a form has no spaces as they are.
fn is_statement(body: &[u8]) -> bool {
    let is_field = [&b"q="[..], b"format=", b"&"]
        .iter()
        .any(|field| body.starts_with(field));
    !is_field && body.trim_ascii().iter().any(u8::is_ascii_whitespace)
}

fn is_form(headers: &HeaderMap) -> bool {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    value.is_some_and(|value| value.starts_with("application/x-www-form-urlencoded"))
}

/// The rows as they come. What fails while the first [`HELD_BYTES`] are gathered is an answer; what fails later cuts the
/// body off, which every client notices.
async fn body(mut rows: Rows, format: Format) -> Result<Body, QueryError> {
    let mut writer = Writer::new(format, rows.schema());
    let mut head = Vec::new();
    head.extend(writer.begin()?);
    while head.len() < HELD_BYTES {
        match rows.next().await {
            Some(batch) => head.extend(writer.rows(&batch?)?),
            None => break,
        }
    }
    let rest = stream::unfold(Some((rows, writer)), next_part);
    let parts = stream::iter([Ok(Bytes::from(head))]).chain(rest);
    Ok(Body::from_stream(parts))
}

type Under = Option<(Rows, Writer)>;

async fn next_part(under: Under) -> Option<(Result<Bytes, QueryError>, Under)> {
    let (mut rows, mut writer) = under?;
    match rows.next().await {
        Some(Ok(batch)) => match writer.rows(&batch) {
            Ok(part) => Some((Ok(part.into()), Some((rows, writer)))),
            Err(error) => Some((Err(error), None)),
        },
        Some(Err(error)) => Some((Err(error), None)),
        None => Some((writer.end().map(Bytes::from), None)),
    }
}
