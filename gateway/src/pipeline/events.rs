//! Events as readings: the value is the event, the tag is that of events, the time is that of arrival (ADR 0042).
//!
//! The time at which an event happened stands in it. It is not the reading's: a condition may have held for weeks when its server
//! is asked for it, and a reading of weeks ago would open windows that are closed. No step touches an event, and no filter of
//! series leaves one out.

use forebay_connectors::DeviceEvent;
use forebay_schemas::{Reading, Series, Status, TagName, Timestamp, Value};

use super::Pipeline;

impl Pipeline {
    /// The readings that carry events, in order.
    pub fn events(&mut self, events: Vec<DeviceEvent>, now: Timestamp) -> Vec<Reading> {
        self.status.note_received(events.len(), now);
        let tag = TagName::of_events();
        let mut readings = Vec::with_capacity(events.len());
        for DeviceEvent { device, mut event } in events {
            self.status.note_heard_event(&device, now);
            let named = self.pseudonyms.of(&device);
            if named != device {
                event.clear_names();
            }
            readings.push(Reading {
                series: Series {
                    site: self.site.clone(),
                    device: named,
                    tag: tag.clone(),
                },
                event_time: now,
                observed_time: now,
                value: Some(Value::Bytes(event.encode())),
                unit: None,
                status: Status::GOOD,
            });
        }
        readings
    }
}
