//! Views that people want, over the tables as a user sees them.
//!
//! A view has the columns that the user has; where a column is hidden that a view cannot do without, the view is not there.

use std::collections::BTreeSet;

/// One view.
pub(crate) struct View {
    pub(crate) name: &'static str,
    /// The tables it reads.
    pub(crate) tables: &'static [&'static str],
    sql: fn(&BTreeSet<String>) -> Option<String>,
}

/// The view of the last good reading of each series; its rows are kept ([`crate::latest`]).
pub(crate) const LATEST: &str = "latest";

/// All views but [`LATEST`].
pub(crate) static VIEWS: [View; 2] = [
    View {
        name: "alerts_now",
        tables: &["alerts"],
        sql: alerts_now,
    },
    View {
        name: "forecast_vs_actual",
        tables: &["predictions", "readings"],
        sql: forecast_vs_actual,
    },
];

const ALERT_COLUMNS: [&str; 16] = [
    "alert_id",
    "site",
    "device",
    "tag",
    "severity",
    "state",
    "first_seen",
    "last_seen",
    "changed_at",
    "score",
    "reason",
    "contributions",
    "job",
    "run_id",
    "dedupe_key",
    "acknowledged_by",
];

impl View {
    /// Its query for a user from whom these columns are hidden.
    pub(crate) fn sql(&self, hidden: &BTreeSet<String>) -> Option<String> {
        (self.sql)(hidden)
    }
}

/// The newest row of each alert that is not resolved.
fn alerts_now(hidden: &BTreeSet<String>) -> Option<String> {
    if ["alert_id", "changed_at", "state"]
        .iter()
        .any(|c| hidden.contains(*c))
    {
        return None;
    }
    let columns = shown(&ALERT_COLUMNS, hidden);
    Some(format!(
        "SELECT {columns} FROM (SELECT *, row_number() OVER (PARTITION BY alert_id ORDER BY changed_at DESC) AS newest \
         FROM alerts) AS a WHERE newest = 1 AND state <> 'resolved'"
    ))
}

/// Each forecast beside the good reading of its time, where there is one.
fn forecast_vs_actual(hidden: &BTreeSet<String>) -> Option<String> {
    let needed = ["value", "target_time", "quality"];
    if needed.iter().any(|column| hidden.contains(*column)) {
        return None;
    }
    let own = [
        "job",
        "issued_at",
        "lo",
        "hi",
        "level",
        "model_version",
        "data_cutoff",
    ];
    let own: Vec<String> = own
        .iter()
        .filter(|column| !hidden.contains(**column))
        .map(|column| format!(", p.{column}"))
        .collect();
    let own = own.concat();
    Some(format!(
        "SELECT p.site, p.device, p.tag, p.target_time, p.value AS forecast, r.value AS actual, r.value - p.value AS error{own} \
         FROM predictions AS p LEFT JOIN (SELECT site, device, tag, event_time, value FROM readings WHERE quality = 0) AS r \
         ON r.site = p.site AND r.device = p.device AND r.tag = p.tag AND r.event_time = p.target_time"
    ))
}

fn shown(columns: &[&'static str], hidden: &BTreeSet<String>) -> String {
    let shown: Vec<&str> = columns
        .iter()
        .copied()
        .filter(|column| !hidden.contains(*column))
        .collect();
    shown.join(", ")
}
