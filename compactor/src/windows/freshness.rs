//! How old the newest readings of each device are, and where that time went. Pure.
//!
//! What is known is what commits say: the newest event time of a device and when its gateway heard it last, and when a look at
//! the table first saw them. Spool, stream and the wait for the commit are one part here: a gateway's own metrics tell them
//! apart.

use std::collections::BTreeMap;

use forebay_lake::{DeviceTimes, SiteTimes};
use forebay_schemas::Timestamp;

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
    /// When that was first seen in the table.
    pub seen: Timestamp,
}

/// Where the age of a device's newest reading comes from, in µs; each part is at least 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgeParts {
    /// From the event to the gateway: the device's clock, its own buffers, the link.
    pub source: i64,
    /// From the gateway to the table: spool, stream and commit.
    pub transport: i64,
    /// Since then nothing newer has come.
    pub since: i64,
}

impl DeviceFreshness {
    /// How old the newest reading is, in µs; 0 for one from a clock that is ahead.
    pub fn age(&self, now: Timestamp) -> i64 {
        now.micros().saturating_sub(self.event.micros()).max(0)
    }

    /// Where that age comes from.
    pub fn parts(&self, now: Timestamp) -> AgeParts {
        let between = |from: Timestamp, to: Timestamp| to.micros().saturating_sub(from.micros());
        AgeParts {
            source: between(self.event, self.observed).max(0),
            transport: between(self.observed, self.seen).max(0),
            since: between(self.seen, now).max(0),
        }
    }
}

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
        let time = |micros: i64| Timestamp::from_nanos(micros.saturating_mul(1_000));
        let devices = self
            .0
            .iter()
            .map(|((site, device), (times, seen))| DeviceFreshness {
                site: site.clone(),
                device: device.clone(),
                event: time(times.event),
                observed: time(times.observed),
                seen: time(*seen),
            });
        devices.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
                    let parts = [parts.source, parts.transport, parts.since];
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
}
