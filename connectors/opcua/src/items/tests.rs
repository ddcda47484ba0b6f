use std::{path::Path, str::FromStr};

use forebay_config::Document;
use forebay_connectors::RuleId;
use forebay_schemas::{DeviceId, Quality, TagName, Timestamp, Value};
use opcua::types::{DateTime, Variant};

use super::*;

fn items() -> Items {
    items_with("")
}

fn items_with(keys: &str) -> Items {
    items_of(keys, &[])
}

/// With parts that an earlier process knew.
fn items_of(keys: &str, parts: &[Declared]) -> Items {
    items_on(keys, "i=1", parts)
}

fn items_on(keys: &str, node: &str, parts: &[Declared]) -> Items {
    let text = format!(
        "[[connector]]\nname = \"n\"\ndevice = \"d\"\nurl = \"opc.tcp://localhost\"\n{keys}\n\
         [[connector.tag]]\nname = \"t\"\nnode = \"{node}\""
    );
    let settings = Document::new(Path::new("f.toml"), &text, &|_| None).read(|root| {
        let mut connector = root.tables(&crate::keys::KEYS.connector).remove(0);
        let mut tags = connector.tables(&crate::keys::KEYS.tag);
        Settings::read(&mut connector, &mut tags, Path::new("data"))
    });
    let settings = settings.unwrap();
    let clock = Arc::new(|| Timestamp::from_nanos(1_795_000_000_000_000_000));
    Items::new(&settings, History::new(&settings), clock, parts)
}

/// Ticks of the source's clock, so many seconds after a start.
fn second(seconds: i64) -> i64 {
    value::UNIX_EPOCH_TICKS + seconds * 10_000_000
}

/// An array of doubles, or a bad status in its place: tag, value and reason of each sample.
fn axes(
    items: &mut Items,
    seconds: i64,
    value: Result<Vec<f64>, StatusCode>,
) -> Vec<(String, Option<Value>, String)> {
    let value = DataValue {
        status: value.as_ref().err().copied(),
        value: value.ok().map(Variant::from),
        source_timestamp: Some(DateTime::from(second(seconds))),
        ..DataValue::null()
    };
    let mut samples = Vec::new();
    items.notified(
        MonitoredItemNotification {
            client_handle: 1,
            value,
        },
        Instant::now(),
        &mut samples,
    );
    let row = |sample: Sample| {
        assert_eq!(
            sample.event_time,
            Some(Timestamp::from_nanos(seconds * 1_000_000_000))
        );
        (
            sample.tag.to_string(),
            sample.value,
            sample.status.reason.unwrap_or_default(),
        )
    };
    samples.into_iter().map(row).collect()
}

fn notify(items: &mut Items, ticks: i64, status: StatusCode, now: Instant) -> Vec<Sample> {
    let value = DataValue {
        value: Some(1.5_f64.into()),
        status: Some(status),
        source_timestamp: Some(DateTime::from(ticks)),
        ..DataValue::null()
    };
    let mut samples = Vec::new();
    items.notified(
        MonitoredItemNotification {
            client_handle: 1,
            value,
        },
        now,
        &mut samples,
    );
    samples
}

#[test]
fn only_the_first_notification_of_a_new_subscription_can_be_told_again() {
    let (mut items, now) = (items(), Instant::now());
    let node = NodeId::from_str("i=1").unwrap();
    assert!(items.created(1, &node, StatusCode::Good, now).is_empty());
    assert_eq!(notify(&mut items, 1, StatusCode::Good, now).len(), 1);
    assert_eq!(
        notify(&mut items, 1, StatusCode::Good, now).len(),
        1,
        "the server has its reasons"
    );
    items.forget_subscription();
    assert_eq!(items.missing().count(), 1);
    assert!(items.created(1, &node, StatusCode::Good, now).is_empty());
    let told = |samples: Vec<Sample>| {
        samples
            .into_iter()
            .map(|sample| sample.kind)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        told(notify(&mut items, 1, StatusCode::Good, now)),
        [SampleKind::Confirmation]
    );
    assert_eq!(
        told(notify(&mut items, 1, StatusCode::Good, now)),
        [SampleKind::Update]
    );
    items.forget_subscription();
    assert_eq!(
        notify(&mut items, 2, StatusCode::Good, now).len(),
        1,
        "a new source time is a new value"
    );
}

