//! A gateway whose circumstances change between one death and the next: fewer lanes, Kafka where there was none, a clock that is
//! a day ahead and then right again, a store that fails, and at last two copies of its data folder at work beside one another.
//!
//! Every number that the broker acknowledged is in the lake once. The judge is PyArrow over the Delta log.

use std::{fs, process::Command, time::Duration};

use serde_json::json;

use super::{
    chance::Chance,
    kills::{acknowledged, check_oracle},
    rig::{Link, PATIENCE, Plant, head},
};
use crate::{
    edge::proxy::{Fault, Proxy},
    site::{Broker, Peer, Running, Site, pause, text, until},
};

/// Windows, files and commits are short: the whole is to be over in minutes.
const LAKE: &str = "commit_interval = \"500ms\"\nmerge_every = \"2s\"\nmerge_settled = \"1s\"\n\
                    window = \"5s\"\nlateness = \"2s\"\nidle_timeout = \"2s\"";
/// Numbers of one circumstance.
const CHUNK: u64 = 300;
/// Devices that the numbers are spread over, so that every lane has some.
const DEVICES: u32 = 8;
const LANES_BEFORE: u32 = 4;
/// As a copy of an image without a battery-backed clock wakes up: behind every epoch that it knows.
const LONG_AGO: &str = "@2020-01-01 00:00:00";

/// One gateway, wherever its folder lies: its client id and the first level of its topics.
fn connector(port: u16, name: &str) -> String {
    format!(
        "[[connector]]\nname = \"cells\"\nkind = \"mqtt\"\nurl = \"mqtt://127.0.0.1:{port}\"\nversion = 5\n\
         client_id = \"forebay-{name}\"\ntopics = [\"{name}/+/cell/#\"]\n\
         [[connector.tag]]\ntopic = \"{name}/{{device}}/cell/{{tag}}\"\nvalue = \"$.v\"\nunit = \"V\"\n"
    )
}

struct Story {
    plant: Plant,
    broker: Broker,
    proxy: Proxy,
    publisher: Peer,
    last: u64,
}

impl Story {
    fn begin() -> Self {
        let broker =
            Broker::start("allow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 100");
        let plant = Plant::start(
            Link::Clear,
            "gap_wait = \"5s\"\nmetadata_refresh = \"1s\"",
            LAKE,
            "",
        );
        let proxy = Proxy::to(plant.store_address());
        let log = plant.edge.path("acknowledged");
        let options = json!({"port": broker.port, "version": 5, "log": log}).to_string();
        let publisher = Peer::start("connectors/mqtt/tests/peer.py", &options);
        Self {
            plant,
            broker,
            proxy,
            publisher,
            last: 0,
        }
    }

    /// The configuration of the gateway under a name; `kafka` puts the topic between it and the lake.
    fn configuration(&self, name: &str, lanes: u32, kafka: bool) -> String {
        let stream = match kafka {
            true => format!(
                "{}gap_wait = \"5s\"\nmetadata_refresh = \"1s\"\n",
                self.plant.stream(Link::Clear)
            ),
            false => String::new(),
        };
        let endpoint = self.proxy.url().to_string();
        let lake = self
            .plant
            .keys_and_lake(LAKE, endpoint.trim_end_matches('/'));
        format!(
            "{}{stream}{lake}{}",
            head("g1", lanes),
            connector(self.broker.port, name)
        )
    }

    fn until_subscribed(&self, name: &str) {
        let subscribed = || {
            self.broker
                .log()
                .contains(&format!("Sending SUBACK to forebay-{name}"))
        };
        until(PATIENCE, subscribed)
            .unwrap_or_else(|()| panic!("{name} never subscribes: {}", self.plant.edge.log()));
    }

    /// The next numbers, to the gateway of this name.
    fn publish(&mut self, name: &str) {
        let (first, last) = (self.last + 1, self.last + CHUNK);
        let topic = format!("{name}/c-{{n}}/cell/count");
        let command =
            json!({"topic": topic, "spread": DEVICES, "first": first, "last": last, "every_ms": 5});
        assert_eq!(self.publisher.ask(&command.to_string()), "done");
        self.last = last;
    }

