//! Which counter of the product is which metric.

#[cfg(feature = "lake")]
mod lake;

use std::{collections::BTreeMap, path::Path, sync::atomic::Ordering};

use forebay_gateway::{EdgeStatus, SourceStatus};
use forebay_telemetry::{Metric, Sample, Telemetry, names};

use crate::service::{LaneWatch, Watch};

type OfSource = fn(&SourceStatus) -> u64;

/// Hands every counter to telemetry.
pub(crate) fn register(telemetry: &Telemetry, watch: &Watch) {
    of_edge(telemetry, watch);
    #[cfg(feature = "lake")]
    lake::register(telemetry, &watch.lake);
    let data_dir = watch.data_dir.clone();
    telemetry.gauge(&names::DATA_FREE, move || {
        let free = data_dir
            .as_ref()
            .and_then(|folder| free_bytes(folder))
            .map(|bytes| (bytes as f64, Vec::new()));
        free.into_iter().collect()
    });
    of_parts(telemetry, watch);
    of_alerts(telemetry, watch);
}

fn of_edge(telemetry: &Telemetry, watch: &Watch) {
    let edge: [(&'static Metric, OfSource); 7] = [
        (&names::RECEIVED, SourceStatus::received),
        (&names::SPOOLED, SourceStatus::spooled),
        (&names::BAD, SourceStatus::bad),
        (&names::FILTERED, SourceStatus::filtered),
        (&names::UNCHANGED, SourceStatus::unchanged),
        (&names::SKIPPED, SourceStatus::skipped),
        (&names::BLOCKED, |source| source.blocked_millis() / 1000),
    ];
    for (metric, read) in edge {
        let status = watch.edge.clone();
        telemetry.counter(metric, move || by_connector(&status, read));
    }
    let status = watch.edge.clone();
    telemetry.gauge(&names::LINK_UP, move || {
        by_connector(
            &status,
            |source| if source.down().is_none() { 1.0 } else { 0.0 },
        )
    });
    let lanes = watch.lanes.clone();
    telemetry.gauge(&names::LAG, move || {
        by_lane(&lanes, |lane| Some(lane.spool.waiting() as f64))
    });
    let lanes = watch.lanes.clone();
    telemetry.counter(&names::PUBLISHED, move || {
        by_lane(&lanes, |lane| {
            Some(lane.published.as_ref()?.load(Ordering::Relaxed))
        })
    });
}

fn of_parts(telemetry: &Telemetry, watch: &Watch) {
    let failures = watch.failures.clone();
    telemetry.counter(&names::PART_FAILURES, move || {
        // Each lane has a publisher of its own, and all of them one name.
        let mut by_part: BTreeMap<&str, u64> = BTreeMap::new();
        for (part, count) in &failures {
            *by_part.entry(part).or_default() += count.load(Ordering::Relaxed);
        }
        by_part
            .into_iter()
            .map(|(part, count)| (count, vec![("part", part.to_owned())]))
            .collect()
    });
}

fn of_alerts(telemetry: &Telemetry, watch: &Watch) {
    type OfStanding = fn(forebay_alerts::Standing) -> BTreeMap<String, u64>;
    let alerts: [(&'static Metric, &'static str, OfStanding); 2] = [
        (&names::ALERTS_FIRING, "alert", |standing| standing.firing),
        (&names::DELIVERIES_WAITING, "route", |standing| {
            standing.waiting
        }),
    ];
    for (metric, label, read) in alerts {
        let progress = watch.alerts.clone();
        telemetry.gauge(metric, move || {
            read(progress.standing())
                .into_iter()
                .map(|(name, count)| (count as f64, vec![(label, name)]))
                .collect()
        });
    }
}

/// Room on a folder's disk for those who are not root; none where it cannot be asked.
fn free_bytes(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    disk.f_bavail.checked_mul(disk.f_frsize)
}

fn by_lane<T>(lanes: &[LaneWatch], read: impl Fn(&LaneWatch) -> Option<T>) -> Vec<Sample<T>> {
    let sample = |lane: &LaneWatch| Some((read(lane)?, vec![("lane", lane.lane.to_string())]));
    lanes.iter().filter_map(sample).collect()
}

fn by_connector<T>(status: &EdgeStatus, read: impl Fn(&SourceStatus) -> T) -> Vec<Sample<T>> {
    status
        .sources()
        .into_iter()
        .map(|(name, source)| (read(&source), vec![("connector", name)]))
        .collect()
}
