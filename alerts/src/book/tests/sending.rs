//! What is sent of alerts, to whom, and what is held back.

use super::*;

#[test]
fn what_still_fires_is_repeated_until_somebody_has_taken_it_up() {
    let mut rig = Rig::new(vec![full_disk()]);
    assert_eq!(rig.look(0, &[disk(95.0)]), ["ops firing disk /d"]);
    assert_eq!(rig.look(59, &[disk(95.0)]), NONE);
    assert_eq!(rig.look(60, &[disk(95.0)]), ["ops repeat disk /d"]);
    let alert = rig.only_id()[..6].to_owned();
    rig.ask(
        61,
        &Request::Acknowledge {
            alert,
            by: "ann".into(),
            note: None,
        },
    );
    assert_eq!(rig.look(300, &[disk(95.0)]), NONE);
    // That it is over is sent all the same.
    assert_eq!(rig.look(301, &[disk(10.0)]), ["ops resolved disk /d"]);
}

#[test]
fn an_alertmanager_is_kept_informed_of_what_is_acknowledged() {
    let mut rig = Rig::new(vec![full_disk()]);
    rig.subscriptions = vec![subscription("am", Repeats::KeepAlive)];
    assert_eq!(rig.look(0, &[disk(95.0)]), ["am firing disk /d"]);
    let alert = rig.only_id();
    rig.ask(
        1,
        &Request::Acknowledge {
            alert,
            by: "ann".into(),
            note: None,
        },
    );
    assert_eq!(rig.look(60, &[disk(95.0)]), ["am repeat disk /d"]);
}

#[test]
fn what_is_worse_is_sent_again_and_no_longer_acknowledged() {
    let mut by_job = rule("job", Subject::JobResult, Limit::Holds);
    by_job.severity = None;
    let mut rig = Rig::new(vec![by_job]);
    let warned = |severity| {
        let mut fact = Fact::new(
            Subject::JobResult,
            &[("device", "p")],
            Measure::Holds(Some(second(0))),
        );
        fact.severity = Some(severity);
        fact
    };
    assert_eq!(rig.look(1, &[warned(Severity::Info)]), NONE);
    assert_eq!(
        rig.look(2, &[warned(Severity::Warning)]),
        ["ops firing job p"]
    );
    let alert = rig.only_id();
    rig.ask(
        3,
        &Request::Acknowledge {
            alert,
            by: "ann".into(),
            note: None,
        },
    );
    assert_eq!(rig.look(4, &[warned(Severity::Warning)]), NONE);
    assert_eq!(
        rig.look(5, &[warned(Severity::Critical)]),
        ["ops firing job p"]
    );
    assert_eq!(rig.look(6, &[warned(Severity::Warning)]), NONE);
}

#[test]
fn silences_and_shelves_hold_back_until_they_end() {
    let silence = Request::Silence {
        matchers: BTreeMap::from([
            ("device".to_owned(), "pump-*".to_owned()),
            ("alert".to_owned(), "silent".to_owned()),
        ]),
        until: second(400),
        by: "ann".into(),
        note: Some("service".into()),
    };
    let mut rig = Rig::new(vec![silent()]);
    rig.ask(0, &silence);
    let facts = [device("pump-1", 0), device("fan", 0)];
    assert_eq!(rig.look(300, &facts), ["ops firing silent fan"]);
    // It ends, and what still fires is sent.
    assert_eq!(
        rig.look(400, &facts),
        ["ops repeat silent fan", "ops firing silent pump-1"]
    );

    let mut rig = Rig::new(vec![full_disk()]);
    assert_eq!(rig.look(0, &[disk(95.0)]), ["ops firing disk /d"]);
    let alert = rig.only_id();
    rig.ask(
        1,
        &Request::Shelve {
            alert,
            until: Some(second(200)),
        },
    );
    assert_eq!(rig.look(199, &[disk(95.0)]), NONE);
    assert_eq!(rig.look(200, &[disk(95.0)]), ["ops repeat disk /d"]);
}

#[test]
fn an_outage_of_the_receiver_is_one_repetition_and_not_a_storm() {
    let mut rig = Rig::new(vec![full_disk()]);
    let facts = Facts {
        facts: vec![disk(95.0)],
        read: BTreeSet::from([Subject::Disk]),
    };
    for minute in 0..100 {
        let now = second(minute * 60);
        rig.book
            .advance(&rig.rules, &facts, &rig.sender.gateway, now);
        rig.book.plan(&rig.subscriptions, &rig.sender, now);
    }
    // The one that raised it, which has not arrived, says it already.
    assert_eq!(rig.sent(), ["ops firing disk /d"]);
}

#[test]
fn a_queue_is_bounded_and_gives_up_repetitions_first() {
    let mut rig = Rig::new(vec![full_disk()]);
    rig.look(0, &[disk(95.0)]);
    let instance = rig.book.instances().next().unwrap().clone();
    let mut queue = Queue::default();
    let mut dropped = Vec::new();
    for n in 0..5002 {
        let event = if n == 7 { Event::Repeat } else { Event::Firing };
        let delivery = Delivery::of(&instance, event, "ops", &rig.sender, second(n));
        dropped.extend(queue.push(delivery));
    }
    let at: Vec<i64> = dropped
        .iter()
        .map(|one| one.queued_at.nanos() / 1_000_000_000)
        .collect();
    assert_eq!((queue.len(), at), (5000, vec![7, 0]));
}

#[test]
fn a_route_hears_only_what_it_asks_for() {
    let mut rig = Rig::new(vec![full_disk(), silent()]);
    let only = |glob: &str| {
        GlobSetBuilder::new()
            .add(Glob::new(glob).unwrap())
            .build()
            .unwrap()
    };
    let mut disks = subscription("disks", Repeats::Remind);
    disks.alerts = only("d*");
    let mut critical = subscription("critical", Repeats::Remind);
    critical.severity_min = Severity::Critical;
    rig.subscriptions = vec![disks, critical];
    let facts = [disk(95.0), device("a", 0)];
    assert_eq!(rig.look(300, &facts), ["disks firing disk /d"]);
}

#[test]
fn what_is_over_says_so_and_since_when_it_went_on() {
    let mut rig = Rig::new(vec![full_disk()]);
    let mut look = |at: i64, percent: f64| {
        let facts = Facts {
            facts: vec![disk(percent)],
            read: BTreeSet::from([Subject::Disk]),
        };
        let now = second(at);
        rig.book
            .advance(&rig.rules, &facts, &rig.sender.gateway, now);
        rig.book.plan(&rig.subscriptions, &rig.sender, now);
        let queue = rig.book.queues.get_mut("ops").unwrap();
        let sent = queue.first().unwrap().clone();
        queue.take(&sent.id);
        sent.summary
    };
    assert_eq!(look(0, 95.0), "the disk of /d is 95 % full");
    assert_eq!(
        look(50, 10.0),
        "over after 50s (from 1970-01-01T00:00:00Z to 1970-01-01T00:00:50Z); it said: the disk of /d is 95 % full"
    );
}