    /// Publishes while a gateway runs, kills it at some moment of that, and publishes more to nobody.
    fn publish_and_kill(&mut self, running: Running, chance: &mut Chance) {
        self.until_subscribed("g");
        self.publish("g");
        pause(chance.within(Duration::ZERO, Duration::from_secs(3)));
        running.kill();
    }
}

/// A copy of a data folder, as an image is copied to a second machine.
fn copied(from: &Site, configuration: &str) -> Site {
    let copy = Site::new();
    let status = Command::new("cp")
        .arg("-a")
        .arg(from.path("data"))
        .arg(copy.path("data"))
        .status()
        .unwrap();
    assert!(status.success());
    copy.configure(configuration);
    copy
}

#[test]
fn lanes_stream_clock_store_and_copies_change_and_each_acknowledged_number_is_in_the_lake_once() {
    let mut chance = Chance::new();
    let mut story = Story::begin();
    let both: &[&str] = &["--role", "edge,compactor"];

    // The spool is the stream, in four lanes, and the store refuses a part of what is put there.
    story
        .plant
        .edge
        .configure(&story.configuration("g", LANES_BEFORE, false));
    let running = story.plant.edge.run(both);
    story.until_subscribed("g");
    story.proxy.fail_put(2, 3, Fault::Refused);
    story.publish("g");
    story.proxy.fail_put(0, 2, Fault::DoneAndCut);
    story.publish_and_kill(running, &mut chance);
    story.proxy.heal();
    // One lane, what the others hold being still there.
    story
        .plant
        .edge
        .configure(&story.configuration("g", 1, false));
    let running = story.plant.edge.run(both);
    story.publish_and_kill(running, &mut chance);
    // Kafka midway, what the spool holds being still there.
    story
        .plant
        .edge
        .configure(&story.configuration("g", 1, true));
    let running = story.plant.edge.run(both);
    story.publish_and_kill(running, &mut chance);
    // A day ahead, and right again.
    let running = story.plant.edge.run_at("+1d", both);
    story.publish_and_kill(running, &mut chance);
    let running = story.plant.edge.run(both);
    story.publish_and_kill(running, &mut chance);
    let distinct = "select count(distinct value_int) from readings where quality = 0";
    let running = story.plant.edge.run(both);
    story
        .plant
        .edge
        .until(distinct, i64::try_from(story.last).unwrap(), PATIENCE);
    // Windows go on closing although some were closed a day ahead.
    let windows = "select count(*) from windows where closed_at < now()";
    let closed = story.plant.edge.number(windows);
    story.publish("g");
    story.plant.edge.until(windows, closed + 1, PATIENCE);
    running.stop();

    // Two copies of one image wake up long ago, each with devices of its own, and write into one lake. Without Kafka, whose
    // library waits by a clock that libfaketime spoils.
    let copies =
        ["a", "b"].map(|name| copied(&story.plant.edge, &story.configuration(name, 1, false)));
    let alive = copies.each_ref().map(|copy| copy.run_at(LONG_AGO, both));
    for name in ["a", "b"] {
        story.until_subscribed(name);
        story.publish(name);
    }
    story
        .plant
        .edge
        .until(distinct, i64::try_from(story.last).unwrap(), PATIENCE);
    alive.into_iter().for_each(Running::stop);
    for copy in &copies {
        assert!(
            copy.log().contains("2020-01-01T"),
            "the copies' clocks are not set: is faketime installed?"
        );
    }

    let acknowledged =
        acknowledged(&fs::read_to_string(story.plant.edge.path("acknowledged")).unwrap());
    assert_eq!(
        acknowledged,
        (1..=story.last).collect(),
        "every number was taken by the broker"
    );
    // Kafka's state and that of the copies' spool know the lane, and have forgotten the same epochs and others.
    let verified = story.plant.edge.forebay(&["verify"]);
    assert_eq!(
        verified.status.code(),
        Some(0),
        "{}{}",
        text(&verified.stderr),
        text(&verified.stdout)
    );
    check_oracle(&story.plant, &acknowledged);
}
