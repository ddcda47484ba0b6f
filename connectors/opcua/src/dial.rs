//! Who opens the TCP connection: we, or, with `reverse_connect`, the server (OPC 10000-6, 7.1.3).
//!
//! In reverse a server connects, says in a ReverseHello which endpoint it is, and waits; from there on all is as usual. Kept here: what
//! connects is greeted within [`GREETING_LIMIT`], at most [`GREETINGS_MAX`] at once, and only the endpoint in `url` is taken; a server
//! that has gone meanwhile is passed over. Strangers who called while the link was up do not keep the server waiting: where all
//! places are taken, who has said nothing for [`GREETING_GRACE`] yields, the oldest first; a server speaks as soon as it has
//! connected. Whether it is the right server its certificate proves, not its word.

use std::{collections::VecDeque, io, sync::Arc, time::Duration};

use opcua::{
    core::comms::tcp_types::ReverseHelloMessage,
    types::{DecodingOptions, Error, SimpleBinaryDecodable, StatusCode},
};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    sync::Mutex,
    task::{AbortHandle, JoinSet},
    time::{self, Instant},
};
use tracing::{debug, warn};

use crate::{error::OpcuaError, settings::Settings};

/// How long a server is waited for that calls again after seconds, or a minute.
pub(crate) const CALL_PATIENCE: Duration = Duration::from_secs(60);

const GREETINGS_MAX: usize = 64;
const GREETING_LIMIT: Duration = Duration::from_secs(4);
/// How long who connects may be silent while all places are taken.
const GREETING_GRACE: Duration = Duration::from_millis(250);
/// A head, and two texts of at most 4,096 bytes (OPC 10000-6, 7.1.2.6).
const GREETING_BYTES_MAX: usize = 8 + 2 * (4 + 4096);
const HEAD_BYTES: usize = 8;

/// The way to one server. Clones share it.
#[derive(Debug, Clone)]
pub(crate) enum Dial {
    Out { host: String, port: u16 },
    In(Arc<Reverse>),
}

/// Where a server is waited for.
#[derive(Debug)]
pub(crate) struct Reverse {
    address: String,
    /// The endpoint that is meant.
    url: String,
    listener: Mutex<Option<TcpListener>>,
    /// A server that has come and was not used yet.
    waiting: Mutex<Option<TcpStream>>,
}

impl Dial {
    pub(crate) fn new(settings: &Settings) -> Self {
        match &settings.reverse_connect {
            Some(address) => Self::In(Arc::new(Reverse {
                address: address.clone(),
                url: settings.url.to_string(),
                listener: Mutex::new(None),
                waiting: Mutex::new(None),
            })),
            None => Self::Out {
                host: settings.host().to_owned(),
                port: settings.port(),
            },
        }
    }

    /// In reverse, waits for the server.
    pub(crate) async fn await_server(&self, patience: Duration) -> Result<(), OpcuaError> {
        let Self::In(reverse) = self else {
            return Ok(());
        };
        let mut waiting = reverse.waiting.lock().await;
        match time::timeout(patience, reverse.next()).await {
            Ok(come) => *waiting = Some(come?),
            Err(_) => {
                return Err(OpcuaError::NobodyCame {
                    address: reverse.address.clone(),
                    limit: patience,
                });
            }
        }
        Ok(())
    }

    /// A connection to the server.
    pub(crate) async fn connect(&self) -> Result<TcpStream, Error> {
        let failed = |what: String| Error::new(StatusCode::BadCommunicationError, what);
        let stream = match self {
            Self::Out { host, port } => TcpStream::connect((host.as_str(), *port))
                .await
                .map_err(|error| failed(format!("cannot connect to {host}:{port}: {error}")))?,
            Self::In(reverse) => {
                let come = reverse.waiting.lock().await.take();
                come.ok_or_else(|| failed("the server has not connected".to_owned()))?
            }
        };
        stream
            .set_nodelay(true)
            .map_err(|error| failed(error.to_string()))?;
        Ok(stream)
    }
}

impl Reverse {
    /// The next connection of the server; others are closed.
    async fn next(&self) -> Result<TcpStream, OpcuaError> {
        let failed = |error| OpcuaError::Listen {
            address: self.address.clone(),
            error,
        };
        let mut bound = self.listener.lock().await;
        if bound.is_none() {
            *bound = Some(TcpListener::bind(&self.address).await.map_err(failed)?);
        }
        let Some(listener) = bound.as_ref() else {
            return Err(failed(io::ErrorKind::NotConnected.into()));
        };
        let mut greetings: JoinSet<io::Result<(TcpStream, String)>> = JoinSet::new();
        let mut silent: VecDeque<Silent> = VecDeque::new();
        loop {
            silent.retain(|one| !one.greeting.is_finished());
            // Without those that had to yield: they end with the next turn of the reactor.
            let is_full = silent.len() >= GREETINGS_MAX;
            let oldest = silent.front().map(|one| one.since + GREETING_GRACE);
            tokio::select! {
                // Who has spoken goes before who comes, and who comes before who yields.
                biased;
                Some(done) = greetings.join_next() => match done {
                    Ok(Ok((stream, url))) if is_same(&url, &self.url) => return Ok(stream),
                    Ok(Ok((_, url))) => {
                        warn!(url, expected = self.url, "refused the connection of another endpoint");
                    }
                    Ok(Err(error)) => debug!(%error, "refused a connection that is not a server's"),
                    Err(error) if error.is_cancelled() => {
                        debug!("refused a connection that said nothing, for others to have its place");
                    }
                    Err(error) => debug!(%error, "greeting a server failed"),
                },
                accepted = listener.accept(), if !is_full => {
                    let (stream, _) = accepted.map_err(failed)?;
                    let greeting = greetings.spawn(async move {
                        let greeted = time::timeout(GREETING_LIMIT, greeting(stream)).await;
                        greeted.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
                    });
                    silent.push_back(Silent { since: Instant::now(), greeting });
                }
                () = until(oldest), if is_full => {
                    if let Some(oldest) = silent.pop_front() {
                        oldest.greeting.abort();
                    }
                }
            }
        }
    }
}

