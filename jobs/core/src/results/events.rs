//! Events: what happened, and from when to when.

use forebay_schemas::{DeviceId, SiteId, TagName, Timestamp, table::EVENTS, table::Table};

use super::{
    Severity,
    columns::{Cell, Row},
};

/// One event as it was known at `changed_at`; of rows with one id the latest counts.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRow {
    /// Names the event for ever: [`RunContext::event_id`](crate::RunContext::event_id) makes it.
    pub event_id: String,
    /// When this row was made: [`RunContext::now`](crate::RunContext::now).
    pub changed_at: Timestamp,
    /// The site.
    pub site: SiteId,
    /// The device, or what stands for a group of them, such as a feeder.
    pub device: DeviceId,
    /// The tag, if it is about one.
    pub tag: Option<TagName>,
    /// What happened, as a word with underscores: `power_loss`.
    pub kind: String,
    /// Since when.
    pub from_time: Timestamp,
    /// Until when; `None` while it goes on.
    pub to_time: Option<Timestamp>,
    /// How much, in the kind's own measure.
    pub value: Option<f64>,
    /// How much it matters.
    pub severity: Severity,
    /// In plain words.
    pub text: String,
    /// What else is known, as a JSON object.
    pub attributes: Option<String>,
}

impl Row for EventRow {
    const TABLE: &'static Table = &EVENTS;

    fn cell(&self, column: &str) -> Cell<'_> {
        match column {
            "event_id" => Cell::Text(Some(&self.event_id)),
            "changed_at" => Cell::Time(self.changed_at),
            "site" => Cell::Text(Some(self.site.as_str())),
            "device" => Cell::Text(Some(self.device.as_str())),
            "tag" => Cell::Text(self.tag.as_ref().map(TagName::as_str)),
            "kind" => Cell::Text(Some(&self.kind)),
            "from_time" => Cell::Time(self.from_time),
            "to_time" => Cell::OptionalTime(self.to_time),
            "value" => Cell::Double(self.value),
            "severity" => Cell::Text(Some(self.severity.name())),
            "text" => Cell::Text(Some(&self.text)),
            "attributes" => Cell::Text(self.attributes.as_deref()),
            _ => Cell::Unknown,
        }
    }
}
