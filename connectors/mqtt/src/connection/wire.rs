//! Packets on their way to the broker, which may be sent in pieces.

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncWriteExt as _, WriteHalf};

use crate::client::Stream;

/// What goes out.
pub(super) struct Wire {
    pub(super) writer: WriteHalf<Box<dyn Stream>>,
    pub(super) out: BytesMut,
    unflushed: bool,
}

impl Wire {
    pub(super) fn new(writer: WriteHalf<Box<dyn Stream>>) -> Self {
        Self {
            writer,
            out: BytesMut::new(),
            unflushed: false,
        }
    }

    /// Sends what is written. May be dropped at any time and called again.
    pub(super) async fn send(&mut self) -> io::Result<()> {
        while !self.out.is_empty() {
            self.unflushed = true;
            if self.writer.write_buf(&mut self.out).await? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        if self.unflushed {
            self.writer.flush().await?;
            self.unflushed = false;
        }
        Ok(())
    }

    pub(super) fn has_more(&self) -> bool {
        self.unflushed || !self.out.is_empty()
    }
}
