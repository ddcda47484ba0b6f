//! How far the event times of a partition's devices have come: what watermarks are made of (E11).

use std::collections::BTreeMap;

use forebay_lake::{DeviceTimes, SiteTimes};
use forebay_schemas::{
    DeviceId, Series, SiteId, Timestamp,
    wire::{SeriesBatch, SeriesBlock},
};

use super::{
    arrivals::{Passed, Way},
    moment::Moment,
};

/// Devices that were not heard for so long before the last one of their site that was, leave the state: they hold no watermark anyway.
const DEVICE_KEPT_MICROS: i64 = 24 * 3_600 * 1_000_000;

/// What is behind a jump, µs since 1970 UTC.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeldTimes {
    /// The lowest event time.
    pub(super) event: i64,
    /// Since when it is held, and until when that counts.
    pub(super) since: i64,
    pub(super) until: i64,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Times {
    sites: BTreeMap<SiteId, BTreeMap<DeviceId, Device>>,
}

/// How far a device has come.
#[derive(Debug, Clone, Copy)]
struct Device {
    times: DeviceTimes,
    /// The way of its newest reading, if it came since ways were asked for last.
    passed: Option<Passed>,
}

impl Times {
    /// From a state. Its times are believed only up to now: a clock that was ahead once says nothing about a device.
    pub(super) fn new(sites: &[SiteTimes], now: i64) -> Self {
        let mut found = Self::default();
        for site in sites {
            // Names that are none cannot come from a reading; they are not worth an error.
            let Ok(name) = SiteId::new(&site.site) else {
                continue;
            };
            let believed = |times: &DeviceTimes| Device {
                times: DeviceTimes {
                    event: times.event.min(now),
                    observed: times.observed.min(now),
                },
                passed: None,
            };
            let devices = site
                .devices
                .iter()
                .filter_map(|(device, times)| Some((DeviceId::new(device).ok()?, believed(times))));
            found.sites.insert(name, devices.collect());
        }
        found
    }

    /// Readings have been taken at `now`; the times of a gateway that is ahead are believed up to it.
    pub(super) fn heard(&mut self, batch: &SeriesBatch, now: Moment) {
        let clock = now.micros();
        let latest = |nanos: &[i64]| {
            nanos
                .iter()
                .max()
                .map(|nanos| Timestamp::from_nanos(*nanos).micros().min(clock))
        };
        let mut heard: Vec<(&Series, DeviceTimes)> = Vec::new();
        for SeriesBlock {
            series,
            event_times,
            observed_times,
            ..
        } in batch.blocks()
        {
            // An event comes at its arrival, before values of its device that are older and still under way.
            if series.tag.is_of_events() {
                continue;
            }
            let Some((event, observed)) = latest(event_times).zip(latest(observed_times)) else {
                continue;
            };
            // The series of a device mostly stand together.
            match heard.last_mut() {
                Some((last, times)) if last.device == series.device && last.site == series.site => {
                    times.event = times.event.max(event);
                    times.observed = times.observed.max(observed);
                }
                _ => heard.push((series, DeviceTimes { event, observed })),
            }
        }
        heard
            .into_iter()
            .for_each(|(series, times)| self.heard_of(series, times, now));
    }

    fn heard_of(&mut self, series: &Series, heard: DeviceTimes, now: Moment) {
        let passed = Passed {
            event: heard.event,
            observed: heard.observed,
            published: now.published.micros(),
            consumed: now.micros(),
        };
        if !self.sites.contains_key(&series.site) {
            self.sites.insert(series.site.clone(), BTreeMap::new());
        }
        let Some(devices) = self.sites.get_mut(&series.site) else {
            return;
        };
        match devices.get_mut(&series.device) {
            Some(Device { times, passed: way }) => {
                if heard.event >= times.event {
                    *way = Some(passed);
                }
                times.event = times.event.max(heard.event);
                times.observed = times.observed.max(heard.observed);
            }
            None => {
                let new = Device {
                    times: heard,
                    passed: Some(passed),
                };
                devices.insert(series.device.clone(), new);
            }
        }
    }

    /// The ways of the devices' newest readings that have been taken since this was asked last.
    pub(super) fn take_ways(&mut self) -> Vec<Way> {
        let mut ways = Vec::new();
        for (site, devices) in &mut self.sites {
            for (device, of_device) in devices {
                ways.extend(of_device.passed.take().map(|passed| Way {
                    site: site.as_str().to_owned(),
                    device: device.as_str().to_owned(),
                    passed,
                }));
            }
        }
        ways
    }

    pub(super) fn render(&self, mut held: BTreeMap<String, HeldTimes>) -> Vec<SiteTimes> {
        let mut sites = Vec::new();
        for (site, devices) in &self.sites {
            let newest = devices.values().map(|of| of.times.observed).max();
            let since = newest.unwrap_or(0).saturating_sub(DEVICE_KEPT_MICROS);
            let kept = devices.iter().filter(|(_, of)| of.times.observed >= since);
            let devices: BTreeMap<String, DeviceTimes> = kept
                .map(|(device, of)| (device.as_str().to_owned(), of.times))
                .collect();
            let held = held.remove(site.as_str());
            if !devices.is_empty() || held.is_some() {
                sites.push(site_times(site.as_str().to_owned(), held, devices));
            }
        }
        // Sites of which nothing but what is held has come yet.
        sites.extend(
            held.into_iter()
                .map(|(site, held)| site_times(site, Some(held), BTreeMap::new())),
        );
        sites.sort_by(|a, b| a.site.cmp(&b.site));
        sites
    }
}

fn site_times(
    site: String,
    held: Option<HeldTimes>,
    devices: BTreeMap<String, DeviceTimes>,
) -> SiteTimes {
    let held_from_until = held.map(|held| (held.since, held.until));
    SiteTimes {
        site,
        held: held.map(|held| held.event),
        held_from_until,
        devices,
    }
}
