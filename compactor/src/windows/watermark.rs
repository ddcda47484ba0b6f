//! How far a site's event times have come: the lowest over its partitions, each the lowest over its devices (E11).
//!
//! A device that is silent, or whose readings are far behind (its clock, or a backlog that drains), leaves the minimum; a
//! jump in the stream holds it. Pure.

use std::collections::BTreeMap;

use forebay_lake::{DeviceTimes, SiteTimes};
use forebay_schemas::Timestamp;

use super::{Watermarks, WindowSettings, micros};

/// The watermark of each site that live streams feed, µs since 1970 UTC. Never ahead of the clock.
pub(super) fn watermarks<'a>(
    sites: impl Iterator<Item = &'a SiteTimes>,
    settings: &WindowSettings,
    now: Timestamp,
) -> Watermarks {
    let mut bounds: BTreeMap<String, Option<i64>> = BTreeMap::new();
    for site in sites {
        let bound = bounds.entry(site.site.clone()).or_default();
        *bound = [
            *bound,
            of_devices(site, settings, now),
            site.held_at(now.micros()),
        ]
        .into_iter()
        .flatten()
        .min();
    }
    // Without a device that counts, the clock counts.
    let idle = now.micros().saturating_sub(micros(settings.lateness));
    bounds
        .into_iter()
        .map(|(site, bound)| (site, bound.unwrap_or(idle).min(now.micros())))
        .collect()
}

/// The lowest over the devices that count; none if none does.
fn of_devices(site: &SiteTimes, settings: &WindowSettings, now: Timestamp) -> Option<i64> {
    let (idle, late) = (micros(settings.idle_timeout), micros(settings.lateness));
    let since = now.micros().saturating_sub(idle);
    let heard =
        |times: &&DeviceTimes| times.observed >= since && times.event >= since.saturating_sub(late);
    site.devices
        .values()
        .filter(heard)
        .map(|times| times.event)
        .min()
}
