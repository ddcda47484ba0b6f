//! Exceptions, and what they do to the neighbours.

use forebay_connectors_conformance::PATIENCE;
use forebay_schemas::{Quality, Value};

use crate::{
    peer::{Peer, head, served, start, tag, unit},
    server::{Deed, Server},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_address_leaves_its_neighbours_good() {
    // Addresses 11, 31 to 34 and 40011 do not exist.
    let addresses = (0..=20).filter(|address| *address != 11).chain([30, 35]);
    let values: Vec<String> = addresses
        .map(|address| served("holding", address, "u16", "", &format!("{}", address * 3)))
        .collect();
    let peer = Peer::start(0, &[unit(1, "", &values)]).await;
    let mut text = head(peer.port, "every = \"50ms\"; timeout = \"5s\"");
    for address in (0..=20).chain([30, 35]) {
        let keys = format!("register = \"holding\"; address = {address}; type = \"u16\"");
        text.push_str(&tag(&address.to_string(), &keys));
    }
    text.push_str(&tag(
        "number",
        "register = \"holding\"; address = 40011; type = \"u16\"",
    ));
    let rig = start(&text);
    for _ in 0..3 {
        let mut samples = rig.next_samples().await;
        let number = samples.pop().unwrap();
        let hint = "illegal data address (2); addresses count from 0: what manuals number 40011 has the address 10";
        assert_eq!(
            (number.tag.as_str(), number.status.reason.as_deref()),
            ("number", Some(hint))
        );
        assert_eq!(samples.len(), 23, "one delivery holds the whole poll");
        for sample in samples {
            let address: u64 = sample.tag.as_str().parse().unwrap();
            if address == 11 {
                assert_eq!(
                    (sample.value, sample.status.quality, sample.status.code),
                    (None, Quality::Bad, Some(2))
                );
                assert_eq!(
                    sample.status.reason.as_deref(),
                    Some("illegal data address (2)")
                );
            } else {
                assert_eq!(
                    (sample.value, sample.status.quality),
                    (Some(Value::U64(address * 3)), Quality::Good)
                );
            }
        }
    }
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_exceptions_make_their_tags_bad_and_keep_the_link() {
    let value = [served("holding", 0, "u16", "", "1")];
    let peer = Peer::start(0, &[unit(1, ", \"exception\": 6", &value)]).await;
    let text = format!(
        "{}{}",
        head(peer.port, "every = \"20ms\"; timeout = \"5s\""),
        tag("t", "register = \"holding\"; address = 0; type = \"i16\"")
    );
    let rig = start(&text);
    assert_eq!(rig.next_link(PATIENCE).await.down, None);
    for _ in 0..5 {
        let samples = rig.next_samples().await;
        let [sample] = samples.as_slice() else {
            panic!("{samples:?}")
        };
        assert_eq!((sample.value.as_ref(), sample.status.code), (None, Some(6)));
        assert_eq!(
            sample.status.reason.as_deref(),
            Some("server device busy (6)")
        );
    }
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_address_is_asked_less_often_and_stays_bad_with_its_code() {
    let server = Server::start(|_, asked| {
        if asked.first == 500 {
            Deed::Send(asked.exception(2))
        } else {
            Deed::Send(asked.honest())
        }
    })
    .await;
    let tags = [10, 500].map(|address| {
        let keys = format!("register = \"holding\"; address = {address}; type = \"u16\"");
        tag(&address.to_string(), &keys)
    });
    let rig = start(&format!(
        "{}{}",
        head(server.port, "every = \"20ms\""),
        tags.concat()
    ));
    for poll in 0..20 {
        let mut samples = rig.next_samples().await;
        samples.sort_by_key(|sample| sample.rule);
        let [good, bad] = samples.as_slice() else {
            panic!("{samples:?}")
        };
        assert_eq!(
            (good.status.quality, bad.status.code),
            (Quality::Good, Some(2)),
            "poll {poll}"
        );
    }
    rig.stop().await;
    let refused = server
        .asked()
        .iter()
        .filter(|asked| asked.first == 500)
        .count();
    assert_eq!(refused, 3, "after three refusals it rests for 10 s");
}
