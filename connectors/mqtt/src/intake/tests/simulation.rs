//! Every message once and in order, whatever the link and the gateway do: the intake between a model of a broker, which
//! uses three packet ids again and again, and a gateway that answers late, keeps receipts, and is killed.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const PACKET_IDS: std::ops::RangeInclusive<u16> = 1..=3;

#[derive(Debug, Clone, Copy)]
enum Step {
    Publish,
    Poll,
    Answer,
    Ping,
    /// The broker takes the PUBACKs that are on their way.
    Hear,
    /// The broker sends again what it has no PUBACK of, on the connection that it sent it by: some do so after a while.
    Resend,
    /// From now on nothing gets through, in neither direction, though nobody knows yet.
    Break,
    Cut,
    Reconnect,
    Kill(Killed),
}

/// When the process is killed: what is under way may be in the spool or not, and never in part.
#[derive(Debug, Clone, Copy)]
enum Killed {
    BeforeSync,
    AfterSync,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Up,
    Broken,
    Down,
}

struct World<'r> {
    rules: &'r Rules,
    intake: Intake<'r>,
    gateway: Receiver<Parcels>,
    unanswered: Option<Parcels>,
    stored: Vec<i64>,
    /// The open receipts beside what is stored.
    kept: BTreeSet<Token>,
    link: Link,
    in_flight: VecDeque<(u16, u64)>,
    /// PUBACKs on their way to the broker.
    pubacks: VecDeque<u16>,
    queued: VecDeque<u64>,
    published: u64,
}

impl World<'_> {
    fn store(&mut self, parcels: &Parcels) {
        let (ended, messages) = messages(parcels);
        for token in ended {
            self.kept.remove(token);
        }
        self.kept
            .extend(messages.iter().filter_map(|message| message.token.clone()));
        self.stored.extend(numbers(parcels));
    }

    /// Kills the process and starts it again; the link is down then.
    fn restart(&mut self, killed: Killed) {
        if let (Some(parcels), Killed::AfterSync) = (self.unanswered.take(), killed) {
            self.store(&parcels);
        }
        let (outlet, gateway) = outlet(4);
        let restored = self.kept.iter().map(|token| Restored {
            token: token.clone(),
            extent: Extent::Whole,
        });
        self.intake = intake_of(
            outlet.with_restored(restored.collect()),
            self.rules,
            KEPT,
            100,
        );
        self.gateway = gateway;
        self.link = Link::Down;
        self.pubacks.clear();
    }

    async fn step(&mut self, step: Step) {
        match (step, self.link) {
            (Step::Publish, _) => {
                self.published += 1;
                self.queued.push_back(self.published);
            }
            (Step::Poll, _) => self.poll().await,
            (Step::Answer, _) => {
                if let Some(parcels) = self.unanswered.take() {
                    self.store(&parcels);
                    parcels.receipt.send(()).unwrap();
                }
                self.poll().await;
            }
            (Step::Ping, Link::Up) => {
                self.intake.receipts.ping_sent();
                self.hear();
                self.intake.ping_answered();
            }
            (Step::Hear, Link::Up) => self.hear(),
            (Step::Resend, Link::Up) => {
                for (packet, number) in self.in_flight.clone() {
                    self.intake.arrived(message(packet, number, true));
                }
            }
            (Step::Ping, Link::Broken) => self.intake.receipts.ping_sent(),
            (Step::Kill(killed), _) => self.restart(killed),
            (Step::Break, Link::Up) => self.link = Link::Broken,
            (Step::Cut, Link::Up | Link::Broken) => {
                self.link = Link::Down;
                self.pubacks.clear();
                self.intake.disconnected();
            }
            (Step::Reconnect, Link::Down) => {
                self.link = Link::Up;
                self.intake.connected(true);
                for (packet, number) in self.in_flight.clone() {
                    self.intake.arrived(message(packet, number, true));
                }
            }
            _ => {}
        }
        self.send();
    }

    async fn poll(&mut self) {
        let acknowledged = tokio::select! {
            biased;
            acknowledged = self.intake.deliver() => acknowledged.unwrap(),
            () = std::future::ready(()) => Vec::new(),
        };
        if let Ok(parcels) = self.gateway.try_recv() {
            assert!(self.unanswered.is_none(), "one delivery at a time");
            self.unanswered = Some(parcels);
        }
        for answer in acknowledged {
            let Answer::PubAck(PacketId(packet)) = answer else {
                panic!("messages of QoS 1 are answered by PUBACK, not by {answer:?}")
            };
            assert_ne!(self.link, Link::Down, "acknowledged on no connection");
            if self.link == Link::Up {
                self.pubacks.push_back(packet);
            }
        }
    }

    fn hear(&mut self) {
        for packet in std::mem::take(&mut self.pubacks) {
            let owed = self.in_flight.iter().position(|(id, _)| *id == packet);
            let (_, number) = self
                .in_flight
                .remove(owed.expect("acknowledged twice"))
                .unwrap();
            assert!(
                self.stored.contains(&(number as i64)),
                "{number} is acknowledged and not durable"
            );
            // Its id is free: the next message may have it at once, before the next PUBACK is heard.
            self.send();
        }
    }

    /// The broker sends what it may; with a broken link it sends into the void.
    fn send(&mut self) {
        while self.link != Link::Down {
            let free = PACKET_IDS
                .into_iter()
                .find(|id| self.in_flight.iter().all(|(used, _)| used != id));
            let (Some(packet), Some(number)) = (free, self.queued.front().copied()) else {
                return;
            };
            self.queued.pop_front();
            self.in_flight.push_back((packet, number));
            if self.link == Link::Up {
                self.intake.arrived(message(packet, number, false));
            }
        }
    }

    async fn finish(&mut self) {
        self.step(Step::Cut).await;
        self.step(Step::Reconnect).await;
        for _ in 0..10 * (self.published + 1) {
            self.step(Step::Answer).await;
            self.step(Step::Hear).await;
        }
        assert!(self.in_flight.is_empty() && self.queued.is_empty() && !self.intake.is_busy());
        assert_eq!((self.intake.messages, self.intake.bytes), (0, 0));
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => Just(Step::Publish),
        4 => Just(Step::Poll),
        4 => Just(Step::Answer),
        2 => Just(Step::Ping),
        3 => Just(Step::Hear),
        2 => Just(Step::Resend),
        1 => Just(Step::Break),
        1 => Just(Step::Cut),
        3 => Just(Step::Reconnect),
        1 => Just(Step::Kill(Killed::BeforeSync)),
        1 => Just(Step::Kill(Killed::AfterSync)),
    ];
    prop::collection::vec(step, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn each_message_is_stored_once_and_in_order(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (stored, published) = runtime.block_on(async {
            let rules = rules();
            let (outlet, gateway) = outlet(4);
            let mut intake = intake_of(outlet, &rules, KEPT, 100);
            intake.connected(false);
            let (unanswered, stored, in_flight, queued) = (None, Vec::new(), VecDeque::new(), VecDeque::new());
            let (rules, kept, link, published) = (&rules, BTreeSet::new(), Link::Up, 0);
            let pubacks = VecDeque::new();
            let mut world =
                World { rules, intake, gateway, unanswered, stored, kept, link, in_flight, pubacks, queued, published };
            for step in steps {
                world.step(step).await;
            }
            world.finish().await;
            (world.stored, world.published)
        });
        prop_assert_eq!(stored, (1..=published as i64).collect::<Vec<_>>());
    }
}
