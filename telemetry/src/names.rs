//! Every metric and span, in one place. Metrics' names follow OpenTelemetry's conventions; Prometheus shows them with
//! underscores, their unit, and counters with `_total`. Dashboards rely on them.

/// Every span; the crates that make them know nothing of this one, and write the name out. Their numbers are signed: the
/// exporter writes unsigned ones as text.
pub const SPANS: [&str; 6] = [
    "receive",
    "publish",
    "commit",
    "merge",
    "close_windows",
    "job",
];

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// How it moves.
    pub kind: MetricKind,
    /// UCUM unit.
    pub unit: &'static str,
    /// The names of its labels, in order; none of what is of the whole process.
    pub labels: &'static [&'static str],
    /// What it means.
    pub help: &'static str,
}

/// How a metric moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// A count that only grows, from the start of the process.
    Counter,
    /// A value that goes up and down.
    Gauge,
}

impl MetricKind {
    /// As Prometheus calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

impl Metric {
    /// The name on the page for Prometheus.
    pub fn prometheus_name(&self) -> String {
        let unit = match self.unit {
            "s" => "_seconds",
            "By" => "_bytes",
            _ => "",
        };
        let total = match self.kind {
            MetricKind::Counter => "_total",
            MetricKind::Gauge => "",
        };
        format!("{}{unit}{total}", self.name.replace('.', "_"))
    }
}

/// Names each metric, and lists all of them.
macro_rules! metrics {
    ($($(#[$about:meta])* $name:ident = $kind:ident($metric:literal, $unit:literal, [$($label:literal),*], $help:literal);)*) => {
        $(
            $(#[$about])*
            #[doc = $help]
            pub const $name: Metric = Metric {
                name: $metric,
                kind: MetricKind::$kind,
                unit: $unit,
                labels: &[$($label),*],
                help: $help,
            };
        )*

        /// Every metric, in the order of this file.
        pub const ALL: &[Metric] = &[$($name),*];
    };
}

metrics! {
    RECEIVED = Counter("forebay.received", "", ["connector"], "Samples that connectors received from devices");
    SPOOLED = Counter("forebay.spooled", "", ["connector"], "Readings synced in the spool");
    FILTERED = Counter("forebay.filtered", "", ["connector"], "Samples that a filter or range left out");
    UNCHANGED = Counter("forebay.unchanged", "", ["connector"], "Samples within their dead-band, or bad as before");
    BAD = Counter("forebay.bad", "", ["connector"], "Samples that the device calls bad or whose payload cannot be read");
    SKIPPED = Counter("forebay.polls.skipped", "", ["connector"], "Polls that were due and not made: the device, the link or the spool was slower than their period");
    BLOCKED = Counter("forebay.spool.blocked", "s", ["connector"], "How long readings have waited for a spool or a disk without room");
    DATA_FREE = Gauge("forebay.data.free", "By", [], "Room that is left on the disk of the data folder");
    LINK_UP = Gauge("forebay.link.up", "", ["connector"], "1 while a connector's link is up, else 0");
    PUBLISHED = Counter("forebay.published", "", ["lane"], "Readings that Kafka acknowledged");
    COMMITTED = Counter("forebay.committed", "", [], "Readings committed to the lake");
    QUARANTINED = Counter("forebay.quarantined", "", [], "Records and readings put into quarantine");
    DUPLICATES = Counter("forebay.duplicates", "", [], "Readings that came again and were dropped");
    GAPS = Counter("forebay.gaps", "", [], "Gaps that were recorded");
    PARTITIONS_FAILED = Counter("forebay.partitions.failed", "", [], "Times that a partition stopped with an error");
    PART_FAILURES = Counter("forebay.part.failures", "", ["part"], "Times that a part of the process failed: edge, publisher, compactor, housekeeping, windows, scheduler");
    COMMITS = Counter("forebay.commits", "", [], "Commits to the lake");
    COMMIT_SECONDS = Gauge("forebay.commit.duration", "s", [], "How long the last commit took");
    WATERMARK_DELAY = Gauge("forebay.watermark.delay", "s", ["site"], "How far the watermark is behind the clock");
    FRESHNESS = Gauge("forebay.device.age", "s", ["site", "device", "part"], "How old the newest reading of a device is, in parts that add up: source (from the event to its acceptance by the gateway), spool (to its publishing), stream (to its consumption), commit (to the table), since (nothing newer has come); transport in place of spool, stream and commit of what another process committed, or this one before its start; of the 200 devices whose newest readings are the oldest");
    TABLE_FRESHNESS = Gauge("forebay.freshness", "s", ["table", "site", "device"], "How far the newest complete event time of a device lies back: in readings and the roll-ups that are kept; of the 200 devices whose newest readings are the oldest");
    WINDOW_WAITING = Gauge("forebay.window.waiting", "s", ["site", "held_by"], "How long the first open window has been over by the clock");
    WINDOW_FAILURES = Counter("forebay.window.failures", "", ["site"], "Times that a site's windows could not be closed");
    UNREADABLE_STATES = Gauge("forebay.states.unreadable", "", [], "Streams whose state in the lake is missing or damaged");
    LAG = Gauge("forebay.lag", "", ["lane"], "Records in the spool that wait for a commit, or for Kafka's acknowledgement where there is a Kafka");
    JOB_RUNS = Counter("forebay.job.runs", "", ["job", "state"], "Finished runs of jobs");
    JOB_WAITING = Gauge("forebay.job.waiting", "s", ["job"], "How long the oldest run of a job has waited that has not begun");
    JOB_WINDOWS_SKIPPED = Counter("forebay.job.windows.skipped", "", ["job"], "Closed windows that a job was not run over because too many waited for it at once");
    ALERTS_FIRING = Gauge("forebay.alerts.firing", "", ["alert"], "Alerts that fire");
    DELIVERIES_WAITING = Gauge("forebay.alert.deliveries.waiting", "", ["route"], "Alerts that wait for their receiver");
    QUERIES = Counter("forebay.queries", "", ["outcome"], "Queries over the network, by how they ended: answered or failed");
    QUERY_ROWS = Counter("forebay.query.rows", "", [], "Rows that queries over the network were sent");
    LOGINS_FAILED = Counter("forebay.logins.failed", "", [], "Wrong passwords and tokens at the ports for queries");
    TELEMETRY_DROPPED = Counter("forebay.telemetry.dropped", "", ["signal"], "Spans and log lines that were not sent, because the collector was away or slow and too many waited");
    QUERY_CONNECTIONS = Gauge("forebay.query.connections", "", [], "Open connections to the ports for queries");
    QUERY_CONNECTIONS_REFUSED = Counter("forebay.query.connections.refused", "", [], "Connections to the ports for queries that were refused because there were too many");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_said_as_both_worlds_say_them() {
        let names: BTreeSet<String> = ALL.iter().map(Metric::prometheus_name).collect();
        assert_eq!(names.len(), ALL.len());
        assert_eq!(RECEIVED.prometheus_name(), "forebay_received_total");
        assert_eq!(DATA_FREE.prometheus_name(), "forebay_data_free_bytes");
        assert_eq!(
            BLOCKED.prometheus_name(),
            "forebay_spool_blocked_seconds_total"
        );
        assert!(ALL.iter().all(|metric| metric.name.starts_with("forebay.")));
    }
}