#[test]
fn what_stays_bad_is_told_once_a_minute() {
    let (mut items, now) = (items(), Instant::now());
    let later = |seconds| now + Duration::from_secs(seconds);
    assert_eq!(
        notify(&mut items, 1, StatusCode::BadSensorFailure, now).len(),
        1
    );
    assert_eq!(items.reminders(later(59)).len(), 0);
    let reminded = items.reminders(later(60));
    assert_eq!((reminded.len(), reminded[0].event_time), (1, None));
    assert_eq!(
        reminded[0].status.reason.as_deref(),
        Some("BadSensorFailure")
    );
    assert_eq!(items.reminders(later(61)).len(), 0);
    assert_eq!(
        notify(&mut items, second(1), StatusCode::Good, later(90)).len(),
        1
    );
    assert_eq!(items.reminders(later(300)).len(), 0, "good again");
}

#[test]
fn a_handle_that_nobody_gave_out_is_ignored() {
    let (mut items, now, mut samples) = (items(), Instant::now(), Vec::new());
    for client_handle in [0, 2, u32::MAX] {
        items.notified(
            MonitoredItemNotification {
                client_handle,
                value: DataValue::null(),
            },
            now,
            &mut samples,
        );
    }
    assert!(samples.is_empty());
}

/// The gateway makes sure that such a value is not hidden behind the bad reading, whose time is its own.
#[test]
fn the_first_value_after_a_connect_or_a_bad_reading_by_the_gateways_clock_says_what_holds_now() {
    let (mut items, now) = (items(), Instant::now());
    let node = NodeId::from_str("i=1").unwrap();
    let told = |items: &mut Items, at: i64| {
        let samples = notify(items, second(at), StatusCode::Good, now);
        samples
            .into_iter()
            .map(|sample| (sample.kind, sample.event_time))
            .collect::<Vec<_>>()
    };
    let at = |seconds: i64| Some(Timestamp::from_nanos(seconds * 1_000_000_000));
    assert_eq!(told(&mut items, 1), [(SampleKind::Snapshot, at(1))]);
    assert_eq!(told(&mut items, 2), [(SampleKind::Update, at(2))]);
    items.forget_subscription();
    assert_eq!(told(&mut items, 2), [(SampleKind::Confirmation, None)]);
    items.forget_subscription();
    assert_eq!(
        items
            .created(1, &node, StatusCode::BadNodeIdUnknown, now)
            .len(),
        1
    );
    assert_eq!(told(&mut items, 3), [(SampleKind::Snapshot, at(3))]);
    assert_eq!(
        notify(&mut items, second(4), StatusCode::BadSensorFailure, now).len(),
        1
    );
    assert_eq!(items.reminders(now + REMIND_EVERY).len(), 1);
    assert_eq!(
        told(&mut items, 5),
        [(SampleKind::Snapshot, at(5))],
        "the source's clock may be behind the reminder's"
    );
    assert_eq!(told(&mut items, 6), [(SampleKind::Update, at(6))]);
}

#[test]
fn every_element_turns_bad_with_its_array_and_so_does_one_that_is_gone() {
    let mut items = items();
    let good = |index: usize, value: f64| {
        (
            format!("t[{index}]"),
            Some(Value::F64(value)),
            String::new(),
        )
    };
    let bad = |index: usize, reason: &str| (format!("t[{index}]"), None, reason.to_owned());
    let failure = "BadSensorFailure";
    let steps: [(Result<Vec<f64>, StatusCode>, Vec<_>); 7] = [
        (
            Ok(vec![1.0, 2.0, 3.0]),
            vec![good(0, 1.0), good(1, 2.0), good(2, 3.0)],
        ),
        (
            Err(StatusCode::BadSensorFailure),
            vec![bad(0, failure), bad(1, failure), bad(2, failure)],
        ),
        (
            Ok(vec![4.0, 5.0]),
            vec![
                good(0, 4.0),
                good(1, 5.0),
                bad(2, "the array has 2 elements now"),
            ],
        ),
        (Ok(vec![6.0, 7.0]), vec![good(0, 6.0), good(1, 7.0)]),
        (
            Ok(Vec::new()),
            vec![
                bad(0, "the array has 0 elements now"),
                bad(1, "the array has 0 elements now"),
            ],
        ),
        (
            Err(StatusCode::BadSensorFailure),
            vec![bad(0, failure), bad(1, failure), bad(2, failure)],
        ),
        (
            Ok(vec![8.0, 9.0, 10.0]),
            vec![good(0, 8.0), good(1, 9.0), good(2, 10.0)],
        ),
    ];
    for (step, (value, expected)) in (1..).zip(steps) {
        assert_eq!(axes(&mut items, step, value), expected, "step {step}");
    }
    let reminded = items.created(
        1,
        &NodeId::from_str("i=1").unwrap(),
        StatusCode::BadNodeIdUnknown,
        Instant::now(),
    );
    assert_eq!(
        reminded.len(),
        3,
        "a node that is gone takes its elements with it"
    );
}

