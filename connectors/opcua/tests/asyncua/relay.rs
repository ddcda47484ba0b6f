//! What stands between a connector and its server, and can cut or stall the connection while the server goes on.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use forebay_connectors_conformance::PATIENCE;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::timeout,
};

/// Passes bytes on between a client and a server.
pub(crate) struct Relay {
    pub(crate) port: u16,
    cut: watch::Sender<u32>,
    is_stalled: watch::Sender<bool>,
    is_closed: Arc<AtomicBool>,
    _tasks: JoinSet<()>,
}

impl Relay {
    pub(crate) async fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (cut, cuts) = watch::channel(0);
        let (is_stalled, stalled) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let is_closed = Arc::new(AtomicBool::new(false));
        let closed = is_closed.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                if closed.load(Ordering::Relaxed) {
                    continue;
                }
                let mut cuts = cuts.clone();
                cuts.mark_unchanged();
                let stalled = stalled.clone();
                connections.spawn(async move {
                    let server = TcpStream::connect(("127.0.0.1", server));
                    let Ok(Ok(server)) = timeout(PATIENCE, server).await else {
                        return;
                    };
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    tokio::select! {
                        () = pass(from_client, to_server, stalled.clone()) => {}
                        () = pass(from_server, to_client, stalled) => {}
                        _ = cuts.changed() => {}
                    }
                });
            }
        });
        Self {
            port,
            cut,
            is_stalled,
            is_closed,
            _tasks: tasks,
        }
    }

    /// Cuts, and lets nobody through until it is opened again.
    pub(crate) fn close(&self, is_closed: bool) {
        self.is_closed.store(is_closed, Ordering::Relaxed);
        if is_closed {
            self.cut();
        }
    }

    pub(crate) fn cut(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }

    /// Holds back what both sides say until it is let go on.
    pub(crate) fn stall(&self, is_stalled: bool) {
        self.is_stalled.send_replace(is_stalled);
    }
}

/// Passes on in one direction until one side ends.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut stalled: watch::Receiver<bool>,
) {
    let mut bytes = vec![0; 65_536];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        let goes_on = stalled.wait_for(|is_stalled| !is_stalled).await.is_ok();
        if !goes_on || to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
}
