//! Several units and several connectors on one connection.

use std::time::Duration;

use forebay_connectors::Parcel;
use forebay_connectors_conformance::PATIENCE;
use forebay_schemas::Value;
use tokio::{
    net::TcpListener,
    time::{Instant, timeout},
};

use crate::{
    peer::{head, head_at, start, tag},
    server::{Deed, Server, honest_value},
};

#[tokio::test(flavor = "multi_thread")]
async fn connectors_with_one_address_share_one_connection() {
    let server = Server::start(|_, asked| Deed::Send(asked.honest())).await;
    let rigs: Vec<_> = (1..=3)
        .map(|unit| {
            let keys = format!(
                "register = \"holding\"; address = {unit}0; type = \"u16\"; unit_id = {unit}"
            );
            start(&format!(
                "{}{}",
                head(server.port, "every = \"20ms\""),
                tag("t", &keys)
            ))
        })
        .collect();
    for _ in 0..5 {
        for (unit, rig) in (1..).zip(&rigs) {
            assert_eq!(
                rig.next_good("t").await,
                Value::U64(u64::from(honest_value(unit * 10)))
            );
        }
    }
    for rig in rigs {
        rig.stop().await;
    }
    assert!(server.asked().iter().all(|asked| asked.connection == 0));
}

/// A server that hangs up before the handshake: each attempt to connect is seen, and none succeeds.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_be_reached_is_dialled_once_for_all_who_share_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("tls://{}", listener.local_addr().unwrap());
    let text = format!(
        "{}{}",
        head_at(&url, ""),
        tag("t", "register = \"coil\"; address = 0")
    );
    let rigs: Vec<_> = (0..4).map(|_| start(&text)).collect();
    let dial = async || {
        let dial = timeout(PATIENCE, listener.accept()).await;
        drop(dial.expect("it is dialled").unwrap());
        Instant::now()
    };
    let mut dialled = vec![dial().await];
    for rig in &rigs {
        let lost = rig.next_link(PATIENCE).await;
        assert!(lost.down.is_some(), "{lost:?}");
    }
    for _ in 0..2 {
        dialled.push(dial().await);
    }
    // The rig's chance draws the shortest waits: 250 ms, then 500 ms.
    let apart = dialled.windows(2).map(|pair| pair[1] - pair[0]);
    for (apart, least) in apart.zip([200, 450]) {
        assert!(apart >= Duration::from_millis(least), "{apart:?}");
    }
    for rig in rigs {
        rig.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_has_one_connection_for_all_who_waited() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let rigs: Vec<_> = (1..=3)
        .map(|unit| {
            let keys = format!(
                "register = \"holding\"; address = {unit}0; type = \"u16\"; unit_id = {unit}"
            );
            start(&format!("{}{}", head(port, ""), tag("t", &keys)))
        })
        .collect();
    for rig in &rigs {
        let lost = rig.next_link(PATIENCE).await;
        assert!(lost.down.is_some(), "{lost:?}");
    }
    let server = Server::start_at(port, |_, asked| Deed::Send(asked.honest())).await;
    for (unit, rig) in (1..).zip(&rigs) {
        let value = u64::from(honest_value(unit * 10));
        assert_eq!(rig.next_good("t").await, Value::U64(value));
    }
    for rig in rigs {
        rig.stop().await;
    }
    assert!(server.asked().iter().all(|asked| asked.connection == 0));
}

/// Eight dead units of nine: each retry costs 200 ms, and without a budget they would take nearly all of the time.
#[tokio::test(flavor = "multi_thread")]
async fn dead_units_do_not_starve_the_others() {
    let server = Server::start(|_, asked| match asked.unit {
        1 => Deed::Send(asked.honest()),
        _ => Deed::Nothing,
    })
    .await;
    let mut text = head(server.port, "every = \"50ms\"; timeout = \"200ms\"");
    for unit in 1..=9 {
        let keys = format!(
            "register = \"holding\"; address = 10; type = \"u16\"; unit_id = {unit}; device = \"d{unit}\""
        );
        text.push_str(&tag("t", &keys));
    }
    let rig = start(&text);
    let mut downs = 0;
    rig.next(PATIENCE, |parcel| {
        if let Parcel::Link(change) = parcel {
            downs += u32::from(change.down.is_some());
        }
        (downs == 8).then_some(())
    })
    .await;
    let asked_dead = || {
        server
            .asked()
            .iter()
            .filter(|asked| asked.unit != 1)
            .count()
    };
    let (began, before) = (Instant::now(), asked_dead());
    let mut good = 0;
    rig.next(PATIENCE, |parcel| {
        if let Parcel::Samples(samples) = parcel {
            good += samples.len();
        }
        (began.elapsed() >= Duration::from_secs(3)).then_some(())
    })
    .await;
    rig.stop().await;
    // A fifth of the time may go to the dead, which is three retries; without a bound there would be fourteen.
    let retries = asked_dead() - before;
    assert!(
        (1..=5).contains(&retries),
        "{retries} retries of dead units in 3 s"
    );
    assert!(good > 20, "{good} polls in 3 s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slower_tag_is_read_along_and_handed_over_when_it_is_due() {
    let server = Server::start(|_, asked| Deed::Send(asked.honest())).await;
    let tags = [
        tag(
            "fast",
            "register = \"holding\"; address = 10; type = \"u16\"",
        ),
        tag(
            "slow",
            "register = \"holding\"; address = 12; type = \"u16\"; every = \"500ms\"",
        ),
    ];
    let rig = start(&format!(
        "{}{}",
        head(server.port, "every = \"50ms\""),
        tags.concat()
    ));
    let (mut fast, mut slow) = (0, 0);
    rig.next(PATIENCE, |parcel| {
        if let Parcel::Samples(samples) = parcel {
            for sample in samples {
                let address = if sample.tag.as_str() == "slow" {
                    12
                } else {
                    10
                };
                assert_eq!(
                    sample.value,
                    Some(Value::U64(u64::from(honest_value(address))))
                );
                slow += u32::from(address == 12);
                fast += u32::from(address == 10);
            }
        }
        (fast >= 41).then_some(())
    })
    .await;
    rig.stop().await;
    assert!(
        (3..=6).contains(&slow),
        "{slow} readings of the slow tag, {fast} of the fast one"
    );
    let asked = server.asked();
    // The first asks for a sign of life.
    let forms: Vec<(u16, u16)> = asked[1..]
        .iter()
        .map(|asked| (asked.first, asked.count))
        .collect();
    assert!(forms.iter().all(|form| *form == (10, 3)), "{forms:?}");
}
