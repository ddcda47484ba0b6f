//! One connection to a server or a bus: one request at a time, each answered, refused or given up within the time-out.
//!
//! After any [`Fault`] but `Exception` a connection that numbers its requests must be dropped: what comes next on it may be a
//! late reply. A line of RTU frames looks after late replies itself, and is kept: see [`Client::outlives`].

mod dial;
#[cfg(test)]
mod fuzzed;

use std::{io, time::Duration};

use thiserror::Error;
use tokio::time::timeout;
use tokio_modbus::{
    Request, Response, Slave,
    client::{Client as _, Context},
    slave::SlaveContext as _,
};
use tokio_util::sync::CancellationToken;

use crate::{
    exception::Exception,
    plan::{Read, Register},
    rtu::{Answer, Form, RtuLine},
    transport::Seen,
    unit::UnitId,
};

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
    /// Something has come on a line of RTU frames, and no reply was in it.
    #[error(
        "no answer from unit {0} within {1:?}, only {2}: check the line's settings, its wiring, and that no other master asks"
    )]
    Stray(UnitId, Duration, String),
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
    channel: Channel,
    /// What the bytes of the longest request and reply take on the line.
    airtime: Duration,
    /// Whether it has ever answered.
    pub(crate) has_answered: bool,
}

/// How requests are framed.
enum Channel {
    /// By the header of Modbus TCP, within TLS or not.
    Mbap { context: Context, seen: Seen },
    /// By silence and checksum.
    Rtu(RtuLine),
}

impl Client {
    /// Asks one unit, for at most `limit`.
    pub(crate) async fn read(
        &mut self,
        unit: UnitId,
        read: &Read,
        limit: Duration,
        stop: &CancellationToken,
    ) -> Result<Data, Fault> {
        let limit_on_line = limit + self.airtime;
        let answer = match &mut self.channel {
            Channel::Mbap { context, seen } => {
                let call = ask_mbap(context, seen, unit, read, limit);
                stop.run_until_cancelled(call).await
            }
            Channel::Rtu(line) => {
                let call = ask_rtu(line, unit, read, limit, limit_on_line);
                stop.run_until_cancelled(call).await
            }
        };
        let answer = answer.unwrap_or(Err(Fault::Stopped));
        self.has_answered |= matches!(answer, Ok(_) | Err(Fault::Exception(_)));
        answer
    }

    /// Whether it may be used after this fault.
    pub(crate) fn outlives(&self, fault: &Fault) -> bool {
        match fault {
            Fault::Exception(_) => true,
            // A line of RTU frames knows what is still owed to it.
            Fault::Silent(..) | Fault::Stray(..) | Fault::Stopped => {
                matches!(self.channel, Channel::Rtu(_))
            }
            Fault::Noise(..) | Fault::Closed(_) | Fault::Garbled(_) => false,
        }
    }

    /// Says good-bye, within a time-out.
    pub(crate) async fn close(self, limit: Duration) {
        match self.channel {
            Channel::Mbap { mut context, .. } => {
                if let Ok(Err(error)) = timeout(limit, context.disconnect()).await {
                    tracing::debug!(%error, "connection was not closed in order");
                }
            }
            Channel::Rtu(line) => line.close(limit).await,
        }
    }
}

async fn ask_mbap(
    context: &mut Context,
    seen: &Seen,
    unit: UnitId,
    read: &Read,
    limit: Duration,
) -> Result<Data, Fault> {
    let request = match read.register {
        Register::Coil => Request::ReadCoils(read.first, read.count),
        Register::Discrete => Request::ReadDiscreteInputs(read.first, read.count),
        Register::Holding => Request::ReadHoldingRegisters(read.first, read.count),
        Register::Input => Request::ReadInputRegisters(read.first, read.count),
    };
    context.set_slave(Slave(unit.0));
    seen.asked();
    match timeout(limit, context.call(request)).await {
        Err(_) if seen.has_heard() => Err(Fault::Noise(unit, limit)),
        Err(_) => Err(Fault::Silent(unit, limit)),
        Ok(Ok(Ok(response))) => checked(response, read),
        Ok(Ok(Err(code))) => Err(Fault::Exception(Exception(code.into()))),
        Ok(Err(error)) => Err(mbap_fault(error, seen)),
    }
}

/// `limit_on_line` is the time-out with the time that the bytes take.
async fn ask_rtu(
    line: &mut RtuLine,
    unit: UnitId,
    read: &Read,
    limit: Duration,
    limit_on_line: Duration,
) -> Result<Data, Fault> {
    let form = Form {
        unit: unit.0,
        function: read.register.function(),
        first: read.first,
        count: read.count,
    };
    line.settle(form, limit / 2).await.map_err(line_fault)?;
    match timeout(limit_on_line, line.call(form)).await {
        Err(_) => Err(match line.stray() {
            Some(stray) => Fault::Stray(unit, limit, stray.to_owned()),
            None => Fault::Silent(unit, limit),
        }),
        Ok(Ok(Answer::Data(bytes))) => Ok(data_of(read, &bytes)),
        Ok(Ok(Answer::Exception(code))) => Err(Fault::Exception(Exception(code))),
        Ok(Err(error)) => Err(line_fault(error)),
    }
}

fn line_fault(error: io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Fault::Closed("the server closed the connection".into()),
        _ => Fault::Closed(format!("the connection broke: {error}")),
    }
}

/// The values in as many bytes as were asked for.
fn data_of(read: &Read, bytes: &[u8]) -> Data {
    if read.register.is_bits() {
        let bit = |place: usize| {
            bytes
                .get(place / 8)
                .is_some_and(|byte| byte >> (place % 8) & 1 == 1)
        };
        return Data::Bits((0..usize::from(read.count)).map(bit).collect());
    }
    let words = bytes.chunks_exact(2);
    Data::Words(
        words
            .map(|word| word.iter().fold(0, |sum, byte| sum << 8 | u16::from(*byte)))
            .collect(),
    )
}

fn mbap_fault(error: tokio_modbus::Error, seen: &Seen) -> Fault {
    use tokio_modbus::{Error, ProtocolError};
    match error {
        Error::Protocol(ProtocolError::HeaderMismatch { message, .. }) => {
            Fault::Garbled(format!("the reply belongs to another request: {message}"))
        }
        Error::Protocol(ProtocolError::FunctionCodeMismatch { request, .. }) => {
            Fault::Garbled(format!("the reply is not one to function {request}"))
        }
        Error::Transport(error) if is_of_tls(&error) => {
            Fault::Closed(format!("TLS failed: {error}"))
        }
        Error::Transport(_) if seen.has_ended() => {
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

/// Whether it is TLS that ended the connection, such as for want of a certificate.
fn is_of_tls(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(|inner| inner.is::<rustls::Error>())
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
