//! One connection to a server: one request at a time, each answered, refused or given up within the time-out.
//!
//! After any [`Fault`] but `Exception` the connection must be dropped: what comes next on it may be a late reply.

use std::{fmt, io, time::Duration};

use thiserror::Error;
use tokio::{net::TcpStream, time::timeout};
use tokio_modbus::{
    Request, Response, Slave,
    client::{Client as _, Context, tcp},
    slave::SlaveContext as _,
};
use tokio_util::sync::CancellationToken;

use crate::{
    exception::Exception,
    plan::{Read, Register},
    transport::{Seen, Transport},
    unit::UnitId,
};

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    /// A name or an address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') {
            write!(f, "tcp://[{host}]:{port}")
        } else {
            write!(f, "tcp://{host}:{port}")
        }
    }
}

/// What a reply carries: exactly what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Data {
    /// One word per register.
    Words(Vec<u16>),
    /// One truth value per coil or discrete input.
    Bits(Vec<bool>),
}

/// Why there is no reply. Its text is the reason that readers of the data see.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum Fault {
    /// The server answers that it cannot; the connection is sound.
    #[error("{0}")]
    Exception(Exception),
    /// Nothing whole has come in time.
    #[error("no answer from unit {0} within {1:?}")]
    Silent(UnitId, Duration),
    /// Something has come, and no reply was in it.
    #[error(
        "what came from unit {0} within {1:?} is not a whole Modbus reply: is this a Modbus TCP port?"
    )]
    Noise(UnitId, Duration),
    /// There is no connection.
    #[error("{0}")]
    Closed(String),
    /// What came is no reply to the request.
    #[error("{0}")]
    Garbled(String),
    /// The connector is being stopped.
    #[error("the connector is being stopped")]
    Stopped,
}

/// One connection.
pub(crate) struct Client {
    context: Context,
    seen: Seen,
    limit: Duration,
    stop: CancellationToken,
    /// Whether it has ever answered.
    pub(crate) has_answered: bool,
}

impl Client {
    /// Connects within `limit`, the time-out of each later request too.
    pub(crate) async fn connect(
        server: &Server,
        limit: Duration,
        stop: &CancellationToken,
    ) -> Result<Self, Fault> {
        let dial = timeout(
            limit,
            TcpStream::connect((server.host.as_str(), server.port)),
        );
        let stream = match stop.run_until_cancelled(dial).await {
            None => return Err(Fault::Stopped),
            Some(Err(_)) => {
                return Err(Fault::Closed(format!(
                    "no connection to {server} within {limit:?}"
                )));
            }
            Some(Ok(dialled)) => {
                dialled.and_then(|stream| stream.set_nodelay(true).map(|()| stream))
            }
        };
        let stream = stream
            .map_err(|error| Fault::Closed(format!("cannot connect to {server}: {error}")))?;
        let (transport, seen) = Transport::new(stream);
        Ok(Self {
            context: tcp::attach(transport),
            seen,
            limit,
            stop: stop.clone(),
            has_answered: false,
        })
    }

    /// Asks one unit.
    pub(crate) async fn read(&mut self, unit: UnitId, read: &Read) -> Result<Data, Fault> {
        let request = match read.register {
            Register::Coil => Request::ReadCoils(read.first, read.count),
            Register::Discrete => Request::ReadDiscreteInputs(read.first, read.count),
            Register::Holding => Request::ReadHoldingRegisters(read.first, read.count),
            Register::Input => Request::ReadInputRegisters(read.first, read.count),
        };
        self.context.set_slave(Slave(unit.0));
        self.seen.asked();
        let call = timeout(self.limit, self.context.call(request));
        let data = match self.stop.run_until_cancelled(call).await {
            None => return Err(Fault::Stopped),
            Some(Err(_)) if self.seen.has_heard() => return Err(Fault::Noise(unit, self.limit)),
            Some(Err(_)) => return Err(Fault::Silent(unit, self.limit)),
            Some(Ok(Ok(Ok(response)))) => checked(response, read)?,
            Some(Ok(Ok(Err(code)))) => {
                self.has_answered = true;
                return Err(Fault::Exception(Exception(code.into())));
            }
            Some(Ok(Err(error))) => return Err(self.fault(error)),
        };
        self.has_answered = true;
        Ok(data)
    }

    /// Says good-bye, within the time-out.
    pub(crate) async fn close(mut self) {
        if let Ok(Err(error)) = timeout(self.limit, self.context.disconnect()).await {
            tracing::debug!(%error, "connection was not closed in order");
        }
    }

    fn fault(&self, error: tokio_modbus::Error) -> Fault {
        use tokio_modbus::{Error, ProtocolError};
        match error {
            Error::Protocol(ProtocolError::HeaderMismatch { message, .. }) => {
                Fault::Garbled(format!("the reply belongs to another request: {message}"))
            }
            Error::Protocol(ProtocolError::FunctionCodeMismatch { request, .. }) => {
                Fault::Garbled(format!("the reply is not one to function {request}"))
            }
            Error::Transport(_) if self.seen.has_ended() => {
                Fault::Closed("the server closed the connection".into())
            }
            Error::Transport(error) => match error.kind() {
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                    Fault::Garbled(format!("the reply is malformed: {error}"))
                }
                _ => Fault::Closed(format!("the connection broke: {error}")),
            },
        }
    }
}

/// tokio-modbus checks the length of a reply in debug builds only.
fn checked(response: Response, read: &Read) -> Result<Data, Fault> {
    let asked = usize::from(read.count);
    let (data, came, due) = match response {
        Response::ReadHoldingRegisters(words) if read.register == Register::Holding => {
            counted(words, asked)
        }
        Response::ReadInputRegisters(words) if read.register == Register::Input => {
            counted(words, asked)
        }
        Response::ReadCoils(bits) if read.register == Register::Coil => padded(bits, asked),
        Response::ReadDiscreteInputs(bits) if read.register == Register::Discrete => {
            padded(bits, asked)
        }
        _ => {
            return Err(Fault::Garbled(
                "the reply is not one to the function asked for".into(),
            ));
        }
    };
    if came == due {
        Ok(data)
    } else {
        Err(Fault::Garbled(format!(
            "the reply to {read} carries {came} values, {due} are due"
        )))
    }
}

/// Bits come in whole bytes.
fn padded(mut bits: Vec<bool>, asked: usize) -> (Data, usize, usize) {
    let came = bits.len();
    bits.truncate(asked);
    (Data::Bits(bits), came, asked.next_multiple_of(8))
}

fn counted(words: Vec<u16>, asked: usize) -> (Data, usize, usize) {
    let came = words.len();
    (Data::Words(words), came, asked)
}

#[cfg(test)]
mod tests;
