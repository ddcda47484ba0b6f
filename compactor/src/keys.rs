//! The keys of `[lake]`.

use std::time::Duration;

use forebay_config::{Choice, Defaulted, DefaultedChoice, Optional, Secret, TableKeys};
use forebay_lake::MaintainPolicy;

use crate::{ConsumeSettings, MergeSettings, WindowSettings};

/// Whether files are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProfileChoice {
    /// Every column under its key.
    Columns,
    /// Everything lies in clear.
    None,
}

/// The table.
pub const LAKE: TableKeys = TableKeys::one(
    "lake",
    "The Delta tables that readings end in: where they lie, how they are filled and how long their old files are kept.",
    &[
        &URL,
        &WINDOW,
        &LATENESS,
        &IDLE_TIMEOUT,
        &COMMIT_INTERVAL,
        &MAX_SKEW,
        &LOG_RETENTION,
        &FILE_RETENTION,
        &MERGE_EVERY,
        &MERGE_SETTLED,
        &PROFILE,
        &S3,
    ],
);

pub(crate) const URL: Optional<String> = Optional::new(
    "url",
    "Where the tables lie: a folder, which starts from data_dir if it is relative, \"file:///folder\", or \"s3://bucket/prefix\" for S3 \
     and what speaks its protocol.",
)
.absent("the folder lake in data_dir");

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

pub(crate) const COMMIT_INTERVAL: Defaulted<Duration> = Defaulted::new(
    "commit_interval",
    ConsumeSettings::DEFAULT.commit_interval,
    "How long at most a reading waits in the compactor before it is committed to the tables. Longer gives fewer and larger \
     files; more than 0s.",
);

pub(crate) const MAX_SKEW: Defaulted<Duration> = Defaulted::new(
    "max_skew",
    ConsumeSettings::DEFAULT.max_skew,
    "How far a device's clock may be ahead of its gateway's: readings from later go into quarantine.",
);

pub(crate) const LOG_RETENTION: Defaulted<Duration> = Defaulted::new(
    "log_retention",
    MaintainPolicy::DEFAULT.log_retention,
    "How long entries of the tables' logs are kept after a checkpoint holds them; at least 1m, for a lake in a bucket at least 1h. Older \
     versions of a table cannot be read.",
);

pub(crate) const FILE_RETENTION: Defaulted<Duration> = Defaulted::new(
    "file_retention",
    MaintainPolicy::DEFAULT.file_retention,
    "How long files stay after they were merged away or never committed; at least 1m. Whoever reads the lake must be done with a \
     version of it within this time.",
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

pub(crate) const PROFILE: DefaultedChoice<ProfileChoice> = Choice::new(
    "profile",
    &[("columns", ProfileChoice::Columns), ("none", ProfileChoice::None)],
    "How data files are encrypted: columns encrypts every column, the values under a key of their site; none leaves everything \
     in clear.",
)
.refused(&[("uniform", "\"uniform\" is not in this release: write \"columns\" or \"none\"")])
.or_first();

/// `[lake.s3]`.
pub(crate) const S3: TableKeys = TableKeys::one(
    "s3",
    "How the bucket of an \"s3://\" url is reached. Without an access key here the environment's is used (AWS_ACCESS_KEY_ID and others, a \
     web identity, the machine's role).",
    &[
        &ENDPOINT,
        &REGION,
        &ACCESS_KEY_ID,
        &SECRET_ACCESS_KEY,
        &ALLOW_HTTP,
    ],
);

pub(crate) const ENDPOINT: Optional<String> = Optional::new(
    "endpoint",
    "URL of a store that is not Amazon's, such as \"https://s3.example.com\" or \"http://127.0.0.1:9000\".",
)
.absent("Amazon's endpoint of the region");

pub(crate) const REGION: Optional<String> =
    Optional::new("region", "The bucket's region, such as \"eu-central-1\".")
        .absent("us-east-1, which other stores than Amazon's ignore");

pub(crate) const ACCESS_KEY_ID: Optional<String> = Optional::new(
    "access_key_id",
    "Id of the access key; secret_access_key goes with it.",
);

pub(crate) const SECRET_ACCESS_KEY: Optional<Secret> = Optional::new(
    "secret_access_key",
    "The access key's secret, best as \"${VARIABLE}\" or \"${file:PATH}\".",
);

pub(crate) const ALLOW_HTTP: Defaulted<bool> = Defaulted::new(
    "allow_http",
    false,
    "Whether an http:// endpoint may be used. Data files are encrypted anyway, but the Delta log travels as plain text.",
);
