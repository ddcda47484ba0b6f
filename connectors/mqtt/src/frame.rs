//! Bytes of a connection to frames: one packet each, not yet decoded.
//!
//! A PUBLISH longer than its bound is cut: its first bytes are kept, the rest is skipped as it arrives, so that a huge
//! payload costs no memory and can still be acknowledged. Any other packet that is too long is an error.

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

/// Packets other than PUBLISH are short; user properties of a broker may add some.
const OTHER_BYTES_MAX: usize = 64 * 1024;

/// The packet type of PUBLISH (MQTT 5.0, section 2.1.2).
pub(crate) const PUBLISH: u8 = 3;

/// Bytes that are no MQTT.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum FrameError {
    #[error("the broker sent a packet whose length is malformed: is this an MQTT port?")]
    Length,
    #[error(
        "the broker sent a packet of type {packet_type} with {bytes} bytes, more than {OTHER_BYTES_MAX}"
    )]
    TooLong { packet_type: u8, bytes: usize },
}

/// One packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    /// From the first byte on, cut where it is too long.
    pub(crate) bytes: Bytes,
    /// Bytes of type and length.
    pub(crate) header_bytes: usize,
    /// Length before it was cut, header included.
    pub(crate) frame_bytes: usize,
}

impl Frame {
    pub(crate) fn packet_type(&self) -> u8 {
        self.bytes.first().map_or(0, |first| first >> 4)
    }

    /// The lower half of the first byte.
    pub(crate) fn flags(&self) -> u8 {
        self.bytes.first().map_or(0, |first| first & 0x0f)
    }

    /// What follows the header.
    pub(crate) fn body(&self) -> Bytes {
        self.bytes.slice(self.header_bytes.min(self.bytes.len())..)
    }
}

/// Takes frames out of what has arrived.
#[derive(Debug)]
pub(crate) struct Framer {
    /// Where arriving bytes are put.
    pub(crate) arrived: BytesMut,
    publish_bytes_max: usize,
    /// A cut frame and how many bytes of it are still to be skipped.
    cut: Option<(Frame, usize)>,
}

impl Framer {
    /// At most `publish_bytes_max` bytes of a PUBLISH are kept.
    pub(crate) fn new(publish_bytes_max: usize) -> Self {
        Self {
            arrived: BytesMut::new(),
            publish_bytes_max,
            cut: None,
        }
    }

    /// The next frame; none while bytes are missing.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        if let Some((frame, rest)) = self.cut.take() {
            return Ok(self.skip(frame, rest));
        }
        let Some((length, header_bytes)) = length(&self.arrived)? else {
            return Ok(None);
        };
        let frame_bytes = header_bytes + length;
        let packet_type = self.arrived[0] >> 4;
        if packet_type != PUBLISH && frame_bytes > OTHER_BYTES_MAX {
            return Err(FrameError::TooLong {
                packet_type,
                bytes: frame_bytes,
            });
        }
        let kept = frame_bytes.min(self.publish_bytes_max.max(OTHER_BYTES_MAX));
        if self.arrived.len() < kept {
            return Ok(None);
        }
        let frame = Frame {
            bytes: self.arrived.split_to(kept).freeze(),
            header_bytes,
            frame_bytes,
        };
        Ok(self.skip(frame, frame_bytes - kept))
    }

    fn skip(&mut self, frame: Frame, rest: usize) -> Option<Frame> {
        let skipped = rest.min(self.arrived.len());
        self.arrived.advance(skipped);
        if skipped == rest {
            return Some(frame);
        }
        self.cut = Some((frame, rest - skipped));
        None
    }
}

/// The remaining length and the bytes of the header (MQTT 5.0, section 1.5.5); none while bytes are missing.
fn length(bytes: &[u8]) -> Result<Option<(usize, usize)>, FrameError> {
    let mut length = 0;
    for (i, byte) in bytes.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Ok(Some((length, i + 2)));
        }
    }
    if bytes.len() >= 5 {
        Err(FrameError::Length)
    } else {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn publish(body: &[u8]) -> Vec<u8> {
        let mut frame = vec![0x30];
        let mut length = body.len();
        loop {
            let byte = (length % 128) as u8;
            length /= 128;
            frame.push(if length > 0 { byte | 0x80 } else { byte });
            if length == 0 {
                break;
            }
        }
        frame.extend_from_slice(body);
        frame
    }

    #[test]
    fn a_long_publish_is_cut_and_what_follows_is_intact() {
        let mut framer = Framer::new(OTHER_BYTES_MAX);
        let long = publish(&vec![7; 3 * OTHER_BYTES_MAX]);
        let mut frames = Vec::new();
        for piece in [long.as_slice(), &[0xd0, 0x00]].concat().chunks(1000) {
            framer.arrived.extend_from_slice(piece);
            while let Some(frame) = framer.next().unwrap() {
                frames.push(frame);
            }
            assert!(
                framer.arrived.len() <= OTHER_BYTES_MAX,
                "what is skipped is not kept"
            );
        }
        let seen: Vec<_> = frames
            .iter()
            .map(|f| (f.packet_type(), f.bytes.len(), f.frame_bytes))
            .collect();
        assert_eq!(seen, [(3, OTHER_BYTES_MAX, long.len()), (13, 2, 2)]);
    }

    #[test]
    fn what_is_no_mqtt_is_an_error() {
        let table: [(&[u8], Result<usize, FrameError>); 4] = [
            (
                &[0x30, 0xff, 0xff, 0xff, 0xff, 0x01],
                Err(FrameError::Length),
            ),
            (
                &[0x20, 0xff, 0xff, 0x7f],
                Err(FrameError::TooLong {
                    packet_type: 2,
                    bytes: 2_097_155,
                }),
            ),
            (&[0x30, 0xff, 0xff], Ok(0)),
            (&[0x30], Ok(0)),
        ];
        for (bytes, expected) in table {
            let mut framer = Framer::new(OTHER_BYTES_MAX);
            framer.arrived.extend_from_slice(bytes);
            assert_eq!(
                framer.next().map(|frame| usize::from(frame.is_some())),
                expected,
                "{bytes:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in(bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..20), step in 1usize..50) {
            let mut framer = Framer::new(OTHER_BYTES_MAX);
            let stream: Vec<u8> = bodies.iter().flat_map(|body| publish(body)).collect();
            let mut found = Vec::new();
            for piece in stream.chunks(step) {
                framer.arrived.extend_from_slice(piece);
                while let Some(frame) = framer.next().unwrap() {
                    found.push(frame.body().to_vec());
                }
            }
            prop_assert_eq!(found, bodies);
        }

        #[test]
        fn any_bytes_are_frames_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut framer = Framer::new(OTHER_BYTES_MAX);
            framer.arrived.extend_from_slice(&bytes);
            for _ in 0..=bytes.len() {
                match framer.next() {
                    Ok(Some(frame)) => prop_assert!(frame.bytes.len() <= frame.frame_bytes),
                    Ok(None) | Err(_) => break,
                }
            }
        }
    }
}
