//! The intake against a gateway that answers when the test says so.

mod simulation;

use bytes::Bytes;
use forebay_connectors::{Delivery as Parcels, Extent, Parcel, Restored, outlet};
use forebay_payload::{Format, Selection};
use forebay_schemas::{DeviceId, TagName, Value};
use tokio::sync::mpsc::Receiver;

use super::*;
use crate::{
    decode::{Fallback, PayloadKind, Rule},
    topic::Template,
};

fn rules() -> Rules {
    let rule = Rule {
        id: forebay_connectors::RuleId(0),
        template: Template::parse("{device}/{tag}").unwrap(),
        device: None,
        tag: None,
        kind: PayloadKind::Plain(Format::Json),
        selection: Selection::default(),
    };
    let fallback = Fallback {
        device: DeviceId::new("d").unwrap(),
        tag: TagName::new("t").unwrap(),
    };
    Rules {
        rules: vec![rule],
        fallback,
        payload_bytes_max: 1000,
    }
}

fn message(packet: u16, number: u64, dup: bool) -> Publish {
    let payload = Bytes::from(number.to_string());
    let (payload_bytes, topic) = (payload.len(), "d/t".to_owned());
    match packet {
        0 => Publish {
            dup,
            qos: 0,
            retain: false,
            topic,
            packet: None,
            payload,
            payload_bytes,
        },
        id => Publish {
            dup,
            qos: 1,
            retain: false,
            topic,
            packet: Some(PacketId(id)),
            payload,
            payload_bytes,
        },
    }
}

fn messages(parcels: &Parcels) -> (&[Token], &[Message]) {
    match &parcels.parcel {
        Parcel::Messages { ended, messages } => (ended, messages),
        other => panic!("messages are expected, found {other:?}"),
    }
}

fn numbers(parcels: &Parcels) -> Vec<i64> {
    let (_, messages) = messages(parcels);
    let samples = messages.iter().flat_map(|message| &message.samples);
    samples
        .map(|sample| {
            if let Some(Value::I64(n)) = sample.value {
                n
            } else {
                -1
            }
        })
        .collect()
}

fn intake_of<'r>(
    outlet: Outlet,
    rules: &'r Rules,
    session: Session,
    in_flight_max: u16,
) -> Intake<'r> {
    let meaning = Meaning::of(rules, outlet.known());
    Intake::new("cells", outlet, meaning, session, in_flight_max)
}

const KEPT: Session = Session::Kept { expiry_seconds: 60 };

/// Starts the next delivery without waiting for its receipt.
async fn start(intake: &mut Intake<'_>) {
    tokio::select! { biased; _ = intake.deliver() => {} () = std::future::ready(()) => {} }
}

async fn receive(intake: &mut Intake<'_>, gateway: &mut Receiver<Parcels>) -> Parcels {
    start(intake).await;
    gateway.try_recv().expect("a delivery is under way")
}

async fn deliver(intake: &mut Intake<'_>, gateway: &mut Receiver<Parcels>) -> (Vec<i64>, Vec<u16>) {
    let parcels = receive(intake, gateway).await;
    let numbers = numbers(&parcels);
    parcels.receipt.send(()).unwrap();
    (
        numbers,
        intake
            .deliver()
            .await
            .unwrap()
            .into_iter()
            .map(|answer| match answer {
                Answer::PubAck(packet) | Answer::PubRec(packet) => packet.0,
            })
            .collect(),
    )
}

#[tokio::test]
async fn what_waits_goes_in_one_delivery_and_is_acknowledged_in_order() {
    let (outlet, mut gateway) = outlet(4);
    let rules = rules();
    let mut intake = intake_of(outlet, &rules, KEPT, 4);
    intake.connected(false);
    intake.arrived(message(1, 10, false));
    let first = receive(&mut intake, &mut gateway).await;
    for packet in 2..=4 {
        assert!(intake.has_room());
        intake.arrived(message(packet, u64::from(packet) * 10, false));
    }
    assert!(!intake.has_room(), "four messages are in flight");
    first.receipt.send(()).unwrap();
    assert_eq!(
        intake.deliver().await,
        Ok(vec![Answer::PubAck(PacketId(1))])
    );
    assert_eq!(
        deliver(&mut intake, &mut gateway).await,
        (vec![20, 30, 40], vec![2, 3, 4])
    );
    assert!(intake.has_room() && !intake.is_busy());
}

