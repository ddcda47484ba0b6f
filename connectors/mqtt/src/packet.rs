//! The packets of MQTT 3.1.1 and 5 that a subscriber needs, in one shape for both.
//!
//! rumqttc's codecs write what goes out and read CONNACK's and DISCONNECT's properties. PUBLISH and the codes of
//! CONNACK and SUBACK are read here: a property or code that is odd must not end a connection again and again.

use bytes::{Buf, Bytes, BytesMut};
use rumqttc::{mqttbytes::v4, v5::mqttbytes::v5};
use thiserror::Error;

use crate::{
    frame::{Frame, PUBLISH},
    reason,
    receipts::PacketId,
};

/// Shorter payloads are copied out of the buffer into which they were read.
const COPIED_BYTES_MAX: usize = 4096;

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// 3.1.1, protocol level 4.
    V311,
    /// 5.0.
    V5,
}

/// A packet that cannot be read or written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum PacketError {
    #[error("the broker sent a malformed {0}")]
    Malformed(&'static str),
    #[error("the broker sent a packet of type {0}, which no broker sends to a subscriber")]
    Unexpected(u8),
    #[error("cannot write {what}: {error}")]
    Unwritable { what: &'static str, error: String },
}

/// What the broker sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Incoming {
    ConnAck(ConnAck),
    SubAck(SubAck),
    Publish(Publish),
    PingResp,
    /// The broker ends the connection, for this reason.
    Disconnect(String),
}

/// The answer to CONNECT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConnAck {
    /// Why the connection is refused, in words.
    pub(crate) refused: Option<String>,
    pub(crate) session_present: bool,
    pub(crate) keep_alive_seconds: Option<u16>,
    pub(crate) session_expiry_seconds: Option<u32>,
}

/// The answer to SUBSCRIBE: a code for each filter, in their order. 128 and more are refusals, others the granted QoS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SubAck {
    pub(crate) codes: Vec<u8>,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Publish {
    pub(crate) dup: bool,
    pub(crate) qos: u8,
    /// It was published before this subscription, and says what holds now.
    pub(crate) retain: bool,
    pub(crate) topic: String,
    /// None with QoS 0.
    pub(crate) packet: Option<PacketId>,
    /// Cut where the frame was cut.
    pub(crate) payload: Bytes,
    /// Its length before it was cut.
    pub(crate) payload_bytes: usize,
}

/// What CONNECT says.
#[derive(Debug, Clone)]
pub(crate) struct Hello<'h> {
    pub(crate) client_id: &'h str,
    pub(crate) clean: bool,
    pub(crate) keep_alive_seconds: u16,
    pub(crate) session_expiry_seconds: u32,
    pub(crate) receive_max: u16,
    pub(crate) user: Option<&'h str>,
    pub(crate) password: Option<&'h str>,
}

impl Version {
    /// Reads a packet.
    pub(crate) fn read(self, frame: &Frame) -> Result<Incoming, PacketError> {
        match frame.packet_type() {
            2 => self
                .connack(frame)
                .map(Incoming::ConnAck)
                .ok_or(PacketError::Malformed("CONNACK")),
            PUBLISH => self
                .publish(frame)
                .map(Incoming::Publish)
                .ok_or(PacketError::Malformed("PUBLISH")),
            9 => self
                .suback(frame.body())
                .map(Incoming::SubAck)
                .ok_or(PacketError::Malformed("SUBACK")),
            13 => Ok(Incoming::PingResp),
            14 => Ok(Incoming::Disconnect(self.farewell(frame))),
            other => Err(PacketError::Unexpected(other)),
        }
    }

    fn connack(self, frame: &Frame) -> Option<ConnAck> {
        let body = frame.body();
        let (flags, code) = (*body.first()?, *body.get(1)?);
        let properties = match self {
            Self::V311 => None,
            Self::V5 => match v5::Packet::read(&mut BytesMut::from(&frame.bytes[..]), None) {
                Ok(v5::Packet::ConnAck(connack)) => connack.properties,
                _ => None,
            },
        };
        let refused = (code != 0).then(|| {
            let said = properties
                .as_ref()
                .and_then(|properties| properties.reason_string.clone());
            said.map_or_else(
                || reason::refusal(self, code),
                |said| format!("{}, it says {said:?}", reason::refusal(self, code)),
            )
        });
        Some(ConnAck {
            refused,
            session_present: flags & 1 == 1,
            keep_alive_seconds: properties
                .as_ref()
                .and_then(|properties| properties.server_keep_alive),
            session_expiry_seconds: properties
                .as_ref()
                .and_then(|properties| properties.session_expiry_interval),
        })
    }

    fn suback(self, mut body: Bytes) -> Option<SubAck> {
        body.try_get_u16().ok()?;
        self.skip_properties(&mut body)?;
        (!body.is_empty()).then(|| SubAck {
            codes: body.to_vec(),
        })
    }

    fn publish(self, frame: &Frame) -> Option<Publish> {
        let mut body = frame.body();
        let (dup, qos, retain) = (
            frame.flags() & 8 != 0,
            (frame.flags() >> 1) & 3,
            frame.flags() & 1 != 0,
        );
        let topic_bytes = usize::from(body.try_get_u16().ok()?);
        if qos == 3 || body.len() < topic_bytes {
            return None;
        }
        let topic = String::from_utf8_lossy(&body.split_to(topic_bytes)).into_owned();
        let packet = match qos {
            0 => None,
            _ => Some(PacketId(body.try_get_u16().ok().filter(|id| *id != 0)?)),
        };
        let cut_bytes = frame.frame_bytes - frame.bytes.len();
        if self.skip_properties(&mut body).is_none() {
            // The properties go on behind the cut: what the payload is cannot be told, only that it is too long.
            return (cut_bytes > 0).then(|| Publish {
                dup,
                qos,
                retain,
                topic,
                packet,
                payload: Bytes::new(),
                payload_bytes: usize::MAX,
            });
        }
        let payload_bytes = body.len() + cut_bytes;
        // A short payload must not keep the buffer alive into which it was read.
        let payload = if body.len() < COPIED_BYTES_MAX {
            Bytes::copy_from_slice(&body)
        } else {
            body
        };
        Some(Publish {
            dup,
            qos,
            retain,
            topic,
            packet,
            payload,
            payload_bytes,
        })
    }

