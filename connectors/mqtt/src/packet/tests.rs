//! Packets as brokers send them, and as they must not.

use forebay_fuzz::{corpus, fuzz};
use proptest::prelude::*;

use super::*;
use crate::frame::Framer;

fn read(version: Version, bytes: &[u8]) -> Result<Incoming, PacketError> {
    let mut framer = Framer::new(64 * 1024);
    framer.arrived.extend_from_slice(bytes);
    version.read(&framer.next().unwrap().unwrap())
}

#[test]
fn refusals_name_their_code_and_the_way_out() {
    let table: [(Version, &[u8], &str); 6] = [
        (
            Version::V311,
            &[0x20, 2, 0, 4],
            "the broker refused the connection: bad user name or password (code 4)",
        ),
        (
            Version::V311,
            &[0x20, 2, 0, 5],
            "the broker refused the connection: not authorized: check user and password (code 5)",
        ),
        (
            Version::V5,
            &[0x20, 3, 0, 0x86, 0],
            "the broker refused the connection: bad user name or password (code 134)",
        ),
        (
            Version::V5,
            &[0x20, 2, 0, 1],
            "the broker refused the connection: the broker does not speak MQTT 5: set version = 4 (code 1)",
        ),
        (
            Version::V5,
            &[0x20, 3, 0, 0xee, 0],
            "the broker refused the connection: unknown code (code 238)",
        ),
        (
            Version::V5,
            &[0x20, 8, 0, 0x8a, 5, 31, 0, 2, b'n', b'o'],
            "the broker refused the connection: banned (code 138), it says \"no\"",
        ),
    ];
    for (version, bytes, expected) in table {
        let Ok(Incoming::ConnAck(connack)) = read(version, bytes) else {
            panic!("{bytes:?} is a CONNACK")
        };
        assert_eq!(connack.refused.as_deref(), Some(expected));
    }
}

#[test]
fn a_publish_is_read_whatever_its_properties_are() {
    // Properties with an unknown identifier (0x7f): skipped, as their length is known.
    // DUP, QoS 1, retained.
    let v5 = [0x3b, 10, 0, 1, b'a', 0, 9, 2, 0x7f, 0x7f, b'4', b'2'];
    let v311 = [0x32, 7, 0, 1, b'a', 0, 9, b'4', b'2'];
    for (version, bytes, dup) in [
        (Version::V5, &v5[..], true),
        (Version::V311, &v311[..], false),
    ] {
        let expected = Publish {
            dup,
            qos: 1,
            retain: dup,
            topic: "a".into(),
            packet: Some(PacketId(9)),
            payload: Bytes::from_static(b"42"),
            payload_bytes: 2,
        };
        assert_eq!(read(version, bytes), Ok(Incoming::Publish(expected)));
    }
    for bytes in [
        &[0x32, 2, 0, 9][..],
        &[0x32, 5, 0, 1, b'a', 0, 0],
        &[0x36, 5, 0, 1, b'a', 0, 1],
    ] {
        assert_eq!(
            read(Version::V311, bytes),
            Err(PacketError::Malformed("PUBLISH")),
            "{bytes:?}"
        );
    }
}

#[test]
fn a_farewell_says_why() {
    let Ok(Incoming::Disconnect(reason)) = read(Version::V5, &[0xe0, 1, 0x8e]) else {
        panic!("a DISCONNECT")
    };
    assert!(reason.contains("session taken over"), "{reason}");
    assert!(matches!(
        read(Version::V5, &[0xe0, 0]),
        Ok(Incoming::Disconnect(_))
    ));
    assert_eq!(
        read(Version::V5, &[0xf0, 0]),
        Err(PacketError::Unexpected(15))
    );
}

proptest! {
    #[test]
    fn any_frame_is_a_packet_or_an_error(first in any::<u8>(), body in prop::collection::vec(any::<u8>(), 0..127)) {
        let bytes = [&[first, body.len() as u8][..], &body].concat();
        for version in [Version::V311, Version::V5] {
            drop(read(version, &bytes).map_err(|error| assert!(!error.to_string().is_empty())));
        }
    }
}

/// What a broker's bytes come to, packet by packet.
fn packets(version: Version, bytes: &[u8]) -> Vec<String> {
    let mut framer = Framer::new(64 * 1024);
    framer.arrived.extend_from_slice(bytes);
    let mut kinds = Vec::new();
    loop {
        let read = match framer.next() {
            Ok(None) => return kinds,
            Ok(Some(frame)) => version.read(&frame).map(|packet| format!("{packet:?}")),
            Err(error) => {
                kinds.push(error.to_string());
                return kinds;
            }
        };
        let text = read.unwrap_or_else(|error| error.to_string());
        assert!(!text.is_empty());
        kinds.push(
            text.chars()
                .filter(|c| c.is_alphabetic())
                .take(30)
                .collect(),
        );
    }
}

#[test]
fn fuzz_packets() {
    fuzz(corpus!("packets"), |bytes| {
        [Version::V311, Version::V5].map(|version| packets(version, bytes))
    });
}
