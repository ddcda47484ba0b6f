//! How old the newest readings of each device are, and where that time went. Pure.
//!
//! Two sources say so. Commits of this process tell when their readings were accepted, published, consumed and committed. What
//! other processes committed, or this one before its start, is known by what their states say: when its gateway heard a
//! device last, and when a look at the table first saw that; spool, stream and commit are one part there.
//!
//! Readings of a lane are taken in order and what is missing has its gap, so that up to its newest event time a device is
//! complete as far as it will ever be, but for what comes late.

use std::collections::BTreeMap;

use forebay_lake::{DeviceTimes, SiteTimes};
use forebay_schemas::{Timestamp, table::READINGS};

use super::WindowProgress;
use crate::{Progress, consume::Arrival, rollups::RollupLevels};

/// The newest that the table has of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceFreshness {
    /// Its site.
    pub site: String,
    /// The device.
    pub device: String,
    /// The newest event time.
    pub event: Timestamp,
    /// When its gateway heard it last.
    pub observed: Timestamp,
    /// When it was published and consumed, if this process brought it.
    pub passed: Option<PassedStream>,
    /// When it was committed, or first seen in the table.
    pub seen: Timestamp,
}

/// When a reading passed the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassedStream {
    /// When its gateway published it; when it was consumed, where the spool is the stream.
    pub published: Timestamp,
    /// When it was consumed.
    pub consumed: Timestamp,
}

/// Where the age of a device's newest reading comes from, in µs; each part is at least 0. They add up to the age unless the
/// clocks of device, gateway and this machine contradict each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgeParts {
    /// From the event to the gateway: the device's clock, its own buffers, the link.
    pub source: i64,
    /// From the gateway to the table.
    pub path: PathParts,
    /// Since then nothing newer has come.
    pub since: i64,
}

/// The time from a gateway to the table, in µs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathParts {
    /// This process brought it.
    Known {
        /// From acceptance to publishing; to consuming, where the spool is the stream.
        spool: i64,
        /// From publishing to consuming.
        stream: i64,
        /// From consuming to the commit.
        commit: i64,
    },
    /// Spool, stream and commit as one.
    Whole(i64),
}

impl AgeParts {
    /// Each part by its name.
    pub fn named(self) -> Vec<(&'static str, i64)> {
        let path = match self.path {
            PathParts::Known {
                spool,
                stream,
                commit,
            } => vec![("spool", spool), ("stream", stream), ("commit", commit)],
            PathParts::Whole(transport) => vec![("transport", transport)],
        };
        let mut parts = vec![("source", self.source)];
        parts.extend(path);
        parts.push(("since", self.since));
        parts
    }
}

/// How far a table is complete for a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableFreshness {
    /// The table.
    pub table: &'static str,
    /// The device's site.
    pub site: String,
    /// The device.
    pub device: String,
    /// The newest complete event time.
    pub complete: Timestamp,
}

impl DeviceFreshness {
    /// How old the newest reading is, in µs; 0 for one from a clock that is ahead.
    pub fn age(&self, now: Timestamp) -> i64 {
        between(self.event, now)
    }

    /// Where that age comes from.
    pub fn parts(&self, now: Timestamp) -> AgeParts {
        let path = match self.passed {
            Some(PassedStream {
                published,
                consumed,
            }) => PathParts::Known {
                spool: between(self.observed, published),
                stream: between(published, consumed),
                commit: between(consumed, self.seen),
            },
            None => PathParts::Whole(between(self.observed, self.seen)),
        };
        AgeParts {
            source: between(self.event, self.observed),
            path,
            since: between(self.seen, now),
        }
    }

    fn of(site: String, device: String, arrival: Arrival) -> Self {
        Self {
            site,
            device,
            event: time(arrival.passed.event),
            observed: time(arrival.passed.observed),
            passed: Some(PassedStream {
                published: time(arrival.passed.published),
                consumed: time(arrival.passed.consumed),
            }),
            seen: time(arrival.committed),
        }
    }
}

/// µs from one time to another; 0 where it is not later.
fn between(from: Timestamp, to: Timestamp) -> i64 {
    to.micros().saturating_sub(from.micros()).max(0)
}

fn time(micros: i64) -> Timestamp {
    Timestamp::from_nanos(micros.saturating_mul(1_000))
}

