//! RTU framing: one request, and its reply picked out of whatever is on the line.
//!
//! Invariants:
//! - A reply is a frame with a right checksum from the unit that was asked, to the function that was asked, of the length
//!   that was asked for. Everything else on the line (noise, an adapter's echo of the request, a late reply of another unit)
//!   is passed over, and named if no reply comes.
//! - RTU numbers no requests, so a late reply looks like the reply to a like request. After a time-out a request of the same
//!   form is not sent before the line has been listened to for a while longer.
//!
//! Terms are those of Modbus over Serial Line V1.02. Times out nothing: its caller does.

mod frame;

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{Instant, sleep_until, timeout, timeout_at},
};

pub(crate) use self::frame::Form;
use self::frame::{Scan, scan};
use crate::transport::Wire;

/// Address, function, byte count, 250 bytes of data, checksum.
const FRAME_BYTES_MAX: usize = 256;

/// Bytes kept while looking for a reply; a line that babbles is no reply.
const BABBLE_BYTES_MAX: usize = 4 * FRAME_BYTES_MAX;

/// Requests without a reply that are remembered, the last first.
const OWED_MAX: usize = 16;

/// What answers a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The data bytes, as many as the form has.
    Data(Vec<u8>),
    /// The code of an exception.
    Exception(u8),
}

/// A line with units on it.
pub(crate) struct RtuLine {
    stream: Box<dyn Wire>,
    /// Silence between the last byte and the next request.
    gap: Duration,
    last_byte: Option<Instant>,
    /// What was asked and never answered: the replies may come yet.
    owed: Vec<Form>,
    /// What was passed over since the last request.
    stray: Option<String>,
    heard: bool,
}

impl RtuLine {
    pub(crate) fn new(stream: Box<dyn Wire>, gap: Duration) -> Self {
        Self {
            stream,
            gap,
            last_byte: None,
            owed: Vec::new(),
            stray: None,
            heard: false,
        }
    }

    /// What came since the last request instead of a reply; none where nothing came.
    pub(crate) fn stray(&self) -> Option<&str> {
        self.heard.then(|| {
            self.stray
                .as_deref()
                .unwrap_or("bytes without a right checksum")
        })
    }

    /// Makes sure that nothing on the line can be taken for the reply to this request: waits up to `late` for a reply that is
    /// still owed to one of the same form, and drops what has come.
    pub(crate) async fn settle(&mut self, form: Form, late: Duration) -> io::Result<()> {
        let before = self.owed.len();
        self.owed.retain(|owed| !owed.is_alike(form));
        let until = if self.owed.len() < before {
            Instant::now() + late
        } else {
            Instant::now()
        };
        let mut bytes = [0; FRAME_BYTES_MAX];
        // At least one poll, even with no time left: it takes what has come already.
        while let Ok(read) = timeout_at(until, self.stream.read(&mut bytes)).await {
            if read? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.last_byte = Some(Instant::now());
        }
        Ok(())
    }

    /// Sends a request, and waits for its reply for as long as it takes.
    pub(crate) async fn call(&mut self, form: Form) -> io::Result<Answer> {
        (self.stray, self.heard) = (None, false);
        if let Some(last) = self.last_byte {
            sleep_until(last + self.gap).await;
        }
        let request = form.request();
        self.owed.truncate(OWED_MAX - 1);
        self.owed.insert(0, form);
        self.stream.write_all(&request).await?;
        self.stream.flush().await?;
        let mut came = Vec::with_capacity(FRAME_BYTES_MAX);
        let mut bytes = [0; FRAME_BYTES_MAX];
        loop {
            let read = self.stream.read(&mut bytes).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            (self.last_byte, self.heard) = (Some(Instant::now()), true);
            came.extend_from_slice(bytes.get(..read).unwrap_or_default());
            loop {
                match scan(&came, form, &request) {
                    Scan::More => break,
                    Scan::Skip(skipped, what) => {
                        came.drain(..skipped.clamp(1, came.len()));
                        self.stray = what.or(self.stray.take());
                    }
                    Scan::Reply(answer) => {
                        self.owed.remove(0);
                        return Ok(answer);
                    }
                }
            }
            let surplus = came.len().saturating_sub(BABBLE_BYTES_MAX);
            came.drain(..surplus);
        }
    }

    /// Ends the connection in order, where there is one.
    pub(crate) async fn close(mut self, limit: Duration) {
        if let Ok(Err(error)) = timeout(limit, self.stream.shutdown()).await {
            tracing::debug!(%error, "line was not closed in order");
        }
    }
}

#[cfg(test)]
mod tests;
