//! Every metric and span, in one place. Metrics' names follow OpenTelemetry's conventions; Prometheus shows them with
//! underscores, and counters with `_total`. Dashboards rely on them.

/// Every span; the crates that make them know nothing of this one, and write the name out. Their numbers are signed: the
/// exporter writes unsigned ones as text.
pub const SPANS: [&str; 4] = ["commit", "merge", "close_windows", "job"];

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// UCUM unit.
    pub unit: &'static str,
    /// What it means.
    pub help: &'static str,
}

/// By connector.
pub const RECEIVED: Metric = Metric {
    name: "forebay.received",
    unit: "",
    help: "Samples that connectors received from devices",
};
/// By connector.
pub const SPOOLED: Metric = Metric {
    name: "forebay.spooled",
    unit: "",
    help: "Readings synced in the spool",
};
/// By connector.
pub const FILTERED: Metric = Metric {
    name: "forebay.filtered",
    unit: "",
    help: "Samples that a filter or range left out",
};
/// By connector.
pub const UNCHANGED: Metric = Metric {
    name: "forebay.unchanged",
    unit: "",
    help: "Samples within their dead-band, or bad as before",
};
/// By connector.
pub const BAD: Metric = Metric {
    name: "forebay.bad",
    unit: "",
    help: "Samples that the device calls bad or whose payload cannot be read",
};
/// By connector.
pub const SKIPPED: Metric = Metric {
    name: "forebay.polls.skipped",
    unit: "",
    help: "Polls that were due and not made: the device, the link or the spool was slower than their period",
};
/// By connector.
pub const BLOCKED: Metric = Metric {
    name: "forebay.spool.blocked",
    unit: "s",
    help: "How long readings have waited for a spool or a disk without room",
};
/// Of this process.
pub const DATA_FREE: Metric = Metric {
    name: "forebay.data.free",
    unit: "By",
    help: "Room that is left on the disk of the data folder",
};
/// By connector.
pub const LINK_UP: Metric = Metric {
    name: "forebay.link.up",
    unit: "",
    help: "1 while a connector's link is up, else 0",
};
/// By lane.
pub const PUBLISHED: Metric = Metric {
    name: "forebay.published",
    unit: "",
    help: "Readings that Kafka acknowledged",
};
/// Of this process.
pub const COMMITTED: Metric = Metric {
    name: "forebay.committed",
    unit: "",
    help: "Readings committed to the lake",
};
/// Of this process.
pub const QUARANTINED: Metric = Metric {
    name: "forebay.quarantined",
    unit: "",
    help: "Records and readings put into quarantine",
};
/// Of this process.
pub const DUPLICATES: Metric = Metric {
    name: "forebay.duplicates",
    unit: "",
    help: "Readings that came again and were dropped",
};
/// Of this process.
pub const GAPS: Metric = Metric {
    name: "forebay.gaps",
    unit: "",
    help: "Gaps that were recorded",
};
/// Of this process.
pub const PARTITIONS_FAILED: Metric = Metric {
    name: "forebay.partitions.failed",
    unit: "",
    help: "Times that a partition stopped with an error",
};
/// By part of the process: edge, publisher, compactor, housekeeping, windows, scheduler.
pub const PART_FAILURES: Metric = Metric {
    name: "forebay.part.failures",
    unit: "",
    help: "Times that a part of the process failed",
};
/// Of this process.
pub const COMMITS: Metric = Metric {
    name: "forebay.commits",
    unit: "",
    help: "Commits to the lake",
};
/// Of this process.
pub const COMMIT_SECONDS: Metric = Metric {
    name: "forebay.commit.duration",
    unit: "s",
    help: "How long the last commit took",
};
/// By site.
pub const WATERMARK_DELAY: Metric = Metric {
    name: "forebay.watermark.delay",
    unit: "s",
    help: "How far the watermark is behind the clock",
};
/// By site and device, and by part: source (from the event to the gateway), transport (from there to the table), since (nothing
/// newer has come). Of the 500 devices whose newest readings are the oldest.
pub const FRESHNESS: Metric = Metric {
    name: "forebay.device.age",
    unit: "s",
    help: "How old the newest reading of a device is, in parts that add up",
};
/// By site and what is waited for.
pub const WINDOW_WAITING: Metric = Metric {
    name: "forebay.window.waiting",
    unit: "s",
    help: "How long the first open window has been over by the clock",
};
/// By site.
pub const WINDOW_FAILURES: Metric = Metric {
    name: "forebay.window.failures",
    unit: "",
    help: "Times that a site's windows could not be closed",
};
/// Of this process.
pub const UNREADABLE_STATES: Metric = Metric {
    name: "forebay.states.unreadable",
    unit: "",
    help: "Streams whose state in the lake is missing or damaged",
};
/// By lane.
pub const LAG: Metric = Metric {
    name: "forebay.lag",
    unit: "",
    help: "Records in the spool that wait for a commit, or for Kafka's acknowledgement where there is a Kafka",
};
/// By job and final state.
pub const JOB_RUNS: Metric = Metric {
    name: "forebay.job.runs",
    unit: "",
    help: "Finished runs of jobs",
};
/// By job.
pub const JOB_WAITING: Metric = Metric {
    name: "forebay.job.waiting",
    unit: "s",
    help: "How long the oldest run of a job has waited that has not begun",
};
/// By job.
pub const JOB_WINDOWS_SKIPPED: Metric = Metric {
    name: "forebay.job.windows.skipped",
    unit: "",
    help: "Closed windows that a job was not run over because too many waited for it at once",
};
/// By alert.
pub const ALERTS_FIRING: Metric = Metric {
    name: "forebay.alerts.firing",
    unit: "",
    help: "Alerts that fire",
};
/// By route.
pub const DELIVERIES_WAITING: Metric = Metric {
    name: "forebay.alert.deliveries.waiting",
    unit: "",
    help: "Alerts that wait for their receiver",
};
