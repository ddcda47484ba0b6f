//! How the edge is doing, for whoever looks: telemetry, `demo`, `top`.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use foldhash::fast::RandomState;
use forebay_connectors::{Sample, SampleKind};
use forebay_schemas::{DeviceId, Timestamp};
use tokio::time::Instant;

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
    link_is_known: AtomicBool,
}

/// The devices that are followed.
#[derive(Debug, Default)]
struct Devices {
    pseudonyms: Pseudonyms,
    /// By their own names, which strangers may choose. Each message looks one up.
    heard: HashMap<DeviceId, Heard, RandomState>,
    /// When that began which is being taken.
    began: Option<Instant>,
    /// Devices of which something is on its way to the disk.
    on_their_way: Vec<DeviceId>,
}

#[derive(Debug)]
struct Heard {
    /// What it is called outside of the gateway.
    called: DeviceId,
    /// None before it is heard.
    at: Option<Timestamp>,
    /// Since when its newest reading is under way that is not durable yet.
    under_way: Option<Since>,
    /// How long the newest was that is durable.
    latency_micros: Option<i64>,
}

/// Since when a reading is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Since {
    /// Its own time.
    Taken(Timestamp),
    /// The begin of the request that brought it, or its arrival.
    Began(Instant),
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
    /// was not since the start. By the names that leave the gateway, in the order of their own.
    pub fn devices(&self) -> Vec<(DeviceId, Option<Timestamp>)> {
        let devices = self.locked();
        let mut heard: Vec<(&DeviceId, &Heard)> = devices.heard.iter().collect();
        heard.sort_unstable_by_key(|(own, _)| *own);
        heard
            .into_iter()
            .map(|(_, Heard { called, at, .. })| (called.clone(), *at))
            .collect()
    }

    /// The own names of the devices that are called otherwise outside of the gateway, by what they are called there.
    pub fn own_names(&self) -> BTreeMap<DeviceId, DeviceId> {
        let devices = self.locked();
        let heard = devices.heard.iter();
        heard
            .filter(|(own, heard)| heard.called != **own)
            .map(|(own, heard)| (heard.called.clone(), own.clone()))
            .collect()
    }

    /// Why the link is down; none if it is up, or was never tried.
    pub fn down(&self) -> Option<String> {
        self.down
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether its link has come or gone since the start; before that it is being tried.
    pub fn link_is_known(&self) -> bool {
        self.link_is_known.load(Ordering::Relaxed)
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
            devices.insert(device);
        }
    }

    /// What is taken from now on began then.
    pub(crate) fn note_began(&self, began: Instant) {
        self.locked().began = Some(began);
    }

    /// Follows no other devices than these any more: the connector brings no others, as it is configured now.
    pub(crate) fn keep_only(&self, known: &BTreeSet<DeviceId>) {
        self.locked()
            .heard
            .retain(|device, _| known.contains(device));
    }

    /// The devices of these samples were heard. Neighbours of one device cost one look, and only of a device that is not
    /// known it is asked whether it is taken.
    pub(crate) fn note_heard(
        &self,
        samples: &[Sample],
        is_taken: impl Fn(&Sample) -> bool,
        now: Timestamp,
    ) {
        let mut locked = self.locked();
        let devices = &mut *locked;
        let began = devices.began;
        for of_device in samples.chunk_by(|one, next| one.device == next.device) {
            let device = &of_device[0].device;
            let has_room = devices.heard.len() < DEVICES_MAX;
            let heard = match devices.heard.get_mut(device) {
                Some(heard) => heard,
                None if has_room && of_device.iter().any(&is_taken) => devices.insert(device),
                None => continue,
            };
            heard.at = Some(now);
            let was_under_way = heard.under_way.is_some();
            heard.note_news(of_device, began);
            if !was_under_way && heard.under_way.is_some() {
                devices.on_their_way.push(device.clone());
            }
        }
    }

    /// What was taken before is durable.
    pub(crate) fn note_durable(&self, now: Timestamp, at: Instant) {
        let mut devices = self.locked();
        for device in std::mem::take(&mut devices.on_their_way) {
            if let Some(heard) = devices.heard.get_mut(&device) {
                let since = heard.under_way.take();
                heard.latency_micros = since.map(|since| since.micros_until(now, at));
            }
        }
    }

    /// How long the newest reading of a device, by its own name, was under way until it was durable: from its own time, where its source
    /// gives one, else from the begin of the request that brought it, else from its arrival. Negative where a device's clock is ahead.
    pub fn latency_micros(&self, device: &DeviceId) -> Option<i64> {
        self.locked().heard.get(device)?.latency_micros
    }

    /// A device was heard by an event.
    pub(crate) fn note_heard_event(&self, device: &DeviceId, now: Timestamp) {
        let mut devices = self.locked();
        let has_room = devices.heard.len() < DEVICES_MAX;
        match devices.heard.get_mut(device) {
            Some(heard) => heard.at = Some(now),
            None if has_room => devices.insert(device).at = Some(now),
            None => {}
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
        self.link_is_known.store(true, Ordering::Relaxed);
    }

    fn locked(&self) -> MutexGuard<'_, Devices> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Devices {
    fn insert(&mut self, device: &DeviceId) -> &mut Heard {
        let called = self.pseudonyms.of(device);
        self.heard.entry(device.clone()).or_insert(Heard {
            called,
            at: None,
            under_way: None,
            latency_micros: None,
        })
    }
}

