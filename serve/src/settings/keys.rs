//! The keys of `[serve]`, `[serve.tls]` and `[[serve.user]]`.

use std::{path::PathBuf, time::Duration};

use forebay_config::{Bytes, Defaulted, Optional, Required, TableKeys};

/// `[serve]`.
pub const SERVE: TableKeys = TableKeys::one(
    "serve",
    "Read-only SQL over the lake: for psql, Grafana and other clients of PostgreSQL, and over HTTP. The role runs where \
     this table is.",
    &[
        &POSTGRES_LISTEN,
        &HTTP_LISTEN,
        &QUERIES_AT_ONCE,
        &ROWS_MAX,
        &MEMORY_MAX,
        &TIMEOUT,
        &USE_ROLLUPS,
        &TLS,
        &USER,
    ],
);

pub(super) const POSTGRES_LISTEN: Optional<String> = Optional::new(
    "postgres_listen",
    "Address and port, such as \"127.0.0.1:5432\", for clients that speak PostgreSQL's protocol. An address other than the \
     loopback needs [serve.tls].",
)
.absent("no such port is opened");

pub(super) const HTTP_LISTEN: Optional<String> = Optional::new(
    "http_listen",
    "Address and port, such as \"127.0.0.1:8428\", for queries over HTTP (/api/v1/query). An address other than the loopback \
     needs [serve.tls].",
)
.absent("no such port is opened");

pub(super) const QUERIES_AT_ONCE: Defaulted<u32> = Defaulted::new(
    "queries_at_once",
    4,
    "How many queries run at once. More wait for a quarter of timeout, and are refused then.",
);

pub(super) const ROWS_MAX: Defaulted<u64> = Defaulted::new(
    "rows_max",
    1_000_000,
    "How many rows a query may return; one that has more is ended with an error.",
);

pub(super) const MEMORY_MAX: Defaulted<Bytes> = Defaulted::new(
    "memory_max",
    Bytes(256 << 20),
    "How much memory a query's sorts, joins and groups may take; one that needs more is ended with an error.",
);

pub(super) const TIMEOUT: Defaulted<Duration> = Defaulted::new(
    "timeout",
    Duration::from_secs(30),
    "How long a query may run, the sending of its rows included.",
);

pub(super) const USE_ROLLUPS: Defaulted<bool> = Defaulted::new(
    "use_rollups",
    true,
    "Whether a query that asks readings for averages, sums, counts, lowest, highest or last values is answered from readings_1m \
     and readings_1h where the answer is the same.",
);

/// `[serve.tls]`.
pub(super) const TLS: TableKeys = TableKeys::one(
    "tls",
    "The certificate with which both ports speak TLS. With it, a client that is not on this machine must use TLS.",
    &[&CERT_FILE, &KEY_FILE],
);

pub(super) const CERT_FILE: Required<PathBuf> = Required::new(
    "cert_file",
    "The certificate and those that vouch for it, in PEM, the server's own first.",
);

pub(super) const KEY_FILE: Required<PathBuf> =
    Required::new("key_file", "The certificate's private key, in PEM.");

/// `[[serve.user]]`.
pub(super) const USER: TableKeys = TableKeys::many(
    "user",
    "Who may ask, and what they see.",
    &[&NAME, &PASSWORD_FILE, &TOKEN_FILE, &SITES, &COLUMNS_HIDDEN],
);

pub(super) const NAME: Required<String> = Required::new("name", "The user's name.");

pub(super) const PASSWORD_FILE: Optional<PathBuf> = Optional::new(
    "password_file",
    "File with the password for PostgreSQL's protocol (SCRAM-SHA-256): in clear, or as the verifier that PostgreSQL keeps, \
     \"SCRAM-SHA-256$4096:…\".",
)
.absent("the user cannot sign in over PostgreSQL's protocol");

pub(super) const TOKEN_FILE: Optional<PathBuf> = Optional::new(
    "token_file",
    "File with the token for HTTP (Authorization: Bearer), of at least 16 characters.",
)
.absent("the user cannot sign in over HTTP");

pub(super) const SITES: Required<Vec<String>> = Required::new(
    "sites",
    "The sites whose rows the user sees; * stands for any characters: [\"north\", \"south-*\"], or [\"*\"] for all. Tables \
     without a site, such as quarantine and job_runs, are there for users of all sites only.",
);

pub(super) const COLUMNS_HIDDEN: Defaulted<Vec<String>> = Defaulted::list(
    "columns_hidden",
    &[],
    "Columns that are not there for the user, in whatever table they stand, such as [\"quality_reason\"].",
);
