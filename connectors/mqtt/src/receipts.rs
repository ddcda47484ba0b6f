//! Receipts: which messages are durable although the broker may not know it (E1).
//!
//! A receipt opens when a message of QoS 1 has become durable. It ends when the broker is proven to have taken its
//! PUBACK: by the PINGRESP to a PINGREQ that was sent behind it on the same connection, or by another message under its
//! packet id. While it is open, a repetition (DUP set, same packet id, same content) is acknowledged and not stored.
//!
//! Pure state of one session: it knows no connection and no clock. It can be filled with receipts kept elsewhere
//! ([`Receipts::restored`]) and told out ([`Receipts::open`]); today nobody keeps them, they end with the process.

use std::collections::BTreeMap;

use ring::digest::{Context, SHA256};

/// A packet identifier of MQTT; never 0 in a message of QoS 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketId(pub u16);

/// What a message says: the first 16 bytes of the SHA-256 of its topic and payload. Stable between versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 16]);

/// A message that is durable and may come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Receipt {
    /// Under which identifier it came.
    pub packet: PacketId,
    /// What it said.
    pub fingerprint: Fingerprint,
}

/// What an arriving message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// To be stored, then acknowledged.
    New,
    /// Durable already: to be acknowledged only.
    Repeat,
}

/// The open receipts of one session; at most one per packet id.
#[derive(Debug, Clone, Default)]
pub struct Receipts {
    open: BTreeMap<PacketId, Open>,
    pings_sent: u64,
    pings_answered: u64,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    fingerprint: Fingerprint,
    /// Pings sent on this connection before its PUBACK; none while no PUBACK went out on this connection.
    acknowledged_after: Option<u64>,
}

impl Fingerprint {
    /// The fingerprint of a message.
    pub fn of(topic: &str, payload: &[u8]) -> Self {
        let mut digest = Context::new(&SHA256);
        // The length keeps topic and payload apart.
        digest.update(&(topic.len() as u64).to_be_bytes());
        digest.update(topic.as_bytes());
        digest.update(payload);
        let mut first = [0; 16];
        first.copy_from_slice(&digest.finish().as_ref()[..16]);
        Self(first)
    }
}

impl Receipts {
    /// Receipts that were kept elsewhere.
    pub fn restored(receipts: impl IntoIterator<Item = Receipt>) -> Self {
        let open = receipts
            .into_iter()
            .map(|Receipt { packet, fingerprint }| (packet, Open { fingerprint, acknowledged_after: None }))
            .collect();
        Self { open, pings_sent: 0, pings_answered: 0 }
    }