impl Heard {
    /// Samples of one message or poll have come. What only says what holds is no news: it may be old.
    fn note_news(&mut self, samples: &[Sample], began: Option<Instant>) {
        let mut news = samples
            .iter()
            .filter(|sample| sample.kind == SampleKind::Update)
            .peekable();
        if news.peek().is_none() {
            return;
        }
        let newest = news.filter_map(|sample| sample.event_time).max();
        let since = newest.map(Since::Taken).or(began.map(Since::Began));
        self.under_way = since.or(self.under_way);
    }
}

impl Since {
    /// Rounded towards nothing.
    fn micros_until(self, now: Timestamp, at: Instant) -> i64 {
        match self {
            Self::Taken(time) => now.nanos().saturating_sub(time.nanos()) / 1_000,
            Self::Began(began) => i64::try_from((at - began).as_micros()).unwrap_or(i64::MAX),
        }
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

#[cfg(test)]
mod tests {
    use forebay_connectors::RuleId;
    use forebay_schemas::{Status, TagName};

    use super::*;

    fn sample(device: &str, seconds: Option<i64>, kind: SampleKind) -> Sample {
        Sample {
            rule: RuleId(0),
            device: DeviceId::new(device).unwrap(),
            tag: TagName::new("t").unwrap(),
            event_time: seconds.map(at),
            value: None,
            unit: None,
            status: Status::GOOD,
            kind,
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_nanos(1_700_000_000_000_000_000 + seconds * 1_000_000_000)
    }

    #[test]
    fn latency_is_that_of_the_newest_reading_once_it_is_durable() {
        use SampleKind::{Confirmation, Snapshot, Update};
        let status = SourceStatus::default();
        let device = DeviceId::new("d").unwrap();
        let begun = Instant::now();
        let hear = |samples: &[Sample]| {
            status.note_began(begun);
            status.note_heard(samples, |_| true, at(9));
        };
        let store = || status.note_durable(at(10), begun + Duration::from_secs(3));
        assert_eq!(status.latency_micros(&device), None);
        let table = [
            // The newest of one message, by its own time.
            (
                vec![(Some(4), Update), (Some(8), Update), (Some(2), Update)],
                2,
            ),
            // Without a time, since its request began.
            (vec![(None, Update)], 3),
            // What only says what holds tells nothing new.
            (vec![(Some(-900), Snapshot), (None, Confirmation)], 3),
            (vec![(Some(12), Update)], -2),
            (vec![(Some(7), Update), (Some(-900), Snapshot)], 3),
        ];
        for (samples, seconds) in table {
            let samples: Vec<Sample> = samples
                .into_iter()
                .map(|(time, kind)| sample("d", time, kind))
                .collect();
            let before = status.latency_micros(&device);
            hear(&samples);
            assert_eq!(status.latency_micros(&device), before, "not durable yet");
            store();
            assert_eq!(
                status.latency_micros(&device),
                Some(seconds * 1_000_000),
                "{samples:?}"
            );
        }
        // Two devices on their way together, one of them twice.
        hear(&[sample("d", Some(1), Update), sample("e", Some(5), Update)]);
        hear(&[sample("d", Some(6), Update)]);
        store();
        let other = DeviceId::new("e").unwrap();
        let found = [&device, &other].map(|device| status.latency_micros(device));
        assert_eq!(found, [Some(4_000_000), Some(5_000_000)]);
    }
}
