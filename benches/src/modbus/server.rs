//! Devices that answer at once.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// Header and body of a request that reads (Modbus application protocol 1.1b3, section 6.3).
const REQUEST_BYTES: usize = 12;
/// Registers of one request.
const REGISTERS_MAX: u16 = 125;

/// Modbus TCP servers whose holding registers count their requests. They end with this value.
pub(crate) struct Devices {
    ports: Vec<u16>,
    registers: Arc<AtomicU64>,
    _serving: JoinSet<()>,
}

impl Devices {
    pub(crate) async fn start(count: u32) -> io::Result<Self> {
        let mut serving = JoinSet::new();
        let mut ports = Vec::new();
        let registers = Arc::new(AtomicU64::new(0));
        for _ in 0..count {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            ports.push(listener.local_addr()?.port());
            serving.spawn(serve(listener, registers.clone()));
        }
        Ok(Self {
            ports,
            registers,
            _serving: serving,
        })
    }

    pub(crate) fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// Registers that they have answered.
    pub(crate) fn registers(&self) -> u64 {
        self.registers.load(Ordering::Relaxed)
    }
}

async fn serve(listener: TcpListener, registers: Arc<AtomicU64>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(answer(stream, registers.clone()));
    }
}

/// Until the client has gone.
async fn answer(mut stream: TcpStream, registers: Arc<AtomicU64>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut request = [0; REQUEST_BYTES];
    let mut reply = Vec::new();
    let mut value = 0_u16;
    loop {
        stream.read_exact(&mut request).await?;
        let [transaction_high, transaction_low, .., count_high, count_low] = request;
        let count = u16::from_be_bytes([count_high, count_low]).min(REGISTERS_MAX);
        value = value.wrapping_add(1);
        let data_bytes = count * 2;
        let [length_high, length_low] = (3 + data_bytes).to_be_bytes();
        let [unit, function] = [request[6], request[7]];
        reply.clear();
        reply.extend([
            transaction_high,
            transaction_low,
            0,
            0,
            length_high,
            length_low,
        ]);
        // At most 250.
        reply.extend([unit, function, data_bytes as u8]);
        reply.extend((0..count).flat_map(|_| value.to_be_bytes()));
        stream.write_all(&reply).await?;
        registers.fetch_add(u64::from(count), Ordering::Relaxed);
    }
}
