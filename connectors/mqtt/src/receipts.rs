//! Receipts: which messages are durable although the broker may not know it (E1).
//!
//! A receipt opens when a message of QoS 1 or 2 has become durable. It ends when the broker is proven to have taken its
//! PUBACK or PUBREC: by the PINGRESP to a PINGREQ that was sent behind it on the same connection, by another message under its
//! packet id, or, with QoS 2, by its PUBREL. While it is open, a repetition (DUP set, same packet id, same content) is acknowledged and not stored.
//!
//! Pure state of one session: it knows no connection and no clock. The gateway keeps the receipts with the readings of their
//! messages, and after a restart they are restored ([`Receipts::restored`]); it learns of those that have ended
//! ([`Receipts::take_ended`]). A message of which a crash left only a part durable has a receipt too: it is new when it
//! comes again, and the gateway takes what is missing.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::RangeInclusive,
};

use forebay_connectors::{Extent, Restored, Token};
use ring::digest::{Context, SHA256};

/// A packet identifier of MQTT; never 0 in a message of QoS 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketId(pub u16);

/// Some packet ids, a bit each.
#[derive(Debug, Clone)]
pub(crate) struct PacketIds(Box<[u64]>);

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

/// The open receipts of one session; at most one per packet id, but for those of a crash. A broker may send tens of thousands
/// of messages ahead of the answer to a ping, so that what is done for each message does not depend on how many are open.
#[derive(Debug, Clone, Default)]
pub struct Receipts {
    open: BTreeMap<Receipt, Open>,
    /// Ended, and not reported to the gateway yet.
    ended: Vec<Receipt>,
    /// The PUBACKs of the present connection that no ping has proven, oldest first.
    unproven: VecDeque<Unproven>,
    pings_sent: u64,
    pings_answered: u64,
    pubacks_since_ping: usize,
}

#[derive(Debug, Clone, Copy)]
struct Unproven {
    packet: PacketId,
    /// Pings sent on this connection before it.
    pings: u64,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    extent: Extent,
    /// Pings sent on this connection before its PUBACK; none while no PUBACK went out on this connection.
    acknowledged_after: Option<u64>,
}

impl Open {
    fn of(extent: Extent) -> Self {
        Self {
            extent,
            acknowledged_after: None,
        }
    }
}

impl Default for PacketIds {
    fn default() -> Self {
        Self(vec![0; (1 << u16::BITS) / u64::BITS as usize].into())
    }
}

impl PacketIds {
    pub(crate) fn has(&self, PacketId(id): PacketId) -> bool {
        let bits = self.0.get(usize::from(id) / u64::BITS as usize);
        bits.is_some_and(|bits| bits >> (u32::from(id) % u64::BITS) & 1 == 1)
    }

    pub(crate) fn add(&mut self, PacketId(id): PacketId) {
        if let Some(bits) = self.0.get_mut(usize::from(id) / u64::BITS as usize) {
            *bits |= 1 << (u32::from(id) % u64::BITS);
        }
    }
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

impl Receipt {
    /// What the gateway keeps: packet id, big-endian, 2 · fingerprint 16. Stable between versions.
    pub fn token(self) -> Token {
        Token([&self.packet.0.to_be_bytes()[..], &self.fingerprint.0].concat())
    }

    /// The receipt in a token; `None` if it is none.
    pub fn of_token(Token(bytes): &Token) -> Option<Self> {
        let (packet, fingerprint) = bytes.split_first_chunk::<2>()?;
        let fingerprint = Fingerprint(fingerprint.try_into().ok()?);
        Some(Self {
            packet: PacketId(u16::from_be_bytes(*packet)),
            fingerprint,
        })
    }
}

impl Receipts {
    /// What the gateway kept. Several may have one packet id, where a crash came before the ends of the older were recorded.
    /// Tokens that are no receipts are left out.
    pub fn restored<'a>(kept: impl IntoIterator<Item = &'a Restored>) -> Self {
        let mut receipts = Self::default();
        for Restored { token, extent } in kept {
            if let Some(receipt) = Receipt::of_token(token) {
                receipts.open.insert(receipt, Open::of(*extent));
            }
        }
        receipts
    }

