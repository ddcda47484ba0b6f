//! Everything that can be killed is killed, thirty times, and every number that the publisher was promised is in the lake once.
//!
//! The judge is PyArrow over the Delta log (`lake/tests/oracle.py`), not our own query.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use serde_json::json;

use super::{
    chance::Chance,
    life::{Deaths, End, Mortal},
    rig::{Kafka, Link, PARTITIONS, PATIENCE, Plant},
};
use crate::site::{Broker, Peer, Running, Site, now, pause, signal, text, until};

const KILLS: usize = 30;
const CLIENT: &str = "forebay-kills";
/// Devices that the numbers are spread over, so that many lanes and partitions have some.
const DEVICES: u32 = 8;
/// The publisher's commands are of so many numbers.
const CHUNK: u64 = 200;
/// A hundred numbers a second at most.
const EVERY_MS: u64 = 10;
const GROWN: u32 = 8;
/// Windows, files and sessions are short: the whole is to be over in minutes.
const STREAM: &str = "session_timeout = \"6s\"\nmetadata_refresh = \"1s\"";
const LAKE: &str =
    "commit_interval = \"500ms\"\nmerge_every = \"2s\"\nmerge_settled = \"1s\"\nwindow = \"1m\"";

/// Ends of one round: a good part of all.
const EDGE: [End; 5] = [
    End::Anywhere,
    End::Anywhere,
    End::Anywhere,
    End::At("after_sync"),
    End::At("after_sync"),
];
const FIRST: [End; 5] = [
    End::Anywhere,
    End::At("after_quarantine"),
    End::At("after_file_write"),
    End::At("after_commit"),
    End::At("in_merge"),
];
const SECOND: [End; 5] = [
    End::Anywhere,
    End::At("after_state"),
    End::At("after_commit"),
    End::At("after_file_write"),
    End::At("in_merge"),
];

fn connector(port: u16) -> String {
    format!(
        "[[connector]]\nname = \"cells\"\nkind = \"mqtt\"\nurl = \"mqtt://127.0.0.1:{port}\"\nversion = 5\n\
         client_id = \"{CLIENT}\"\ntopics = [\"site/+/cell/#\"]\n\
         [[connector.tag]]\ntopic = \"site/{{device}}/cell/{{tag}}\"\nvalue = \"$.v\"\nunit = \"V\"\n"
    )
}

/// Publishes numbers from 1 on until told to stop; answers how many.
fn publish(publisher: &mut Peer, stop: &AtomicBool) -> u64 {
    let mut last = 0;
    while !stop.load(Ordering::Relaxed) {
        let (first, next) = (last + 1, last + CHUNK);
        let command = json!({"topic": "site/c-{n}/cell/count", "spread": DEVICES, "first": first, "last": next, "every_ms": EVERY_MS});
        assert_eq!(
            publisher.ask(&command.to_string()),
            "done",
            "the broker stays up and takes everything"
        );
        last = next;
    }
    last
}

