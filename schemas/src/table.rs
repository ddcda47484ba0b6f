//! The tables' columns, as data: the lake turns them into Arrow and Delta schemas.
//!
//! Names, types and order are a stored format: the golden file beside the test holds them.

/// Version of the tables' layout, stored as a table property; a newer one is refused (E13).
pub const TABLE_FORMAT_VERSION: u32 = 1;

/// A column's type; the tables know no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColumnType {
    /// UTF-8.
    String,
    /// Bytes.
    Binary,
    /// 16-bit integer.
    Short,
    /// 32-bit integer.
    Int,
    /// 64-bit integer.
    Long,
    /// IEEE 754 double.
    Double,
    /// Truth value.
    Bool,
    /// µs since 1970 UTC.
    Timestamp,
}

/// One column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub column_type: ColumnType,
    /// May it be null?
    pub nullable: bool,
}

/// One table: columns in order, the partition columns first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    /// Its name, also its folder's.
    pub name: &'static str,
    /// How many of the first columns are partition columns: they stand in paths, not in files.
    pub partition_columns: usize,
    /// All columns.
    pub columns: &'static [Column],
}

impl Table {
    /// The columns that stand in paths.
    pub fn partition_columns(&self) -> &'static [Column] {
        &self.columns[..self.partition_columns]
    }

    /// The columns that stand in files.
    pub fn file_columns(&self) -> &'static [Column] {
        &self.columns[self.partition_columns..]
    }

    /// The column by which its files are laid out in time: one of [`TIME_COLUMNS`].
    pub fn time_column(&self) -> Option<&'static str> {
        let mut names = self.columns.iter().map(|column| column.name);
        names.find(|name| TIME_COLUMNS.contains(name))
    }
}

/// The columns by which tables are laid out in time; a table has at most one of them.
pub const TIME_COLUMNS: [&str; 2] = ["event_time", "time_start"];

const fn required(name: &'static str, column_type: ColumnType) -> Column {
    Column {
        name,
        column_type,
        nullable: false,
    }
}

const fn optional(name: &'static str, column_type: ColumnType) -> Column {
    Column {
        name,
        column_type,
        nullable: true,
    }
}

use ColumnType::{Binary, Bool, Double, Int, Long, Short, String, Timestamp};

/// Every reading, exactly once. Files are sorted by device, tag, event_time.
pub const READINGS: Table = Table {
    name: "readings",
    partition_columns: 1,
    columns: &[
        required("site", String),
        required("device", String),
        required("tag", String),
        required("event_time", Timestamp),
        required("observed_time", Timestamp),
        optional("value", Double),
        optional("value_int", Long),
        optional("value_text", String),
        optional("value_bytes", Binary),
        optional("value_type", String),
        optional("unit", String),
        required("quality", Short),
        optional("quality_code", Long),
        optional("quality_reason", String),
        required("gateway", String),
        required("lane", Int),
        required("epoch", Long),
        required("seq", Long),
    ],
};

/// What could not be taken: why, where it came from, the raw bytes.
pub const QUARANTINE: Table = Table {
    name: "quarantine",
    partition_columns: 0,
    columns: &[
        // The kind of fault, the same words for all of a kind.
        required("why", String),
        required("source", String),
        required("offset", Long),
        required("raw", Binary),
        required("at", Timestamp),
        // What is wrong with this one.
        optional("detail", String),
    ],
};

/// Holes that are known: readings of a lane's epoch that are not in `readings`, and why. Latest `changed_at` wins. Where a gateway
/// told of an outage (why is stopped, or spool full), site and times are there, and first and last seq are the outage's own.
pub const GAPS: Table = Table {
    name: "gaps",
    partition_columns: 0,
    columns: &[
        required("gateway", String),
        required("lane", Int),
        required("epoch", Long),
        required("first_seq", Long),
        // Null where nobody knows how far it reaches.
        optional("last_seq", Long),
        optional("site", String),
        // Null beside a site: every device of the lane that nobody asks to send again.
        optional("device", String),
        optional("from_time", Timestamp),
        optional("to_time", Timestamp),
        required("why", String),
        // open, closed or final.
        required("state", String),
        required("changed_at", Timestamp),
    ],
};

