//! How a device does, for people who look: `forebay devices`.

use forebay_schemas::{DeviceId, Status, TagName, Timestamp};

/// One device of one connector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceReport {
    /// Who reads it.
    pub connector: String,
    /// The device.
    pub device: DeviceId,
    /// Why its link is down; none while it is up, or was never tried.
    pub link: Option<String>,
    /// How many of its tags are known.
    pub tags: usize,
    /// When a reading of it was taken last since the start, by the gateway's clock.
    pub last: Option<Timestamp>,
    /// How long its newest reading was under way until it was durable: see [`SourceStatus::latency_micros`](crate::SourceStatus). None
    /// where none was taken since the start.
    pub latency_micros: Option<i64>,
    /// The tags whose last reading is not good.
    pub not_good: Vec<TagReport>,
}

/// A tag whose last reading is not good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagReport {
    /// The tag.
    pub tag: TagName,
    /// Why.
    pub status: Status,
}
