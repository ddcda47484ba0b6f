//! `[telemetry]`.

use std::{net::SocketAddr, time::Duration};

use forebay_config::{Choice, Defaulted, DefaultedChoice, Optional, Table, TableKeys};
use url::Url;

/// `[telemetry]`.
pub const TELEMETRY: TableKeys = TableKeys::one(
    "telemetry",
    "Where logs, metrics and traces go.",
    &[
        &OTLP_ENDPOINT,
        &TRACE_EVERY,
        &PROMETHEUS_LISTEN,
        &LOG,
        &LOG_FORMAT,
    ],
);

const OTLP_ENDPOINT: Optional<String> = Optional::new(
    "otlp_endpoint",
    "URL of an OpenTelemetry collector, such as \"http://127.0.0.1:4318\": metrics, traces and logs are sent there by OTLP over \
     HTTP, to /v1/metrics, /v1/traces and /v1/logs below it.",
)
.absent("nothing is sent");

const TRACE_EVERY: Defaulted<Duration> = Defaulted::new(
    "trace_every",
    Duration::from_secs(10),
    "How often each connector, and each lane that publishes to Kafka, begins a trace of what passes then, at least 100ms: a trace \
     goes with it from the device to the commit. Commits, merges, windows and jobs are traced each.",
);

/// More often is no sample.
const TRACE_EVERY_MIN: Duration = Duration::from_millis(100);

const PROMETHEUS_LISTEN: Optional<String> = Optional::new(
    "prometheus_listen",
    "Address and port, such as \"127.0.0.1:9464\", where Prometheus reads /metrics. The page is plain HTTP without a password: \
     use the loopback address or a network of your own.",
)
.absent("there is no such page");

/// Without a filter: what a person should know, and of the libraries only what went wrong.
const LOG: Defaulted<String> = Defaulted::new(
    "log",
    "warn,forebay=info",
    "Which log lines are written: a level (error, warn, info, debug, trace), or levels by module divided by commas. The \
     environment variable FOREBAY_LOG overrides it.",
);

const LOG_FORMAT: DefaultedChoice<LogFormat> = Choice::new(
    "log_format",
    &[("text", LogFormat::Text), ("json", LogFormat::Json)],
    "How log lines are written to stderr: as text for people, or as one JSON object a line.",
)
.or_first();

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `[telemetry]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TelemetrySettings {
    /// Where metrics, traces and logs are sent by OTLP over HTTP; `/v1/metrics` and so on are added.
    pub otlp_endpoint: Option<Url>,
    /// How often a connector or a lane begins a trace.
    pub trace_every: Duration,
    /// Where Prometheus may read `/metrics`.
    pub prometheus_listen: Option<SocketAddr>,
    /// The filter of log lines.
    pub log: String,
    /// See there.
    pub log_format: LogFormat,
}

impl Default for TelemetrySettings {
    fn default() -> Self {
        Self {
            otlp_endpoint: None,
            trace_every: TRACE_EVERY.default(),
            prometheus_listen: None,
            log: LOG.default(),
            log_format: LOG_FORMAT.default(),
        }
    }
}

/// Reads `[telemetry]`; everything in it has a default.
pub fn telemetry(root: &mut Table<'_>) -> TelemetrySettings {
    let mut settings = TelemetrySettings::default();
    let Some(mut table) = root.table(&TELEMETRY) else {
        return settings;
    };
    if let Some(text) = table.read(&OTLP_ENDPOINT) {
        match Url::parse(&text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => {
                settings.otlp_endpoint = Some(url)
            }
            _ => table.problem(
                &OTLP_ENDPOINT,
                format!("{text:?} is not a URL such as \"http://127.0.0.1:4318\""),
            ),
        }
    }
    if let Some(text) = table.read(&PROMETHEUS_LISTEN) {
        match text.parse() {
            Ok(address) => settings.prometheus_listen = Some(address),
            Err(_) => table.problem(
                &PROMETHEUS_LISTEN,
                format!("{text:?} is not an address such as \"127.0.0.1:9464\""),
            ),
        }
    }
    settings.trace_every = table.read(&TRACE_EVERY);
    if settings.trace_every < TRACE_EVERY_MIN {
        table.problem(&TRACE_EVERY, "at least \"100ms\" is expected");
    }
    settings.log = table.read(&LOG);
    settings.log_format = table.read(&LOG_FORMAT);
    table.finish();
    settings
}
