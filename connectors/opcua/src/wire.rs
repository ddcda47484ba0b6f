//! The TCP connection below a secure channel, and every limit on what a server may send.
//!
//! The library believes the size in a chunk's header and buffers until that many bytes are there, up to 4 GiB. So the
//! bytes pass a guard here that reads the same headers and ends the connection at the first chunk that is larger than
//! agreed. The library's own limits are all set, because 0 would mean none.

mod opening;

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use opcua::{
    client::{
        ClientBuilder, ClientConfig,
        transport::{
            SecureChannelEventLoop, StreamConnection, StreamTransport, TransportPollResult,
        },
    },
    core::comms::tcp_codec::TcpCodec,
    types::{DecodingOptions, Error, StatusCode},
};
use tokio::{
    io::{AsyncRead, ReadBuf, ReadHalf, WriteHalf},
    net::TcpStream,
};
use tokio_util::codec::FramedRead;

pub(crate) use self::opening::Opening;
use crate::{dial::Dial, settings::Settings};

/// Largest chunk in either direction.
const CHUNK_BYTES_MAX: usize = 65_535;
const MESSAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// As many as the largest message takes, whose chunks have heads and signatures too.
const CHUNKS_MAX: usize = MESSAGE_BYTES_MAX / CHUNK_BYTES_MAX + 8;
const STRING_BYTES_MAX: usize = 1024 * 1024;
const ARRAY_ELEMENTS_MAX: usize = 65_536;

/// What is read at once.
const READ_BYTES: usize = 8192;
/// A type, a size: the head of every chunk.
const HEAD_BYTES: usize = 8;
/// What a chunk begins with (OPC 10000-6, 6.7.2 and 7.1.2).
const MESSAGE_TYPES: [&[u8; 3]; 7] = [b"HEL", b"ACK", b"ERR", b"RHE", b"OPN", b"CLO", b"MSG"];
/// Why a connection ends whose bytes are of another protocol.
pub(crate) const NO_OPCUA: &str = "this is not an OPC UA server, or a proxy stands before it";
const CHUNK: &str = "chunk of ";
const AGREED: &str = " are agreed";

pub(crate) type Plug = StreamConnection<FrameGuard<ReadHalf<TcpStream>>, WriteHalf<TcpStream>>;
type Transport = StreamTransport<FrameGuard<ReadHalf<TcpStream>>, WriteHalf<TcpStream>>;

/// The library's settings: names for the server's log, and limits.
pub(crate) fn client_config(settings: &Settings) -> ClientConfig {
    ClientBuilder::new()
        .application_name("Forebay")
        .application_uri(settings.pki.application_uri.clone())
        .product_uri("urn:forebay")
        .session_name(format!("forebay {}", settings.name))
        .request_timeout(settings.timeout)
        .channel_lifetime(u32::try_from(settings.channel_lifetime.as_millis()).unwrap_or(u32::MAX))
        .max_chunk_size(CHUNK_BYTES_MAX)
        .max_incoming_chunk_size(CHUNK_BYTES_MAX)
        .max_chunk_count(CHUNKS_MAX)
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_string_length(STRING_BYTES_MAX)
        .max_byte_string_length(STRING_BYTES_MAX)
        .max_array_length(ARRAY_ELEMENTS_MAX)
        .into_config()
}

/// Connects, and guards what comes; with security, an answer to OpenSecureChannel has to be proven.
pub(crate) async fn plug(
    dial: Dial,
    opening: Option<Arc<Opening>>,
    endpoint_url: String,
    decoding: DecodingOptions,
) -> Result<Plug, Error> {
    let (reader, writer) = tokio::io::split(dial.connect().await?);
    let guard = FrameGuard::new(reader, opening);
    let reader = FramedRead::new(guard, TcpCodec::new(decoding));
    Ok(StreamConnection::new(reader, writer, endpoint_url))
}

/// Moves the bytes of a connection until it ends; answers why it ended.
pub(crate) async fn carry(mut channel: SecureChannelEventLoop<Transport>) -> StatusCode {
    loop {
        if let TransportPollResult::Closed(status) = channel.poll().await {
            return status;
        }
    }
}

/// The guard's words on a chunk that is too large, within what the library makes of them.
pub(crate) fn too_large(error: &str) -> Option<&str> {
    let reason = &error[error.find(CHUNK)?..];
    Some(&reason[..reason.find(AGREED)? + AGREED.len()])
}

