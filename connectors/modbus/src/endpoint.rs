//! Where a device or a bus of devices is reached: the address of the configuration and what belongs to it.

use std::{fmt, path::PathBuf, time::Duration};

use forebay_tls::ClientFiles;

use crate::keys;

/// Above this rate the gap between frames is fixed (Modbus over Serial Line V1.02, 2.5.1.1).
const FIXED_GAP_ABOVE_BAUD: u32 = 19_200;
const FIXED_GAP: Duration = Duration::from_micros(1750);
/// Start bit, eight data bits, parity or a second stop bit, stop bit.
const CHARACTER_BITS: u32 = 11;

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    /// A name or an address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// The parity bit of a serial line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parity {
    None,
    Even,
    Odd,
}

impl Parity {
    /// Its word in the configuration.
    pub(crate) fn name(self) -> &'static str {
        let mut words = keys::PARITY_WORDS.iter();
        words
            .find(|(_, parity)| *parity == self)
            .map_or("none", |(word, _)| *word)
    }
}

/// A serial line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SerialLine {
    pub(crate) path: PathBuf,
    pub(crate) baud_rate: u32,
    pub(crate) parity: Parity,
    /// 7 or 8.
    pub(crate) data_bits: u8,
    /// 1 or 2.
    pub(crate) stop_bits: u8,
    /// Silence between a reply and the next request.
    pub(crate) frame_gap: Duration,
}

/// What one connection leads to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Endpoint {
    /// Modbus TCP.
    Tcp(Server),
    /// RTU frames over TCP; `frame_gap` as that of a serial line.
    RtuTcp { server: Server, frame_gap: Duration },
    /// Modbus/TCP Security: Modbus TCP within TLS.
    Tls { server: Server, files: ClientFiles },
    /// RTU on a serial line.
    Serial(SerialLine),
}

impl SerialLine {
    /// The time that so many bytes take on the line.
    pub(crate) fn time_of(&self, bytes: u32) -> Duration {
        characters(self.baud_rate, bytes)
    }
}

/// The silence that ends a frame: 3.5 characters, or 1.75 ms on fast lines.
pub(crate) fn frame_gap(baud_rate: u32) -> Duration {
    if baud_rate > FIXED_GAP_ABOVE_BAUD {
        return FIXED_GAP;
    }
    characters(baud_rate, 7) / 2
}

fn characters(baud_rate: u32, count: u32) -> Duration {
    Duration::from_secs(1) * CHARACTER_BITS * count / baud_rate.max(1)
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(server) => write!(f, "tcp://{server}"),
            Self::RtuTcp { server, .. } => write!(f, "rtu+tcp://{server}"),
            Self::Tls { server, .. } => write!(f, "tls://{server}"),
            Self::Serial(line) => write!(f, "serial://{}", line.path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gap_is_three_and_a_half_characters_up_to_19200_baud() {
        for (baud, micros) in [
            (1200, 32_083),
            (9600, 4010),
            (19_200, 2005),
            (38_400, 1750),
            (115_200, 1750),
        ] {
            assert_eq!(frame_gap(baud).as_micros(), micros, "{baud}");
        }
    }
}
