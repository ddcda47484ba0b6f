use std::path::Path;

use forebay_config::Document;
use forebay_schemas::{EventForm, EventStates, Timestamp};
use opcua::types::{ByteString, DateTime, LocalizedText, ObjectTypeId, QualifiedName, Variant};

use super::*;
use crate::value::UNIX_EPOCH_TICKS;

fn alarms(events: &str) -> Alarms {
    let text = format!(
        "[[connector]]\nname = \"press\"\ndevice = \"press-3\"\nurl = \"opc.tcp://localhost\"\n{events}"
    );
    let settings = Document::new(Path::new("f.toml"), &text, &|_| None).read(|root| {
        let mut connector = root.tables(&crate::keys::KEYS.connector).remove(0);
        Settings::read(&mut connector, &mut [], Path::new("data"))
    });
    let mut alarms = Alarms::new(&settings.unwrap());
    alarms.forget_subscription();
    for (handle, _) in alarms.missing() {
        alarms.heard(handle, FilterForm::Whole);
    }
    alarms
}

fn node(name: &str) -> NodeId {
    NodeId::new(2, name)
}

fn time(seconds: i64) -> Variant {
    Variant::from(DateTime::from(UNIX_EPOCH_TICKS + seconds * 10_000_000))
}

/// All fields of a change of an alarm, in the order in which they are asked for.
fn change(id: u8, seconds: i64, is_active: bool) -> Vec<Variant> {
    vec![
        Variant::ByteString(ByteString::from(vec![id, 0xff])),
        Variant::from(NodeId::from(ObjectTypeId::AlarmConditionType)),
        Variant::from(node("Press")),
        Variant::from("Presse 3"),
        time(seconds),
        time(seconds + 1),
        Variant::from(LocalizedText::new("de", "zu heiß")),
        Variant::from(700_u16),
        Variant::from(node("Press.TooHot")),
        Variant::from("TooHot"),
        Variant::from(NodeId::null()),
        Variant::from(true),
        Variant::from(true),
        Variant::from(LocalizedText::new("de", "gesehen\0\0")),
        Variant::from("anna"),
        Variant::from(false),
        Variant::Empty,
        Variant::from(is_active),
        Variant::from(false),
    ]
}

fn hear(alarms: &mut Alarms, fields: Vec<Variant>) -> Vec<DeviceEvent> {
    let mut events = Vec::new();
    let list = EventFieldList {
        client_handle: FIRST_HANDLE,
        event_fields: Some(fields),
    };
    alarms.notified(list, &mut events);
    events
}

const ALL: &str = "[[connector.event]]\n";

#[test]
fn a_change_of_an_alarm_is_taken_with_all_that_it_says() {
    let mut alarms = alarms(ALL);
    let heard = hear(&mut alarms, change(1, 5, true));
    let expected = SourceEvent {
        connector: "press".into(),
        form: EventForm::Alarm,
        event_id: vec![1, 0xff],
        event_type: "i=2915".into(),
        source_node: "ns=2;s=Press".into(),
        source_name: "Presse 3".into(),
        condition_node: "ns=2;s=Press.TooHot".into(),
        condition_name: "TooHot".into(),
        branch: String::new(),
        time: Some(Timestamp::from_nanos(5_000_000_000)),
        received: Some(Timestamp::from_nanos(6_000_000_000)),
        severity: Some(700),
        message: "zu heiß".into(),
        comment: "gesehen".into(),
        user: "anna".into(),
        tag: None,
        states: EventStates {
            enabled: Some(true),
            active: Some(true),
            acknowledged: Some(false),
            confirmed: None,
            suppressed: Some(false),
            retained: Some(true),
        },
    };
    assert_eq!(heard.len(), 1);
    assert_eq!(heard[0].event, expected);
    assert_eq!(heard[0].device.as_str(), "press-3");
}

#[test]
fn an_event_of_a_tags_node_is_about_that_tag() {
    let mut alarms = alarms(ALL);
    let device = DeviceId::new("hall").unwrap();
    alarms.resolved(|| node("Press"), device, TagName::new("force").unwrap());
    let heard = hear(&mut alarms, change(1, 5, true));
    let tag = heard[0].event.tag.as_ref().map(TagName::as_str);
    assert_eq!((heard[0].device.as_str(), tag), ("hall", Some("force")));
}

#[test]
fn whatever_is_missing_or_of_another_type_an_event_is_an_event() {
    let mut alarms = alarms(ALL);
    let nothing = hear(&mut alarms, Vec::new());
    assert_eq!(
        nothing[0].event,
        SourceEvent {
            connector: "press".into(),
            ..SourceEvent::default()
        }
    );
    let strange = vec![Variant::from(7.5_f64); 40];
    assert_eq!(hear(&mut alarms, strange)[0].event, nothing[0].event);
    let named = vec![Variant::from(QualifiedName::new(0, "x")); 30];
    assert_eq!(hear(&mut alarms, named)[0].event.source_name, "x");
    // Without ActiveState it is a condition, without any state an event.
    for (fields, form) in [
        (19, EventForm::Alarm),
        (17, EventForm::Condition),
        (8, EventForm::Event),
    ] {
        let mut some = change(fields, 9, true);
        some.truncate(usize::from(fields));
        assert_eq!(hear(&mut alarms, some)[0].event.form, form, "{fields}");
    }
    let mut events = Vec::new();
    let unknown = EventFieldList {
        client_handle: 3,
        event_fields: Some(change(1, 5, true)),
    };
    alarms.notified(unknown, &mut events);
    assert_eq!(events, [], "of an item that nobody made");
}

