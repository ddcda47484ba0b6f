//! Gaps that only the gateway knows of: it was not running, or it had no room while its devices were to be read.
//!
//! Invariants: reported only for devices that nobody asks to send again (a session of MQTT brings later what came meanwhile), and
//! once room is there, as records among the readings; a spool that was full without a poll being skipped has lost nothing and is
//! not recorded. It does no I/O.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use forebay_schemas::{
    DeviceId, Lane, SiteId, Timestamp,
    wire::{Outage, OutageWhy},
};

use crate::{lanes::Lanes, series::elapsed};

/// A stop that is shorter is a restart, and none of the lake's business.
const STOP_MIN: Duration = Duration::from_secs(10);
/// Times without room that are less far apart are one outage.
const FULL_APART: Duration = Duration::from_secs(5);
/// A time without room that does not end is reported in parts of this length: what a death would lose of it.
const FULL_PART: Duration = Duration::from_secs(60);
/// Outages that go into one record, so that it fits into the smallest segment whatever the names.
pub(crate) const AT_ONCE: usize = 16;
/// More devices of one connector and lane are reported by one outage that names none.
const DEVICES_MAX: usize = 64;

/// A time in which a connector's devices were not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    pub(crate) why: OutageWhy,
}

impl Span {
    /// The stop before this start; none where it was short, or the clock says nothing of it.
    pub(crate) fn of_stop(stored_at: Option<Timestamp>, now: Timestamp) -> Option<Self> {
        let from = stored_at.filter(|from| *from <= now && elapsed(*from, now) >= STOP_MIN)?;
        Some(Self {
            from,
            to: now,
            why: OutageWhy::Stopped,
        })
    }

    /// The outages of these devices, by lane.
    pub(crate) fn of_devices(
        self,
        site: &SiteId,
        devices: BTreeSet<DeviceId>,
        lanes: Lanes,
    ) -> BTreeMap<Lane, Vec<Outage>> {
        let Self { from, to, why } = self;
        let mut by_lane: BTreeMap<Lane, Vec<Option<DeviceId>>> = BTreeMap::new();
        for device in devices {
            by_lane
                .entry(lanes.of(&device))
                .or_default()
                .push(Some(device));
        }
        let outages = |(lane, mut devices): (Lane, Vec<Option<DeviceId>>)| {
            if devices.len() > DEVICES_MAX {
                devices = vec![None];
            }
            let outage = |device| Outage {
                site: site.clone(),
                device,
                from,
                to,
                why,
            };
            (lane, devices.into_iter().map(outage).collect())
        };
        by_lane.into_iter().map(outages).collect()
    }
}

/// A time without room.
#[derive(Debug, Clone, Copy)]
struct Full {
    since: Timestamp,
    /// Polls that had been skipped before.
    skipped: u64,
    /// When something was stored again.
    until: Option<Timestamp>,
}

/// One connector's times without room.
#[derive(Debug, Default)]
pub(crate) struct FullSpool(Option<Full>);

impl FullSpool {
    /// An append waits for room since then. `skipped` counts the polls that had been skipped until then.
    pub(crate) fn waits(&mut self, since: Timestamp, skipped: u64) {
        match &mut self.0 {
            Some(full) => full.until = None,
            none => {
                *none = Some(Full {
                    since,
                    skipped,
                    until: None,
                })
            }
        }
    }

    /// An append was stored.
    pub(crate) fn stored(&mut self, now: Timestamp) {
        if let Some(full) = &mut self.0 {
            full.until.get_or_insert(now);
        }
    }

    /// What is to be reported: once there has been room for a while, or the part so far of what lasts long.
    pub(crate) fn take_due(&mut self, now: Timestamp, skipped: u64) -> Option<Span> {
        let Full { since, until, .. } = self.0?;
        let until = until?;
        if elapsed(until, now) >= FULL_APART {
            return self.take(skipped);
        }
        if elapsed(since, now) < FULL_PART {
            return None;
        }
        let part = self.take(skipped);
        self.0 = Some(Full {
            since: until,
            skipped,
            until: Some(until),
        });
        part
    }

