//! QoS 2, shared subscriptions and wills, against mosquitto and paho-mqtt.

use crate::support::{Broker, Peer, Proxy, start, until};
use forebay_schemas::Value;

const OPEN: &str = "allow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 200";

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_qos_2_whose_pubrec_is_lost_is_stored_once() {
    let broker = Broker::start(OPEN);
    for version in [4, 5] {
        let proxy = Proxy::start(broker.port).await;
        let keys = format!("version = {version}\nclient_id = \"e{version}\"\nqos = 2");
        let gateway = start(proxy.port, &keys);
        gateway.until_up().await;
        let mut peer = Peer::connect(broker.port, version, "");
        let count = |first: u32, last: u32| {
            format!(
                "\"topic\": \"site/d/cell/t\", \"first\": {first}, \"last\": {last}, \"qos\": 2"
            )
        };
        proxy.lose_pubacks(true);
        peer.command(&count(1, 10));
        until("ten PUBRECs", || (proxy.pubacks() == 10).then_some(())).await;
        proxy.lose_pubacks(false);
        proxy.cut();
        gateway.until_down().await;
        gateway.until_up().await;
        until("the PUBRECs of the repetitions", || {
            (proxy.pubacks() >= 20).then_some(())
        })
        .await;
        // Packet ids are used again only once their PUBCOMP has come.
        peer.command(&count(11, 60));
        gateway.samples_since(0, 60).await;
        let numbers: Vec<i64> = gateway
            .stop()
            .await
            .iter()
            .filter_map(|sample| match sample.value {
                Some(Value::I64(number)) => Some(number),
                _ => None,
            })
            .collect();
        assert_eq!(numbers, (1..=60).collect::<Vec<_>>(), "version {version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_subscription_gives_each_gateway_a_part() {
    let broker = Broker::start(OPEN);
    for version in [4, 5] {
        let keys = |name: &str| {
            format!(
                "version = {version}\nclient_id = \"{name}{version}\"\n\
                 topics = [\"$share/edge{version}/site/+/cell/+\"]"
            )
        };
        let (one, other) = (
            start(broker.port, &keys("a")),
            start(broker.port, &keys("b")),
        );
        one.until_up().await;
        other.until_up().await;
        let mut peer = Peer::connect(broker.port, version, "");
        peer.count("site/d/cell/t", 1, 50);
        let both = || {
            let mut numbers = one.integers();
            let mine = numbers.len();
            numbers.extend(other.integers());
            (numbers.len() >= 50).then_some((mine, numbers))
        };
        let (mine, mut numbers) = until("all numbers at one of them", both).await;
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=50).collect::<Vec<_>>());
        assert!(mine > 0 && mine < 50, "each has a part: {mine}");
        one.stop().await;
        other.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_will_is_published_when_the_connection_breaks() {
    let broker = Broker::start(OPEN);
    let listener = start(broker.port, "");
    listener.until_up().await;
    for (version, number) in [(4, 41), (5, 51)] {
        let keys = format!(
            "version = {version}\nclient_id = \"w{version}\"\ntopics = [\"site/none/cell/none\"]\n\
             [connector.will]\ntopic = \"site/w/cell/t\"\npayload = '{{\"v\": {number}}}'\nqos = 1"
        );
        let gateway = start(broker.port, &keys);
        gateway.until_up().await;
        gateway.stop().await;
        let gateway = start(broker.port, &keys);
        gateway.until_up().await;
        gateway.kill().await;
        until("the will", || {
            listener.integers().contains(&number).then_some(())
        })
        .await;
    }
    // Not for those that said good-bye.
    assert_eq!(listener.stop().await.len(), 2);
}