/// The devices whose newest readings are the oldest, at most `count`: by what the last look at the tables saw and what this
/// process has committed since.
pub fn oldest_devices(
    windows: &WindowProgress,
    consumed: &Progress,
    count: usize,
) -> Vec<DeviceFreshness> {
    let mut devices = fresh_devices(windows, consumed);
    devices.sort_by_key(|device| device.event);
    devices.truncate(count);
    devices
}

/// Every device that is followed, in the order of site and name.
pub fn fresh_devices(windows: &WindowProgress, consumed: &Progress) -> Vec<DeviceFreshness> {
    merged(windows.devices(), consumed.arrivals.all())
}

/// What is known of each device by whoever knows the newer of it.
fn merged(
    seen: Vec<DeviceFreshness>,
    arrivals: BTreeMap<(String, String), Arrival>,
) -> Vec<DeviceFreshness> {
    let key = |device: DeviceFreshness| ((device.site.clone(), device.device.clone()), device);
    let mut devices: BTreeMap<_, _> = seen.into_iter().map(key).collect();
    for (key, arrival) in arrivals {
        let known = devices.get(&key);
        if known.is_some_and(|known| known.event.micros() > arrival.passed.event) {
            continue;
        }
        let own = DeviceFreshness::of(key.0.clone(), key.1.clone(), arrival);
        devices.insert(key, own);
    }
    devices.into_values().collect()
}

/// How far `readings` and the roll-ups that are kept are complete for each of these devices.
pub fn by_table(windows: &WindowProgress, devices: &[DeviceFreshness]) -> Vec<TableFreshness> {
    let rolled = windows.rolled_up();
    let mut tables = Vec::new();
    for device in devices {
        let of = |table, complete| TableFreshness {
            table,
            site: device.site.clone(),
            device: device.device.clone(),
            complete,
        };
        tables.push(of(READINGS.name, device.event));
        let Some((over, levels)) = rolled.get(&device.site) else {
            continue;
        };
        tables.extend(levels.all().map(|level| {
            let whole = over.div_euclid(level.width()) * level.width();
            of(level.table().name, time(whole).min(device.event))
        }));
    }
    tables
}

/// By site up to where windows are closed, µs since 1970 UTC, and which roll-ups have been made of them.
pub(super) type RolledUp = BTreeMap<String, (i64, RollupLevels)>;

/// What was seen of the devices, from one look to the next: by site and device.
#[derive(Debug, Default)]
pub(super) struct Seen(BTreeMap<(String, String), (DeviceTimes, i64)>);

