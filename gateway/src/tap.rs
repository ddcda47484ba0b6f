//! Readings as they pass, for people who look: `forebay tap`.
//!
//! Nothing waits for who looks: one who is slow misses some, and is told how many. While nobody looks it costs one comparison a
//! delivery.

use std::sync::Arc;

use forebay_connectors::Sample;
use forebay_schemas::{DeviceId, Reading, Status, TagName, Timestamp, Value};
use tokio::sync::broadcast;

/// Readings that who looks may lie behind.
const WAITING_MAX: usize = 4096;

/// Where a value was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// As its connector decoded it.
    Decoded,
    /// Behind the steps, on its way into the spool.
    Reading,
}

/// A value that passed.
#[derive(Debug, Clone, PartialEq)]
pub struct Tapped {
    /// Where it was seen.
    pub stage: Stage,
    /// Who brought it.
    pub connector: Arc<str>,
    /// Its device.
    pub device: DeviceId,
    /// Its tag.
    pub tag: TagName,
    /// Its own time; none where the device gave none.
    pub event_time: Option<Timestamp>,
    /// The value, if there is one.
    pub value: Option<Value>,
    /// Its unit.
    pub unit: Option<String>,
    /// How far to trust it.
    pub status: Status,
}

/// Where values pass by. Clones are the same place.
#[derive(Debug, Clone)]
pub struct Tap {
    passing: broadcast::Sender<Arc<Tapped>>,
}

impl Default for Tap {
    fn default() -> Self {
        Self {
            passing: broadcast::Sender::new(WAITING_MAX),
        }
    }
}

impl Tap {
    /// What passes from now on.
    pub fn watch(&self) -> broadcast::Receiver<Arc<Tapped>> {
        self.passing.subscribe()
    }

    /// Whether anybody looks.
    pub(crate) fn is_watched(&self) -> bool {
        self.passing.receiver_count() > 0
    }

    pub(crate) fn decoded(&self, connector: &Arc<str>, samples: &[Sample]) {
        for sample in samples {
            self.pass(Tapped {
                stage: Stage::Decoded,
                connector: connector.clone(),
                device: sample.device.clone(),
                tag: sample.tag.clone(),
                event_time: sample.event_time,
                value: sample.value.clone(),
                unit: sample.unit.as_deref().map(str::to_owned),
                status: sample.status.clone(),
            });
        }
    }

    pub(crate) fn readings(&self, connector: &Arc<str>, readings: &[Reading]) {
        for reading in readings {
            self.pass(Tapped {
                stage: Stage::Reading,
                connector: connector.clone(),
                device: reading.series.device.clone(),
                tag: reading.series.tag.clone(),
                event_time: Some(reading.event_time),
                value: reading.value.clone(),
                unit: reading.unit.as_deref().map(str::to_owned),
                status: reading.status.clone(),
            });
        }
    }

    fn pass(&self, tapped: Tapped) {
        // Who has just gone misses nothing.
        self.passing.send(Arc::new(tapped)).ok();
    }
}