    /// The open receipts, by packet id.
    pub fn open(&self) -> impl Iterator<Item = Receipt> + '_ {
        self.open.iter().map(|(packet, open)| Receipt { packet: *packet, fingerprint: open.fingerprint })
    }

    /// A new connection to the same session: no PUBACK of an earlier one is proven by its pings.
    pub fn connected_again(&mut self) {
        (self.pings_sent, self.pings_answered) = (0, 0);
        for open in self.open.values_mut() {
            open.acknowledged_after = None;
        }
    }

    /// A new session: its packet ids begin anew.
    pub fn session_began(&mut self) {
        *self = Self::default();
    }

    /// Says what an arriving message is; one that is new under an identifier with an open receipt ends that receipt.
    pub fn arrived(&mut self, receipt: Receipt, dup: bool) -> Arrival {
        match self.open.get(&receipt.packet) {
            Some(open) if dup && open.fingerprint == receipt.fingerprint => Arrival::Repeat,
            Some(_) => {
                self.open.remove(&receipt.packet);
                Arrival::New
            }
            None => Arrival::New,
        }
    }

    /// A message has become durable.
    pub fn stored(&mut self, Receipt { packet, fingerprint }: Receipt) {
        self.open.insert(packet, Open { fingerprint, acknowledged_after: None });
    }

    /// A PUBACK goes out on the present connection.
    pub fn acknowledged(&mut self, packet: PacketId) {
        if let Some(open) = self.open.get_mut(&packet) {
            open.acknowledged_after = Some(self.pings_sent);
        }
    }

    /// A PINGREQ goes out on the present connection, behind every PUBACK told of before.
    pub fn ping_sent(&mut self) {
        self.pings_sent += 1;
    }

    /// A PINGRESP came on the present connection. One that answers no ping proves nothing.
    pub fn ping_answered(&mut self) {
        if self.pings_answered == self.pings_sent {
            return;
        }
        self.pings_answered += 1;
        let answered = self.pings_answered;
        self.open.retain(|_, open| open.acknowledged_after.is_none_or(|pings| pings >= answered));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn receipt(packet: u16, payload: &str) -> Receipt {
        Receipt { packet: PacketId(packet), fingerprint: Fingerprint::of("a/b", payload.as_bytes()) }
    }

    fn stored(packets: &[u16]) -> Receipts {
        let mut receipts = Receipts::default();
        for packet in packets {
            receipts.stored(receipt(*packet, "x"));
            receipts.acknowledged(PacketId(*packet));
        }
        receipts
    }

    #[test]
    fn only_the_same_message_sent_again_is_a_repeat() {
        let table = [
            (receipt(7, "x"), true, Arrival::Repeat),
            (receipt(7, "x"), false, Arrival::New),
            (receipt(7, "y"), true, Arrival::New),
            (receipt(8, "x"), true, Arrival::New),
        ];
        for (arriving, dup, expected) in table {
            assert_eq!(stored(&[7]).arrived(arriving, dup), expected, "{arriving:?} dup={dup}");
        }
        let mut receipts = stored(&[7]);
        receipts.arrived(receipt(7, "y"), false);
        assert_eq!(receipts.arrived(receipt(7, "x"), true), Arrival::New, "the identifier was used anew");
    }

    #[test]
    fn a_receipt_ends_with_the_answer_to_a_ping_sent_behind_its_puback() {
        let mut receipts = stored(&[1]);
        receipts.ping_answered();
        assert_eq!(receipts.open().count(), 1, "an answer to no ping proves nothing");
        receipts.ping_sent();
        receipts.stored(receipt(2, "x"));
        receipts.acknowledged(PacketId(2));
        receipts.stored(receipt(3, "x"));
        receipts.ping_answered();
        let open: Vec<u16> = receipts.open().map(|receipt| receipt.packet.0).collect();
        assert_eq!(open, [2, 3], "2 went out behind the ping, 3 not at all");
        receipts.ping_sent();
        receipts.ping_answered();
        assert_eq!(receipts.open().map(|receipt| receipt.packet.0).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn pings_of_another_connection_prove_nothing() {
        let mut receipts = stored(&[1]);
        receipts.ping_sent();
        receipts.connected_again();
        receipts.ping_answered();
        receipts.ping_sent();
        receipts.ping_answered();
        assert_eq!(receipts.arrived(receipt(1, "x"), true), Arrival::Repeat);
        let mut restored = Receipts::restored(receipts.open());
        assert_eq!(restored.arrived(receipt(1, "x"), true), Arrival::Repeat);
        receipts.session_began();
        assert_eq!(receipts.arrived(receipt(1, "x"), true), Arrival::New);
    }

    #[test]
    fn topic_and_payload_do_not_run_into_each_other() {
        assert_ne!(Fingerprint::of("ab", b"c"), Fingerprint::of("a", b"bc"));
    }

    proptest! {
        /// Whatever happens, a receipt without a PUBACK followed by an answered ping stays open.
        #[test]
        fn no_receipt_ends_without_proof(steps in prop::collection::vec(0u8..5, 0..60)) {
            let mut receipts = Receipts::default();
            receipts.stored(receipt(1, "x"));
            let (mut acknowledged, mut sent_behind, mut outstanding, mut proven) = (false, 0u32, 0u32, false);
            for step in steps {
                match step {
                    0 => { receipts.acknowledged(PacketId(1)); (acknowledged, sent_behind) = (true, 0); }
                    1 => { receipts.ping_sent(); outstanding += 1; if acknowledged { sent_behind += 1; } }
                    2 => {
                        receipts.ping_answered();
                        if outstanding > 0 {
                            outstanding -= 1;
                            proven |= acknowledged && outstanding < sent_behind;
                        }
                    }
                    3 => { receipts.connected_again(); (acknowledged, sent_behind, outstanding) = (false, 0, 0); }
                    _ => receipts.stored(receipt(2, "y")),
                }
                prop_assert_eq!(receipts.open().any(|open| open.packet == PacketId(1)), !proven);
                if proven { break; }
            }
        }
    }
}
