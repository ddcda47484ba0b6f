//! `[telemetry]`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use forebay_config::{Choice, Defaulted, DefaultedChoice, Optional, Secret, Table, TableKeys};
use url::{Host, Url};

use crate::{TelemetryError, export::Collector};

/// `[telemetry]`.
pub const TELEMETRY: TableKeys = TableKeys::one(
    "telemetry",
    "Where logs, metrics and traces go.",
    &[
        &OTLP_ENDPOINT,
        &OTLP_CA_FILE,
        &OTLP_AUTHORIZATION,
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

const OTLP_CA_FILE: Optional<PathBuf> = Optional::new(
    "otlp_ca_file",
    "Certificates (PEM) of the authorities that may sign the collector's certificate, for an https:// endpoint; read at \
     the start.",
)
.absent("the system's list");

const OTLP_AUTHORIZATION: Optional<Secret> = Optional::new(
    "otlp_authorization",
    "The header Authorization that the collector asks for, such as \"Bearer ${OTLP_TOKEN}\", best with \"${VARIABLE}\" or \
     \"${file:PATH}\" in it; for an https:// endpoint, or one on this machine.",
)
.absent("none is sent");

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

/// A collector of OTLP over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtlpSettings {
    /// `/v1/metrics` and so on are added.
    pub endpoint: Url,
    /// Authorities that may vouch for it; the system's where there is none.
    pub ca_file: Option<PathBuf>,
    /// Its header of authorization.
    pub authorization: Option<Secret>,
}

/// `[telemetry]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TelemetrySettings {
    /// Where metrics, traces and logs are sent.
    pub otlp: Option<OtlpSettings>,
    /// How often a connector or a lane begins a trace.
    pub trace_every: Duration,
    /// Where Prometheus may read `/metrics`.
    pub prometheus_listen: Option<SocketAddr>,
    /// The filter of log lines.
    pub log: String,
    /// See there.
    pub log_format: LogFormat,
}

impl OtlpSettings {
    /// Whether everything to send with is there, as [`crate::Telemetry::start`] will find it.
    ///
    /// # Errors
    /// A file that cannot be used, or a header that is none.
    pub fn check(&self) -> Result<(), TelemetryError> {
        Collector::of(self).map(drop)
    }
}

impl Default for TelemetrySettings {
    fn default() -> Self {
        Self {
            otlp: None,
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
    settings.otlp = otlp(&mut table);
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

fn otlp(table: &mut Table<'_>) -> Option<OtlpSettings> {
    let text = table.read(&OTLP_ENDPOINT);
    let ca_file = table.read(&OTLP_CA_FILE);
    let authorization = table.read(&OTLP_AUTHORIZATION);
    let Some(text) = text else {
        let idle = "is for otlp_endpoint, which is not set";
        if ca_file.is_some() {
            table.problem(&OTLP_CA_FILE, idle);
        }
        if authorization.is_some() {
            table.problem(&OTLP_AUTHORIZATION, idle);
        }
        return None;
    };
    let endpoint = match Url::parse(&text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => url,
        _ => {
            table.problem(
                &OTLP_ENDPOINT,
                format!("{text:?} is not a URL such as \"http://127.0.0.1:4318\""),
            );
            return None;
        }
    };
    if !endpoint.username().is_empty() || endpoint.password().is_some() {
        table.problem(
            &OTLP_ENDPOINT,
            "must not hold a user or a password: use otlp_authorization",
        );
        return None;
    }
    let is_plain = endpoint.scheme() == "http";
    if is_plain && ca_file.is_some() {
        table.problem(&OTLP_CA_FILE, "is for an https:// endpoint");
    }
    if is_plain && authorization.is_some() && !is_on_this_machine(&endpoint) {
        table.problem(
            &OTLP_AUTHORIZATION,
            "would travel in clear: use an https:// endpoint",
        );
    }
    Some(OtlpSettings {
        endpoint,
        ca_file,
        authorization,
    })
}

fn is_on_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use forebay_config::Document;

    use super::*;

    fn refused(text: &str) -> String {
        let text = format!("[telemetry]\n{text}");
        let read =
            Document::new(Path::new("f.toml"), &text, &|_| None).read(|root| Some(telemetry(root)));
        match read {
            Ok(settings) => format!("{settings:?}"),
            Err(errors) => errors.to_string(),
        }
    }

    #[test]
    fn what_does_not_fit_the_endpoint_is_named() {
        for (text, said) in [
            (
                "otlp_endpoint = \"collector:4318\"",
                "telemetry.otlp_endpoint: \"collector:4318\" is not a URL",
            ),
            (
                "otlp_endpoint = \"https://u:p@c\"",
                "telemetry.otlp_endpoint: must not hold a user",
            ),
            (
                "otlp_ca_file = \"ca.pem\"",
                "telemetry.otlp_ca_file: is for otlp_endpoint, which is not set",
            ),
            (
                "otlp_endpoint = \"http://c:4318\"\notlp_ca_file = \"ca.pem\"",
                "f.toml:3:16: telemetry.otlp_ca_file: is for an https:// endpoint",
            ),
            (
                "otlp_endpoint = \"http://c:4318\"\notlp_authorization = \"Bearer t\"",
                "telemetry.otlp_authorization: would travel in clear",
            ),
            (
                "otlp_endpoint = \"http://127.0.0.1:4318\"\notlp_authorization = \"Bearer t\"",
                "authorization: Some(Secret(…))",
            ),
            (
                "otlp_endpoint = \"https://c\"\notlp_ca_file = \"ca.pem\"",
                "ca_file: Some(\"ca.pem\")",
            ),
        ] {
            let found = refused(text);
            assert!(found.contains(said), "{text}: {found}");
        }
    }

    #[test]
    fn what_is_to_be_sent_with_is_looked_at() {
        let settings = |ca_file: Option<&str>, authorization: &str| OtlpSettings {
            endpoint: Url::parse("https://localhost").unwrap(),
            ca_file: ca_file.map(PathBuf::from),
            authorization: Some(Secret::new(authorization)),
        };
        let missing = settings(Some("/nowhere/ca.pem"), "Bearer t").check();
        let missing = missing.unwrap_err().to_string();
        assert!(
            missing.contains("cannot read certificates in /nowhere/ca.pem"),
            "{missing}"
        );
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(&file, made.cert.pem()).unwrap();
        let file = file.to_str();
        let broken = settings(file, "a\nb").check().unwrap_err().to_string();
        assert!(
            broken.contains("otlp_authorization is not a header"),
            "{broken}"
        );
        settings(file, "Bearer t").check().unwrap();
    }
}