#[test]
fn what_is_bad_before_the_first_value_are_the_parts_that_an_earlier_process_knew() {
    let part = |rule: usize, device: &str, tag: &str| Declared {
        rule: RuleId(rule),
        device: DeviceId::new(device).unwrap(),
        tag: TagName::new(tag).unwrap(),
    };
    let elements = [
        part(0, "d", "t[0]"),
        part(0, "d", "t[1]"),
        part(0, "other", "t[2]"),
        part(1, "d", "u[0]"),
    ];
    let names = "enumeration = \"number_and_text\"";
    let table: [(&str, &[Declared], &[&str]); 5] = [
        ("", &[], &["t"]),
        ("", &elements, &["t[0]", "t[1]"]),
        (names, &elements, &["t[0]", "t[1]"]),
        (names, &[part(0, "d", "t.text")], &["t", "t.text"]),
        ("compound = \"json\"", &elements, &["t"]),
    ];
    let node = NodeId::from_str("i=1").unwrap();
    for (keys, parts, expected) in table {
        let mut items = items_of(keys, parts);
        let refused = items.created(1, &node, StatusCode::BadNodeIdUnknown, Instant::now());
        let tags: Vec<&str> = refused.iter().map(|sample| sample.tag.as_str()).collect();
        assert_eq!(tags, expected, "{keys}");
    }
    let mut items = items_of("", &elements);
    let good = axes(&mut items, 1, Ok(vec![1.0, 2.0, 3.0]));
    assert_eq!(good.len(), 3);
    let bad = axes(&mut items, 2, Err(StatusCode::BadSensorFailure));
    let tags: Vec<&str> = bad.iter().map(|(tag, ..)| tag.as_str()).collect();
    assert_eq!(tags, ["t[0]", "t[1]", "t[2]"], "each once");
    // It has shrunk in between.
    let mut items = items_of("", &elements);
    let row = |tag: &str, value: Option<f64>, reason: &str| {
        (tag.to_owned(), value.map(Value::F64), reason.to_owned())
    };
    assert_eq!(
        axes(&mut items, 1, Ok(vec![1.0])),
        [
            row("t[0]", Some(1.0), ""),
            row("t[1]", None, "the array has 1 elements now"),
        ]
    );
}

#[test]
fn an_item_that_is_served_keeps_its_namespace_where_the_server_does_not_say_them() {
    let mut items = items_on("", "nsu=urn:plc;i=1", &[]);
    let namespaces = [
        "http://opcfoundation.org/UA/".to_owned(),
        "urn:plc".to_owned(),
    ];
    assert_eq!(items.resolve([1], &namespaces).found, [1]);
    let node = items.node(1).unwrap();
    assert_eq!(items.resolve([1], &[]).nowhere.len(), 1, "not served yet");
    assert_eq!(items.resolve([1], &namespaces).found, [1]);
    assert!(
        items
            .created(1, &node, StatusCode::Good, Instant::now())
            .is_empty()
    );
    assert_eq!(items.resolve([1], &[]).found, [1]);
    assert_eq!(items.node(1), Some(node));
    // A new session may number them differently.
    items.forget_subscription();
    assert_eq!(items.resolve([1], &[]).nowhere.len(), 1);
}

