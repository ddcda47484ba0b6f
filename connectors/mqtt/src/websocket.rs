//! MQTT over WebSocket (RFC 6455; MQTT 5.0, chapter 6): the client's side, as a byte stream.
//!
//! Each write becomes a binary frame; the payloads of the frames that come are one stream, since packets need not keep to frames.
//! Pings are answered. It offers no extensions, and refuses text frames, masked frames and a server that takes no `mqtt`.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::{Buf, BytesMut};
use ring::{
    digest::{SHA1_FOR_LEGACY_USE_ONLY, digest},
    rand::{SecureRandom, SystemRandom},
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::client::Stream;

/// What the server's answer is proven with (RFC 6455, section 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The head of the server's answer.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Bytes of one frame that is sent.
const FRAME_BYTES_MAX: usize = 16 * 1024;
/// Bytes read at a time.
const READ_BYTES: usize = 16 * 1024;
/// Payload of a control frame (section 5.5).
const CONTROL_BYTES_MAX: usize = 125;
/// Bytes that wait to be sent before a ping is left unanswered.
const WAITING_BYTES_MAX: usize = 64 * 1024;

const CONTINUATION: u8 = 0;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// An open WebSocket.
pub(crate) struct WebSocket {
    inner: Box<dyn Stream>,
    chance: SystemRandom,
    /// Frames that wait to be sent.
    out: BytesMut,
    /// Bytes that have come and are not read yet.
    arrived: BytesMut,
    /// What is left of the data frame that is being read.
    payload_left: u64,
    is_closing: bool,
    is_closed: bool,
}

impl WebSocket {
    /// Asks the server at the other end for `path`, or says why it takes no MQTT over WebSocket.
    pub(crate) async fn open(
        mut inner: Box<dyn Stream>,
        authority: &str,
        path: &str,
    ) -> Result<Self, String> {
        let chance = SystemRandom::new();
        let mut nonce = [0; 16];
        let drawn = chance.fill(&mut nonce);
        drawn.map_err(|_| "the system gives no random numbers".to_owned())?;
        let key = BASE64_STANDARD.encode(nonce);
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {authority}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
        );
        let lost = |error: io::Error| format!("the WebSocket handshake failed: {error}");
        inner.write_all(request.as_bytes()).await.map_err(lost)?;
        inner.flush().await.map_err(lost)?;
        let mut arrived = BytesMut::new();
        let head = loop {
            if let Some(end) = end_of_head(&arrived) {
                break arrived.split_to(end);
            }
            if arrived.len() > HEAD_BYTES_MAX {
                return Err("the server's answer to the WebSocket handshake has no end".to_owned());
            }
            if inner.read_buf(&mut arrived).await.map_err(lost)? == 0 {
                return Err(
                    "the server closed the connection in the WebSocket handshake".to_owned(),
                );
            }
        };
        check(&head, &key)?;
        Ok(Self {
            inner,
            chance,
            out: BytesMut::new(),
            arrived,
            payload_left: 0,
            is_closing: false,
            is_closed: false,
        })
    }

    fn push(&mut self, opcode: u8, payload: &[u8]) -> io::Result<()> {
        let mut mask = [0; 4];
        let drawn = self.chance.fill(&mut mask);
        drawn.map_err(|_| io::Error::other("the system gives no random numbers"))?;
        // FIN, and a masked payload.
        self.out.extend_from_slice(&[0x80 | opcode]);
        match payload.len() {
            short @ 0..=125 => self.out.extend_from_slice(&[0x80 | short as u8]),
            length => {
                self.out.extend_from_slice(&[0x80 | 126]);
                self.out.extend_from_slice(&(length as u16).to_be_bytes());
            }
        }
        self.out.extend_from_slice(&mask);
        let masked = payload.iter().zip(mask.iter().cycle());
        self.out.extend(masked.map(|(byte, mask)| byte ^ mask));
        Ok(())
    }

    /// Sends what waits.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let sent = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.out))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out.advance(sent);
        }
        Poll::Ready(Ok(()))
    }

    /// Takes whole headers and control frames out of what has come; false while bytes are missing.
    fn take_header(&mut self) -> io::Result<bool> {
        let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        while self.payload_left == 0 && !self.is_closed {
            let Some((opcode, length, header_bytes)) = header(&self.arrived)? else {
                return Ok(false);
            };
            match opcode {
                CONTINUATION | BINARY => {
                    self.arrived.advance(header_bytes);
                    self.payload_left = length;
                }
                CLOSE | PING | PONG => {
                    let length = usize::try_from(length).unwrap_or(usize::MAX);
                    if length > CONTROL_BYTES_MAX {
                        return Err(wrong("a WebSocket control frame is too long"));
                    }
                    if self.arrived.len() < header_bytes + length {
                        return Ok(false);
                    }
                    self.arrived.advance(header_bytes);
                    let payload = self.arrived.split_to(length);
                    if opcode == CLOSE {
                        self.is_closed = true;
                    } else if opcode == PING && self.out.len() < WAITING_BYTES_MAX {
                        self.push(PONG, &payload)?;
                    }
                }
                1 => return Err(wrong("the server sent a WebSocket text frame")),
                _ => return Err(wrong("the server sent a WebSocket frame that is not known")),
            }
        }
        Ok(true)
    }
}

