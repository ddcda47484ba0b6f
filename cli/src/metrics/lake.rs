//! The counters of the roles that work on the lake.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use forebay_compactor::{Progress, TableFreshness, by_table, oldest_devices};
use forebay_serve::ServeProgress;
use forebay_telemetry::{Metric, Telemetry, names};

use crate::{clock::clock, service::LakeWatch};

/// Devices whose age is shown: those whose newest readings are the oldest. Each has five parts, and a metric has 2,000 series at
/// most, those of the last round among them.
const DEVICES_MAX: usize = 200;

type OfProgress = fn(&Progress) -> &AtomicU64;
type OfServe = fn(&ServeProgress) -> &AtomicU64;

pub(super) fn register(telemetry: &Telemetry, watch: &LakeWatch) {
    of_compactor(telemetry, watch);
    of_jobs(telemetry, watch);
    of_queries(telemetry, watch);
}

fn of_jobs(telemetry: &Telemetry, watch: &LakeWatch) {
    let jobs = watch.jobs.clone();
    telemetry.counter(&names::JOB_RUNS, move || {
        let labels = |job: String, state: &str| vec![("job", job), ("state", state.to_owned())];
        jobs.finished()
            .into_iter()
            .map(|(job, state, runs)| (runs, labels(job.to_string(), state)))
            .collect()
    });
    let jobs = watch.jobs.clone();
    telemetry.gauge(&names::JOB_WAITING, move || {
        jobs.waiting()
            .into_iter()
            .map(|(job, wait)| (wait.as_secs_f64(), vec![("job", job)]))
            .collect()
    });
    let jobs = watch.jobs.clone();
    telemetry.counter(&names::JOB_WINDOWS_SKIPPED, move || {
        jobs.windows_skipped()
            .into_iter()
            .map(|(job, count)| (count, vec![("job", job.to_string())]))
            .collect()
    });
}

fn of_queries(telemetry: &Telemetry, watch: &LakeWatch) {
    let serve = watch.serve.clone();
    telemetry.counter(&names::QUERIES, move || {
        let ended = [("answered", &serve.answered), ("failed", &serve.failed)];
        let count = |(outcome, count): (&str, &AtomicU64)| {
            let labels = vec![("outcome", outcome.to_owned())];
            (count.load(Ordering::Relaxed), labels)
        };
        ended.map(count).to_vec()
    });
    let counters: [(&'static Metric, OfServe); 3] = [
        (&names::QUERY_ROWS, |serve| &serve.rows),
        (&names::LOGINS_FAILED, |serve| &serve.logins_failed),
        (&names::QUERY_CONNECTIONS_REFUSED, |serve| &serve.refused),
    ];
    for (metric, counter) in counters {
        let serve = watch.serve.clone();
        telemetry.counter(metric, move || {
            vec![(counter(&serve).load(Ordering::Relaxed), Vec::new())]
        });
    }
    let serve = watch.serve.clone();
    telemetry.gauge(&names::QUERY_CONNECTIONS, move || {
        vec![(serve.connections.load(Ordering::Relaxed) as f64, Vec::new())]
    });
}

fn of_compactor(telemetry: &Telemetry, watch: &LakeWatch) {
    let lake: [(&'static Metric, OfProgress); 6] = [
        (&names::COMMITTED, |progress| &progress.committed),
        (&names::QUARANTINED, |progress| &progress.quarantined),
        (&names::DUPLICATES, |progress| &progress.duplicates),
        (&names::GAPS, |progress| &progress.gaps),
        (&names::COMMITS, |progress| &progress.commits),
        (&names::PARTITIONS_FAILED, |progress| &progress.failed),
    ];
    for (metric, counter) in lake {
        let progress = watch.progress.clone();
        telemetry.counter(metric, move || {
            vec![(counter(&progress).load(Ordering::Relaxed), Vec::new())]
        });
    }
    let progress: Arc<Progress> = watch.progress.clone();
    telemetry.gauge(&names::COMMIT_SECONDS, move || {
        vec![(
            progress.last_commit_millis.load(Ordering::Relaxed) as f64 / 1000.0,
            Vec::new(),
        )]
    });
    let (windows, clock) = (watch.windows.clone(), clock());
    telemetry.gauge(&names::WATERMARK_DELAY, move || {
        let now = clock().micros();
        let delay = |micros: i64| now.saturating_sub(micros) as f64 / 1e6;
        let sites = windows.watermarks().into_iter();
        sites
            .map(|(site, watermark)| (delay(watermark.micros()), vec![("site", site)]))
            .collect()
    });
    of_devices(telemetry, watch);
    let windows = watch.windows.clone();
    telemetry.counter(&names::WINDOW_FAILURES, move || {
        windows
            .failures()
            .into_iter()
            .map(|(site, count)| (count, vec![("site", site)]))
            .collect()
    });
    let windows = watch.windows.clone();
    telemetry.gauge(&names::UNREADABLE_STATES, move || {
        vec![(windows.unreadable_states() as f64, Vec::new())]
    });
}

/// How old the newest readings are, and what windows wait for.
fn of_devices(telemetry: &Telemetry, watch: &LakeWatch) {
    let (windows, progress, now) = (watch.windows.clone(), watch.progress.clone(), clock());
    telemetry.gauge(&names::FRESHNESS, move || {
        let now = now();
        let mut ages = Vec::new();
        for device in oldest_devices(&windows, &progress, DEVICES_MAX) {
            for (part, micros) in device.parts(now).named() {
                let labels = vec![
                    ("site", device.site.clone()),
                    ("device", device.device.clone()),
                    ("part", part.to_owned()),
                ];
                ages.push((micros as f64 / 1e6, labels));
            }
        }
        ages
    });
    let (windows, progress, now) = (watch.windows.clone(), watch.progress.clone(), clock());
    telemetry.gauge(&names::TABLE_FRESHNESS, move || {
        let now = now().micros();
        let devices = oldest_devices(&windows, &progress, DEVICES_MAX);
        let age = |of: TableFreshness| {
            let micros = now.saturating_sub(of.complete.micros()).max(0);
            let labels = vec![
                ("table", of.table.to_owned()),
                ("site", of.site),
                ("device", of.device),
            ];
            (micros as f64 / 1e6, labels)
        };
        by_table(&windows, &devices).into_iter().map(age).collect()
    });
    let (windows, now) = (watch.windows.clone(), clock());
    telemetry.gauge(&names::WINDOW_WAITING, move || {
        let now = now().micros();
        let waiting = windows.waiting().into_iter();
        waiting
            .map(|window| {
                let micros = now.saturating_sub(window.window_end.micros());
                let held_by = window.held_by.to_string();
                (
                    micros as f64 / 1e6,
                    vec![("site", window.site), ("held_by", held_by)],
                )
            })
            .collect()
    });
}
