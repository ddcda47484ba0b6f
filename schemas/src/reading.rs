//! One observation of one series.

use std::sync::Arc;

use crate::{DeviceId, SiteId, Status, TagName, Timestamp, Value};

/// What is observed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    /// Where.
    pub site: SiteId,
    /// On what.
    pub device: DeviceId,
    /// Which of its points.
    pub tag: TagName,
}

/// One observation. A lost link or an exception gives a reading of bad quality without a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// What was observed.
    pub series: Series,
    /// When, by the device's clock.
    pub event_time: Timestamp,
    /// When the gateway received it, by the gateway's clock.
    pub observed_time: Timestamp,
    /// What was measured; none when the source gave none.
    pub value: Option<Value>,
    /// UCUM code of the value's unit; readings share it.
    pub unit: Option<Arc<str>>,
    /// How far to trust it.
    pub status: Status,
}
