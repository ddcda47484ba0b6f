//! How the edge is doing, for whoever looks: telemetry, `demo`, `top`.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use forebay_connectors::Sample;
use forebay_schemas::{DeviceId, Timestamp};

use crate::pseudonym::Pseudonyms;

/// Devices of one connector that are followed; of those beyond them it is not known when they were heard.
const DEVICES_MAX: usize = 100_000;

/// One connector's counters since the start.
#[derive(Debug, Default)]
pub struct SourceStatus {
    received: AtomicU64,
    bad: AtomicU64,
    filtered: AtomicU64,
    unchanged: AtomicU64,
    spooled: AtomicU64,
    skipped: Arc<AtomicU64>,
    blocked_millis: AtomicU64,
    last_nanos: AtomicI64,
    devices: Mutex<Devices>,
    down: Mutex<Option<String>>,
}

/// The devices that are followed.
#[derive(Debug, Default)]
struct Devices {
    pseudonyms: Pseudonyms,
    /// By their own names.
    heard: BTreeMap<DeviceId, Heard>,
}

#[derive(Debug)]
struct Heard {
    /// What it is called outside of the gateway.
    called: DeviceId,
    /// None before it is heard.
    at: Option<Timestamp>,
}

impl SourceStatus {
    /// Samples that came from the device.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Samples that the device calls bad or whose payload cannot be read; not those of a lost link.
    pub fn bad(&self) -> u64 {
        self.bad.load(Ordering::Relaxed)
    }

    /// Samples that a filter left out.
    pub fn filtered(&self) -> u64 {
        self.filtered.load(Ordering::Relaxed)
    }

    /// Samples within their dead-band, or bad as before.
    pub fn unchanged(&self) -> u64 {
        self.unchanged.load(Ordering::Relaxed)
    }

    /// Readings that are synced in the spool.
    pub fn spooled(&self) -> u64 {
        self.spooled.load(Ordering::Relaxed)
    }

    /// Polls that were due and not made.
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// How long readings have waited for a spool that had no room, in ms.
    pub fn blocked_millis(&self) -> u64 {
        self.blocked_millis.load(Ordering::Relaxed)
    }

    /// When samples came last.
    pub fn last(&self) -> Option<Timestamp> {
        Some(self.last_nanos.load(Ordering::Relaxed))
            .filter(|nanos| *nanos != 0)
            .map(Timestamp::from_nanos)
    }

    /// The devices that are known, by configuration or because they were heard, and when each was heard last: none where it
    /// was not since the start. By the names that leave the gateway.
    pub fn devices(&self) -> Vec<(DeviceId, Option<Timestamp>)> {
        let devices = self.locked();
        let heard = devices.heard.values();
        heard
            .map(|Heard { called, at }| (called.clone(), *at))
            .collect()
    }

    /// Why the link is down; none if it is up, or was never tried.
    pub fn down(&self) -> Option<String> {
        self.down
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn note_received(&self, count: usize, now: Timestamp) {
        self.received.fetch_add(count as u64, Ordering::Relaxed);
        self.last_nanos.store(now.nanos(), Ordering::Relaxed);
    }

    /// Which devices are called by pseudonyms, from now on.
    pub(crate) fn name_devices(&self, pseudonyms: &Pseudonyms) {
        let mut devices = self.locked();
        devices.pseudonyms = pseudonyms.clone();
        for (device, heard) in &mut devices.heard {
            heard.called = pseudonyms.of(device);
        }
    }

    /// A device is known before it is heard.
    pub(crate) fn note_known(&self, device: &DeviceId) {
        let mut devices = self.locked();
        if devices.heard.len() < DEVICES_MAX && !devices.heard.contains_key(device) {
            devices.insert(device, None);
        }
    }

    /// The devices of these samples were heard. Neighbours of one device cost one look, and only of a device that is not
    /// known it is asked whether it is taken.
    pub(crate) fn note_heard(
        &self,
        samples: &[Sample],
        is_taken: impl Fn(&Sample) -> bool,
        now: Timestamp,
    ) {
        let mut devices = self.locked();
        let mut last = None;
        for sample in samples {
            if last == Some(&sample.device) {
                continue;
            }
            if let Some(heard) = devices.heard.get_mut(&sample.device) {
                heard.at = Some(now);
            } else if devices.heard.len() < DEVICES_MAX && is_taken(sample) {
                devices.insert(&sample.device, Some(now));
            } else {
                continue;
            }
            last = Some(&sample.device);
        }
    }

    pub(crate) fn note_bad(&self) {
        self.bad.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn note_filtered(&self) {
        self.filtered.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn note_unchanged(&self) {
        self.unchanged.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn note_spooled(&self, count: usize) {
        self.spooled.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Where the connector counts skipped polls.
    pub(crate) fn skips(&self) -> Arc<AtomicU64> {
        self.skipped.clone()
    }

    pub(crate) fn note_blocked(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.blocked_millis.fetch_add(millis, Ordering::Relaxed);
    }

    pub(crate) fn note_link(&self, down: Option<&str>) {
        *self.down.lock().unwrap_or_else(PoisonError::into_inner) = down.map(str::to_owned);
    }

    fn locked(&self) -> MutexGuard<'_, Devices> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Devices {
    fn insert(&mut self, device: &DeviceId, at: Option<Timestamp>) {
        let called = self.pseudonyms.of(device);
        self.heard.insert(device.clone(), Heard { called, at });
    }
}

/// Every connector's counters, by name. Clones share them; a reload adds connectors and takes some away.
#[derive(Debug, Clone, Default)]
pub struct EdgeStatus {
    sources: Arc<Mutex<BTreeMap<String, Arc<SourceStatus>>>>,
}

impl EdgeStatus {
    /// The counters of a connector, which go on where it had some.
    pub(crate) fn add(&self, name: &str) -> Arc<SourceStatus> {
        self.locked().entry(name.to_owned()).or_default().clone()
    }

    pub(crate) fn remove(&self, name: &str) {
        self.locked().remove(name);
    }

    /// The connectors in the order of their names.
    pub fn sources(&self) -> Vec<(String, Arc<SourceStatus>)> {
        self.locked()
            .iter()
            .map(|(name, status)| (name.clone(), status.clone()))
            .collect()
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<String, Arc<SourceStatus>>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