#[test]
fn an_empty_array_leaves_a_word_and_a_scalar_in_its_place_too() {
    let mut items = items();
    let row = |tag: &str, value: Option<f64>, reason: &str| {
        (tag.to_owned(), value.map(Value::F64), reason.to_owned())
    };
    assert_eq!(
        axes(&mut items, 1, Ok(Vec::new())),
        [row("t", None, "the array is empty")]
    );
    assert_eq!(
        axes(&mut items, 2, Ok(vec![1.0])),
        [row("t[0]", Some(1.0), "")]
    );
    let samples = notify(&mut items, second(3), StatusCode::Good, Instant::now());
    let rows: Vec<_> = samples
        .iter()
        .map(|sample| (sample.tag.as_str(), sample.status.quality))
        .collect();
    assert_eq!(rows, [("t", Quality::Good), ("t[0]", Quality::Bad)]);
    let gone = "the value is an array now, its elements are series of their own";
    assert_eq!(
        axes(&mut items, 4, Ok(vec![1.0])),
        [row("t[0]", Some(1.0), ""), row("t", None, gone)]
    );
}

/// A value at a second of the source's clock.
fn at(seconds: i64, value: impl Into<Variant>, status: StatusCode) -> DataValue {
    DataValue {
        value: Some(value.into()),
        status: Some(status),
        source_timestamp: Some(DateTime::from(second(seconds))),
        ..DataValue::null()
    }
}

#[test]
fn what_a_server_will_not_report_again_is_confirmed_by_reading_it_after_a_take_over() {
    let good = StatusCode::Good;
    let overflowed = StatusCode::from(0x0000_0480);
    let absolute = "server_deadband = 0.5";
    let percent = "server_deadband = \"2%\"";
    let table = [
        ("the same", "", at(1, 1.5, good), at(1, 1.5, good), true),
        (
            "sampled again",
            "",
            at(1, 1.5, good),
            at(9, 1.5, good),
            true,
        ),
        ("moved", "", at(1, 1.5, good), at(1, 1.6, good), false),
        ("within", absolute, at(1, 1.5, good), at(9, 2.0, good), true),
        (
            "outside",
            absolute,
            at(1, 1.5, good),
            at(9, 2.1, good),
            false,
        ),
        (
            "no number",
            absolute,
            at(1, f64::NAN, good),
            at(9, 1.0, good),
            false,
        ),
        (
            "within",
            absolute,
            at(1, vec![1, 5], good),
            at(9, vec![1, 5], good),
            true,
        ),
        (
            "outside",
            absolute,
            at(1, vec![1, 5], good),
            at(9, vec![1, 6], good),
            false,
        ),
        (
            "a text",
            absolute,
            at(1, "on", good),
            at(9, "off", good),
            false,
        ),
        (
            "by its range",
            percent,
            at(1, 7_u64, good),
            at(9, 8_u64, good),
            true,
        ),
        (
            "worse",
            "",
            at(1, 1.5, good),
            at(1, 1.5, StatusCode::UncertainSubNormal),
            false,
        ),
        (
            "after an overflow",
            "",
            at(1, 1.5, overflowed),
            at(1, 1.5, good),
            true,
        ),
    ];
    for (what, keys, before, now, is_confirmed) in table {
        let mut items = items_with(keys);
        let notification = MonitoredItemNotification {
            client_handle: 1,
            value: before,
        };
        items.notified(notification, Instant::now(), &mut Vec::new());
        let mut samples = Vec::new();
        items.confirmed(1, &now, &mut samples);
        assert!(samples.is_empty(), "{what}: the link was not lost");
        items.carried_over();
        items.confirmed(1, &now, &mut samples);
        assert_eq!(!samples.is_empty(), is_confirmed, "{what}: {samples:?}");
        for sample in samples {
            assert_eq!(sample.kind, SampleKind::Confirmation, "{what}");
            assert_eq!(sample.event_time, None, "{what}: by the gateway's clock");
        }
    }
}

/// A server may have a hundred thousand of them.
#[test]
fn a_tag_and_its_item_take_little_room() {
    let bytes = [size_of::<Tag>(), size_of::<item::Item>()];
    assert!(bytes.iter().sum::<usize>() <= 224, "{bytes:?}");
}
