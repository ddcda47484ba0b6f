//! What a connector hands over.

use std::sync::Arc;

use forebay_schemas::{DeviceId, Status, TagName, Timestamp, Value};

/// Place of a `[[connector.tag]]` in its connector's configuration, from 0: names the steps for a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RuleId(pub usize);

/// What a sample is to its series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SampleKind {
    /// The device reports it for the first time.
    #[default]
    Update,
    /// The device confirms on a new connection that its last value still holds, by the gateway's clock. It makes a series
    /// good again that the lost link made bad, and changes no other.
    Confirmation,
    /// The device or its broker answers what holds now, on request: a retained message, the first value of a subscription.
    /// It may have been reported before, by an earlier process too: where it equals the series' last value it is taken as
    /// [`SampleKind::Confirmation`], else as [`SampleKind::Update`].
    Snapshot,
}

/// One value as the device gave it. The gateway adds the site, its own clock, the unit and the steps of the rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The rule that it came by.
    pub rule: RuleId,
    /// The device.
    pub device: DeviceId,
    /// The point.
    pub tag: TagName,
    /// When, by the device's clock; none where the protocol carries no time: then it is the time of arrival.
    pub event_time: Option<Timestamp>,
    /// The raw value; none where there is none to be had.
    pub value: Option<Value>,
    /// The unit as the device reports it (UCUM); one in the rule goes before it.
    pub unit: Option<Arc<str>>,
    /// How far to trust it.
    pub status: Status,
    /// Whether the device has reported it before.
    pub kind: SampleKind,
}
