//! How far a site's event times have come: the lowest over its partitions, each the lowest over its devices (E11).
//!
//! A device that is silent, or whose readings are far behind (its clock, or a backlog that drains), leaves the minimum; a
//! jump in the stream holds it. Pure.

use std::collections::BTreeMap;

use forebay_lake::{DeviceTimes, SiteTimes};
use forebay_schemas::Timestamp;

use super::{HeldBy, Watermarks, WindowSettings, micros};

/// How far a site has come, and what holds it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bound {
    /// µs since 1970 UTC.
    pub(super) micros: i64,
    pub(super) held_by: HeldBy,
}

/// The watermark of each site that live streams feed, µs since 1970 UTC. Never ahead of the clock.
pub(super) fn watermarks<'a>(
    sites: impl Iterator<Item = &'a SiteTimes>,
    settings: &WindowSettings,
    now: Timestamp,
) -> Watermarks {
    let bounds = bounds(sites, settings, now).into_iter();
    bounds.map(|(site, bound)| (site, bound.micros)).collect()
}

/// As [`watermarks`], with what holds each.
pub(super) fn bounds<'a>(
    sites: impl Iterator<Item = &'a SiteTimes>,
    settings: &WindowSettings,
    now: Timestamp,
) -> BTreeMap<String, Bound> {
    let mut bounds: BTreeMap<String, Option<Bound>> = BTreeMap::new();
    for site in sites {
        let bound = bounds.entry(site.site.clone()).or_default();
        let jump = site.held_at(now.micros()).map(|micros| Bound {
            micros,
            held_by: HeldBy::Jump,
        });
        *bound = [bound.take(), of_devices(site, settings, now), jump]
            .into_iter()
            .flatten()
            .min_by_key(|bound| bound.micros);
    }
    // Without a device that counts, the clock counts.
    let idle = now.micros().saturating_sub(micros(settings.lateness));
    let believed = |bound: Option<Bound>| {
        let bound = bound.unwrap_or(Bound {
            micros: idle,
            held_by: HeldBy::Clock,
        });
        Bound {
            micros: bound.micros.min(now.micros()),
            ..bound
        }
    };
    bounds
        .into_iter()
        .map(|(site, bound)| (site, believed(bound)))
        .collect()
}

/// The lowest over the devices that count; none if none does.
fn of_devices(site: &SiteTimes, settings: &WindowSettings, now: Timestamp) -> Option<Bound> {
    let (idle, late) = (micros(settings.idle_timeout), micros(settings.lateness));
    let since = now.micros().saturating_sub(idle);
    let heard =
        |times: &DeviceTimes| times.observed >= since && times.event >= since.saturating_sub(late);
    let counting = site.devices.iter().filter(|(_, times)| heard(times));
    counting
        .min_by_key(|(_, times)| times.event)
        .map(|(device, times)| Bound {
            micros: times.event,
            held_by: HeldBy::Device(device.clone()),
        })
}
