//! PostgreSQL's wire protocol (version 3): the port, its connections, and their bounds in time and size.

mod commands;
mod extended;
mod frames;
mod handler;
mod held;
mod session;
mod sign_in;
mod simple;
mod text;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use datafusion_postgres::pgwire::{
    api::{ClientInfo as _, NoopHandler, cancel::DefaultCancelHandler},
    error::{ErrorInfo, PgWireError},
    messages::{PgWireBackendMessage, PgWireFrontendMessage, response::ErrorResponse},
    tokio::{
        TlsAcceptor,
        server::{
            MaybeTls, PgWireMessageServerCodec, negotiate_tls, process_error, process_message,
        },
    },
};
use futures::{SinkExt as _, StreamExt as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    select,
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::{
    codec::{Framed, FramedParts},
    sync::CancellationToken,
};
use tracing::debug;

use crate::{
    doorway::{Doorway, Place},
    engine::{Engine, Parsed},
    error::QueryError,
};
use frames::BoundedFrames;
use handler::{Prepared, Queries};
use session::PgSession;
pub(crate) use sign_in::SignIn;
use sign_in::{SignInHandler, fatal};

pub(crate) use commands::Command;

/// What kind of statement this is.
///
/// # Errors
/// For one that would change something.
pub(crate) fn command_of(parsed: &Parsed) -> Result<Command, QueryError> {
    Command::of(&parsed.statement)
}

/// How long a client may take to sign in, TLS included.
const SIGN_IN_TIMEOUT: Duration = Duration::from_secs(if cfg!(test) { 4 } else { 10 });
/// How long a connection may be silent; pools open another then.
const IDLE_TIMEOUT: Duration = Duration::from_secs(1_800);
/// How much longer than a query a message may take: a client that reads no rows must not hold a turn.
const MESSAGE_GRACE: Duration = Duration::from_secs(5);
/// How long the last words to a client may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Connections that are told at once why they are not taken; more are closed without a word.
const REFUSALS_MAX: usize = 32;
/// `SSLRequest` and `GSSENCRequest`.
const ENCRYPTION_REQUESTS: [[u8; 8]; 2] = [
    [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f],
    [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30],
];
/// Pause after a connection that could not be taken.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

type Socket = Framed<BoundedFrames<MaybeTls>, PgWireMessageServerCodec<Arc<Prepared>>>;

/// What all connections of the port share.
pub(crate) struct PgPort {
    engine: Arc<Engine>,
    sign_in: Arc<SignIn>,
    queries: Arc<Queries>,
    cancels: Arc<DefaultCancelHandler>,
    tls: Option<TlsAcceptor>,
    doorway: Arc<Doorway>,
    refusals: Semaphore,
}

impl PgPort {
    pub(crate) fn new(engine: Arc<Engine>, sign_in: SignIn, tls: Option<TlsAcceptor>) -> Self {
        Self {
            queries: Arc::new(Queries::new(engine.clone())),
            cancels: Arc::new(DefaultCancelHandler::new(sign_in.connections.clone())),
            doorway: Arc::new(Doorway::new(sign_in.progress.clone())),
            refusals: Semaphore::new(REFUSALS_MAX),
            sign_in: Arc::new(sign_in),
            tls,
            engine,
        }
    }

    /// Serves until the stop; connections under way are cut then.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener, stop: CancellationToken) {
        let mut connections = JoinSet::new();
        loop {
            let accepted = select! {
                accepted = listener.accept() => accepted,
                () = stop.cancelled() => return,
            };
            while connections.try_join_next().is_some() {}
            match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(self.clone().come(stream, peer));
                }
                Err(error) => {
                    debug!(%error, "accepting a connection failed");
                    // Without file handles the next attempt fails at once: no spinning.
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn come(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let place = match self.doorway.enter(peer.ip()) {
            Ok(place) => place,
            Err(refusal) => {
                debug!(%peer, why = refusal.why(), "connection refused");
                let Ok(_place) = self.refusals.try_acquire() else {
                    return;
                };
                let _ended = timeout(CLOSE_TIMEOUT, refuse(stream, refusal.why())).await;
                return;
            }
        };
        if let Err(error) = self.connection(stream, place).await {
            debug!(%peer, %error, "a connection failed");
        }
    }

    async fn connection(&self, stream: TcpStream, place: Place) -> io::Result<()> {
        let deadline = Instant::now() + SIGN_IN_TIMEOUT;
        let opened = timeout_at(deadline, opened(stream, self.tls.clone()));
        let Some(mut socket) = opened.await.map_err(|_| timed_out())?? else {
            return Ok(());
        };
        let sign_in = Arc::new(SignInHandler::new(self.sign_in.clone(), place));
        let mut session: Option<Arc<PgSession>> = None;
        loop {
            let message = match next_message(&mut socket, session.as_deref(), deadline).await {
                Ok(Some(message)) => message,
                Ok(None) => return Ok(()),
                Err(error) => return last_words(&mut socket, error).await,
            };
            if matches!(message, PgWireFrontendMessage::Terminate(_)) {
                return Ok(());
            }
            let until = match &session {
                Some(_) => Instant::now() + self.engine.timeout() + MESSAGE_GRACE,
                None => deadline,
            };
            let handled = timeout_at(until, self.handle(message, &mut socket, &sign_in)).await;
            handled.map_err(|_| timed_out())??;
            if session.is_none() {
                session = socket.session_extensions().get::<PgSession>();
                if session.is_some() {
                    socket.get_mut().signed_in();
                }
            }
        }
    }

    async fn handle(
        &self,
        message: PgWireFrontendMessage,
        socket: &mut Socket,
        sign_in: &Arc<SignInHandler>,
    ) -> io::Result<()> {
        let waits_for_sync = message.is_extended_query();
        let handled = process_message(
            message,
            socket,
            sign_in.clone(),
            self.queries.clone(),
            self.queries.clone(),
            Arc::new(NoopHandler),
            self.cancels.clone(),
        );
        match handled.await {
            Ok(()) => Ok(()),
            Err(error) => {
                let is_stranger = socket.session_extensions().get::<PgSession>().is_none();
                if is_stranger || is_broken(&error) {
                    last_words(socket, error).await?;
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
                process_error(socket, error, waits_for_sync).await
            }
        }
    }
}

/// The connection once it is clear whether it speaks TLS.
async fn opened(stream: TcpStream, tls: Option<TlsAcceptor>) -> io::Result<Option<Socket>> {
    let Some(socket) = negotiate_tls::<Arc<Prepared>>(stream, tls).await? else {
        return Ok(None);
    };
    // What came in clear before the handshake may be another's words.
    if socket.is_secure() && !socket.read_buffer().is_empty() {
        let why = "bytes in clear before the TLS handshake";
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    let old = socket.into_parts();
    let mut io = BoundedFrames::new(old.io);
    let come = io.have_come(&old.read_buf);
    let mut parts = FramedParts::new(io, old.codec);
    parts.read_buf = old.read_buf;
    parts.write_buf = old.write_buf;
    let mut socket = Framed::from_parts(parts);
    match come {
        Ok(()) => Ok(Some(socket)),
        Err(error) => {
            last_words(&mut socket, fatal("08P01", &error.to_string())).await?;
            Ok(None)
        }
    }
}

/// The client's next message; `None` when it has gone. While it is awaited, suspended portals time out.
async fn next_message(
    socket: &mut Socket,
    session: Option<&PgSession>,
    sign_in_deadline: Instant,
) -> Result<Option<PgWireFrontendMessage>, PgWireError> {
    let idle_deadline = match session {
        Some(_) => Instant::now() + IDLE_TIMEOUT,
        None => sign_in_deadline,
    };
    loop {
        let portal_deadline = session.and_then(PgSession::next_deadline);
        let until = portal_deadline.map_or(idle_deadline, |portal| portal.min(idle_deadline));
        match (timeout_at(until, socket.next()).await, session) {
            (Ok(None), _) => return Ok(None),
            (Ok(Some(Err(error))), _) => return Err(fatal("08P01", &error.to_string())),
            (Ok(Some(Ok(message))), _) => return Ok(Some(message)),
            (Err(_), Some(session)) if until < idle_deadline => session.end_suspended(until),
            (Err(_), Some(_)) => return Err(fatal("57P05", "idle for too long")),
            (Err(_), None) => return Err(fatal("08P01", "the sign-in timed out")),
        }
    }
}

/// Whether the connection cannot go on.
fn is_broken(error: &PgWireError) -> bool {
    match error {
        PgWireError::UserError(info) => info.is_fatal(),
        PgWireError::IoError(_) => true,
        _ => false,
    }
}

/// Says why, and closes.
async fn last_words(socket: &mut Socket, error: PgWireError) -> io::Result<()> {
    let mut info: ErrorInfo = error.into();
    info.severity = "FATAL".to_owned();
    let saying = async {
        let answer = PgWireBackendMessage::ErrorResponse(info.into());
        socket.send(answer).await?;
        socket.close().await
    };
    timeout(CLOSE_TIMEOUT, saying)
        .await
        .map_err(|_| timed_out())?
}

/// Says why a connection is not taken. A client that asks for encryption first expects one byte, so it gets a no.
async fn refuse(mut stream: TcpStream, why: &str) -> io::Result<()> {
    use datafusion_postgres::pgwire::messages::Message as _;

    // Both questions, and then the first frame.
    for _ in 0..3 {
        let mut head = [0; 8];
        stream.read_exact(&mut head).await?;
        if !ENCRYPTION_REQUESTS.contains(&head) {
            break;
        }
        stream.write_all(b"N").await?;
    }
    // What is left unread would make a reset of the end, and lose the words.
    let mut rest = [0; 1_024];
    let _unread = stream.try_read(&mut rest);
    let info = ErrorInfo::new("FATAL".to_owned(), "53300".to_owned(), why.to_owned());
    let mut bytes = bytes::BytesMut::new();
    ErrorResponse::from(info)
        .encode(&mut bytes)
        .map_err(io::Error::other)?;
    stream.write_all(&bytes).await?;
    stream.shutdown().await
}

fn timed_out() -> io::Error {
    io::ErrorKind::TimedOut.into()
}

/// A query's error as the wire has it.
fn of_query(error: QueryError) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new(
        "ERROR".to_owned(),
        error.sqlstate().to_owned(),
        error.to_string(),
    )))
}
