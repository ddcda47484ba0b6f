//! Opening a serial line.
//!
//! A line is open once in this process: two connectors with the same settings share it (see [`crate::bus`]), and two with
//! different ones would garble each other's frames.

use std::{
    collections::BTreeSet,
    fmt, io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll},
};

use serial2_tokio::{CharSize, FlowControl, SerialPort, Settings, StopBits};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::endpoint::{Parity, SerialLine};

static OPEN: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// An open line.
pub(crate) struct OpenLine {
    port: SerialPort,
    _claim: Claim,
}

/// Takes the line out of `OPEN` when dropped.
struct Claim(PathBuf);

impl OpenLine {
    /// Opens a line, and drops what came in before.
    pub(crate) fn open(line: &SerialLine) -> io::Result<Self> {
        let claim = Claim::of(&line.path)?;
        let port = SerialPort::open(&line.path, |mut settings: Settings| {
            settings.set_raw();
            settings.set_baud_rate(line.baud_rate)?;
            settings.set_char_size(match line.data_bits {
                7 => CharSize::Bits7,
                _ => CharSize::Bits8,
            });
            settings.set_parity(match line.parity {
                Parity::None => serial2_tokio::Parity::None,
                Parity::Even => serial2_tokio::Parity::Even,
                Parity::Odd => serial2_tokio::Parity::Odd,
            });
            settings.set_stop_bits(match line.stop_bits {
                2 => StopBits::Two,
                _ => StopBits::One,
            });
            settings.set_flow_control(FlowControl::None);
            Ok(settings)
        })?;
        port.discard_buffers()?;
        Ok(Self {
            port,
            _claim: claim,
        })
    }
}

impl Claim {
    fn of(path: &Path) -> io::Result<Self> {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if open.insert(path.to_owned()) {
            return Ok(Self(path.to_owned()));
        }
        Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            "another connector uses this serial line with other settings",
        ))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.remove(&self.0);
    }
}

impl fmt::Debug for OpenLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.port.fmt(f)
    }
}

impl AsyncRead for OpenLine {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.port).poll_read(cx, buf)
    }
}

impl AsyncWrite for OpenLine {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.port).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.port).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.port).poll_shutdown(cx)
    }
}