    fn skip_properties(self, body: &mut Bytes) -> Option<()> {
        if self == Self::V311 {
            return Some(());
        }
        let mut length = 0;
        for shift in [0, 7, 14, 21] {
            let byte = body.try_get_u8().ok()?;
            length |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return (body.len() >= length).then(|| body.advance(length));
            }
        }
        None
    }

    fn farewell(self, frame: &Frame) -> String {
        let code = frame.body().first().copied().unwrap_or(0);
        let said = match v5::Packet::read(&mut BytesMut::from(&frame.bytes[..]), None) {
            Ok(v5::Packet::Disconnect(disconnect)) => {
                disconnect.properties.and_then(|p| p.reason_string)
            }
            _ => None,
        };
        let said = said
            .map(|said| format!(", it says {said:?}"))
            .unwrap_or_default();
        format!(
            "the broker ended the connection: {} (code {code}){said}",
            reason::reason(code)
        )
    }

    /// Writes CONNECT.
    pub(crate) fn connect(self, hello: &Hello<'_>, out: &mut BytesMut) -> Result<(), PacketError> {
        let (user, password) = (
            hello.user.unwrap_or_default(),
            hello.password.unwrap_or_default(),
        );
        let (client_id, keep_alive) = (hello.client_id.to_owned(), hello.keep_alive_seconds);
        let written = match self {
            Self::V311 => {
                let mut connect = v4::Connect::new(client_id);
                (connect.keep_alive, connect.clean_session) = (keep_alive, hello.clean);
                if hello.user.is_some() {
                    connect.set_login(user, password);
                }
                v4::Packet::Connect(connect)
                    .write(out, usize::MAX)
                    .map_err(|error| error.to_string())
            }
            Self::V5 => {
                let mut properties = v5::ConnectProperties::new();
                properties.session_expiry_interval = Some(hello.session_expiry_seconds);
                properties.receive_maximum = Some(hello.receive_max);
                let properties = Some(properties);
                let connect = v5::Connect {
                    keep_alive,
                    client_id,
                    clean_start: hello.clean,
                    properties,
                };
                let login = hello.user.is_some().then(|| v5::Login::new(user, password));
                v5::Packet::Connect(connect, None, login)
                    .write(out, None)
                    .map_err(|error| error.to_string())
            }
        };
        written.map(drop).map_err(|error| PacketError::Unwritable {
            what: "CONNECT",
            error,
        })
    }

    /// Writes SUBSCRIBE. MQTT 5 then sends retained messages only for subscriptions that are new to the session; with
    /// 3.1.1 the broker sends them at every SUBSCRIBE.
    pub(crate) fn subscribe(
        self,
        packet: PacketId,
        filters: &[String],
        qos: u8,
        out: &mut BytesMut,
    ) -> Result<(), PacketError> {
        let written = match self {
            Self::V311 => {
                let qos = if qos == 0 {
                    rumqttc::QoS::AtMostOnce
                } else {
                    rumqttc::QoS::AtLeastOnce
                };
                let filters = filters
                    .iter()
                    .map(|filter| v4::SubscribeFilter::new(filter.clone(), qos));
                let mut subscribe = v4::Subscribe::new_many(filters);
                subscribe.pkid = packet.0;
                v4::Packet::Subscribe(subscribe)
                    .write(out, usize::MAX)
                    .map_err(|error| error.to_string())
            }
            Self::V5 => {
                use rumqttc::v5::mqttbytes::QoS;
                let qos = if qos == 0 {
                    QoS::AtMostOnce
                } else {
                    QoS::AtLeastOnce
                };
                let filters = filters.iter().map(|filter| {
                    let mut filter = v5::Filter::new(filter.clone(), qos);
                    filter.retain_forward_rule = v5::RetainForwardRule::OnNewSubscribe;
                    filter
                });
                let mut subscribe = v5::Subscribe::new_many(filters, None);
                subscribe.pkid = packet.0;
                v5::Packet::Subscribe(subscribe)
                    .write(out, None)
                    .map_err(|error| error.to_string())
            }
        };
        written.map(drop).map_err(|error| PacketError::Unwritable {
            what: "SUBSCRIBE",
            error,
        })
    }

    /// Writes PUBACK.
    pub(crate) fn puback(self, packet: PacketId, out: &mut BytesMut) -> Result<(), PacketError> {
        let written = match self {
            Self::V311 => v4::PubAck::new(packet.0)
                .write(out)
                .map_err(|error| error.to_string()),
            Self::V5 => v5::PubAck::new(packet.0, None)
                .write(out)
                .map_err(|error| error.to_string()),
        };
        written.map(drop).map_err(|error| PacketError::Unwritable {
            what: "PUBACK",
            error,
        })
    }
}

/// PINGREQ, the same in both versions.
pub(crate) const PINGREQ: [u8; 2] = [0xc0, 0x00];

/// DISCONNECT, normal, the same in both versions.
pub(crate) const DISCONNECT: [u8; 2] = [0xe0, 0x00];

#[cfg(test)]
mod tests {
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
}
