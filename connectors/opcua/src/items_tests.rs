use std::{path::Path, str::FromStr};

use forebay_config::Document;
use opcua::types::DateTime;

use super::*;

fn items() -> Items {
    let text =
        "[[c]]\nname = \"n\"\ndevice = \"d\"\nurl = \"opc.tcp://localhost\"\n[[c.tag]]\nname = \"t\"\nnode = \"i=1\"";
    let settings = Document::new(Path::new("f.toml"), text, &|_| None).read(|root| {
        let mut connector = root.tables("c").remove(0);
        let mut tags = connector.tables("tag");
        Settings::read(&mut connector, &mut tags, Path::new("data"))
    });
    Items::new(&settings.unwrap())
}

fn notify(items: &mut Items, ticks: i64, status: StatusCode, now: Instant) -> Vec<Sample> {
    let value = DataValue {
        value: Some(1.5_f64.into()),
        status: Some(status),
        source_timestamp: Some(DateTime::from(ticks)),
        ..DataValue::null()
    };
    let mut samples = Vec::new();
    items.notified(MonitoredItemNotification { client_handle: 1, value }, now, &mut samples);
    samples
}

#[test]
fn only_the_first_notification_of_a_new_subscription_can_be_told_again() {
    let (mut items, now) = (items(), Instant::now());
    let node = NodeId::from_str("i=1").unwrap();
    assert!(items.created(1, &node, StatusCode::Good, now).is_none());
    assert_eq!(notify(&mut items, 1, StatusCode::Good, now).len(), 1);
    assert_eq!(notify(&mut items, 1, StatusCode::Good, now).len(), 1, "the server has its reasons");
    items.forget_subscription();
    assert_eq!(items.missing().count(), 1);
    assert!(items.created(1, &node, StatusCode::Good, now).is_none());
    let told = |samples: Vec<Sample>| samples.into_iter().map(|sample| sample.told).collect::<Vec<_>>();
    assert_eq!(told(notify(&mut items, 1, StatusCode::Good, now)), [Told::Again]);
    assert_eq!(told(notify(&mut items, 1, StatusCode::Good, now)), [Told::Anew]);
    items.forget_subscription();
    assert_eq!(notify(&mut items, 2, StatusCode::Good, now).len(), 1, "a new source time is a new value");
}

#[test]
fn what_stays_bad_is_told_once_a_minute() {
    let (mut items, now) = (items(), Instant::now());
    let later = |seconds| now + Duration::from_secs(seconds);
    assert_eq!(notify(&mut items, 1, StatusCode::BadSensorFailure, now).len(), 1);
    assert_eq!(items.reminders(later(59)).len(), 0);
    let reminded = items.reminders(later(60));
    assert_eq!((reminded.len(), reminded[0].event_time), (1, None));
    assert_eq!(reminded[0].status.reason.as_deref(), Some("BadSensorFailure"));
    assert_eq!(items.reminders(later(61)).len(), 0);
    assert_eq!(notify(&mut items, 2, StatusCode::Good, later(90)).len(), 1);
    assert_eq!(items.reminders(later(300)).len(), 0, "good again");
}

#[test]
fn a_handle_that_nobody_gave_out_is_ignored() {
    let (mut items, now, mut samples) = (items(), Instant::now(), Vec::new());
    for client_handle in [0, 2, u32::MAX] {
        items.notified(MonitoredItemNotification { client_handle, value: DataValue::null() }, now, &mut samples);
    }
    assert!(samples.is_empty());
}
