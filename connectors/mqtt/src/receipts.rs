//! Receipts: which messages are durable although the broker may not know it (E1).
//!
//! A receipt opens when a message of QoS 1 has become durable. It ends when the broker is proven to have taken its
//! PUBACK: by the PINGRESP to a PINGREQ that was sent behind it on the same connection, or by another message under its
//! packet id. While it is open, a repetition (DUP set, same packet id, same content) is acknowledged and not stored.
//!
//! Pure state of one session: it knows no connection and no clock. The gateway keeps the receipts with the readings of their
//! messages, and after a restart they are restored ([`Receipts::restored`]); it is told of those that have ended
//! ([`Receipts::take_ended`]). A message of which a crash left only a part durable has a receipt too: it is new when it
//! comes again, and the gateway takes what is missing.

use std::collections::BTreeMap;

use forebay_connectors::{Extent, Restored, Token};
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

/// The open receipts of one session; at most one per packet id, but for those of a crash.
#[derive(Debug, Clone, Default)]
pub struct Receipts {
    open: BTreeMap<Receipt, Open>,
    /// Ended, and the gateway not told yet.
    ended: Vec<Receipt>,
    pings_sent: u64,
    pings_answered: u64,
    pubacks_since_ping: usize,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    extent: Extent,
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

impl Receipt {
    /// What the gateway keeps: packet id, big-endian, 2 · fingerprint 16. Stable between versions.
    pub fn token(self) -> Token {
        Token([&self.packet.0.to_be_bytes()[..], &self.fingerprint.0].concat())
    }

    /// The receipt in a token; `None` if it is none.
    pub fn of_token(Token(bytes): &Token) -> Option<Self> {
        let (packet, fingerprint) = bytes.split_first_chunk::<2>()?;
        let fingerprint = Fingerprint(fingerprint.try_into().ok()?);
        Some(Self { packet: PacketId(u16::from_be_bytes(*packet)), fingerprint })
    }
}

impl Receipts {
    /// What the gateway kept. Several may have one packet id, where a crash came before the ends of the older were recorded.
    /// Tokens that are no receipts are left out.
    pub fn restored<'a>(kept: impl IntoIterator<Item = &'a Restored>) -> Self {
        let opened = |extent| Open { extent, acknowledged_after: None };
        let open = kept
            .into_iter()
            .filter_map(|Restored { token, extent }| Some((Receipt::of_token(token)?, opened(*extent))));
        Self { open: open.collect(), ..Self::default() }
    }

