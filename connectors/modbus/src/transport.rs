//! What bytes are carried by, and a stream that remembers whether its peer has closed it, and whether anything has come.
//!
//! tokio-modbus answers the end of a stream with whatever the thread's last system error happened to be, and it waits for
//! more behind bytes that are no reply; this tells those from a real error and from silence. Nothing else is done to the
//! bytes.

use std::{
    fmt, io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection or a line.
pub(crate) trait Wire: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin> Wire for T {}

/// What has been seen of the peer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen(Arc<Flags>);

#[derive(Debug, Default)]
struct Flags {
    ended: AtomicBool,
    heard: AtomicBool,
}

impl Seen {
    /// Whether the peer has closed the stream.
    pub(crate) fn has_ended(&self) -> bool {
        self.0.ended.load(Ordering::Relaxed)
    }

    /// A request goes out: what came before is none of its reply.
    pub(crate) fn asked(&self) {
        self.0.heard.store(false, Ordering::Relaxed);
    }

    /// Whether any byte has come since the last request.
    pub(crate) fn has_heard(&self) -> bool {
        self.0.heard.load(Ordering::Relaxed)
    }
}

/// The stream.
pub(crate) struct Transport {
    stream: Box<dyn Wire>,
    seen: Seen,
}

impl Transport {
    pub(crate) fn new(stream: Box<dyn Wire>) -> (Self, Seen) {
        let seen = Seen::default();
        (
            Self {
                stream,
                seen: seen.clone(),
            },
            seen,
        )
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stream.fmt(f)
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (filled, room) = (buf.filled().len(), buf.remaining());
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if matches!(polled, Poll::Ready(Ok(()))) && room > 0 {
            let flag = if buf.filled().len() == filled {
                &self.seen.0.ended
            } else {
                &self.seen.0.heard
            };
            flag.store(true, Ordering::Relaxed);
        }
        polled
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
