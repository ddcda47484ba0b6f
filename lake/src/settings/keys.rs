//! The keys of `[lake]` that describe the lake. The compactor lists them in the table's descriptor, beside its own.

use std::time::Duration;

use forebay_config::{Choice, Defaulted, DefaultedChoice, Optional, Secret, TableKeys};

use crate::{MaintainPolicy, Sealed};

/// Where the tables lie.
pub const URL: Optional<String> = Optional::new(
    "url",
    "Where the tables lie: a folder, which starts from data_dir if it is relative, \"file:///folder\", or \"s3://bucket/prefix\" for S3 \
     and what speaks its protocol.",
)
.absent("the folder lake in data_dir");

/// How long entries of the tables' logs are kept.
pub const LOG_RETENTION: Defaulted<Duration> = Defaulted::new(
    "log_retention",
    MaintainPolicy::DEFAULT.log_retention,
    "How long entries of the tables' logs are kept after a checkpoint holds them; at least 1m, for a lake in a bucket at least 1h. Older \
     versions of a table cannot be read.",
);

/// How long files are kept that no version needs.
pub const FILE_RETENTION: Defaulted<Duration> = Defaulted::new(
    "file_retention",
    MaintainPolicy::DEFAULT.file_retention,
    "How long files stay after they were merged away or never committed; at least 1m. Whoever reads the lake must be done with a \
     version of it within this time.",
);

/// How data files are encrypted.
pub const PROFILE: DefaultedChoice<Sealed> = Choice::new(
    "profile",
    &[("columns", Sealed::Columns), ("none", Sealed::None)],
    "How data files are encrypted: columns encrypts every column, the values under a key of their site; none leaves everything \
     in clear.",
)
.refused(&[("uniform", "\"uniform\" is not in this release: write \"columns\" or \"none\"")])
.or_first();

/// `[lake.s3]`.
pub const S3: TableKeys = TableKeys::one(
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
