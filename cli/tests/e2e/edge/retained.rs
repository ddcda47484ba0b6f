//! What a restart knows of series that only messages bring.

use super::{MINUTE, MOSQUITTO, MQTT, head};
use crate::site::{Broker, Peer, Running, Site, signal, until};

/// A session of its own for each connection: the broker says at each start what it has retained.
fn connector(port: u16) -> String {
    format!(
        "[[connector]]\nname = \"cells\"\nkind = \"mqtt\"\nurl = \"mqtt://127.0.0.1:{port}\"\nversion = 4\n\
         clean_session = true\n[[connector.tag]]\ntopic = \"site/{{device}}/{{tag}}\"\nvalue = \"$.v\"\n"
    )
}

/// Readings of the series whose message is retained.
const RETAINED: &str = "select count(*) from readings where device = 'cell'";
/// Those of them without a value.
const BAD: &str = "select count(*) from readings where device = 'cell' and quality = 2";

/// A run that has heard what the broker retains: that comes first.
fn run(site: &Site, publisher: &mut Peer) -> Running {
    let probes = "select count(*) from readings where device = 'probe'";
    let before = site.number_yet(probes);
    let running = site.run(&[]);
    let heard = || {
        publisher.ask(r#"{"topic": "site/probe/t", "first": 0, "last": 0}"#);
        site.number_yet(probes) > before
    };
    until(MINUTE, heard).expect("the connector subscribes");
    running
}

#[test]
fn a_retained_message_is_one_reading_over_restarts_and_bad_while_the_broker_is_away() {
    let site = Site::new();
    let broker = Broker::start(MOSQUITTO);
    let mut publisher = Peer::start(
        MQTT,
        &format!(r#"{{"port": {}, "version": 4}}"#, broker.port),
    );
    publisher.ask(r#"{"topic": "site/cell/t", "first": 7, "last": 7, "retain": true}"#);
    site.configure(&(head("plant") + &connector(broker.port)));
    for _ in 0..3 {
        let mut running = run(&site, &mut publisher);
        signal("HUP", running.pid());
        until(MINUTE, || site.log().contains("configuration reloaded")).expect("it is logged");
        assert!(running.is_up(), "SIGHUP ends nothing");
        running.stop();
    }
    assert_eq!((site.number(RETAINED), site.number(BAD)), (1, 0));
    drop((publisher, broker));
    let running = site.run(&[]);
    site.until(BAD, 1, MINUTE);
    running.stop();
}
