//! The MQTT broker, on a thread with a runtime of its own.
//!
//! The library offers no end, and starts tasks that nobody can name: so its listener and all its connections end with the
//! runtime when the plant stops. Its router is a further thread without an end, which sleeps from then on until the process
//! ends. It cannot tell a port that the system chose either: a free one is looked for first, and another if it is lost.

use std::{
    future::ready,
    io,
    net::{SocketAddr, TcpListener},
    pin::pin,
    thread,
};

use rumqttd::{
    ConnectionSettings, LinkType, Router, RouterConfig, Server, ServerSettings, protocol::v4::V4,
};
use tokio::{runtime, sync::oneshot};
use tokio_util::sync::CancellationToken;
use tracing::subscriber::NoSubscriber;

use crate::PlantError;

/// Free ports tried before giving up.
const PORTS_MAX: u32 = 10;

/// A running broker.
pub(crate) struct Broker {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Dropped when its listener and connections are closed.
    pub(crate) ended: oneshot::Receiver<()>,
}

/// Comes back once it listens; ends with `stop`.
pub(crate) async fn start(stop: CancellationToken) -> Result<Broker, PlantError> {
    let failed = |source| PlantError::Start {
        server: "mqtt",
        source,
    };
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let (listening, listens) = oneshot::channel();
    let (ending, ended) = oneshot::channel();
    let serve = move || {
        // It tells of each connection that ends as of an error.
        let _quiet = tracing::subscriber::set_default(NoSubscriber::default());
        runtime.block_on(serve(listening, stop));
        drop(runtime);
        drop(ending);
    };
    thread::Builder::new()
        .name("plant-mqtt".into())
        .spawn(serve)
        .map_err(failed)?;
    let gone = || io::Error::other("its thread has ended");
    let address = listens
        .await
        .unwrap_or_else(|_| Err(gone()))
        .map_err(failed)?;
    Ok(Broker { address, ended })
}

async fn serve(listening: oneshot::Sender<io::Result<SocketAddr>>, stop: CancellationToken) {
    let router = Router::new(0, router()).spawn();
    let mut last = io::Error::other("no port was tried");
    for _ in 0..PORTS_MAX {
        let address = match free_port() {
            Ok(address) => address,
            Err(error) => {
                last = error;
                continue;
            }
        };
        let mut server = Server::new(settings(address), router.clone(), V4);
        let mut serving = pin!(server.start(LinkType::Remote));
        // It binds before it waits for the first time: polled once, it either listens or has failed.
        let failed = tokio::select! {
            biased;
            ended = &mut serving => Some(ended),
            () = ready(()) => None,
        };
        if let Some(ended) = failed {
            last = ended.map_or_else(io::Error::other, |()| {
                io::Error::other("it has ended at once")
            });
            continue;
        }
        if listening.send(Ok(address)).is_ok() {
            stop.run_until_cancelled(serving).await;
        }
        return;
    }
    // Nobody waits any more where the plant was dropped.
    listening.send(Err(last)).ok();
}

fn free_port() -> io::Result<SocketAddr> {
    TcpListener::bind(("127.0.0.1", 0))?.local_addr()
}

fn router() -> RouterConfig {
    RouterConfig {
        max_connections: 64,
        max_outgoing_packet_count: 200,
        max_segment_size: 1 << 20,
        max_segment_count: 4,
        ..RouterConfig::default()
    }
}

fn settings(address: SocketAddr) -> ServerSettings {
    ServerSettings {
        name: "plant".into(),
        listen: address,
        tls: None,
        next_connection_delay_ms: 1,
        connections: ConnectionSettings {
            connection_timeout_ms: 5_000,
            max_payload_size: 64 << 10,
            max_inflight_count: 100,
            auth: None,
            external_auth: None,
            dynamic_filters: true,
        },
    }
}