    /// The open receipts, by packet id.
    pub fn open(&self) -> impl Iterator<Item = Receipt> + '_ {
        self.open.keys().copied()
    }

    /// A new connection to the same session: no PUBACK of an earlier one is proven by its pings.
    pub fn connected_again(&mut self) {
        (
            self.pings_sent,
            self.pings_answered,
            self.pubacks_since_ping,
        ) = (0, 0, 0);
        self.unproven.clear();
        for open in self.open.values_mut() {
            open.acknowledged_after = None;
        }
    }

    /// A new session: its packet ids begin again.
    pub fn session_began(&mut self) {
        let mut ended = std::mem::take(&mut self.ended);
        ended.extend(self.open());
        *self = Self {
            ended,
            ..Self::default()
        };
    }

    /// Says what an arriving message is; one that is new under an identifier with an open receipt ends that receipt.
    pub fn arrived(&mut self, receipt: Receipt, dup: bool) -> Arrival {
        let repeated = if dup { self.open.get(&receipt) } else { None };
        match repeated {
            Some(Open {
                extent: Extent::Whole,
                ..
            }) => return Arrival::Repeat,
            Some(Open {
                extent: Extent::Part,
                ..
            }) => {}
            None => self.end(receipt.packet),
        }
        Arrival::New
    }

    /// A message has become durable.
    pub fn stored(&mut self, receipt: Receipt) {
        // A packet id belongs to one message at a time.
        let of_packet = all_of(receipt.packet);
        let others = self.open.extract_if(of_packet, |open, _| *open != receipt);
        self.ended.extend(others.map(|(other, _)| other));
        self.open.insert(receipt, Open::of(Extent::Whole));
    }

    /// A message has become durable whose session is gone: it cannot come again.
    pub fn stored_in_vain(&mut self, receipt: Receipt) {
        self.ended.push(receipt);
    }

    /// Whether receipts that have ended are to be reported to the gateway.
    pub fn has_ended(&self) -> bool {
        !self.ended.is_empty()
    }

    /// The receipts that have ended since they were taken last.
    pub fn take_ended(&mut self) -> Vec<Receipt> {
        std::mem::take(&mut self.ended)
    }

    fn end(&mut self, packet: PacketId) {
        self.end_where(packet, |_| true);
    }

    /// Ends those of a packet id that are meant.
    fn end_where(&mut self, packet: PacketId, is_meant: impl Fn(&Open) -> bool) {
        let meant = self
            .open
            .extract_if(all_of(packet), |_, open| is_meant(open));
        self.ended.extend(meant.map(|(receipt, _)| receipt));
    }

    /// The broker gives a packet id free: it has taken the PUBREC.
    pub fn released(&mut self, packet: PacketId) {
        self.end(packet);
    }

    /// A PUBACK or PUBREC goes out on the present connection.
    pub fn acknowledged(&mut self, packet: PacketId) {
        self.pubacks_since_ping += 1;
        let pings = self.pings_sent;
        for (_, open) in self.open.range_mut(all_of(packet)) {
            open.acknowledged_after = Some(pings);
        }
        self.unproven.push_back(Unproven { packet, pings });
    }

    /// A PINGREQ goes out on the present connection, behind every PUBACK told of before.
    pub fn ping_sent(&mut self) {
        self.pings_sent += 1;
        self.pubacks_since_ping = 0;
    }

    /// PUBACKs of the present connection that no ping sent so far can prove.
    pub fn pubacks_since_ping(&self) -> usize {
        self.pubacks_since_ping
    }

    /// Whether a message has an open receipt and its PUBACK went out on the present connection.
    pub fn is_acknowledged(&self, receipt: Receipt) -> bool {
        self.open
            .get(&receipt)
            .is_some_and(|open| open.acknowledged_after.is_some())
    }

    /// A PINGRESP came on the present connection. One that answers no ping proves nothing. Receipts under the packet ids of
    /// `come_again` stay open: repetitions that came before the PINGRESP are still to be judged by them.
    pub fn ping_answered(&mut self, come_again: &BTreeSet<PacketId>) {
        if self.pings_answered == self.pings_sent {
            return;
        }
        self.pings_answered += 1;
        let answered = self.pings_answered;
        let mut held = Vec::new();
        while let Some(proven) = self.unproven.pop_front_if(|one| one.pings < answered) {
            if come_again.contains(&proven.packet) {
                held.push(proven);
                continue;
            }
            // Its packet id may have another receipt by now, whose PUBACK is not proven.
            let is_proven = |open: &Open| {
                open.acknowledged_after
                    .is_some_and(|pings| pings < answered)
            };
            self.end_where(proven.packet, is_proven);
        }
        for one in held.into_iter().rev() {
            self.unproven.push_front(one);
        }
    }
}

/// The receipts that one packet id may have.
fn all_of(packet: PacketId) -> RangeInclusive<Receipt> {
    let of = |byte| Receipt {
        packet,
        fingerprint: Fingerprint([byte; 16]),
    };
    of(u8::MIN)..=of(u8::MAX)
}

#[cfg(test)]
mod tests;
