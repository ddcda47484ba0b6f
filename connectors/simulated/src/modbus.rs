//! The Modbus TCP server: the machine "pump-7".
//!
//! Holding registers, big-endian: 0 machine temperature (f32), 2 ambient temperature (f32), 4 number of the sample (u32, from
//! 1). Kept here: one request sees one sample. The replay begins with the first request, so that nobody misses its start.

use std::{
    future::{Ready, ready},
    io,
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::Instant,
};
use tokio_modbus::{
    ExceptionCode, Request, Response,
    server::{Service, tcp::Server},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{
    Pace, PlantError, Scenario,
    recording::{AMBIENT, replayed},
};

/// A request reads at most so many registers (Modbus application protocol 1.1b3, section 6.3).
const REGISTERS_PER_REQUEST: u16 = 125;

/// An hour has twelve samples of the machine and one of its surroundings.
const SAMPLES_PER_AMBIENT: u64 = 12;

/// The registers, as a function of time.
pub(crate) struct Registers {
    machine: Vec<f64>,
    ambient: Vec<f64>,
    pace: Pace,
    begun: OnceLock<Instant>,
}

impl Registers {
    pub(crate) fn new(scenario: Scenario, pace: Pace) -> Result<Self, PlantError> {
        Ok(Self {
            machine: scenario.machine()?,
            ambient: AMBIENT.values()?,
            pace,
            begun: OnceLock::new(),
        })
    }

    /// Samples that have stood in the registers.
    pub(crate) fn samples(&self) -> u64 {
        self.begun.get().map_or(0, |begun| self.place(*begun) + 1)
    }

    fn place(&self, begun: Instant) -> u64 {
        u64::try_from(begun.elapsed().as_nanos() / self.pace.step().as_nanos())
            .unwrap_or(u64::MAX - 1)
    }

    fn words(&self, place: u64) -> [u16; 6] {
        let machine = (replayed(&self.machine, place) as f32).to_be_bytes();
        let ambient = (replayed(&self.ambient, place / SAMPLES_PER_AMBIENT) as f32).to_be_bytes();
        // The counter of a device wraps round too.
        let number = ((place + 1) as u32).to_be_bytes();
        let word = |bytes: [u8; 4], at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        [
            word(machine, 0),
            word(machine, 2),
            word(ambient, 0),
            word(ambient, 2),
            word(number, 0),
            word(number, 2),
        ]
    }

    fn read(&self, address: u16, count: u16) -> Result<Vec<u16>, ExceptionCode> {
        if !(1..=REGISTERS_PER_REQUEST).contains(&count) {
            return Err(ExceptionCode::IllegalDataValue);
        }
        let place = self.place(*self.begun.get_or_init(Instant::now));
        let (from, count) = (usize::from(address), usize::from(count));
        self.words(place)
            .get(from..from + count)
            .map(<[u16]>::to_vec)
            .ok_or(ExceptionCode::IllegalDataAddress)
    }
}

impl Service for Registers {
    type Request = Request<'static>;
    type Response = Response;
    type Exception = ExceptionCode;
    type Future = Ready<Result<Response, ExceptionCode>>;

    fn call(&self, request: Self::Request) -> Self::Future {
        ready(match request {
            Request::ReadHoldingRegisters(address, count) => self
                .read(address, count)
                .map(Response::ReadHoldingRegisters),
            _ => Err(ExceptionCode::IllegalFunction),
        })
    }
}

/// Serves until `stop`; then the listener and all connections are closed.
pub(crate) async fn start(
    registers: Arc<Registers>,
    tasks: &mut JoinSet<&'static str>,
    stop: CancellationToken,
) -> Result<SocketAddr, PlantError> {
    let failed = |source| PlantError::Start {
        server: "modbus",
        source,
    };
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    tasks.spawn(async move {
        let connected = |stream: TcpStream, _peer: SocketAddr| {
            let registers = Arc::clone(&registers);
            async move { Ok::<_, io::Error>(Some((registers, stream))) }
        };
        let broken = |error: io::Error| debug!(%error, "a modbus client sent an invalid request");
        let served = Server::new(listener)
            .serve_until(&connected, broken, stop.cancelled_owned())
            .await;
        if let Err(error) = served {
            warn!(%error, "the plant's modbus server has ended");
        }
        "modbus"
    });
    Ok(address)
}
