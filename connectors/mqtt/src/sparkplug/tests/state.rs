//! STATE, and the names of devices.

use super::*;

#[test]
fn a_host_says_that_it_is_there() {
    let settings = settings();
    let mut plant = Plant::new(&settings);
    let state = |message: Option<Outgoing>| {
        let message = message.unwrap();
        assert_eq!(
            (message.topic.as_str(), message.qos, message.retain),
            ("spBv1.0/STATE/forebay", 1, true)
        );
        String::from_utf8(message.payload).unwrap()
    };
    assert_eq!(
        state(plant.host.will(6_000)),
        r#"{"online":false,"timestamp":6000}"#
    );
    assert_eq!(
        state(plant.host.online()),
        r#"{"online":true,"timestamp":6000}"#
    );
    assert_eq!(
        state(plant.host.offline(9_000)),
        r#"{"online":false,"timestamp":9000}"#
    );
    // The will of an earlier connection comes late.
    for (said, answer) in [
        (
            r#"{"online":false,"timestamp":5000}"#,
            Some(r#"{"online":true,"timestamp":6000}"#),
        ),
        (
            r#"{"online":false,"timestamp":7000}"#,
            Some(r#"{"online":true,"timestamp":7000}"#),
        ),
        (r#"{"online":true,"timestamp":6000}"#, None),
        ("OFFLINE", None),
    ] {
        plant.hear("STATE/forebay", said.as_bytes());
        let answers = plant.host.take_outgoing(plant.now, 0);
        let answers: Vec<_> = answers
            .into_iter()
            .map(|message| state(Some(message)))
            .collect();
        assert_eq!(answers, answer.into_iter().collect::<Vec<_>>(), "{said}");
        plant.now += Duration::from_secs(1);
    }
    plant.hear("STATE/other", br#"{"online":false,"timestamp":5000}"#);
    assert_eq!(plant.host.take_outgoing(plant.now, 0), []);
}

#[test]
fn devices_are_named_by_a_pattern() {
    let id = NodeId {
        group: "g".into(),
        node: "n{device}".into(),
    };
    let table = [
        ("{group}/{node}/{device}", "g/n{device}/d", "g/n{device}"),
        ("{node}-{device}", "n{device}-d", "n{device}"),
        ("{device}@{node}", "d@n{device}", "n{device}"),
        ("p/{node}/{device}/x", "p/n{device}/d/x", "p/n{device}/x"),
    ];
    for (pattern, device, node) in table {
        let parsed = DevicePattern::parse(pattern).unwrap();
        assert_eq!(
            (
                parsed.name(&id, Some("d")).as_str(),
                parsed.name(&id, None).as_str()
            ),
            (device, node),
            "{pattern}"
        );
    }
    for (pattern, expected) in [
        ("{node}", "{device} is missing"),
        ("{device}", "{node} is missing"),
        ("{node}/{tag}/{device}", "is not a pattern of"),
        ("{node}/{device", "is not a pattern of"),
    ] {
        let error = DevicePattern::parse(pattern).unwrap_err();
        assert!(error.contains(expected), "{pattern}: {error}");
    }
}
