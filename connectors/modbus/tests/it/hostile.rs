//! Servers that break the protocol. Register A of this server holds 7·A + 1, so that a value that reaches the wrong tag is
//! seen; whatever the server does, no such value may arrive, the loss must be reported, and an honest server found again.

use std::{sync::Mutex, time::Duration};

use forebay_connectors::{LinkChange, Parcel};
use forebay_connectors_conformance::{LOSS_REPORTED_WITHIN, PATIENCE};
use forebay_schemas::{Quality, Value};
use tokio::{task::JoinSet, time::Instant};

use crate::{
    peer::{head, start, tag},
    server::{Asked, Deed, Server, honest_value},
};

/// Two tags far apart, so that a poll takes two requests of the same form.
fn two_tags(port: u16) -> String {
    let mut text = head(port, "every = \"20ms\"; timeout = \"500ms\"");
    for address in [10, 500] {
        text.push_str(&tag(
            &address.to_string(),
            &format!("register = \"holding\"; address = {address}; type = \"u16\""),
        ));
    }
    text
}

/// Runs against a server that is honest at first, then does a deed to three requests in a row, then is honest again.
/// `reason` is part of what is reported; none where the deed is healed without a word.
async fn check(
    name: &'static str,
    reason: Option<&str>,
    deed: impl Fn(Asked) -> Deed + Send + Sync + 'static,
) {
    check_times(3, name, reason, deed).await;
}

async fn check_times(
    times: usize,
    name: &'static str,
    reason: Option<&str>,
    deed: impl Fn(Asked) -> Deed + Send + Sync + 'static,
) {
    let server = Server::start(move |number, asked| match number {
        number if (5..5 + times).contains(&number) => deed(asked),
        _ => Deed::Send(asked.honest()),
    })
    .await;
    let rig = start(&two_tags(server.port));
    let (mut ups, mut downs, mut good_since) = (0, Vec::new(), 0);
    rig.next(PATIENCE, |parcel| {
        match parcel {
            Parcel::Link(change) => match change.down {
                None => ups += 1,
                Some(reason) => {
                    downs.push(reason);
                    good_since = 0;
                }
            },
            Parcel::Messages { .. } | Parcel::Events(_) => {
                panic!("no device of Modbus sends anything again, nor events")
            }
            Parcel::Samples(samples) => {
                for sample in samples {
                    let address: u16 = sample.tag.as_str().parse().unwrap();
                    assert_eq!(sample.status.quality, Quality::Good, "{name}: {sample:?}");
                    let expected = Value::U64(u64::from(honest_value(address)));
                    assert_eq!(sample.value, Some(expected), "{name}: tag {address}");
                    good_since += 1;
                }
            }
        }
        (ups > downs.len() && good_since >= 20).then_some(())
    })
    .await;
    match reason {
        None => assert_eq!(downs, Vec::<String>::new(), "{name}"),
        Some(reason) => {
            assert!(
                downs.iter().any(|down| down.contains(reason)),
                "{name}: {reason:?} is not in {downs:?}"
            );
        }
    }
    rig.stop().await;
}