#[test]
fn what_is_told_again_is_taken_once_and_what_has_changed_is_taken() {
    let mut alarms = alarms(ALL);
    assert_eq!(hear(&mut alarms, change(1, 5, true)).len(), 1);
    // A refresh: the same event under its id.
    assert_eq!(hear(&mut alarms, change(1, 5, true)).len(), 0);
    // A server that makes new ids for a refresh, and says when it heard of it now.
    let mut renamed = change(2, 5, true);
    renamed[5] = time(99);
    assert_eq!(hear(&mut alarms, renamed).len(), 0);
    alarms.forget_subscription();
    for (handle, _) in alarms.missing() {
        alarms.heard(handle, FilterForm::Whole);
    }
    assert_eq!(hear(&mut alarms, change(2, 5, true)).len(), 0);
    // Meanwhile it was cleared, and raised again at another time.
    assert_eq!(hear(&mut alarms, change(3, 6, false)).len(), 1);
    assert_eq!(hear(&mut alarms, change(4, 7, true)).len(), 1);
    let mut other = change(4, 7, true);
    other[8] = Variant::from(node("Press.TooLoud"));
    assert_eq!(hear(&mut alarms, other.clone()).len(), 1);
    assert_eq!(hear(&mut alarms, other).len(), 0);
    // A server reports events without a condition once.
    let mut plain = change(5, 8, true);
    plain.truncate(8);
    assert_eq!(hear(&mut alarms, plain.clone()).len(), 1);
    assert_eq!(hear(&mut alarms, plain).len(), 1);
}

#[test]
fn what_is_below_the_severity_is_left_out_but_for_what_becomes_of_what_was_taken() {
    let severe = |id, severity: u16, is_active| {
        let mut fields = change(id, 5, is_active);
        fields[7] = Variant::from(severity);
        fields
    };
    let mut picky = alarms("[[connector.event]]\nseverity_min = 701\n");
    assert_eq!(hear(&mut picky, severe(1, 700, true)).len(), 0);
    let heard = hear(&mut picky, severe(2, 65_535, true));
    assert_eq!(heard[0].event.severity, Some(1000), "the range ends there");
    // node-opcua says 0 of an alarm that has ended.
    let heard = hear(&mut picky, severe(3, 0, false));
    assert_eq!(heard[0].event.states.active, Some(false));
    let mut other = severe(4, 0, false);
    other[8] = Variant::from(node("Press.TooLoud"));
    assert_eq!(hear(&mut picky, other.clone()).len(), 0);
    let mut all = alarms(ALL);
    assert_eq!(hear(&mut all, other).len(), 1, "1 leaves nothing out");
}

#[test]
fn the_server_is_asked_for_its_conditions_over_each_link_and_when_something_is_lost() {
    let mut alarms = alarms(ALL);
    let start = Instant::now();
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    assert!(alarms.wants_refresh(at(0)));
    alarms.refreshed(StatusCode::Good, at(0));
    assert!(!alarms.wants_refresh(at(100)));
    let notice = |of: ObjectTypeId| vec![Variant::Empty, Variant::from(NodeId::from(of))];
    for quiet in [
        ObjectTypeId::RefreshStartEventType,
        ObjectTypeId::RefreshEndEventType,
    ] {
        assert_eq!(hear(&mut alarms, notice(quiet)), []);
        assert!(!alarms.wants_refresh(at(100)), "{quiet:?}");
    }
    for (asking, now) in [
        (ObjectTypeId::RefreshRequiredEventType, 100),
        (ObjectTypeId::EventQueueOverflowEventType, 200),
    ] {
        assert_eq!(hear(&mut alarms, notice(asking)), []);
        assert!(alarms.wants_refresh(at(now)), "{asking:?}");
        alarms.refreshed(StatusCode::Good, at(now));
    }
    // A server that never stops asking does not keep us busy.
    hear(&mut alarms, notice(ObjectTypeId::RefreshRequiredEventType));
    assert!(!alarms.wants_refresh(at(229)));
    assert!(alarms.wants_refresh(at(230)));
    alarms.refreshed(StatusCode::BadRefreshInProgress, at(230));
    assert!(!alarms.wants_refresh(at(259)));
    assert!(alarms.wants_refresh(at(260)));
    alarms.refreshed(StatusCode::BadMethodInvalid, at(260));
    assert!(!alarms.wants_refresh(at(1_000)), "it cannot");
    alarms.linked();
    assert!(alarms.wants_refresh(at(1_000)), "another may");
}
