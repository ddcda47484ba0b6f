//! How to reach the broker: settings, and the byte stream to it.

use std::time::Duration;

use forebay_config::Secret;
use forebay_connectors::SessionId;
use forebay_tls::ClientFiles;
use ring::digest::{Context, SHA256};
use rumqttc::tokio_rustls::TlsConnector;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::spawn_blocking,
};

use crate::{
    packet::{Hello, Outgoing, Version},
    websocket::WebSocket,
};

/// Time for TCP, TLS and the broker's answers to CONNECT and SUBSCRIBE, each.
pub(crate) const ANSWER_TIME: Duration = Duration::from_secs(10);

/// A byte stream.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// The session's life at the broker while no connection is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Session {
    /// Ends with the connection.
    Clean,
    /// Kept; with MQTT 5 for so many seconds.
    Kept { expiry_seconds: u32 },
}

/// What a connector needs to know of its broker.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The connector's name, for log lines.
    pub(crate) name: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: Option<ClientFiles>,
    /// The path to ask for, where MQTT goes over WebSocket.
    pub(crate) websocket: Option<String>,
    pub(crate) version: Version,
    pub(crate) topics: Vec<String>,
    /// 0 to 2.
    pub(crate) qos: u8,
    pub(crate) client_id: String,
    pub(crate) session: Session,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Secret>,
    /// Published by the broker when the connection breaks.
    pub(crate) will: Option<Outgoing>,
    /// Told to the broker, which ends a connection that is silent for one and a half of it.
    pub(crate) keep_alive: Duration,
    /// Messages that may wait for their receipts, at least 1.
    pub(crate) in_flight_max: u16,
}

impl Settings {
    /// How often the broker is pinged: often enough that the end of a silent one is seen within half of keep_alive.
    pub(crate) fn ping_every(&self) -> Duration {
        self.keep_alive.mul_f64(0.3)
    }

    /// How long the broker may be silent after a ping.
    pub(crate) fn silence_max(&self) -> Duration {
        self.keep_alive.mul_f64(0.15)
    }

    /// The session at the broker, the same after a restart; none that outlives its connection. Stable between versions:
    /// receipts are kept under it.
    pub(crate) fn session_id(&self) -> Option<SessionId> {
        if self.session == Session::Clean {
            return None;
        }
        let mut digest = Context::new(&SHA256);
        for part in [
            b"mqtt session",
            self.host.as_bytes(),
            &self.port.to_be_bytes(),
            self.client_id.as_bytes(),
        ] {
            digest.update(&(part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        let mut first = [0; 16];
        first.copy_from_slice(&digest.finish().as_ref()[..16]);
        Some(SessionId(first))
    }

    pub(crate) fn hello(&self, will: Option<Outgoing>) -> Hello<'_> {
        let (clean, session_expiry_seconds) = match self.session {
            Session::Clean => (true, 0),
            Session::Kept { expiry_seconds } => (false, expiry_seconds),
        };
        Hello {
            client_id: &self.client_id,
            clean,
            // Rounded up; configured to fit.
            keep_alive_seconds: u16::try_from(self.keep_alive.as_millis().div_ceil(1000))
                .unwrap_or(u16::MAX),
            session_expiry_seconds,
            receive_max: self.in_flight_max,
            user: self.user.as_deref(),
            password: self.password.as_ref().map(Secret::expose),
            will,
        }
    }

    /// Opens the byte stream, or says why it cannot be opened.
    pub(crate) async fn dial(&self) -> Result<Box<dyn Stream>, String> {
        let stream = self.dial_bytes().await?;
        let Some(path) = &self.websocket else {
            return Ok(stream);
        };
        let authority = if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        };
        let socket = WebSocket::open(stream, &authority, path).await?;
        Ok(Box::new(socket))
    }

    /// Over TCP, with TLS where it is configured.
    async fn dial_bytes(&self) -> Result<Box<dyn Stream>, String> {
        let place = format!("{}:{}", self.host, self.port);
        let tcp = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(|error| format!("cannot connect to {place}: {error}"))?;
        tcp.set_nodelay(true)
            .map_err(|error| format!("cannot set up the connection to {place}: {error}"))?;
        let Some(files) = self.tls.clone() else {
            return Ok(Box::new(tcp));
        };
        let (name, read) = (files.server_name.clone(), files.clone());
        let config = spawn_blocking(move || read.client_config())
            .await
            .map_err(|error| format!("cannot set up TLS: {error}"))?
            .map_err(|error| format!("cannot set up TLS: {error}"))?;
        let stream = TlsConnector::from(config).connect(name, tcp).await;
        stream
            .map(|tls| Box::new(tls) as Box<dyn Stream>)
            .map_err(|error| format!("TLS with {place} failed: {}", files.explain(&error)))
    }
}
