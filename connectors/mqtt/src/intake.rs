//! From arrived messages to receipts: in order, many in one delivery, one delivery at a time.
//!
//! It outlives connections. What a lost connection leaves behind:
//! - The delivery under way is awaited; its messages become receipts, so that their repetitions are known (E1).
//! - Messages that wait and that the broker will send again are held: dropped when the next connection finds the
//!   session, delivered when the session is gone and nobody will send them again.
//! - Messages that the broker will not send again (QoS 0, or a session that ends with its connection) are delivered.
//!
//! It does no I/O but the outlet's, and no back-off.

use std::{
    collections::{BTreeSet, VecDeque},
    future::Future,
    pin::Pin,
};

use forebay_connectors::{Closed, Declared, LinkChange, Message, Outlet, SampleKind, Token};
use forebay_runtime::RateLimit;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::{
    client::Session,
    decode::{Fanout, Incoming, Rules},
    packet::{Answer, Publish},
    receipts::{Arrival, Fingerprint, PacketId, PacketIds, Receipt, Receipts},
    sparkplug::Host,
};

/// Messages in one delivery: the spool syncs once for all of them.
const BATCH_MESSAGES_MAX: usize = 512;
/// A delivery is not made larger once it has so many samples.
const BATCH_SAMPLES_MAX: usize = 8192;
/// Nor larger once its payloads have so many bytes: they are decoded in one go.
const BATCH_BYTES_MAX: usize = 1024 * 1024;
/// Payloads that may wait; above, nothing is read from the broker.
const WAITING_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Changes of the link that may wait; above, the latest takes the place of the one before.
const CHANGES_MAX: usize = 8;

/// Which connection of which session a message came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Origin {
    session: u64,
    connection: u64,
}

#[derive(Debug)]
struct Waiting {
    message: Publish,
    origin: Origin,
    /// The broker sends it again on the next connection.
    repeatable: bool,
}

/// A message of a delivery that asks for a PUBACK or PUBREC.
#[derive(Debug, Clone, Copy)]
struct Owed {
    receipt: Receipt,
    qos: u8,
    origin: Origin,
    /// The gateway keeps its receipt.
    is_kept: bool,
}

struct Delivery {
    done: Pin<Box<dyn Future<Output = Result<(), Closed>> + Send>>,
    owed: Vec<Owed>,
    messages: usize,
    bytes: usize,
    /// Messages that were durable already.
    repeats: usize,
}

/// Messages and changes of the link on their way to the gateway.
pub(crate) struct Intake<'r> {
    outlet: Outlet,
    meaning: Meaning<'r>,
    connector: &'r str,
    session: Session,
    in_flight_max: usize,
    waiting: VecDeque<Waiting>,
    changes: VecDeque<LinkChange>,
    under_way: Option<Delivery>,
    /// Messages and bytes in `waiting` and `under_way`.
    messages: usize,
    bytes: usize,
    /// The origin of what arrives now; none while no connection is up.
    live: Option<Origin>,
    last: Origin,
    pub(crate) receipts: Receipts,
    unmatched: Unmatched,
}