#[tokio::test]
async fn a_repetition_of_a_durable_message_is_acknowledged_and_not_delivered() {
    let (outlet, mut gateway) = outlet(4);
    let rules = rules();
    let mut intake = intake_of(outlet, &rules, KEPT, 100);
    intake.connected(false);
    intake.arrived(message(1, 10, false));
    intake.arrived(message(2, 20, false));
    let under_way = receive(&mut intake, &mut gateway).await;
    intake.arrived(message(3, 30, false));
    intake.disconnected();
    // The link returns before the receipt: the broker repeats all three.
    intake.connected(true);
    for (packet, number) in [(1, 10), (2, 20), (3, 30)] {
        intake.arrived(message(packet, number, true));
    }
    under_way.receipt.send(()).unwrap();
    assert_eq!(
        intake.deliver().await,
        Ok(vec![]),
        "no PUBACK for messages of another connection"
    );
    assert_eq!(
        deliver(&mut intake, &mut gateway).await,
        (vec![30], vec![1, 2, 3])
    );
    intake.arrived(message(1, 10, false));
    assert_eq!(
        deliver(&mut intake, &mut gateway).await,
        (vec![10], vec![1]),
        "without DUP it is another message"
    );
}

#[tokio::test]
async fn a_message_that_comes_again_on_its_connection_is_stored_and_acknowledged_once() {
    let (outlet, mut gateway) = outlet(4);
    let rules = rules();
    let mut intake = intake_of(outlet, &rules, KEPT, 100);
    intake.connected(false);
    intake.arrived(message(1, 10, false));
    let under_way = receive(&mut intake, &mut gateway).await;
    for dup in [false, true, true] {
        intake.arrived(message(2, 20, dup));
    }
    under_way.receipt.send(()).unwrap();
    assert_eq!(
        intake.deliver().await,
        Ok(vec![Answer::PubAck(PacketId(1))])
    );
    assert_eq!(
        deliver(&mut intake, &mut gateway).await,
        (vec![20], vec![2])
    );
    assert_eq!(
        intake.deliver().await,
        Ok(vec![]),
        "a second PUBACK could be taken for that of the id's next message"
    );
    assert!(gateway.try_recv().is_err() && !intake.is_busy());
}

#[tokio::test]
async fn a_ping_does_not_end_the_receipt_of_a_repetition_that_waits() {
    let (outlet, mut gateway) = outlet(4);
    let rules = rules();
    let mut intake = intake_of(outlet, &rules, KEPT, 100);
    intake.connected(false);
    intake.arrived(message(1, 10, false));
    assert_eq!(
        deliver(&mut intake, &mut gateway).await,
        (vec![10], vec![1])
    );
    intake.receipts.ping_sent();
    // The broker sent it again before it had the PUBACK, and answers the ping behind it.
    intake.arrived(message(1, 10, true));
    intake.ping_answered();
    start(&mut intake).await;
    assert!(
        gateway.try_recv().is_err() && !intake.is_busy(),
        "it is durable"
    );
}