    /// What is to be reported, now that the gateway stops. A clock that was set back meanwhile makes it short.
    pub(crate) fn take(&mut self, skipped: u64) -> Option<Span> {
        let Full {
            since,
            skipped: before,
            until,
        } = self.0.take()?;
        let to = until.filter(|_| skipped > before)?.max(since);
        Some(Span {
            from: since,
            to,
            why: OutageWhy::SpoolFull,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_nanos(1_700_000_000_000_000_000 + seconds * 1_000_000_000)
    }

    #[test]
    fn a_restart_is_no_stop_and_a_clock_set_back_tells_of_none() {
        assert_eq!(Span::of_stop(None, at(100)), None, "the first start");
        assert_eq!(Span::of_stop(Some(at(0)), at(9)), None);
        let stop = Span {
            from: at(0),
            to: at(120),
            why: OutageWhy::Stopped,
        };
        assert_eq!(Span::of_stop(Some(at(0)), at(120)), Some(stop));
        assert_eq!(Span::of_stop(Some(at(120)), at(0)), None);
    }

    #[test]
    fn each_device_is_told_of_in_its_lane_and_very_many_at_once() {
        let span = Span {
            from: at(0),
            to: at(120),
            why: OutageWhy::Stopped,
        };
        let (site, lanes) = (
            SiteId::new("plant").unwrap(),
            Lanes(NonZeroU32::new(2).unwrap()),
        );
        let told = |count: usize| {
            let devices = (0..count)
                .map(|number| DeviceId::new(&format!("meter-{number}")).unwrap())
                .collect();
            span.of_devices(&site, devices, lanes)
        };
        let few = told(10);
        assert_eq!(few.values().map(Vec::len).sum::<usize>(), 10);
        for (lane, outages) in &few {
            assert!(
                outages
                    .iter()
                    .all(|outage| lanes.of(outage.device.as_ref().unwrap()) == *lane)
            );
        }
        let many = told(1000);
        let devices: Vec<_> = many
            .values()
            .flatten()
            .map(|outage| outage.device.clone())
            .collect();
        assert_eq!(devices, [None, None], "one a lane");
        assert!(told(0).is_empty());
    }

    #[test]
    fn times_without_room_are_joined_and_told_where_polls_were_skipped() {
        let mut full = FullSpool::default();
        full.stored(at(0));
        assert_eq!(full.take_due(at(100), 9), None, "there was room");
        full.waits(at(1), 3);
        assert_eq!(full.take_due(at(20), 3), None, "there is none yet");
        full.stored(at(30));
        full.stored(at(31));
        assert_eq!(full.take_due(at(32), 60), None, "it may not last");
        full.waits(at(33), 60);
        full.stored(at(44));
        let span = Span {
            from: at(1),
            to: at(44),
            why: OutageWhy::SpoolFull,
        };
        assert_eq!(full.take_due(at(49), 80), Some(span));
        assert_eq!(full.take_due(at(60), 80), None, "once");
        full.waits(at(61), 80);
        full.stored(at(70));
        assert_eq!(full.take_due(at(80), 80), None, "nothing was skipped");
        full.waits(at(81), 80);
        assert_eq!(full.take(99), None, "it never ended");
    }

    #[test]
    fn what_lasts_long_is_told_in_parts_and_a_clock_set_back_hides_nothing() {
        let mut full = FullSpool::default();
        let span = |from, to| {
            Some(Span {
                from: at(from),
                to: at(to),
                why: OutageWhy::SpoolFull,
            })
        };
        for (begins, ends, skipped) in [(0, 30, 0), (31, 59, 10), (60, 61, 20)] {
            full.waits(at(begins), skipped);
            full.stored(at(ends));
        }
        assert_eq!(full.take_due(at(62), 30), span(0, 61));
        full.waits(at(63), 30);
        assert_eq!(full.take_due(at(200), 35), None, "it waits");
        full.stored(at(201));
        assert_eq!(full.take_due(at(207), 40), span(61, 201));
        full.waits(at(300), 40);
        full.stored(at(250));
        assert_eq!(full.take_due(at(256), 50), span(300, 300));
    }
}