/// Opcode, length of the payload and of the header (section 5.2); none while bytes are missing.
fn header(bytes: &[u8]) -> io::Result<Option<(u8, u64, usize)>> {
    let &[first, second, ref rest @ ..] = bytes else {
        return Ok(None);
    };
    if second & 0x80 != 0 || first & 0x70 != 0 {
        let what = "the server sent a WebSocket frame with a mask or an extension";
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    let opcode = first & 0x0f;
    Ok(match second {
        126 => rest
            .first_chunk()
            .map(|length| (opcode, u64::from(u16::from_be_bytes(*length)), 4)),
        127 => rest
            .first_chunk()
            .map(|length| (opcode, u64::from_be_bytes(*length), 10)),
        short => Some((opcode, u64::from(short), 2)),
    })
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    end.map(|end| end + 4)
}

/// Whether the server has taken the WebSocket, and MQTT in it.
fn check(head: &[u8], key: &str) -> Result<(), String> {
    let head = String::from_utf8_lossy(head);
    let mut lines = head.lines();
    let status = lines.next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("101") {
        return Err(format!(
            "the server takes no WebSocket, it answers {status:?}: check the path of url"
        ));
    }
    let mut accept = None;
    let mut protocol = None;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        match name.to_ascii_lowercase().as_str() {
            "sec-websocket-accept" => accept = Some(value.trim().to_owned()),
            "sec-websocket-protocol" => protocol = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    let proof = digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{GUID}").as_bytes());
    if accept.as_deref() != Some(BASE64_STANDARD.encode(proof).as_str()) {
        return Err(
            "the server's answer to the WebSocket handshake is not for this request".to_owned(),
        );
    }
    match protocol.as_deref() {
        Some("mqtt") => Ok(()),
        _ => Err("the server takes no MQTT over this WebSocket: check the path of url".to_owned()),
    }
}

impl AsyncRead for WebSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            let is_whole = this.take_header()?;
            // Pongs; what cannot be sent now goes with the next write.
            if let Poll::Ready(sent) = this.poll_send(cx) {
                sent?;
            }
            if this.is_closed {
                return Poll::Ready(Ok(()));
            }
            if is_whole && !this.arrived.is_empty() {
                let left = usize::try_from(this.payload_left).unwrap_or(usize::MAX);
                let length = left.min(this.arrived.len()).min(to.remaining());
                to.put_slice(&this.arrived.split_to(length));
                this.payload_left -= length as u64;
                return Poll::Ready(Ok(()));
            }
            this.arrived.reserve(READ_BYTES);
            let mut buffer = [0; READ_BYTES];
            let mut read = ReadBuf::new(&mut buffer);
            ready!(Pin::new(&mut this.inner).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.arrived.extend_from_slice(read.filled());
        }
    }
}

