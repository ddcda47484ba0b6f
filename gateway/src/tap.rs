//! Values as they pass, for people who look: `forebay tap`.
//!
//! Nothing waits for who looks: one who is slow misses some, and is told how many. While nobody looks it costs one load a delivery, and
//! one a payload.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use forebay_connectors::{Raw, Sample, Watcher};
use forebay_schemas::{DeviceId, Reading, Status, TagName, Timestamp, Value};
use tokio::sync::broadcast::{self, error::RecvError};

/// What who looks may lie behind.
const WAITING_MAX: usize = 4096;

/// Where a value was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// As its connector decoded it.
    Decoded,
    /// Behind one step.
    Step(StepPlace),
    /// Behind all steps, on its way into the spool.
    Reading,
}

/// A step of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepPlace {
    /// 0 for the tag's own `[[connector.tag]]`, else the place of the `[[step]]` in the file, from 1.
    pub table: usize,
    /// The step's key, one of [`STEPS`].
    pub step: &'static str,
}

/// The steps that can be looked at, by their keys.
pub const STEPS: [&str; 14] = [
    "invalid",
    "scale",
    "rate",
    "derive",
    "expression",
    "unit",
    "to_unit",
    "keep",
    "clamp",
    "filter",
    "deadband",
    "rename",
    "window",
    "swinging_door",
];

/// What became of a value where it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It goes on as it is shown.
    GoesOn,
    /// It ends here.
    LeftOut,
    /// It is held back, for an aggregate or until it is known to be a corner.
    Held,
}

/// What passed.
#[derive(Debug, Clone, PartialEq)]
pub enum Tapped {
    /// A payload, as it came.
    Raw(TappedRaw),
    /// A value.
    Value(TappedValue),
}

/// A payload that passed.
#[derive(Debug, Clone, PartialEq)]
pub struct TappedRaw {
    /// Who brought it.
    pub connector: Arc<str>,
    /// What it is.
    pub raw: Raw,
}

/// A value that passed.
#[derive(Debug, Clone, PartialEq)]
pub struct TappedValue {
    /// Where it was seen.
    pub stage: Stage,
    /// What became of it there.
    pub fate: Fate,
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

/// What somebody wants to see besides values that were decoded and readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Closeness {
    /// Payloads as they come.
    pub raw: bool,
    /// Values behind each step.
    pub steps: bool,
}

/// Where values pass by. Clones are the same place.
#[derive(Debug, Clone)]
pub struct Tap {
    passing: broadcast::Sender<Arc<Tapped>>,
    looking: Arc<AtomicU64>,
}

/// How many look, and at what, as they were at one moment: three counts of 16 bits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Looking(u64);

impl Looking {
    const ANYBODY: u64 = 1;
    const AT_RAW: u64 = 1 << 16;
    const AT_STEPS: u64 = 1 << 32;
    const COUNT: u64 = 0xffff;

    pub(crate) fn is_anybody(self) -> bool {
        self.0 != 0
    }

    fn is_at_raw(self) -> bool {
        self.0 & (Self::COUNT * Self::AT_RAW) != 0
    }

    pub(crate) fn is_at_steps(self) -> bool {
        self.0 & (Self::COUNT * Self::AT_STEPS) != 0
    }
}

/// Somebody who looks, until it is dropped.
#[derive(Debug)]
pub struct Onlooker {
    passing: broadcast::Receiver<Arc<Tapped>>,
    looking: Arc<AtomicU64>,
    counted: u64,
}

/// Why there is nothing to be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unseen {
    /// So many passed unseen: who looks was too slow.
    Missed(u64),
    /// Nothing passes any more.
    Closed,
}

impl Onlooker {
    /// What passes next. May be dropped at any time.
    ///
    /// # Errors
    /// [`Unseen`]; after [`Unseen::Missed`] there is more to be seen.
    pub async fn next(&mut self) -> Result<Arc<Tapped>, Unseen> {
        self.passing.recv().await.map_err(|error| match error {
            RecvError::Lagged(missed) => Unseen::Missed(missed),
            RecvError::Closed => Unseen::Closed,
        })
    }
}

impl Drop for Onlooker {
    fn drop(&mut self) {
        self.looking.fetch_sub(self.counted, Ordering::Relaxed);
    }
}

impl Default for Tap {
    fn default() -> Self {
        Self {
            passing: broadcast::Sender::new(WAITING_MAX),
            looking: Arc::default(),
        }
    }
}

impl Tap {
    /// What passes from now on.
    pub fn watch(&self, closeness: Closeness) -> Onlooker {
        let mut counted = Looking::ANYBODY;
        if closeness.raw {
            counted += Looking::AT_RAW;
        }
        if closeness.steps {
            counted += Looking::AT_STEPS;
        }
        let passing = self.passing.subscribe();
        self.looking.fetch_add(counted, Ordering::Relaxed);
        Onlooker {
            passing,
            looking: self.looking.clone(),
            counted,
        }
    }

    /// Who looks. One load.
    pub(crate) fn looking(&self) -> Looking {
        Looking(self.looking.load(Ordering::Relaxed))
    }

    pub(crate) fn decoded(&self, connector: &Arc<str>, samples: &[Sample]) {
        for sample in samples {
            self.pass(Tapped::Value(TappedValue {
                stage: Stage::Decoded,
                fate: Fate::GoesOn,
                connector: connector.clone(),
                device: sample.device.clone(),
                tag: sample.tag.clone(),
                event_time: sample.event_time,
                value: sample.value.clone(),
                unit: sample.unit.as_deref().map(str::to_owned),
                status: sample.status.clone(),
            }));
        }
    }

    pub(crate) fn reading(
        &self,
        connector: &Arc<str>,
        stage: Stage,
        fate: Fate,
        reading: &Reading,
    ) {
        self.pass(Tapped::Value(TappedValue {
            stage,
            fate,
            connector: connector.clone(),
            device: reading.series.device.clone(),
            tag: reading.series.tag.clone(),
            event_time: Some(reading.event_time),
            value: reading.value.clone(),
            unit: reading.unit.as_deref().map(str::to_owned),
            status: reading.status.clone(),
        }));
    }

    fn pass(&self, tapped: Tapped) {
        // Who has just gone misses nothing.
        self.passing.send(Arc::new(tapped)).ok();
    }
}

/// A connector's payloads on their way to who looks.
#[derive(Debug)]
pub(crate) struct RawTap {
    pub(crate) tap: Tap,
    pub(crate) connector: Arc<str>,
}

impl Watcher for RawTap {
    fn looks(&self) -> bool {
        self.tap.looking().is_at_raw()
    }

    fn show(&self, raw: Raw) {
        let connector = self.connector.clone();
        self.tap.pass(Tapped::Raw(TappedRaw { connector, raw }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_looks_is_counted_until_gone() {
        let tap = Tap::default();
        let seen = || {
            let looking = tap.looking();
            let (raw, steps) = (looking.is_at_raw(), looking.is_at_steps());
            [looking.is_anybody(), raw, steps]
        };
        let look = |raw, steps| tap.watch(Closeness { raw, steps });
        assert_eq!(seen(), [false; 3]);
        let (far, at_steps) = (look(false, false), look(false, true));
        assert_eq!(seen(), [true, false, true]);
        let at_raw = [look(true, false), look(true, true)];
        drop(at_steps);
        assert_eq!(seen(), [true; 3]);
        drop(at_raw);
        assert_eq!(seen(), [true, false, false]);
        drop(far);
        assert_eq!(seen(), [false; 3]);
    }
}