/// What makes samples of messages.
pub(crate) enum Meaning<'r> {
    Rules { rules: &'r Rules, fanout: Fanout },
    Sparkplug(Box<Host<'r>>),
}

#[derive(Debug, Default)]
struct Unmatched {
    count: u64,
    limit: RateLimit,
}

impl<'r> Meaning<'r> {
    /// By rules; `known` is what earlier processes made of messages.
    pub(crate) fn of(rules: &'r Rules, known: &[Declared]) -> Self {
        Self::Rules {
            rules,
            fanout: Fanout::recalled(known),
        }
    }
}

impl<'r> Intake<'r> {
    pub(crate) fn new(
        connector: &'r str,
        outlet: Outlet,
        meaning: Meaning<'r>,
        session: Session,
        in_flight_max: u16,
    ) -> Self {
        let receipts = Receipts::restored(outlet.restored());
        Self {
            outlet,
            meaning,
            connector,
            session,
            in_flight_max: usize::from(in_flight_max),
            waiting: VecDeque::new(),
            changes: VecDeque::new(),
            under_way: None,
            messages: 0,
            bytes: 0,
            live: None,
            last: Origin::default(),
            receipts,
            unmatched: Unmatched::default(),
        }
    }

    /// Payloads are kept up to this length.
    pub(crate) fn payload_bytes_max(&self) -> usize {
        match &self.meaning {
            Meaning::Rules { rules, .. } => rules.payload_bytes_max,
            Meaning::Sparkplug(host) => host.payload_bytes_max(),
        }
    }

    /// The Sparkplug host that messages are for, if they are.
    pub(crate) fn host(&mut self) -> Option<&mut Host<'r>> {
        match &mut self.meaning {
            Meaning::Rules { .. } => None,
            Meaning::Sparkplug(host) => Some(host),
        }
    }

    /// Whether more may be taken from the broker.
    pub(crate) fn has_room(&self) -> bool {
        self.messages < self.in_flight_max && self.bytes < WAITING_BYTES_MAX
    }

    /// Whether a delivery waits for its receipt.
    pub(crate) fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// Whether anything is still to be delivered.
    pub(crate) fn is_busy(&self) -> bool {
        let ended = self.session != Session::Clean && self.receipts.has_ended();
        ended
            || self.under_way.is_some()
            || !self.changes.is_empty()
            || self.waiting.iter().any(|w| self.may_go(w))
    }

    /// A connection is up; `session_present` as the broker says.
    pub(crate) fn connected(&mut self, session_present: bool) {
        self.last.connection += 1;
        if session_present {
            self.receipts.connected_again();
            self.forget_repeatable();
        } else {
            self.last.session += 1;
            self.receipts.session_began();
            for waiting in &mut self.waiting {
                waiting.repeatable = false;
            }
        }
        self.live = Some(self.last);
        if let Meaning::Sparkplug(host) = &mut self.meaning {
            host.connected(Instant::now());
        }
    }

    /// The connection is gone.
    pub(crate) fn disconnected(&mut self) {
        self.live = None;
    }

    /// Nothing more is delivered that the broker will send again.
    pub(crate) fn forget_repeatable(&mut self) {
        let (messages, bytes) = (&mut self.messages, &mut self.bytes);
        self.waiting.retain(|waiting| {
            if waiting.repeatable {
                *messages -= 1;
                *bytes -= waiting.message.payload.len();
            }
            !waiting.repeatable
        });
    }

    /// A message of the live connection.
    pub(crate) fn arrived(&mut self, message: Publish) {
        let Some(origin) = self.live else { return };
        self.messages += 1;
        self.bytes += message.payload.len();
        let repeatable = message.packet.is_some() && self.session != Session::Clean;
        self.waiting.push_back(Waiting {
            message,
            origin,
            repeatable,
        });
    }

    /// The link came or went.
    pub(crate) fn link(&mut self, down: Option<String>) {
        if self.changes.len() == CHANGES_MAX {
            self.changes.pop_back();
        }
        self.changes.push_back(LinkChange { device: None, down });
    }

    /// Delivers the next of what waits, and answers what may go out on the live connection, in order.
    /// Pends where nothing waits. May be dropped at any time.
    ///
    /// # Errors
    /// The gateway has stopped.
    pub(crate) async fn deliver(&mut self) -> Result<Vec<Answer>, Closed> {
        if self.under_way.is_none() {
            self.under_way = self.next();
        }
        match &mut self.under_way {
            Some(delivery) => delivery.done.as_mut().await?,
            None => std::future::pending().await,
        }
        Ok(self
            .under_way
            .take()
            .map(|delivery| self.settle(delivery))
            .unwrap_or_default())
    }

    /// A PINGRESP of the live connection. What waits came before it and is judged after it: a receipt whose repetition may be
    /// among that stays open until the next one.
    pub(crate) fn ping_answered(&mut self) {
        let waiting = self.waiting.iter().filter(|waiting| waiting.message.dup);
        let come_again: BTreeSet<PacketId> = waiting
            .filter_map(|waiting| waiting.message.packet)
            .collect();
        self.receipts.ping_answered(&come_again);
    }

    fn may_go(&self, waiting: &Waiting) -> bool {
        self.live.is_some() || !waiting.repeatable
    }

    fn next(&mut self) -> Option<Delivery> {
        let outlet = self.outlet.clone();
        if let Some(change) = self.changes.pop_front() {
            let done = Box::pin(async move { outlet.link(change).await });
            return Some(Delivery {
                done,
                owed: Vec::new(),
                messages: 0,
                bytes: 0,
                repeats: 0,
            });
        }
        let mut taken = Vec::new();
        let mut owed: Vec<Owed> = Vec::new();
        let mut owed_packets = PacketIds::default();
        let (mut messages, mut bytes, mut samples_taken, mut repeats) = (0, 0, 0, 0);
        let mut held = VecDeque::new();
        while messages < BATCH_MESSAGES_MAX
            && samples_taken < BATCH_SAMPLES_MAX
            && bytes < BATCH_BYTES_MAX
        {
            let Some(waiting) = self.waiting.pop_front() else {
                break;
            };
            if !self.may_go(&waiting) {
                held.push_back(waiting);
                continue;
            }
            // Only once the first is durable can one that comes again under its packet id be told from it.
            if waiting
                .message
                .packet
                .is_some_and(|packet| owed_packets.has(packet))
            {
                self.waiting.push_front(waiting);
                break;
            }
            messages += 1;
            bytes += waiting.message.payload.len();
            let (arrival, debt) = self.assess(&waiting);
            if let Some(owed) = debt {
                owed_packets.add(owed.receipt.packet);
            }
            owed.extend(debt);
            if arrival == Arrival::Repeat {
                repeats += 1;
                continue;
            }
            let samples = self.samples(&waiting.message);
            let Publish { topic, payload, .. } = &waiting.message;
            self.outlet.show_raw(|| topic.clone(), payload, &samples);
            samples_taken += samples.len();
            let token = debt
                .filter(|_| waiting.repeatable)
                .map(|owed| owed.receipt.token());
            taken.extend((!samples.is_empty()).then_some(Message { samples, token }));
        }
        held.append(&mut self.waiting);
        self.waiting = held;
        let ended = self.ended();
        if messages == 0 && ended.is_empty() {
            return None;
        }
        let done: Pin<Box<dyn Future<Output = _> + Send>> = if taken.is_empty() && ended.is_empty()
        {
            Box::pin(std::future::ready(Ok(())))
        } else {
            Box::pin(async move { outlet.deliver_messages(ended, taken).await })
        };
        Some(Delivery {
            done,
            owed,
            messages,
            bytes,
            repeats,
        })
    }

    /// What the gateway need not keep any more; it keeps nothing of a session that ends with its connection.
    fn ended(&mut self) -> Vec<Token> {
        let ended = self.receipts.take_ended();
        if self.session == Session::Clean {
            Vec::new()
        } else {
            ended.into_iter().map(Receipt::token).collect()
        }
    }

    /// Whether a message is durable already, and the PUBACK that it asks for. Asked in the order of arrival and never
    /// while a delivery is under way, so that every receipt of an earlier message is there.
    ///
    /// A repetition on the connection that had the PUBACK asks for none: that one arrives, or the connection ends. A second
    /// one could be taken for that of the packet id's next message.
    fn assess(&mut self, waiting: &Waiting) -> (Arrival, Option<Owed>) {
        let message = &waiting.message;
        let Some(packet) = message.packet else {
            return (Arrival::New, None);
        };
        let receipt = Receipt {
            packet,
            fingerprint: Fingerprint::of(&message.topic, &message.payload),
        };
        let owed = Owed {
            receipt,
            qos: message.qos,
            origin: waiting.origin,
            is_kept: waiting.repeatable,
        };
        if waiting.origin.session != self.last.session {
            return (Arrival::New, Some(owed));
        }
        match self.receipts.arrived(receipt, message.dup) {
            Arrival::Repeat if self.receipts.is_acknowledged(receipt) => (Arrival::Repeat, None),
            arrival => (arrival, Some(owed)),
        }
    }

    fn samples(&mut self, message: &Publish) -> Vec<forebay_connectors::Sample> {
        let Publish {
            topic,
            payload,
            payload_bytes,
            retain,
            ..
        } = message;
        let incoming = Incoming {
            topic,
            payload,
            payload_bytes: *payload_bytes,
        };
        let mut samples = match &mut self.meaning {
            Meaning::Rules { rules, fanout } => rules.samples(incoming, fanout),
            Meaning::Sparkplug(host) => {
                return host.samples(incoming, *retain, Instant::now());
            }
        };
        if *retain {
            samples
                .iter_mut()
                .for_each(|sample| sample.kind = SampleKind::Snapshot);
        }
        if samples.is_empty() {
            self.unmatched.note(self.connector, topic);
        }
        samples
    }

    fn settle(&mut self, delivery: Delivery) -> Vec<Answer> {
        self.messages -= delivery.messages;
        self.bytes -= delivery.bytes;
        if delivery.repeats > 0 {
            info!(
                connector = self.connector,
                messages = delivery.repeats,
                "repeated messages were already stored: acknowledged and skipped"
            );
        }
        let mut acknowledged = Vec::with_capacity(delivery.owed.len());
        for Owed {
            receipt,
            qos,
            origin,
            is_kept,
        } in delivery.owed
        {
            if origin.session != self.last.session {
                // One without a token is not kept, and its namesake of the new session may be.
                if is_kept {
                    self.receipts.stored_in_vain(receipt);
                }
                continue;
            }
            self.receipts.stored(receipt);
            if self.live == Some(origin) {
                self.receipts.acknowledged(receipt.packet);
                acknowledged.push(match qos {
                    2 => Answer::PubRec(receipt.packet),
                    _ => Answer::PubAck(receipt.packet),
                });
            }
        }
        acknowledged
    }
}

impl Unmatched {
    fn note(&mut self, connector: &str, topic: &str) {
        self.count += 1;
        if self.limit.admit().is_some() {
            warn!(
                connector,
                topic,
                messages = self.count,
                "no [[connector.tag]] matches the topic, message dropped"
            );
        }
    }
}

#[cfg(test)]
mod tests;