/// One round of deaths in all three processes, with Kafka among them; all are alive after it.
fn round(
    mortals: &[Mortal<'_>; 3],
    kafka: &mut Kafka,
    chance: &mut Chance,
    deaths: &Deaths,
) -> [Running; 3] {
    thread::scope(|scope| {
        let dying = [0, 1, 2].map(|of| {
            let (mortal, ends, mut own) = (&mortals[of], [EDGE, FIRST, SECOND][of], chance.split());
            scope.spawn(move || mortal.die(&ends, &mut own, deaths))
        });
        pause(chance.within(Duration::from_secs(5), Duration::from_secs(20)));
        kafka.restart();
        deaths.tell("kafka was killed and is up again");
        dying.map(|life| life.join().unwrap())
    })
}

/// The partitions that a compactor reads at present, as its log has it; and how often it began with each.
fn reading(site: &Site) -> (BTreeSet<u32>, BTreeMap<u32, usize>) {
    let (mut now, mut begun) = (BTreeSet::new(), BTreeMap::new());
    for line in site.log().lines() {
        if line.contains(" running ") {
            now.clear();
        }
        let behind = line.rsplit_once("partition ").map(|(_, behind)| behind);
        let partition =
            behind.and_then(|behind| behind.split(|c: char| !c.is_ascii_digit()).next());
        let Some(partition) = partition.and_then(|number| number.parse().ok()) else {
            continue;
        };
        if line.contains(" consuming ") {
            now.insert(partition);
            *begun.entry(partition).or_default() += 1;
        } else if line.contains("is taken away") || line.contains("task has ended") {
            now.remove(&partition);
        }
    }
    (now, begun)
}

fn until_all_are_read(plant: [&Site; 2], partitions: u32) {
    let all: BTreeSet<u32> = (0..partitions).collect();
    let shared = || {
        let (first, second) = (reading(plant[0]).0, reading(plant[1]).0);
        !first.is_empty()
            && !second.is_empty()
            && first.union(&second).copied().collect::<BTreeSet<_>>() == all
    };
    let both = || format!("{:?} and {:?}", reading(plant[0]).0, reading(plant[1]).0);
    until(PATIENCE, shared)
        .unwrap_or_else(|()| panic!("of {partitions} partitions these are read: {}", both()));
}

/// The first compactor sleeps beyond its session, loses a partition to the second, wakes up, and gets it back when the
/// second dies, which is born again.
fn sleep_and_lose(
    mortals: [&Mortal<'_>; 2],
    sleeping: &Running,
    awake: Running,
    deaths: &Deaths,
) -> Running {
    let [sleeper, other] = mortals.map(|compactor| compactor.site);
    let had = *reading(sleeper).0.first().unwrap();
    let begun = reading(sleeper).1[&had];
    signal("STOP", sleeping.pid());
    until(PATIENCE, || reading(other).0.contains(&had))
        .expect("the other gets the sleeper's partition");
    let commits = committed_of(other, had);
    until(PATIENCE, || committed_of(other, had) > commits)
        .expect("the other commits what comes in it");
    signal("CONT", sleeping.pid());
    deaths.tell(&format!(
        "a compactor slept, lost partition {had} and woke up"
    ));
    awake.kill();
    deaths.note(mortals[1].role, End::Anywhere);
    until(PATIENCE, || {
        reading(sleeper).1[&had] > begun && reading(sleeper).0.contains(&had)
    })
    .expect("the sleeper gets its partition back");
    let commits = committed_of(sleeper, had);
    until(PATIENCE, || committed_of(sleeper, had) > commits).expect("the sleeper commits again");
    deaths.tell(&format!("it has partition {had} again"));
    mortals[1].born(&[])
}

/// Commits of one partition.
fn committed_of(site: &Site, partition: u32) -> usize {
    let place = format!("partition {partition}\"");
    site.log()
        .lines()
        .filter(|line| line.contains(" committed ") && line.contains(&place))
        .count()
}

/// The numbers whose PUBACK has come.
pub(super) fn acknowledged(log: &str) -> BTreeSet<u64> {
    let number = |line: &str| {
        line.strip_prefix("{\"v\": ")?
            .strip_suffix('}')?
            .parse()
            .ok()
    };
    log.lines()
        .map(|line| number(line).unwrap_or_else(|| panic!("the log says {line}")))
        .collect()
}

/// Every acknowledged number is there once, nothing else is, and no identity comes twice.
pub(super) fn check_oracle(plant: &Plant, acknowledged: &BTreeSet<u64>) {
    let seen = plant.oracle(&["--values", "value_int"]);
    let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
    for (value, count) in seen["values"].as_object().unwrap() {
        // Bad readings behind a lost link have no value.
        if value != "None" {
            counts.insert(value.parse().unwrap(), count.as_u64().unwrap());
        }
    }
    let lost: Vec<_> = acknowledged
        .iter()
        .filter(|number| !counts.contains_key(number))
        .collect();
    let doubled: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
    let strange: Vec<_> = counts
        .keys()
        .filter(|number| !acknowledged.contains(number))
        .collect();
    assert!(
        lost.is_empty() && doubled.is_empty() && strange.is_empty(),
        "{} lost: {lost:?}; {} doubled: {doubled:?}; {} unknown: {strange:?}",
        lost.len(),
        doubled.len(),
        strange.len()
    );
    assert_eq!(seen["count"], seen["distinct"], "an identity comes twice");
}

/// What nobody may do to the table is found by `verify`, and only that.
fn check_verify_finds(plant: &Plant) {
    let site = &plant.edge;
    let check = |code: i32, word: &str| {
        let verified = site.forebay(&["verify"]);
        let (out, said) = (text(&verified.stdout), text(&verified.stderr));
        assert_eq!(verified.status.code(), Some(code), "{out}{said}");
        assert!(said.contains(word), "{said}");
        out
    };
    let kept = site.path("kept");
    let path = plant.tamper("row", &kept);
    let out = check(
        3,
        &format!("file {path}: its SHA-256 is not the one that was committed"),
    );
    assert!(out.lines().last().unwrap().starts_with("FAULT "), "{out}");
    plant.tamper("back", &kept);
    check(0, "");
    plant.tamper("file", &kept);
    check(3, &format!("file {path} is missing"));
    plant.tamper("back", &kept);
    check(0, "");
}

#[test]
fn whatever_is_killed_each_acknowledged_number_is_in_the_lake_once() {
    let mut chance = Chance::new();
    let broker =
        Broker::start("allow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 100");
    let mut plant = Plant::start(Link::Clear, STREAM, LAKE, &connector(broker.port));
    // From here on: before, it waited for other plants to end.
    let begun = now();
    let (deaths, stop) = (Deaths::new(), AtomicBool::new(false));
    let log = plant.edge.path("acknowledged");
    let options = json!({"port": broker.port, "version": 5, "log": log}).to_string();

    // The session is there, and subscribed, before the first number.
    let first = plant.run_edge();
    let subscribed = || {
        broker
            .log()
            .contains(&format!("Sending SUBACK to {CLIENT}"))
    };
    until(PATIENCE, subscribed).expect("the connector subscribes");
    first.kill();
    deaths.note("edge", End::Anywhere);

    let Plant {
        edge,
        compactors: [one, two],
        kafka,
        ..
    } = &mut plant;
    let mortal = |site, role, least, most, passages_max| {
        let lives = [least, most].map(Duration::from_secs);
        Mortal {
            site,
            role,
            lives,
            passages_max,
        }
    };
    let mortals = [
        mortal(&*edge, "edge", 2, 15, 100),
        mortal(&*one, "compactor", 4, 15, 3),
        mortal(&*two, "compactor", 4, 15, 3),
    ];
    let (last, [edge, first, second]) = thread::scope(|scope| {
        let publishing = scope.spawn(|| {
            publish(
                &mut Peer::start("connectors/mqtt/tests/peer.py", &options),
                &stop,
            )
        });
        // A test that fails ends the publisher too.
        let _stop = StopAtEnd(&stop);
        let [edge, first, second] = round(&mortals, kafka, &mut chance, &deaths);
        let compactors = [&mortals[1], &mortals[2]];
        let sites = compactors.map(|compactor| compactor.site);
        until_all_are_read(sites, PARTITIONS);
        let second = sleep_and_lose(compactors, &first, second, &deaths);
        kafka.grow(GROWN);
        deaths.tell("the topic has twice as many partitions");
        until_all_are_read(sites, GROWN);
        for (running, mortal) in [edge, first, second].into_iter().zip(&mortals) {
            running.kill();
            deaths.note(mortal.role, End::Anywhere);
        }
        let alive = round(&mortals, kafka, &mut chance, &deaths);
        stop.store(true, Ordering::Relaxed);
        (publishing.join().unwrap(), alive)
    });
    assert!(deaths.count() >= KILLS, "{} deaths", deaths.count());
    for failpoint in ["after_sync", "after_file_write", "after_commit", "in_merge"] {
        assert!(deaths.count_at(failpoint) >= 2, "{failpoint}");
    }

    let acknowledged = acknowledged(&fs::read_to_string(&log).unwrap());
    assert_eq!(
        acknowledged,
        (1..=last).collect(),
        "every number was taken by the broker"
    );
    let distinct = "select count(distinct value_int) from readings where quality = 0";
    plant
        .edge
        .until(distinct, acknowledged.len() as i64, PATIENCE);
    [edge, first, second].into_iter().for_each(Running::stop);
    deaths.tell(&format!("{last} numbers are there"));
    let again = broker
        .log()
        .matches(&format!("Sending PUBLISH to {CLIENT} (d1, q1,"))
        .count();
    assert!(again > 0, "no message came again");
    deaths.tell(&format!("{again} messages came again"));

    check_oracle(&plant, &acknowledged);
    let [received, committed, quarantined, expired, pending, missing] = plant.edge.ledger();
    let sums = format!(
        "{received} = {committed} + {quarantined} + {expired} + {pending}, {missing} missing"
    );
    assert!(
        received >= last && received == committed + quarantined + expired + pending && missing == 0,
        "{sums}"
    );
    deaths.tell(&format!("the ledger of the gateway holds: {sums}"));
    check_verify_finds(&plant);
    assert_eq!(
        plant.partitions_in_use(GROWN),
        GROWN as usize,
        "new partitions are used"
    );
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(600), "took {took:?}");
}

/// Ends the publisher when the test ends, however.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