/// Who has connected, and has not said anything that could be read.
struct Silent {
    since: Instant,
    greeting: AbortHandle,
}

/// Waits for a moment; for ever without one.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// What a server says when it has connected, as long as it is still there.
async fn greeting(mut stream: TcpStream) -> io::Result<(TcpStream, String)> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut message = vec![0; HEAD_BYTES];
    stream.read_exact(&mut message).await?;
    let [.., a, b, c, d] = message[..] else {
        return Err(invalid("no head"));
    };
    let size = u32::from_le_bytes([a, b, c, d]) as usize;
    if !message.starts_with(b"RHEF") || !(HEAD_BYTES..=GREETING_BYTES_MAX).contains(&size) {
        return Err(invalid("no ReverseHello"));
    }
    message.resize(size, 0);
    stream.read_exact(&mut message[HEAD_BYTES..]).await?;
    let hello = ReverseHelloMessage::decode(&mut message.as_slice(), &DecodingOptions::default())
        .map_err(|error| invalid(&error.to_string()))?;
    // Before it is answered, a server says no more. One that waited too long has closed.
    match stream.try_read(&mut [0]) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Err(error) => return Err(error),
        Ok(_) => return Err(invalid("it did not wait for the answer")),
    }
    Ok((stream, hello.endpoint_url.as_ref().to_owned()))
}

fn is_same(one: &str, other: &str) -> bool {
    one.trim_end_matches('/')
        .eq_ignore_ascii_case(other.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use opcua::types::SimpleBinaryEncodable;
    use tokio::io::AsyncWriteExt;

    use super::*;

    const URL: &str = "opc.tcp://press:4840/line";

    async fn reverse() -> (Arc<Reverse>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let reverse = Reverse {
            address: address.clone(),
            url: URL.to_owned(),
            listener: Mutex::new(Some(listener)),
            waiting: Mutex::new(None),
        };
        (Arc::new(reverse), address)
    }

    async fn come(address: &str, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream
    }

    fn hello(url: &str) -> Vec<u8> {
        ReverseHelloMessage::new("urn:press", url).encode_to_vec()
    }

    #[tokio::test]
    async fn only_the_server_that_is_meant_and_still_there_is_taken() {
        let (reverse, address) = reverse().await;
        let dial = Dial::In(reverse);
        let mut giant = hello(URL);
        giant[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        let mut others = Vec::new();
        for bytes in [
            hello("opc.tcp://mill:4840/line"),
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            giant,
            [hello(URL), b"HELF".to_vec()].concat(),
            Vec::new(),
        ] {
            others.push(come(&address, &bytes).await);
        }
        drop(come(&address, &hello(URL)).await);
        let came = come(&address, &hello("opc.tcp://PRESS:4840/line/")).await;
        dial.await_server(Duration::from_secs(20)).await.unwrap();
        let taken = dial.connect().await.unwrap();
        assert_eq!(taken.peer_addr().unwrap(), came.local_addr().unwrap());
        assert!(dial.connect().await.is_err(), "each is used once");
        let none = dial.await_server(Duration::from_millis(10)).await;
        let why = none.unwrap_err().to_string();
        assert!(
            why.contains(&format!("no server has connected to {address}")),
            "{why}"
        );
    }

    #[tokio::test]
    async fn strangers_who_came_before_and_say_nothing_keep_no_server_waiting() {
        let (reverse, address) = reverse().await;
        let mut strangers = Vec::new();
        for _ in 0..GREETINGS_MAX + 8 {
            strangers.push(come(&address, b"RHEF").await);
        }
        let came = come(&address, &hello(URL)).await;
        let dial = Dial::In(reverse);
        dial.await_server(GREETING_LIMIT / 2).await.unwrap();
        let taken = dial.connect().await.unwrap();
        assert_eq!(taken.peer_addr().unwrap(), came.local_addr().unwrap());
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_named() {
        let (_reverse, address) = reverse().await;
        let other = Reverse {
            address: address.clone(),
            url: URL.to_owned(),
            listener: Mutex::new(None),
            waiting: Mutex::new(None),
        };
        let why = other.next().await.unwrap_err().to_string();
        assert!(
            why.contains(&format!("cannot listen on {address}")),
            "{why}"
        );
    }
}
