use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

#[derive(Default)]
struct State {
    pubacks: AtomicUsize,
    lose_pubacks: AtomicBool,
    /// What passes is not MQTT as it stands: nothing is counted.
    is_blind: bool,
    cut: std::sync::Mutex<CancellationToken>,
}

/// Stands between connector and broker, counts PUBACKs and PUBRECs, loses them when told to, and cuts. What is sent behind a lost PUBACK is
/// lost too, as on a broken link: a ping must not get through.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn start(broker: u16) -> Self {
        Self::with(broker, State::default()).await
    }

    /// For MQTT within something else, such as WebSocket: it only cuts.
    pub(crate) async fn start_blind(broker: u16) -> Self {
        let state = State {
            is_blind: true,
            ..State::default()
        };
        Self::with(broker, state).await
    }

    async fn with(broker: u16, state: State) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(state);
        let mut tasks = JoinSet::new();
        let shared = state.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let state = shared.clone();
                let cut = state.cut.lock().unwrap().clone();
                connections.spawn(async move {
                    tokio::select! { () = relay(client, broker, &state) => {} () = cut.cancelled() => {} }
                });
            }
        });
        Self {
            port,
            state,
            _tasks: tasks,
        }
    }

    /// PUBACKs that the connector has sent, lost ones included.
    pub(crate) fn pubacks(&self) -> usize {
        self.state.pubacks.load(Ordering::SeqCst)
    }

    pub(crate) fn lose_pubacks(&self, lose: bool) {
        self.state.lose_pubacks.store(lose, Ordering::SeqCst);
    }

    /// Cuts all connections.
    pub(crate) fn cut(&self) {
        let mut cut = self.state.cut.lock().unwrap();
        cut.cancel();
        *cut = CancellationToken::new();
    }
}

async fn relay(mut client: TcpStream, broker: u16, state: &State) {
    let Ok(mut broker) = TcpStream::connect(("127.0.0.1", broker)).await else {
        return;
    };
    if state.is_blind {
        drop(tokio::io::copy_bidirectional(&mut client, &mut broker).await);
        return;
    }
    let (mut from_client, to_client) = client.into_split();
    let (from_broker, mut to_broker) = broker.into_split();
    tokio::select! {
        _ = down(from_broker, to_client) => {}
        _ = up(&mut from_client, &mut to_broker, state) => {}
    }
}

async fn down(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> io::Result<u64> {
    tokio::io::copy(&mut from, &mut to).await
}

/// Packet by packet, until the client closes.
async fn up(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf, state: &State) -> io::Result<()> {
    let mut broken = false;
    while let Ok(first) = from.read_u8().await {
        let mut packet = vec![first];
        let (mut length, mut shift) = (0, 0);
        loop {
            let byte = from.read_u8().await?;
            packet.push(byte);
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let header = packet.len();
        packet.resize(header + length, 0);
        from.read_exact(&mut packet[header..]).await?;
        // PUBACK and PUBREC.
        let is_puback = matches!(first >> 4, 4 | 5);
        if is_puback {
            state.pubacks.fetch_add(1, Ordering::SeqCst);
        }
        broken |= is_puback && state.lose_pubacks.load(Ordering::SeqCst);
        if !broken {
            to.write_all(&packet).await?;
        }
    }
    Ok(())
}