/// Closed windows; of rows with one (site, window_start) the highest revision wins.
pub const WINDOWS: Table = Table {
    name: "windows",
    partition_columns: 0,
    columns: &[
        required("site", String),
        required("window_start", Timestamp),
        required("window_end", Timestamp),
        required("revision", Int),
        required("watermark", Timestamp),
        required("closed_at", Timestamp),
        // The version of `readings` that this row describes.
        required("readings_version", Long),
        required("rows", Long),
        required("devices", Int),
        // Share of the devices seen lately that sent at least one good reading, 0 to 1.
        optional("completeness", Double),
    ],
};

/// Warnings; append-only, of rows with one alert_id the latest changed_at wins.
pub const ALERTS: Table = Table {
    name: "alerts",
    partition_columns: 0,
    columns: &[
        required("alert_id", String),
        required("changed_at", Timestamp),
        required("job", String),
        required("run_id", String),
        required("site", String),
        required("device", String),
        optional("tag", String),
        // info, warning or critical.
        required("severity", String),
        // open, acknowledged or resolved.
        required("state", String),
        required("first_seen", Timestamp),
        required("last_seen", Timestamp),
        optional("score", Double),
        // Which tags moved the score and by how much, as JSON.
        optional("contributions", String),
        required("reason", String),
        required("dedupe_key", String),
        optional("acknowledged_by", String),
    ],
};

/// Forecasts: one row for each issued_at and target_time; lo and hi bound the value at `level`.
pub const PREDICTIONS: Table = Table {
    name: "predictions",
    partition_columns: 0,
    columns: &[
        required("job", String),
        required("run_id", String),
        required("site", String),
        required("device", String),
        required("tag", String),
        required("issued_at", Timestamp),
        required("target_time", Timestamp),
        required("value", Double),
        optional("lo", Double),
        optional("hi", Double),
        optional("level", Double),
        required("model_version", String),
        required("data_cutoff", Timestamp),
    ],
};

/// How far from normal a device was.
pub const SCORES: Table = Table {
    name: "scores",
    partition_columns: 0,
    columns: &[
        required("job", String),
        required("run_id", String),
        required("site", String),
        required("device", String),
        required("event_time", Timestamp),
        required("score", Double),
        required("limit", Double),
        required("anomalous", Bool),
        optional("contributions", String),
    ],
};

/// Runs of jobs that have finished.
pub const JOB_RUNS: Table = Table {
    name: "job_runs",
    partition_columns: 0,
    columns: &[
        required("job", String),
        required("run_id", String),
        // Cron time or window and revision; unique within a job.
        required("fire_key", String),
        required("kind", String),
        required("attempt", Int),
        // succeeded, failed or timed_out.
        required("state", String),
        required("started_at", Timestamp),
        required("finished_at", Timestamp),
        optional("rows_written", Long),
        optional("error", String),
    ],
};

/// What happened, and from when to when; append-only, of rows with one event_id the latest changed_at wins.
pub const EVENTS: Table = Table {
    name: "events",
    partition_columns: 0,
    columns: &[
        required("event_id", String),
        required("changed_at", Timestamp),
        // The job, or the connector, that saw it.
        required("job", String),
        // Null for an event that no job's run has found.
        optional("run_id", String),
        required("site", String),
        required("device", String),
        optional("tag", String),
        required("kind", String),
        required("from_time", Timestamp),
        // Null while it goes on.
        optional("to_time", Timestamp),
        optional("value", Double),
        // info, warning or critical.
        required("severity", String),
        required("text", String),
        // Whatever else is known, as a JSON object.
        optional("attributes", String),
    ],
};

/// Trained models; append-only, of rows with one (job, version, site, device) the latest changed_at wins.
pub const MODELS: Table = Table {
    name: "models",
    partition_columns: 0,
    columns: &[
        required("job", String),
        required("run_id", String),
        required("version", String),
        // Null: for all sites, or all devices, of the job.
        optional("site", String),
        optional("device", String),
        required("trained_at", Timestamp),
        required("train_from", Timestamp),
        required("train_to", Timestamp),
        required("data_cutoff", Timestamp),
        // As a JSON object.
        required("metrics", String),
        // champion, challenger or retired.
        required("state", String),
        required("changed_at", Timestamp),
        // Null for a model that its parameters in the configuration say in full.
        optional("object", String),
    ],
};