impl AsyncWrite for WebSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_send(cx))?;
        let taken = &bytes[..bytes.len().min(FRAME_BYTES_MAX)];
        self.push(BINARY, taken)?;
        if let Poll::Ready(sent) = self.poll_send(cx) {
            sent?;
        }
        Poll::Ready(Ok(taken.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_closing {
            self.is_closing = true;
            // 1000: normal closure (section 7.4.1).
            self.push(CLOSE, &1000_u16.to_be_bytes())?;
        }
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    /// A socket whose handshake is done, and the server's end of it.
    fn open() -> (WebSocket, tokio::io::DuplexStream) {
        let (client, server) = duplex(256 * 1024);
        let socket = WebSocket {
            inner: Box::new(client),
            chance: SystemRandom::new(),
            out: BytesMut::new(),
            arrived: BytesMut::new(),
            payload_left: 0,
            is_closing: false,
            is_closed: false,
        };
        (socket, server)
    }

    #[test]
    fn answers_are_checked() {
        // Key and proof are those of RFC 6455, section 1.3.
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        let accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
        let good =
            format!("HTTP/1.1 101 Switching\r\n{accept}sec-websocket-protocol: mqtt\r\n\r\n");
        assert_eq!(check(good.as_bytes(), key), Ok(()));
        let table = [
            (
                "HTTP/1.1 404 Not Found\r\n\r\n".to_owned(),
                "it answers \"HTTP/1.1 404 Not Found\"",
            ),
            (
                "HTTP/1.1 101 X\r\n\r\n".to_owned(),
                "is not for this request",
            ),
            (format!("HTTP/1.1 101 X\r\n{accept}\r\n"), "takes no MQTT"),
            ("\u{0}".to_owned(), "takes no WebSocket"),
        ];
        for (head, expected) in table {
            let error = check(head.as_bytes(), key).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[tokio::test]
    async fn frames_are_one_stream_and_pings_are_answered() {
        let (mut socket, mut server) = open();
        let long = vec![7; 70_000];
        let mut sent = vec![0x02, 2, 1, 2, 0x89, 1, 9, 0x80, 1, 3, 0x82, 126, 0x01, 0x00];
        sent.extend([4; 256]);
        sent.extend([0x82, 127]);
        sent.extend(70_000_u64.to_be_bytes());
        sent.extend(&long);
        sent.extend([0x88, 0]);
        for piece in sent.chunks(777) {
            server.write_all(piece).await.unwrap();
        }
        let mut read = Vec::new();
        socket.read_to_end(&mut read).await.unwrap();
        assert_eq!(read.len(), 3 + 256 + 70_000);
        assert_eq!((&read[..3], &read[3..259]), (&[1, 2, 3][..], &[4; 256][..]));
        let mut pong = [0; 7];
        server.read_exact(&mut pong).await.unwrap();
        assert_eq!((pong[0], pong[1], pong[6] ^ pong[2]), (0x8a, 0x81, 9));
    }

    #[tokio::test]
    async fn what_is_written_is_masked_in_frames() {
        let (mut socket, mut server) = open();
        let payload: Vec<u8> = (0..20_000).map(|n| n as u8).collect();
        socket.write_all(&payload).await.unwrap();
        socket.shutdown().await.unwrap();
        let mut sent = Vec::new();
        server.read_to_end(&mut sent).await.unwrap();
        let mut rest = sent.as_slice();
        let mut unmasked = Vec::new();
        for expected in [16 * 1024, 20_000 - 16 * 1024] {
            assert_eq!(rest[..2], [0x82, 0x80 | 126]);
            assert_eq!(
                usize::from(u16::from_be_bytes([rest[2], rest[3]])),
                expected
            );
            let mask = rest[4..8].to_vec();
            let body = rest[8..8 + expected].iter().zip(mask.iter().cycle());
            unmasked.extend(body.map(|(byte, mask)| byte ^ mask));
            rest = &rest[8 + expected..];
        }
        assert_eq!(unmasked, payload);
        assert_eq!(rest[..2], [0x88, 0x82], "and a close");
    }

    #[tokio::test]
    async fn frames_that_no_server_sends_are_errors() {
        for frame in [
            &[0x81, 1, b'x'][..],
            &[0x82, 0x81, 0, 0, 0, 0, 1],
            &[0xc2, 0],
            &[0x89, 126, 1, 0],
            &[0x83, 0],
        ] {
            let (mut socket, mut server) = open();
            server.write_all(frame).await.unwrap();
            let error = socket.read_u8().await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{frame:?}");
        }
    }

    #[test]
    fn fuzz_websocket() {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.build().unwrap();
        forebay_fuzz::fuzz(forebay_fuzz::corpus!("websocket"), move |bytes| {
            let read = async {
                let (mut socket, mut server) = open();
                server.write_all(bytes).await.unwrap();
                server.shutdown().await.unwrap();
                let mut read = Vec::new();
                let end = socket.read_to_end(&mut read).await;
                assert!(read.len() <= bytes.len());
                end.map(drop).map_err(|error| error.to_string())
            };
            runtime.block_on(read)
        });
    }
}