impl Seen {
    /// Takes in what the states say at `now`: of a device in several streams the newest counts.
    pub(super) fn look<'a>(&mut self, sites: impl Iterator<Item = &'a SiteTimes>, now: Timestamp) {
        let mut newest: BTreeMap<(String, String), DeviceTimes> = BTreeMap::new();
        for site in sites {
            for (device, times) in &site.devices {
                let known = newest
                    .entry((site.site.clone(), device.clone()))
                    .or_insert(*times);
                known.event = known.event.max(times.event);
                known.observed = known.observed.max(times.observed);
            }
        }
        let before = std::mem::take(&mut self.0);
        for (key, times) in newest {
            let seen = match before.get(&key) {
                Some((known, seen)) if *known == times => *seen,
                _ => now.micros(),
            };
            self.0.insert(key, (times, seen));
        }
    }

    pub(super) fn devices(&self) -> Vec<DeviceFreshness> {
        let devices = self
            .0
            .iter()
            .map(|((site, device), (times, seen))| DeviceFreshness {
                site: site.clone(),
                device: device.clone(),
                event: time(times.event),
                observed: time(times.observed),
                passed: None,
                seen: time(*seen),
            });
        devices.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consume::Passed;

    const SECOND: i64 = 1_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * SECOND).unwrap()
    }

    fn site(devices: &[(&str, i64, i64)]) -> SiteTimes {
        let times = |(device, event, observed): &(&str, i64, i64)| {
            let times = DeviceTimes {
                event: event * SECOND,
                observed: observed * SECOND,
            };
            ((*device).to_owned(), times)
        };
        SiteTimes {
            site: "plant".into(),
            devices: devices.iter().map(times).collect(),
            ..SiteTimes::default()
        }
    }

    #[test]
    fn an_age_is_the_sum_of_its_parts_and_seen_when_it_changed() {
        let mut seen = Seen::default();
        let check = |seen: &Seen, now: i64, expected: &[(&str, i64, [i64; 3])]| {
            let found: Vec<(String, i64, [i64; 3])> = seen
                .devices()
                .into_iter()
                .map(|device| {
                    let parts = device.parts(at(now));
                    let PathParts::Whole(transport) = parts.path else {
                        panic!("nothing was consumed here")
                    };
                    let parts = [parts.source, transport, parts.since];
                    let age = device.age(at(now)) / SECOND;
                    (device.device, age, parts.map(|part| part / SECOND))
                })
                .collect();
            let expected: Vec<_> = expected
                .iter()
                .map(|(device, age, parts)| ((*device).to_owned(), *age, *parts))
                .collect();
            assert_eq!(found, expected);
        };
        seen.look([site(&[("a", 100, 103)])].iter(), at(110));
        check(&seen, 112, &[("a", 12, [3, 7, 2])]);
        seen.look([site(&[("a", 100, 103)])].iter(), at(120));
        check(&seen, 120, &[("a", 20, [3, 7, 10])]);
        // Two streams have it, and one brings a device that is ahead.
        let streams = [
            site(&[("a", 100, 103)]),
            site(&[("a", 119, 119), ("b", 500, 121)]),
        ];
        seen.look(streams.iter(), at(125));
        check(&seen, 125, &[("a", 6, [0, 6, 0]), ("b", 0, [0, 4, 0])]);
        seen.look([site(&[("b", 500, 121)])].iter(), at(130));
        check(&seen, 130, &[("b", 0, [0, 4, 5])]);
    }
    #[test]
    fn what_this_process_committed_is_told_by_its_parts_until_another_brings_newer() {
        let passed = Passed {
            event: 100 * SECOND,
            observed: 103 * SECOND,
            published: 110 * SECOND,
            consumed: 112 * SECOND,
        };
        let committed = 120 * SECOND;
        let of_a = ("plant".to_owned(), "a".to_owned());
        let arrivals = || BTreeMap::from([(of_a.clone(), Arrival { passed, committed })]);
        let mut seen = Seen::default();
        let mut shown = |states: &[SiteTimes], now: i64| -> Vec<Vec<(&'static str, i64)>> {
            seen.look(states.iter(), at(now));
            let devices = merged(seen.devices(), arrivals());
            let parts = |device: &DeviceFreshness| {
                let named = device.parts(at(now)).named().into_iter();
                named.map(|(name, of)| (name, of / SECOND)).collect()
            };
            devices.iter().map(parts).collect()
        };
        let own = |since| {
            vec![
                ("source", 3),
                ("spool", 7),
                ("stream", 2),
                ("commit", 8),
                ("since", since),
            ]
        };
        // Before the first look, and after it.
        assert_eq!(shown(&[], 130), [own(10)]);
        let other = vec![("source", 0), ("transport", 4), ("since", 0)];
        let states = [site(&[("a", 100, 103), ("b", 136, 136)])];
        assert_eq!(shown(&states, 140), [own(20), other]);
        let elsewhere = vec![("source", 1), ("transport", 4), ("since", 0)];
        assert_eq!(shown(&[site(&[("a", 145, 146)])], 150), [elsewhere]);
    }

    #[test]
    fn a_roll_up_is_complete_up_to_its_last_whole_stretch_or_the_device() {
        let progress = WindowProgress::default();
        let levels = RollupLevels::ALL;
        progress.note_rolled_up("plant", 3_720 * SECOND, levels);
        let devices = ["a", "b"].map(|name| {
            let newest = if name == "a" { 4_000 } else { 3_000 };
            DeviceFreshness {
                site: "plant".into(),
                device: name.into(),
                event: at(newest),
                observed: at(newest),
                passed: None,
                seen: at(newest),
            }
        });
        let shown: Vec<(String, &str, i64)> = by_table(&progress, &devices)
            .into_iter()
            .map(|of| (of.device, of.table, of.complete.micros() / SECOND))
            .collect();
        let expected = [
            ("a", "readings", 4_000),
            ("a", "readings_1m", 3_720),
            ("a", "readings_1h", 3_600),
            ("b", "readings", 3_000),
            ("b", "readings_1m", 3_000),
            ("b", "readings_1h", 3_000),
        ];
        let expected = expected.map(|(device, table, at)| (device.to_owned(), table, at));
        assert_eq!(shown, expected);
    }
}
