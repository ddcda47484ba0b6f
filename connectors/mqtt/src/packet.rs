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
    /// What was published here has arrived.
    PubAck,
    /// The sender of a message of QoS 2 gives its packet id free.
    PubRel(PacketId),
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

/// A message to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outgoing {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    /// 0 to 2 as a will, else 0 or 1.
    pub(crate) qos: u8,
    pub(crate) retain: bool,
}

/// What a message is answered with once it is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Of QoS 1.
    PubAck(PacketId),
    /// Of QoS 2; a PUBREL follows.
    PubRec(PacketId),
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
    /// Published by the broker when the connection breaks.
    pub(crate) will: Option<Outgoing>,
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
            4 => Ok(Incoming::PubAck),
            6 => {
                let id = frame.body().try_get_u16().ok();
                id.map(|id| Incoming::PubRel(PacketId(id)))
                    .ok_or(PacketError::Malformed("PUBREL"))
            }
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
                connect.last_will = hello.will.clone().map(|will| {
                    v4::LastWill::new(will.topic, will.payload, qos_311(will.qos), will.retain)
                });
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
                let will = hello.will.clone().map(|will| {
                    let qos = qos_5(will.qos);
                    v5::LastWill::new(will.topic, will.payload, qos, will.retain, None)
                });
                v5::Packet::Connect(connect, will, login)
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
                let filters = filters
                    .iter()
                    .map(|filter| v4::SubscribeFilter::new(filter.clone(), qos_311(qos)));
                let mut subscribe = v4::Subscribe::new_many(filters);
                subscribe.pkid = packet.0;
                v4::Packet::Subscribe(subscribe)
                    .write(out, usize::MAX)
                    .map_err(|error| error.to_string())
            }
            Self::V5 => {
                let filters = filters.iter().map(|filter| {
                    let mut filter = v5::Filter::new(filter.clone(), qos_5(qos));
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

    /// Writes PUBLISH, under a packet id where its QoS is 1.
    pub(crate) fn publish_to(
        self,
        message: Outgoing,
        packet: PacketId,
        out: &mut BytesMut,
    ) -> Result<(), PacketError> {
        let Outgoing {
            topic,
            payload,
            qos,
            retain,
        } = message;
        let written = match self {
            Self::V311 => {
                let mut publish = v4::Publish::new(topic, qos_311(qos), payload);
                publish.pkid = packet.0;
                publish.retain = retain;
                publish.write(out).map_err(|error| error.to_string())
            }
            Self::V5 => {
                let mut publish = v5::Publish::new(topic, qos_5(qos), payload, None);
                publish.pkid = packet.0;
                publish.retain = retain;
                publish.write(out).map_err(|error| error.to_string())
            }
        };
        written.map(drop).map_err(|error| PacketError::Unwritable {
            what: "PUBLISH",
            error,
        })
    }
}

impl Answer {
    /// The packet, the same in both versions: without a reason code it says success.
    pub(crate) fn packet(self) -> [u8; 4] {
        let (first, PacketId(id)) = match self {
            Self::PubAck(packet) => (0x40, packet),
            Self::PubRec(packet) => (0x50, packet),
        };
        let [high, low] = id.to_be_bytes();
        [first, 2, high, low]
    }
}

/// PUBCOMP, which answers PUBREL: the same in both versions. It goes out for packet ids that are not known too, as after a restart:
/// their message is durable, or its PUBREC had not gone out.
pub(crate) fn pubcomp(PacketId(id): PacketId) -> [u8; 4] {
    let [high, low] = id.to_be_bytes();
    [0x70, 2, high, low]
}

fn qos_311(qos: u8) -> rumqttc::QoS {
    match qos {
        0 => rumqttc::QoS::AtMostOnce,
        1 => rumqttc::QoS::AtLeastOnce,
        _ => rumqttc::QoS::ExactlyOnce,
    }
}

fn qos_5(qos: u8) -> rumqttc::v5::mqttbytes::QoS {
    use rumqttc::v5::mqttbytes::QoS;
    match qos {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}

/// PINGREQ, the same in both versions.
pub(crate) const PINGREQ: [u8; 2] = [0xc0, 0x00];

/// DISCONNECT, normal, the same in both versions.
pub(crate) const DISCONNECT: [u8; 2] = [0xe0, 0x00];

#[cfg(test)]
mod tests;
