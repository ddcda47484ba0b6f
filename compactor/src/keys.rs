//! The keys of `[lake]`: those of the lake and, beside them, the compactor's own.

use std::time::Duration;

use forebay_config::{Bytes, Defaulted, TableKeys};
use forebay_lake::settings::keys::{FILE_RETENTION, LOG_RETENTION, PROFILE, S3, URL};

use crate::{ConsumeSettings, MergeSettings, WindowSettings};

/// The table.
pub const LAKE: TableKeys = TableKeys::one(
    "lake",
    "The Delta tables that readings end in: where they lie, how they are filled and how long their old files are kept.",
    &[
        &URL,
        &WINDOW,
        &LATENESS,
        &IDLE_TIMEOUT,
        &ROLLUPS,
        &COMMIT_INTERVAL,
        &MEMORY_MAX,
        &MAX_SKEW,
        &LOG_RETENTION,
        &FILE_RETENTION,
        &MERGE_EVERY,
        &MERGE_SETTLED,
        &PROFILE,
        &S3,
    ],
);

pub(crate) const WINDOW: Defaulted<Duration> = Defaulted::new(
    "window",
    WindowSettings::DEFAULT.window,
    "Length of the windows of event time, from 1s to 31d. A window that is complete is closed, gets a row in windows, and makes \
     the jobs run that wait for it.",
);

pub(crate) const LATENESS: Defaulted<Duration> = Defaulted::new(
    "lateness",
    WindowSettings::DEFAULT.lateness,
    "How far windows stay behind the clock while no device is heard, and how often at most a closed window gets a new revision for \
     readings that came late.",
);

pub(crate) const IDLE_TIMEOUT: Defaulted<Duration> = Defaulted::new(
    "idle_timeout",
    WindowSettings::DEFAULT.idle_timeout,
    "How long a device that has fallen silent keeps windows open; one that lags by more than this and lateness does not keep them \
     open either. More than 0s.",
);

pub(crate) const ROLLUPS: Defaulted<Vec<String>> = Defaulted::list(
    "rollups",
    &[],
    "By which lengths of time readings are rolled up beside themselves when windows close: \"1m\" and \"1h\" fill the tables \
     readings_1m and readings_1h with minimum, maximum, mean, last value and counts of each series. A length that is added later \
     is made of all readings that are there; one that is taken away stays as it is.",
);

pub(crate) const COMMIT_INTERVAL: Defaulted<Duration> = Defaulted::new(
    "commit_interval",
    ConsumeSettings::DEFAULT.commit_interval,
    "How long at most a reading waits in the compactor before it is committed to the tables. Longer gives fewer and larger \
     files; more than 0s.",
);

pub(crate) const MEMORY_MAX: Defaulted<Bytes> = Defaulted::new(
    "memory_max",
    Bytes(ConsumeSettings::DEFAULT.memory_bytes_max as u64),
    "About how much memory readings may take that wait for a commit, of all partitions; at least 16MiB. A partition that finds \
     none left takes up to a 40th of it more. Less gives smaller files while a backlog is read.",
);

pub(crate) const MAX_SKEW: Defaulted<Duration> = Defaulted::new(
    "max_skew",
    ConsumeSettings::DEFAULT.max_skew,
    "How far a device's clock may be ahead of its gateway's: readings from later go into quarantine.",
);

pub(crate) const MERGE_EVERY: Defaulted<Duration> = Defaulted::new(
    "merge_every",
    MergeSettings::DEFAULT.every,
    "How often small files are looked for to be merged into sorted larger ones; more than 0s.",
);

pub(crate) const MERGE_SETTLED: Defaulted<Duration> = Defaulted::new(
    "merge_settled",
    MergeSettings::DEFAULT.settled,
    "A file younger than this is not merged yet, since more may come for the same day.",
);