#[tokio::test]
async fn messages_of_a_lost_connection_wait_until_the_session_is_known() {
    for (session_present, expected) in [(true, vec![0]), (false, vec![0, 10])] {
        let (outlet, mut gateway) = outlet(4);
        let rules = rules();
        let mut intake = intake_of(outlet, &rules, KEPT, 100);
        intake.connected(false);
        intake.arrived(message(1, 10, false));
        intake.arrived(message(0, 0, false));
        intake.disconnected();
        let mut seen = Vec::new();
        let (numbers, acknowledged) = deliver(&mut intake, &mut gateway).await;
        assert_eq!(acknowledged, [0u16; 0]);
        seen.extend(numbers);
        assert!(!intake.is_busy(), "the message with QoS 1 waits");
        intake.connected(session_present);
        while intake.is_busy() {
            let (numbers, acknowledged) = deliver(&mut intake, &mut gateway).await;
            assert_eq!(acknowledged, [0u16; 0], "its session is gone");
            seen.extend(numbers);
        }
        assert_eq!(seen, expected, "session present: {session_present}");
        assert!(intake.has_room() && intake.messages == 0 && intake.bytes == 0);
    }
}

#[tokio::test]
async fn a_clean_session_repeats_nothing_and_all_is_delivered() {
    let (outlet, mut gateway) = outlet(4);
    let rules = rules();
    let mut intake = intake_of(outlet, &rules, Session::Clean, 100);
    intake.connected(false);
    intake.arrived(message(1, 10, false));
    intake.disconnected();
    intake.forget_repeatable();
    let parcels = receive(&mut intake, &mut gateway).await;
    assert_eq!(
        (numbers(&parcels), messages(&parcels).1[0].token.clone()),
        (vec![10], None)
    );
    parcels.receipt.send(()).unwrap();
    assert_eq!(intake.deliver().await, Ok(vec![]));
    intake.connected(false);
    assert!(!intake.is_busy(), "nothing is kept of its receipts");
}

#[tokio::test]
async fn a_retained_message_says_what_holds_now() {
    let (outlet, mut gateway) = outlet(4);
    let rules = rules();
    let mut intake = intake_of(outlet, &rules, KEPT, 100);
    intake.connected(false);
    intake.arrived(Publish {
        retain: true,
        ..message(1, 10, false)
    });
    intake.arrived(message(2, 20, false));
    let parcels = receive(&mut intake, &mut gateway).await;
    let told: Vec<_> = messages(&parcels)
        .1
        .iter()
        .map(|message| message.samples[0].kind)
        .collect();
    assert_eq!(told, [SampleKind::Snapshot, SampleKind::Update]);
}

#[tokio::test]
async fn messages_without_a_rule_are_acknowledged() {
    let (outlet, mut gateway) = outlet(4);
    let rules = rules();
    let mut intake = intake_of(outlet, &rules, KEPT, 100);
    intake.connected(false);
    intake.arrived(Publish {
        topic: "no/such/rule".into(),
        ..message(1, 10, false)
    });
    assert_eq!(
        intake.deliver().await,
        Ok(vec![Answer::PubAck(PacketId(1))])
    );
    assert!(gateway.try_recv().is_err() && intake.unmatched.count == 1);
}

/// As the intake names the message to the gateway.
fn token(packet: u16, number: u64) -> Token {
    Receipt {
        packet: PacketId(packet),
        fingerprint: Fingerprint::of("d/t", number.to_string().as_bytes()),
    }
    .token()
}

#[tokio::test]
async fn messages_that_may_come_again_carry_their_receipt_and_its_end_is_told() {
    let (outlet, mut gateway) = outlet(4);
    let rules = rules();
    let mut intake = intake_of(outlet, &rules, KEPT, 100);
    intake.connected(false);
    intake.arrived(message(7, 10, false));
    intake.arrived(message(0, 20, false));
    let parcels = receive(&mut intake, &mut gateway).await;
    let (ended, taken) = messages(&parcels);
    let tokens: Vec<_> = taken.iter().map(|message| message.token.clone()).collect();
    assert_eq!((ended, tokens), (&[][..], vec![Some(token(7, 10)), None]));
    parcels.receipt.send(()).unwrap();
    intake.deliver().await.unwrap();
    assert!(!intake.is_busy());
    intake.receipts.ping_sent();
    intake.ping_answered();
    assert!(intake.is_busy(), "the gateway has to be told");
    let parcels = receive(&mut intake, &mut gateway).await;
    assert_eq!(messages(&parcels), (&[token(7, 10)][..], &[][..]));
    parcels.receipt.send(()).unwrap();
    assert_eq!(intake.deliver().await, Ok(vec![]));
    assert!(!intake.is_busy());
}