fn changed(asked: Asked, change: impl Fn(&mut Vec<u8>)) -> Deed {
    let mut bytes = asked.honest();
    change(&mut bytes);
    Deed::Send(bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_broken_reply_reaches_a_tag() {
    let mut tasks = JoinSet::new();
    let foreign = Some("the reply belongs to another request");
    let malformed = Some("the reply is malformed");
    let silent = Some("no answer from unit 1 within 500ms");
    let noise = Some(
        "what came from unit 1 within 500ms is not a whole Modbus reply: is this a Modbus TCP port?",
    );
    tasks.spawn(check(
        "fewer registers",
        Some("carries 0 values, 1 are due"),
        |asked| Deed::Send(asked.reply_of(0)),
    ));
    tasks.spawn(check(
        "more registers",
        Some("carries 2 values, 1 are due"),
        |asked| Deed::Send(asked.reply_of(2)),
    ));
    tasks.spawn(check("byte count too high", malformed, |asked| {
        changed(asked, |bytes| bytes[8] = 4)
    }));
    tasks.spawn(check("byte count too low", malformed, |asked| {
        changed(asked, |bytes| bytes[8] = 0)
    }));
    tasks.spawn(check("odd byte count", malformed, |asked| {
        changed(asked, |bytes| bytes[8] = 1)
    }));
    tasks.spawn(check("length beyond the frame", noise, |asked| {
        changed(asked, |bytes| bytes[4] = 0xff)
    }));
    tasks.spawn(check("length short of the frame", malformed, |asked| {
        changed(asked, |bytes| bytes[5] -= 1)
    }));
    tasks.spawn(check("no length", malformed, |asked| {
        changed(asked, |bytes| bytes[5] = 0)
    }));
    tasks.spawn(check("no body", malformed, |asked| {
        Deed::Send(asked.frame(&[]))
    }));
    tasks.spawn(check("wrong transaction", foreign, |asked| {
        changed(asked, |bytes| bytes[1] ^= 1)
    }));
    tasks.spawn(check("wrong unit", foreign, |asked| {
        changed(asked, |bytes| bytes[6] = 9)
    }));
    tasks.spawn(check("wrong protocol", malformed, |asked| {
        changed(asked, |bytes| bytes[3] = 1)
    }));
    tasks.spawn(check(
        "wrong function",
        Some("is not one to function 3"),
        |asked| changed(asked, |bytes| bytes[7] = 4),
    ));
    tasks.spawn(check(
        "exception to another function",
        Some("is not one to function 3"),
        |asked| Deed::Send(asked.frame(&[0x84, 2])),
    ));
    tasks.spawn(check("exception without a code", malformed, |asked| {
        Deed::Send(asked.frame(&[0x83]))
    }));
    tasks.spawn(check("another protocol, of no end", noise, |_| {
        Deed::Send(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec())
    }));
    tasks.spawn(check("half a reply, then silence", noise, |asked| {
        Deed::Send(asked.honest()[..9].to_vec())
    }));
    tasks.spawn(check("slow drip", noise, |asked| {
        Deed::Drip(asked.honest(), Duration::from_millis(100))
    }));
    tasks.spawn(check("late", silent, |asked| {
        Deed::Later(asked.honest(), Duration::from_millis(700))
    }));
    tasks.spawn(check("nothing", silent, |_| Deed::Nothing));
    // The first of them is healed by a new connection.
    tasks.spawn(check_times(
        4,
        "closed",
        Some("the server closed the connection"),
        |_| Deed::Close(Vec::new()),
    ));
    tasks.spawn(check_times(
        4,
        "closed midway",
        Some("the server closed the connection"),
        |asked| Deed::Close(asked.honest()[..10].to_vec()),
    ));
    tasks.spawn(check_times(
        4,
        "reset",
        Some("the connection broke"),
        |_| Deed::Reset,
    ));
    tasks.spawn(check("closed after each reply", None, |asked| {
        Deed::Close(asked.honest())
    }));
    tasks.spawn(check("each reply twice", None, |asked| {
        Deed::Send([asked.honest(), asked.honest()].concat())
    }));
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

/// After each of these the connection is not to be trusted: what comes next on it may be a late reply.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_not_used_again_after_a_fault() {
    type Fault = fn(Asked) -> Deed;
    let faults: [Fault; 3] = [
        |_| Deed::Nothing,
        |asked| Deed::Send(asked.reply_of(3)),
        |asked| Deed::Send(asked.frame(&[4, 2, 0, 0])),
    ];
    for fault in faults {
        let server = Server::start(move |number, asked| match number {
            4 => fault(asked),
            _ => Deed::Send(asked.honest()),
        })
        .await;
        let rig = start(&two_tags(server.port));
        while server.asked().len() < 8 {
            rig.next_samples().await;
        }
        let connections: Vec<usize> = server
            .asked()
            .iter()
            .map(|asked| asked.connection)
            .take(8)
            .collect();
        assert_eq!(connections, [0, 0, 0, 0, 0, 1, 1, 1]);
        rig.stop().await;
    }
}

/// The same where only one unit of several is silent, and the link stays up.
#[tokio::test(flavor = "multi_thread")]
async fn the_other_units_go_on_over_a_new_connection() {
    let server = Server::start(|_, asked| match asked.unit {
        2 => Deed::Later(asked.honest(), Duration::from_millis(700)),
        _ => Deed::Send(asked.honest()),
    })
    .await;
    let mut text = two_tags(server.port);
    text.push_str(&tag(
        "slow",
        "register = \"holding\"; address = 10; type = \"u16\"; unit_id = 2; device = \"slow\"",
    ));
    let rig = start(&text);
    let silences = |asked: &[Asked]| asked.iter().filter(|asked| asked.unit == 2).count();
    while silences(&server.asked()) < 3 {
        let samples = rig.next_samples().await;
        assert!(
            samples.iter().all(|sample| sample.device.as_str() == "plc"),
            "{samples:?}"
        );
    }
    for pair in server.asked().windows(2) {
        assert_eq!(
            pair[1].connection - pair[0].connection,
            usize::from(pair[0].unit == 2),
            "{pair:?}"
        );
    }
    rig.stop().await;
}

/// Replies that come just when the next request is out: the transaction tells them apart.
#[tokio::test(flavor = "multi_thread")]
async fn a_reply_to_the_last_request_is_not_taken_for_the_next() {
    let last = Mutex::new(None::<Asked>);
    // Every third reply answers the request before it, with that one's transaction.
    let server = Server::start(move |number, asked| {
        let before = last.lock().unwrap().replace(asked);
        match before {
            Some(before) if number % 3 == 2 => {
                Deed::Send([before.honest(), asked.honest()].concat())
            }
            _ => Deed::Send(asked.honest()),
        }
    })
    .await;
    let rig = start(&two_tags(server.port));
    let mut downs = 0;
    let mut good = 0;
    rig.next(PATIENCE, |parcel| {
        match parcel {
            Parcel::Link(change) => downs += u32::from(change.down.is_some()),
            Parcel::Messages { .. } | Parcel::Events(_) => {
                panic!("no device of Modbus sends anything again, nor events")
            }
            Parcel::Samples(samples) => {
                for sample in samples {
                    let address: u16 = sample.tag.as_str().parse().unwrap();
                    assert_eq!(
                        sample.value,
                        Some(Value::U64(u64::from(honest_value(address))))
                    );
                    good += 1;
                }
            }
        }
        (downs >= 3 && good >= 3).then_some(())
    })
    .await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_rubbish_neither_crashes_nor_fills_the_tags() {
    // Every function code, with bodies of every short length, from a fixed generator (Marsaglia's xorshift).
    let state = Mutex::new(0x2545_f491_u32);
    let server = Server::start(move |number, asked| {
        let mut state = state.lock().unwrap();
        let mut body = vec![u8::try_from(number % 256).unwrap()];
        for _ in 0..number % 23 {
            *state ^= *state << 13;
            *state ^= *state >> 17;
            *state ^= *state << 5;
            body.push(state.to_le_bytes()[0] & 0x1f);
        }
        // Each second request, so that the link comes up in between.
        if number % 2 == 0 {
            Deed::Send(asked.honest())
        } else {
            Deed::Send(asked.frame(&body))
        }
    })
    .await;
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        tasks.spawn(three_downs(server.port));
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert!(server.asked().len() >= 48, "the server was hardly asked");
}

/// Runs until the link was lost three times; only true values may come.
async fn three_downs(port: u16) {
    let rig = start(&two_tags(port));
    let mut downs = 0;
    rig.next(PATIENCE, |parcel| {
        match parcel {
            Parcel::Link(change) => downs += u32::from(change.down.is_some()),
            Parcel::Messages { .. } | Parcel::Events(_) => {
                panic!("no device of Modbus sends anything again, nor events")
            }
            Parcel::Samples(samples) => {
                for sample in samples.into_iter().filter(|sample| sample.value.is_some()) {
                    let address: u16 = sample.tag.as_str().parse().unwrap();
                    assert_eq!(
                        sample.value,
                        Some(Value::U64(u64::from(honest_value(address))))
                    );
                }
            }
        }
        (downs >= 3).then_some(())
    })
    .await;
    rig.stop().await;
}

/// A server that answers the first request of each connection only must not make the link flap without end.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_lost_at_once_is_tried_less_and_less_often() {
    let server = Server::start(|_, asked| {
        if asked.first == 500 {
            Deed::Send(asked.reply_of(3))
        } else {
            Deed::Send(asked.honest())
        }
    })
    .await;
    let rig = start(&two_tags(server.port));
    let mut downs = Vec::new();
    rig.next(PATIENCE, |parcel| {
        if let Parcel::Link(LinkChange { down: Some(_), .. }) = parcel {
            downs.push(Instant::now());
        }
        (downs.len() >= 5).then_some(())
    })
    .await;
    // Without chance the waits are 250, 500, 1000 and 2000 ms.
    let last = downs[4].duration_since(downs[3]);
    assert!(last >= Duration::from_millis(2000), "{last:?}");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_accepts_and_says_nothing_is_told_of_in_time() {
    let server = Server::start(|_, _| Deed::Nothing).await;
    let mut text = head(server.port, "");
    for id in 1..=20 {
        text.push_str(&tag(
            &format!("t{id}"),
            &format!("register = \"coil\"; address = 0; unit_id = {id}"),
        ));
    }
    let rig = start(&text);
    let change = rig.next_link(LOSS_REPORTED_WITHIN).await;
    assert_eq!(
        (change.device, change.down.as_deref()),
        (None, Some("no answer from unit 3 within 1s"))
    );
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_split_is_remembered_and_small() {
    // Sixty registers in one read, of which 37 does not exist.
    let server = Server::start(|_, asked| {
        if (asked.first..asked.first + asked.count).contains(&37) {
            Deed::Send(asked.exception(2))
        } else {
            Deed::Send(asked.honest())
        }
    })
    .await;
    let mut text = head(server.port, "every = \"50ms\"");
    for address in 0..60 {
        text.push_str(&tag(
            &address.to_string(),
            &format!("register = \"holding\"; address = {address}; type = \"u16\""),
        ));
    }
    let rig = start(&text);
    let mut first_poll = None;
    for _ in 0..4 {
        let samples = rig.next_samples().await;
        assert_eq!(samples.len(), 60);
        for sample in samples {
            let address: u16 = sample.tag.as_str().parse().unwrap();
            let expected = (address != 37).then(|| Value::U64(u64::from(honest_value(address))));
            assert_eq!(sample.value, expected, "{address}");
        }
        first_poll.get_or_insert_with(|| server.asked().len());
    }
    let asked = server.asked();
    let (first, later) = asked.split_at(first_poll.unwrap());
    // The probe, then halves of halves: two for each of log2(60) refusals, give or take one.
    assert!(first.len() <= 16, "{first:?}");
    let mut reads: Vec<(u16, u16)> = later
        .iter()
        .map(|asked| (asked.first, asked.count))
        .collect();
    reads.sort_unstable();
    reads.dedup();
    assert!(reads.len() <= 8, "{reads:?}");
    let refused: Vec<&(u16, u16)> = reads
        .iter()
        .filter(|(first, count)| (*first..first + count).contains(&37))
        .collect();
    assert_eq!(refused, [&(37, 1)]);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_with_a_lower_limit_is_read_in_smaller_pieces() {
    // Refuses more than 16 registers with "illegal data value", as the standard has it.
    let server = Server::start(|_, asked| {
        if asked.count > 16 {
            Deed::Send(asked.exception(3))
        } else {
            Deed::Send(asked.honest())
        }
    })
    .await;
    let mut text = head(server.port, "");
    for address in 0..100 {
        text.push_str(&tag(
            &address.to_string(),
            &format!("register = \"input\"; address = {address}; type = \"u16\""),
        ));
    }
    let rig = start(&text);
    let samples = rig.next_samples().await;
    assert_eq!(
        samples
            .iter()
            .filter(|sample| sample.status.quality == Quality::Good)
            .count(),
        100
    );
    rig.stop().await;
}
