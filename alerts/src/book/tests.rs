//! Alerts over time: facts go in second by second, and what fires, ends and is sent comes out.

mod sending;

use std::{collections::BTreeSet, time::Duration};

use globset::{Glob, GlobSetBuilder};

use super::*;
use crate::{
    Delivery, Event, Fact, Filters, Limit, Measure, Repeats, Request, Sender, Subject,
    Subscription, Timing,
};

fn second(n: i64) -> Timestamp {
    Timestamp::from_nanos(n * 1_000_000_000)
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn rule(name: &str, subject: Subject, limit: Limit) -> Rule {
    Rule {
        name: name.to_owned(),
        subject,
        filters: Filters::default(),
        limit,
        timing: Timing {
            after: Duration::ZERO,
            clear_after: Duration::ZERO,
        },
        severity: Some(Severity::Warning),
        instances_max: 100,
    }
}

fn subscription(route: &str, repeats: Repeats) -> Subscription {
    let all = GlobSetBuilder::new()
        .add(Glob::new("*").unwrap())
        .build()
        .unwrap();
    Subscription {
        route: route.to_owned(),
        alerts: all,
        severity_min: Severity::Warning,
        repeat_every: seconds(60),
        repeats,
    }
}

/// A gateway's alerts and all that was sent of them.
struct Rig {
    rules: Vec<Rule>,
    subscriptions: Vec<Subscription>,
    sender: Sender,
    book: Book,
}

impl Rig {
    fn new(rules: Vec<Rule>) -> Self {
        Self {
            rules,
            subscriptions: vec![subscription("ops", Repeats::Remind)],
            sender: Sender {
                gateway: GatewayId::new("g").unwrap(),
                site: forebay_schemas::SiteId::new("s").unwrap(),
            },
            book: Book::default(),
        }
    }

    /// One look; answers what was queued, such as `ops firing disk`, and empties the queues.
    fn look(&mut self, at: i64, facts: &[Fact]) -> Vec<String> {
        let read: BTreeSet<Subject> = self.rules.iter().map(|rule| rule.subject).collect();
        self.look_at(at, facts, read)
    }

    fn look_at(&mut self, at: i64, facts: &[Fact], read: BTreeSet<Subject>) -> Vec<String> {
        let facts = Facts {
            facts: facts.to_vec(),
            read,
        };
        self.book
            .advance(&self.rules, &facts, &self.sender.gateway, second(at));
        self.book
            .plan(&self.subscriptions, &self.sender, second(at));
        self.sent()
    }

    fn sent(&mut self) -> Vec<String> {
        let mut sent = Vec::new();
        for (route, queue) in &mut self.book.queues {
            while let Some(delivery) = queue.first().cloned() {
                queue.take(&delivery.id);
                let of = delivery.labels.values().next().cloned().unwrap_or_default();
                let event = delivery.event.name();
                sent.push(format!("{route} {event} {} {of}", delivery.rule));
            }
        }
        sent
    }

    fn ask(&mut self, at: i64, request: &Request) {
        self.book.apply(request, second(at)).unwrap();
    }

    fn only_id(&self) -> String {
        let mut ids = self.book.instances().map(|one| one.alert_id.clone());
        let id = ids.next().unwrap();
        assert_eq!(ids.next(), None);
        id
    }
}

fn disk(percent: f64) -> Fact {
    Fact::new(Subject::Disk, &[("folder", "/d")], Measure::Number(percent))
}

fn device(name: &str, heard: i64) -> Fact {
    Fact::new(
        Subject::DeviceSilent,
        &[("device", name)],
        Measure::At(second(heard)),
    )
}

fn full_disk() -> Rule {
    rule(
        "disk",
        Subject::Disk,
        Limit::Above {
            limit: 90.0,
            clear: 80.0,
        },
    )
}

fn silent() -> Rule {
    rule("silent", Subject::DeviceSilent, Limit::Older(seconds(300)))
}

const NONE: [&str; 0] = [];

#[test]
fn a_number_is_one_alert_until_it_is_well_below_its_limit() {
    let mut rig = Rig::new(vec![full_disk()]);
    for (at, percent, sent) in [
        (0, 90.0, ""),
        (1, 90.1, "ops firing disk /d"),
        (2, 85.0, ""),
        (3, 95.0, ""),
        (4, 80.0, ""),
        (5, 79.9, "ops resolved disk /d"),
        (6, 85.0, ""),
        (7, 91.0, "ops firing disk /d"),
    ] {
        assert_eq!(
            rig.look(at, &[disk(percent)]).join(" "),
            sent,
            "second {at}"
        );
    }
}

#[test]
fn a_share_is_judged_from_below() {
    let limit = Limit::Below {
        limit: 0.9,
        clear: 0.95,
    };
    let mut rig = Rig::new(vec![rule("part", Subject::Completeness, limit)]);
    for (at, share, sent) in [
        (0, 0.9, ""),
        (1, 0.89, "ops firing part s"),
        (2, 0.95, ""),
        (3, 0.96, "ops resolved part s"),
    ] {
        let fact = Fact::new(
            Subject::Completeness,
            &[("site", "s")],
            Measure::Number(share),
        );
        assert_eq!(rig.look(at, &[fact]).join(" "), sent, "second {at}");
    }
}

#[test]
fn a_silent_device_fires_when_its_time_is_over_also_after_a_restart() {
    let mut rig = Rig::new(vec![silent()]);
    assert_eq!(rig.look(299, &[device("a", 0)]), NONE);
    assert_eq!(rig.look(300, &[device("a", 0)]), ["ops firing silent a"]);
    assert_eq!(
        rig.book.instances["[\"silent\",{\"device\":\"a\"}]"]
            .state
            .since(),
        second(300)
    );
    assert_eq!(
        rig.look(301, &[device("a", 301)]),
        ["ops resolved silent a"]
    );
}

#[test]
fn a_restart_neither_ends_nor_repeats_what_was_silent() {
    let mut bounded = silent();
    bounded.instances_max = 2;
    let mut rig = Rig::new(vec![bounded]);
    rig.subscriptions[0].repeat_every = seconds(10_000);
    let names = ["a", "b", "c"];
    let dark = names.map(|name| device(name, 0));
    assert_eq!(rig.look(300, &dark).len(), 3);
    // The process starts again: nothing was heard since, and nothing can be said of what is silent for less than its time.
    let not_since = |name: &str| {
        let labels = [("device", name)];
        Fact::new(
            Subject::DeviceSilent,
            &labels,
            Measure::NotSince(second(310)),
        )
    };
    let unheard = names.map(not_since);
    for at in [310, 350, 609] {
        assert_eq!(rig.look(at, &unheard), NONE, "second {at}");
    }
    assert!(rig.book.instances().all(|one| one.state.is_firing()));
    // One is heard, one is no longer configured: these are over. The third takes a place of its own once its time is over.
    let some = [device("a", 609), not_since("c")];
    assert_eq!(
        rig.look(609, &some),
        ["ops resolved silent a", "ops resolved silent b"]
    );
    assert_eq!(
        rig.look(610, &some),
        ["ops firing silent c", "ops resolved silent more"]
    );
    let mut fresh = Rig::new(vec![silent()]);
    assert_eq!(fresh.look(609, &unheard), NONE);
    assert_eq!(fresh.look(610, &unheard).len(), 3);
}

#[test]
fn for_and_clear_times_hold_alerts_back() {
    let mut held = full_disk();
    held.timing = Timing {
        after: seconds(10),
        clear_after: seconds(5),
    };
    let mut rig = Rig::new(vec![held]);
    for (at, percent, sent) in [
        (0, 95.0, ""),
        (5, 85.0, ""),
        (6, 95.0, ""),
        (15, 95.0, ""),
        (16, 95.0, "ops firing disk /d"),
        (17, 70.0, ""),
        (20, 95.0, ""),
        (21, 70.0, ""),
        (26, 70.0, "ops resolved disk /d"),
    ] {
        assert_eq!(
            rig.look(at, &[disk(percent)]).join(" "),
            sent,
            "second {at}"
        );
    }
}

#[test]
fn what_cannot_be_read_changes_nothing_and_what_is_gone_is_over() {
    let mut rig = Rig::new(vec![silent()]);
    assert_eq!(rig.look(300, &[device("a", 0)]), ["ops firing silent a"]);
    assert_eq!(rig.look_at(310, &[], BTreeSet::new()), NONE);
    assert!(rig.book.instances().all(|one| one.state.is_firing()));
    assert_eq!(rig.look(311, &[]), ["ops resolved silent a"]);
}

#[test]
fn a_rule_that_is_removed_ends_its_alerts() {
    let mut rig = Rig::new(vec![full_disk()]);
    assert_eq!(rig.look(0, &[disk(95.0)]), ["ops firing disk /d"]);
    rig.rules.clear();
    assert_eq!(rig.look(1, &[]), ["ops resolved disk /d"]);
}

#[test]
fn a_plant_that_goes_dark_is_a_bounded_number_of_alerts() {
    let mut bounded = silent();
    bounded.instances_max = 3;
    let mut rig = Rig::new(vec![bounded]);
    let dark: Vec<Fact> = (0..1000).map(|n| device(&format!("d{n:04}"), 0)).collect();
    let sent = rig.look(300, &dark);
    let expected = [
        "ops firing silent more",
        "ops firing silent d0000",
        "ops firing silent d0001",
        "ops firing silent d0002",
    ];
    let (mut sorted, mut wanted) = (sent.clone(), expected.map(str::to_owned).to_vec());
    sorted.sort();
    wanted.sort();
    assert_eq!(sorted, wanted);
    let more = rig
        .book
        .instances()
        .find(|one| one.labels.contains_key("instances"));
    let text = more.unwrap().summary.clone();
    assert!(text.starts_with("and 997 more of \"silent\""), "{text}");
    // Two come back: two others take their places, and nothing is sent twice.
    let some: Vec<Fact> = (0..1000)
        .map(|n| device(&format!("d{n:04}"), if n < 2 { 301 } else { 0 }))
        .collect();
    let mut sent = rig.look(301, &some);
    sent.sort();
    assert_eq!(
        sent,
        [
            "ops firing silent d0003",
            "ops firing silent d0004",
            "ops resolved silent d0000",
            "ops resolved silent d0001",
        ]
    );
    let back: Vec<Fact> = (0..1000)
        .map(|n| device(&format!("d{n:04}"), 302))
        .collect();
    let sent = rig.look(302, &back);
    assert_eq!(sent.len(), 4, "{sent:?}");
    assert!(sent.iter().all(|one| one.starts_with("ops resolved")));
}

#[test]
fn requests_that_cannot_be_done_are_refused_and_change_nothing() {
    let mut rig = Rig::new(vec![full_disk()]);
    rig.look(0, &[disk(95.0)]);
    rig.look(1, &[disk(5.0)]);
    let over = rig.only_id();
    let before = rig.book.clone();
    let silence = |matchers: &[(&str, &str)], until: i64| Request::Silence {
        matchers: matchers
            .iter()
            .map(|(label, glob)| ((*label).to_owned(), (*glob).to_owned()))
            .collect(),
        until: second(until),
        by: "ann".into(),
        note: None,
    };
    let acknowledge = |alert: &str| Request::Acknowledge {
        alert: alert.to_owned(),
        by: "ann".into(),
        note: None,
    };
    for (request, why) in [
        (acknowledge("zz"), "there is no alert \"zz\""),
        (acknowledge(""), "there is no alert \"\""),
        (acknowledge(&over), "was resolved at 1970-01-01T00:00:01Z"),
        (silence(&[], 99), "at least one matcher"),
        (silence(&[("device", "[")], 99), "unclosed character class"),
        (
            silence(&[("device", "a")], 2),
            "1970-01-01T00:00:02Z has passed",
        ),
        (
            Request::EndSilence {
                silence: "ab".into(),
            },
            "there is no silence \"ab\"",
        ),
    ] {
        let refused = rig.book.apply(&request, second(2)).unwrap_err().to_string();
        assert!(refused.contains(why), "{refused}");
        assert_eq!(rig.book, before);
    }
}

#[test]
fn ids_follow_from_what_they_name() {
    let mut rig = Rig::new(vec![full_disk()]);
    rig.look(0, &[disk(95.0)]);
    let first = rig.only_id();
    rig.look(1, &[disk(5.0)]);
    rig.look(2, &[disk(95.0)]);
    assert_ne!(rig.only_id(), first);
    assert_eq!(first.len(), 16);
    // Lengths keep words apart.
    assert_ne!(id_of(&["ab", "c"], 8), id_of(&["a", "bc"], 8));
}

#[test]
fn a_device_with_a_pseudonym_is_taken_by_either_name_and_shown_by_one() {
    let globs = |glob: &str| {
        let mut set = GlobSetBuilder::new();
        set.add(Glob::new(glob).unwrap()).build().unwrap()
    };
    let silent = |device: &str, own: Option<&str>| {
        let labels = [("device", device), ("connector", "c")];
        let mut fact = Fact::new(Subject::DeviceSilent, &labels, Measure::At(second(0)));
        fact.own_device = own.map(str::to_owned);
        fact
    };
    let facts = [silent("p-7c1e", Some("truck-17")), silent("depot", None)];
    let limit = Limit::Older(seconds(10));
    for (label, glob, expected) in [
        ("device", "truck-*", vec!["p-7c1e"]),
        ("device", "p-7*", vec!["p-7c1e"]),
        ("device", "depot", vec!["depot"]),
        // It is a name of a device alone.
        ("connector", "truck-*", vec![]),
    ] {
        let mut silent = rule("silent", Subject::DeviceSilent, limit);
        silent.filters.labels = vec![(label, globs(glob))];
        let mut rig = Rig::new(vec![silent]);
        rig.look(60, &facts);
        let devices = rig
            .book
            .instances()
            .map(|one| one.labels["device"].as_str());
        assert_eq!(devices.collect::<Vec<_>>(), expected, "{label} {glob}");
        let stored = serde_json::to_string(&rig.book).unwrap();
        assert!(!stored.contains("truck"), "{stored}");
    }
}