/// Passes bytes on while no chunk announces more than [`CHUNK_BYTES_MAX`].
pub(crate) struct FrameGuard<R> {
    inner: R,
    head: [u8; HEAD_BYTES],
    head_bytes: usize,
    body_left: usize,
    opening: Option<Arc<Opening>>,
    /// An answer to OpenSecureChannel that is not whole yet.
    held: Vec<u8>,
    /// What may be passed on.
    ready: BytesMut,
}

impl<R> FrameGuard<R> {
    fn new(inner: R, opening: Option<Arc<Opening>>) -> Self {
        Self {
            inner,
            head: [0; HEAD_BYTES],
            head_bytes: 0,
            body_left: 0,
            opening,
            held: Vec::new(),
            ready: BytesMut::new(),
        }
    }

    fn take(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let wanted = match self.body_left {
                0 => HEAD_BYTES - self.head_bytes,
                left => left,
            };
            let (piece, rest) = bytes.split_at(wanted.min(bytes.len()));
            bytes = rest;
            if self.body_left > 0 {
                self.body_left -= piece.len();
                self.pass(piece)?;
                continue;
            }
            self.head[self.head_bytes..self.head_bytes + piece.len()].copy_from_slice(piece);
            self.head_bytes += piece.len();
            if self.head_bytes == HEAD_BYTES {
                self.head_bytes = 0;
                self.body_left = body_bytes(self.head)?;
                let head = self.head;
                self.pass(&head)?;
            }
        }
        Ok(())
    }

    /// Passes a piece of a chunk on, unless the chunk has to be proven: then whole.
    fn pass(&mut self, piece: &[u8]) -> io::Result<()> {
        if !self.head.starts_with(b"OPN") {
            self.ready.extend_from_slice(piece);
            return Ok(());
        }
        self.held.extend_from_slice(piece);
        if self.body_left == 0 {
            let held = std::mem::take(&mut self.held);
            let bare = match &self.opening {
                Some(opening) => opening.bare(&held)?,
                None => opening::without_security(held)?,
            };
            self.ready.extend_from_slice(&bare);
        }
        Ok(())
    }
}

/// What follows a head.
fn body_bytes(head: [u8; HEAD_BYTES]) -> io::Result<usize> {
    let [t, y, p, .., a, b, c, d] = head;
    if !MESSAGE_TYPES.contains(&&[t, y, p]) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, NO_OPCUA));
    }
    let size = u32::from_le_bytes([a, b, c, d]) as usize;
    if !(HEAD_BYTES..=CHUNK_BYTES_MAX).contains(&size) {
        let what = format!("{CHUNK}{size} bytes: at most {CHUNK_BYTES_MAX}{AGREED}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    Ok(size - HEAD_BYTES)
}

impl<R: AsyncRead + Unpin> AsyncRead for FrameGuard<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.ready.is_empty() {
            let mut bytes = [0; READ_BYTES];
            let mut read = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.inner).poll_read(cx, &mut read))?;
            // The end.
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.take(read.filled())?;
        }
        let count = self.ready.len().min(buf.remaining());
        buf.put_slice(&self.ready[..count]);
        self.ready.advance(count);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_pass_however_they_are_cut_and_a_giant_does_not() {
        let chunk = |size: u32| {
            let mut bytes = b"MSGF".to_vec();
            bytes.extend(size.to_le_bytes());
            bytes.resize((size as usize).clamp(HEAD_BYTES, 100), 0xFF);
            bytes
        };
        let good = [chunk(8), chunk(20), chunk(100)].concat();
        for cut in 1..good.len() {
            let mut guard = FrameGuard::new((), None);
            for piece in good.chunks(cut) {
                guard.take(piece).unwrap();
            }
            assert_eq!(guard.ready[..], good, "cut every {cut} bytes");
        }
        for size in [0, 7, CHUNK_BYTES_MAX as u32 + 1, u32::MAX] {
            let bytes = [good.clone(), chunk(size)].concat();
            let refused = FrameGuard::new((), None).take(&bytes).unwrap_err();
            let shown = format!("waiting for server ACK: got {refused:?}");
            let reason = format!("chunk of {size} bytes: at most 65535 are agreed");
            assert_eq!(too_large(&shown), Some(reason.as_str()));
        }
    }

    #[test]
    fn another_protocol_is_called_so() {
        let answer = b"HTTP/1.1 400 Bad Request\r\n\r\n";
        let refused = FrameGuard::new((), None).take(answer).unwrap_err();
        assert_eq!(refused.to_string(), NO_OPCUA);
        assert_eq!(too_large(&refused.to_string()), None);
    }
}
