//! Watches the frames of PostgreSQL's protocol (version 3) as their bytes come in, and refuses one that is too long
//! before it is gathered.
//!
//! A frame is a type of one byte, a length of four that counts itself, and a body; the first frame of a connection has no
//! type.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The longest frame of a client that has not signed in.
pub(super) const STRANGER_BYTES_MAX: u32 = 10_000;
/// The longest frame of a client that has.
pub(super) const BYTES_MAX: u32 = 1 << 20;

/// A connection whose incoming frames are bounded.
pub(super) struct BoundedFrames<S> {
    stream: S,
    frames: Frames,
}

/// Where in a frame the bytes are.
#[derive(Debug)]
struct Frames {
    /// What has come of the head.
    head: Vec<u8>,
    head_bytes: usize,
    body_left: u64,
    bytes_max: u32,
}

impl Frames {
    fn new() -> Self {
        Self {
            head: Vec::with_capacity(5),
            head_bytes: 4,
            body_left: 0,
            bytes_max: STRANGER_BYTES_MAX,
        }
    }

    fn take(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.body_left > 0 {
                let skipped = usize::try_from(self.body_left)
                    .map_or(bytes.len(), |left| left.min(bytes.len()));
                self.body_left -= skipped as u64;
                bytes = &bytes[skipped..];
                continue;
            }
            self.head.push(bytes[0]);
            bytes = &bytes[1..];
            if self.head.len() == self.head_bytes {
                self.begin_body()?;
            }
        }
        Ok(())
    }

    fn begin_body(&mut self) -> io::Result<()> {
        let length = &self.head[self.head_bytes - 4..];
        let length = length
            .iter()
            .fold(0_u32, |sum, byte| (sum << 8) | u32::from(*byte));
        if length > self.bytes_max {
            let most = self.bytes_max;
            let why = format!("a message of {length} bytes, more than {most}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        if length < 4 {
            let why = "a message whose length does not count itself";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        self.body_left = u64::from(length) - 4;
        self.head.clear();
        self.head_bytes = 5;
        Ok(())
    }
}

impl<S> BoundedFrames<S> {
    /// A connection from its first frame on.
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            frames: Frames::new(),
        }
    }

    /// Takes bytes that have come already.
    ///
    /// # Errors
    /// When they hold a frame that is too long.
    pub(super) fn have_come(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.frames.take(bytes)
    }

    /// The client has signed in.
    pub(super) fn signed_in(&mut self) {
        self.frames.bytes_max = BYTES_MAX;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for BoundedFrames<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if let Poll::Ready(Ok(())) = read {
            self.frames.take(&buffer.filled()[before..])?;
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for BoundedFrames<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn startup(length: u32) -> Vec<u8> {
        let body = usize::try_from(length).unwrap() - 4;
        [length.to_be_bytes().to_vec(), vec![0; body]].concat()
    }

    fn query(length: u32) -> Vec<u8> {
        [vec![b'Q'], startup(length)].concat()
    }

    #[test]
    fn frames_are_followed_byte_by_byte_and_at_once() {
        let bytes = [startup(20), query(5), query(4), query(1_000)].concat();
        for step in [1, 3, 7, bytes.len()] {
            let mut frames = Frames::new();
            for part in bytes.chunks(step) {
                frames.take(part).unwrap();
            }
            assert_eq!((frames.body_left, frames.head.len()), (0, 0), "{step}");
        }
    }

    #[test]
    fn a_frame_that_is_too_long_is_refused_at_its_head() {
        let mut frames = Frames::new();
        frames.take(&startup(20)).unwrap();
        let head = [&b"Q"[..], &(STRANGER_BYTES_MAX + 1).to_be_bytes()].concat();
        let error = frames.take(&head).unwrap_err().to_string();
        assert_eq!(error, "a message of 10001 bytes, more than 10000");
        let mut frames = Frames::new();
        frames.take(&startup(20)).unwrap();
        frames.bytes_max = BYTES_MAX;
        assert!(frames.take(&query(BYTES_MAX)).is_ok());
        assert!(frames.take(&[b'Q', 0xff, 0xff, 0xff, 0xff]).is_err());
        assert!(Frames::new().take(&[0, 0, 0, 3]).is_err());
    }
}