#[tokio::test]
async fn a_message_stored_for_a_session_that_is_gone_leaves_no_receipt() {
    let (outlet, mut gateway) = outlet(4);
    let rules = rules();
    let mut intake = intake_of(outlet, &rules, KEPT, 100);
    intake.connected(false);
    intake.arrived(message(7, 10, false));
    let parcels = receive(&mut intake, &mut gateway).await;
    intake.disconnected();
    intake.connected(false);
    intake.arrived(message(7, 10, false));
    parcels.receipt.send(()).unwrap();
    assert_eq!(intake.deliver().await, Ok(vec![]), "its session is gone");
    let parcels = receive(&mut intake, &mut gateway).await;
    let (ended, taken) = messages(&parcels);
    assert_eq!(
        (ended, taken[0].token.clone()),
        (&[token(7, 10)][..], Some(token(7, 10))),
        "ended, then opened anew"
    );
}

#[tokio::test]
async fn what_an_earlier_process_stored_is_acknowledged_and_not_delivered() {
    let (outlet, mut gateway) = outlet(4);
    let rules = rules();
    let kept = |packet, number, extent| Restored {
        token: token(packet, number),
        extent,
    };
    let outlet = outlet.with_restored(vec![kept(1, 10, Extent::Whole), kept(2, 20, Extent::Part)]);
    let mut intake = intake_of(outlet.clone(), &rules, KEPT, 100);
    intake.connected(true);
    intake.arrived(message(1, 10, true));
    intake.arrived(message(2, 20, true));
    let parcels = receive(&mut intake, &mut gateway).await;
    let (ended, taken) = messages(&parcels);
    assert_eq!(
        (numbers(&parcels), ended, taken[0].token.clone()),
        (vec![20], &[][..], Some(token(2, 20)))
    );
    parcels.receipt.send(()).unwrap();
    assert_eq!(
        intake.deliver().await,
        Ok(vec![
            Answer::PubAck(PacketId(1)),
            Answer::PubAck(PacketId(2))
        ])
    );
    // Without a session at the broker nothing of it comes again.
    let mut intake = intake_of(outlet, &rules, KEPT, 100);
    intake.connected(false);
    let parcels = receive(&mut intake, &mut gateway).await;
    assert_eq!(
        messages(&parcels),
        (&[token(1, 10), token(2, 20)][..], &[][..])
    );
}

#[tokio::test]
async fn a_closed_gateway_gets_nothing_acknowledged() {
    let (outlet, mut gateway) = outlet(4);
    let rules = rules();
    let mut intake = intake_of(outlet, &rules, KEPT, 100);
    intake.connected(false);
    intake.arrived(message(1, 10, false));
    drop(receive(&mut intake, &mut gateway).await);
    assert_eq!(intake.deliver().await, Err(Closed));
}

#[tokio::test]
async fn changes_of_the_link_are_bounded_and_the_latest_is_told() {
    let (outlet, mut gateway) = outlet(100);
    let rules = rules();
    let mut intake = intake_of(outlet, &rules, KEPT, 100);
    for i in 0..20 {
        intake.link(Some(i.to_string()));
    }
    let mut told = Vec::new();
    while intake.is_busy() {
        let parcels = receive(&mut intake, &mut gateway).await;
        let Parcel::Link(change) = parcels.parcel else {
            panic!("a link change is expected")
        };
        told.push(change.down.unwrap());
        parcels.receipt.send(()).unwrap();
        intake.deliver().await.unwrap();
    }
    assert_eq!(
        (told.len(), told.last().map(String::as_str)),
        (CHANGES_MAX, Some("19"))
    );
}
