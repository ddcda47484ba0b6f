//! The MQTT connector: one broker, MQTT 3.1.1 or 5; JSON, CBOR, MessagePack, Protobuf or raw payloads, or Sparkplug B.
//!
//! - A PUBACK (QoS 2: PUBREC) goes out only after the samples of its message are durable, and only on the connection that delivered
//!   the message (E1). Messages are handed over in the order of their arrival, many at a time.
//! - The session is persistent: the broker keeps what comes while the gateway is away and sends it afterwards.
//! - A message that was made durable but whose PUBACK may be lost has an open receipt ([`Receipts`]): its repetition is
//!   acknowledged and not handed over again. The gateway keeps the receipts beside the readings, so that this holds
//!   over a crash too. The session they belong to is named by host, port and client id.
//! - What no receiver can see: a message that is equal to the one before it under the same packet id, got lost on its way
//!   while that one's PUBACK was not yet proven, and comes again with DUP, is taken for that one. After a crash this holds
//!   until the packet id is used again, also where the proof came within a second before the crash. It cannot happen
//!   where the payload carries a time, nor with a broker that counts its packet ids up.
//! - A payload that cannot be decoded is handed over as a reading of bad quality that carries the payload's bytes. A
//!   message whose topic no rule matches is counted, warned of and acknowledged.
//!
//! Packets are encoded and decoded by rumqttc's codecs; the connection is driven here and not by its event loop, which
//! cannot ping more often than every 5 s, flushes once for each PUBACK, stops pinging while nobody polls, and cannot
//! name another TLS server than the one in the address.
//!
//! It publishes nothing but a will and, as a Sparkplug host, its STATE and requests for births.

mod client;
mod config;
mod connection;
mod connector;
mod decode;
mod frame;
mod intake;
mod keys;
mod packet;
mod reason;
mod receipts;
mod sparkplug;
mod topic;
mod websocket;

pub use config::MqttKind;
pub use receipts::{Arrival, Fingerprint, PacketId, Receipt, Receipts};