    /// The open receipts, by packet id.
    pub fn open(&self) -> impl Iterator<Item = Receipt> + '_ {
        self.open.keys().copied()
    }

    /// A new connection to the same session: no PUBACK of an earlier one is proven by its pings.
    pub fn connected_again(&mut self) {
        (self.pings_sent, self.pings_answered, self.pubacks_since_ping) = (0, 0, 0);
        for open in self.open.values_mut() {
            open.acknowledged_after = None;
        }
    }

    /// A new session: its packet ids begin anew.
    pub fn session_began(&mut self) {
        let mut ended = std::mem::take(&mut self.ended);
        ended.extend(self.open());
        *self = Self { ended, ..Self::default() };
    }

    /// Says what an arriving message is; one that is new under an identifier with an open receipt ends that receipt.
    pub fn arrived(&mut self, receipt: Receipt, dup: bool) -> Arrival {
        match self.open.get(&receipt).filter(|_| dup) {
            Some(Open { extent: Extent::Whole, .. }) => return Arrival::Repeat,
            Some(Open { extent: Extent::Part, .. }) => {}
            None => self.end(receipt.packet),
        }
        Arrival::New
    }

    /// A message has become durable.
    pub fn stored(&mut self, receipt: Receipt) {
        // A packet id belongs to one message at a time.
        self.open.remove(&receipt);
        self.end(receipt.packet);
        self.open.insert(receipt, Open { extent: Extent::Whole, acknowledged_after: None });
    }

    /// A message has become durable whose session is gone: it cannot come again.
    pub fn stored_in_vain(&mut self, receipt: Receipt) {
        self.ended.push(receipt);
    }

    /// Whether the gateway has to be told of receipts that have ended.
    pub fn has_ended(&self) -> bool {
        !self.ended.is_empty()
    }

    /// The receipts that have ended since they were taken last.
    pub fn take_ended(&mut self) -> Vec<Receipt> {
        std::mem::take(&mut self.ended)
    }

    /// The open receipts under a packet id.
    fn of(&mut self, packet: PacketId) -> impl Iterator<Item = (&Receipt, &mut Open)> {
        let with = |fingerprint| Receipt { packet, fingerprint: Fingerprint(fingerprint) };
        self.open.range_mut(with([0; 16])..=with([u8::MAX; 16]))
    }

    fn end(&mut self, packet: PacketId) {
        let ended: Vec<Receipt> = self.of(packet).map(|(receipt, _)| *receipt).collect();
        for receipt in &ended {
            self.open.remove(receipt);
        }
        self.ended.extend(ended);
    }

    /// A PUBACK goes out on the present connection.
    pub fn acknowledged(&mut self, packet: PacketId) {
        self.pubacks_since_ping += 1;
        let pings = self.pings_sent;
        self.of(packet).for_each(|(_, open)| open.acknowledged_after = Some(pings));
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

    /// A PINGRESP came on the present connection. One that answers no ping proves nothing.
    pub fn ping_answered(&mut self) {
        if self.pings_answered == self.pings_sent {
            return;
        }
        self.pings_answered += 1;
        let answered = self.pings_answered;
        let (open, ended) = (&mut self.open, &mut self.ended);
        open.retain(|receipt, open| {
            let stays = open.acknowledged_after.is_none_or(|pings| pings >= answered);
            if !stays {
                ended.push(*receipt);
            }
            stays
        });
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
        assert_eq!(receipts.pubacks_since_ping(), 1);
        receipts.ping_sent();
        assert_eq!(receipts.pubacks_since_ping(), 0);
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
        receipts.session_began();
        assert_eq!(receipts.take_ended(), [receipt(1, "x")]);
        assert_eq!(receipts.arrived(receipt(1, "x"), true), Arrival::New);
    }

    #[test]
    fn what_ends_is_told_once() {
        let mut receipts = stored(&[1, 2, 3, 4]);
        receipts.ping_sent();
        receipts.acknowledged(PacketId(4));
        receipts.arrived(receipt(1, "y"), false);
        receipts.stored(receipt(1, "y"));
        receipts.stored(receipt(2, "y"));
        receipts.stored(receipt(2, "y"));
        receipts.ping_answered();
        assert_eq!(receipts.take_ended(), [receipt(1, "x"), receipt(2, "x"), receipt(3, "x")]);
        assert!(!receipts.has_ended());
        receipts.stored_in_vain(receipt(9, "x"));
        assert_eq!(receipts.take_ended(), [receipt(9, "x")]);
        let mut left: Vec<_> = receipts.open().collect();
        left.sort();
        let mut expected = vec![receipt(1, "y"), receipt(2, "y"), receipt(4, "x")];
        expected.sort();
        assert_eq!(left, expected);
    }

    fn restored(kept: &[(Receipt, Extent)]) -> Receipts {
        let kept: Vec<_> =
            kept.iter().map(|(receipt, extent)| Restored { token: receipt.token(), extent: *extent }).collect();
        Receipts::restored(&kept)
    }

    #[test]
    fn after_a_restart_a_whole_message_is_a_repeat_and_the_rest_of_a_part_is_taken() {
        let kept = [(receipt(1, "x"), Extent::Whole), (receipt(2, "x"), Extent::Part)];
        let mut receipts = restored(&kept);
        assert_eq!(receipts.arrived(receipt(1, "x"), true), Arrival::Repeat);
        assert_eq!(receipts.arrived(receipt(2, "x"), true), Arrival::New);
        assert!(!receipts.has_ended(), "the gateway needs its receipt to know what is missing");
        receipts.stored(receipt(2, "x"));
        assert_eq!(receipts.arrived(receipt(2, "x"), true), Arrival::Repeat);
        let mut receipts = restored(&kept);
        assert_eq!(receipts.arrived(receipt(2, "x"), false), Arrival::New, "another message of the same content");
        assert_eq!(receipts.take_ended(), [receipt(2, "x")]);
    }

    #[test]
    fn an_end_that_a_crash_forgot_hides_no_receipt() {
        for (mine, stale) in [("x", "y"), ("y", "x")] {
            let mut receipts = restored(&[(receipt(1, "x"), Extent::Whole), (receipt(1, "y"), Extent::Whole)]);
            assert_eq!(receipts.arrived(receipt(1, mine), true), Arrival::Repeat);
            receipts.stored(receipt(1, mine));
            assert_eq!(receipts.take_ended(), [receipt(1, stale)]);
        }
    }

    #[test]
    fn tokens_are_laid_out_as_written_down() {
        let receipt = Receipt { packet: PacketId(0x0102), fingerprint: Fingerprint(*b"0123456789abcdef") };
        assert_eq!(receipt.token(), Token(b"\x01\x020123456789abcdef".to_vec()));
        assert_eq!(Receipt::of_token(&receipt.token()), Some(receipt));
        assert_eq!(Receipt::of_token(&Token(b"\x01\x020123456789abcde".to_vec())), None);
        assert_eq!(Receipt::of_token(&Token(Vec::new())), None);
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
