//! Connecting: TCP, TLS over it, or a serial line.

use std::{sync::Arc, time::Duration};

use forebay_tls::ClientFiles;
use tokio::{net::TcpStream, time::timeout};
use tokio_modbus::client::tcp;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;

use super::{Channel, Client, Fault};
use crate::{
    endpoint::{Endpoint, SerialLine, Server},
    rtu::RtuLine,
    serial::OpenLine,
    transport::{Transport, Wire},
};

/// A request and the longest reply.
const EXCHANGE_BYTES: u32 = 8 + 256;

impl Client {
    /// Connects within `limit`; with TLS, as long again for its handshake.
    pub(crate) async fn connect(
        endpoint: &Endpoint,
        limit: Duration,
        stop: &CancellationToken,
    ) -> Result<Self, Fault> {
        let dial = dial(endpoint, limit);
        stop.run_until_cancelled(dial)
            .await
            .unwrap_or(Err(Fault::Stopped))
    }

    fn new(channel: Channel) -> Self {
        Self {
            channel,
            airtime: Duration::ZERO,
            has_answered: false,
        }
    }
}

async fn dial(endpoint: &Endpoint, limit: Duration) -> Result<Client, Fault> {
    match endpoint {
        Endpoint::Tcp(server) => Ok(mbap(Box::new(reach(endpoint, server, limit).await?))),
        Endpoint::Tls { server, files } => {
            let stream = reach(endpoint, server, limit).await?;
            let stream = secure(endpoint, files, stream, limit).await?;
            Ok(mbap(Box::new(stream)))
        }
        Endpoint::RtuTcp { server, frame_gap } => {
            let stream = reach(endpoint, server, limit).await?;
            let line = RtuLine::new(Box::new(stream), *frame_gap);
            Ok(Client::new(Channel::Rtu(line)))
        }
        Endpoint::Serial(line) => open(endpoint, line),
    }
}

pub(super) fn mbap(stream: Box<dyn Wire>) -> Client {
    let (transport, seen) = Transport::new(stream);
    let context = tcp::attach(transport);
    Client::new(Channel::Mbap { context, seen })
}

async fn reach(endpoint: &Endpoint, server: &Server, limit: Duration) -> Result<TcpStream, Fault> {
    let dial = TcpStream::connect((server.host.as_str(), server.port));
    let dialled = timeout(limit, dial)
        .await
        .map_err(|_| Fault::Closed(format!("no connection to {endpoint} within {limit:?}")))?;
    dialled
        .and_then(|stream| stream.set_nodelay(true).map(|()| stream))
        .map_err(|error| Fault::Closed(format!("cannot connect to {endpoint}: {error}")))
}

async fn secure(
    endpoint: &Endpoint,
    files: &ClientFiles,
    stream: TcpStream,
    limit: Duration,
) -> Result<TlsStream<TcpStream>, Fault> {
    let config = files
        .client_config()
        .map_err(|error| Fault::Closed(format!("cannot set up TLS: {error}")))?;
    let connector = TlsConnector::from(Arc::clone(&config));
    let handshake = connector.connect(files.server_name.clone(), stream);
    let failed = |why: String| Fault::Closed(format!("TLS with {endpoint} failed: {why}"));
    match timeout(limit, handshake).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(failed(files.explain(&error))),
        Err(_) => Err(failed(format!("no answer within {limit:?}"))),
    }
}

fn open(endpoint: &Endpoint, line: &SerialLine) -> Result<Client, Fault> {
    let port = OpenLine::open(line)
        .map_err(|error| Fault::Closed(format!("cannot open {endpoint}: {error}")))?;
    let channel = Channel::Rtu(RtuLine::new(Box::new(port), line.frame_gap));
    Ok(Client {
        airtime: line.time_of(EXCHANGE_BYTES),
        ..Client::new(channel)
    })
}