/// How well a model does on times that it was not trained on, beside a named baseline.
pub const BACKTESTS: Table = Table {
    name: "backtests",
    partition_columns: 0,
    columns: &[
        required("job", String),
        required("run_id", String),
        required("version", String),
        // Null: over all sites, devices or tags of the job.
        optional("site", String),
        optional("device", String),
        optional("tag", String),
        required("metric", String),
        required("value", Double),
        // The same metric of the baseline, and what the baseline is called.
        optional("baseline", Double),
        optional("baseline_name", String),
        required("n", Long),
        required("from_time", Timestamp),
        required("to_time", Timestamp),
        // Null: over all of it; else a part such as "hour 17".
        optional("segment", String),
    ],
};

/// The columns of a roll-up: one row for each series and stretch of time in which it has a reading that counts. Files are sorted
/// by device, tag, time_start.
const ROLLUP_COLUMNS: &[Column] = &[
    required("site", String),
    required("device", String),
    required("tag", String),
    // When the stretch begins; it is as long as the table's name says, and begins at a multiple of that since 1970 UTC.
    required("time_start", Timestamp),
    // Of the numbers of good and uncertain quality, a bool as 0 or 1; null where there are none.
    optional("min", Double),
    optional("max", Double),
    optional("mean", Double),
    // The value with the latest event time; of equal times, that of the highest epoch and seq.
    optional("last", Double),
    // How many numbers these are of.
    required("count", Long),
    // Readings of bad quality, with or without a value.
    required("count_bad", Long),
    // Of the last reading.
    optional("unit", String),
];

/// `readings` by the minute.
pub const READINGS_1M: Table = Table {
    name: "readings_1m",
    partition_columns: 1,
    columns: ROLLUP_COLUMNS,
};

/// `readings` by the hour.
pub const READINGS_1H: Table = Table {
    name: "readings_1h",
    partition_columns: 1,
    columns: ROLLUP_COLUMNS,
};

/// What retention has deleted: one row for each site, rule and commit that deleted something.
pub const DELETIONS: Table = Table {
    name: "deletions",
    partition_columns: 0,
    columns: &[
        required("deleted_at", Timestamp),
        // Whose rows: readings, readings_1m or readings_1h.
        required("table_name", String),
        required("site", String),
        // The setting that asked for it, as the configuration has it.
        required("rule", String),
        // Only rows before this time were deleted.
        required("before", Timestamp),
        required("rows", Long),
        // First and last event time of the deleted rows.
        required("from_time", Timestamp),
        required("to_time", Timestamp),
    ],
};

/// Every table of a lake; all exist from the start, empty or not.
pub const TABLES: [&Table; 14] = [
    &READINGS,
    &GAPS,
    &WINDOWS,
    &QUARANTINE,
    &ALERTS,
    &PREDICTIONS,
    &SCORES,
    &JOB_RUNS,
    &EVENTS,
    &MODELS,
    &BACKTESTS,
    &READINGS_1M,
    &READINGS_1H,
    &DELETIONS,
];

/// The columns of `readings` and its roll-ups that hold what was measured: they lie under their site's own master key.
pub const VALUE_COLUMNS: [&str; 8] = [
    "value",
    "value_int",
    "value_text",
    "value_bytes",
    "min",
    "max",
    "mean",
    "last",
];

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn columns_are_a_stored_format() {
        let mut text = std::string::String::new();
        for table in TABLES {
            writeln!(
                text,
                "{} partitioned by {}",
                table.name, table.partition_columns
            )
            .unwrap();
            for c in table.columns {
                let null = if c.nullable { "null" } else { "not null" };
                writeln!(text, "  {} {:?} {null}", c.name, c.column_type).unwrap();
            }
        }
        assert_eq!(text, include_str!("../golden/tables.v1.txt"));
    }
}
