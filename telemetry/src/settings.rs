//! `[telemetry]`.

use std::net::SocketAddr;

use forebay_config::Table;
use url::Url;

/// What is shown without a filter: what a person should know, and of the libraries only what went wrong.
const LOG: &str = "warn,forebay=info";

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
    /// Where Prometheus may read `/metrics`.
    pub prometheus_listen: Option<SocketAddr>,
    /// The filter of log lines.
    pub log: String,
    /// See there.
    pub log_format: LogFormat,
}

impl Default for TelemetrySettings {
    fn default() -> Self {
        Self { otlp_endpoint: None, prometheus_listen: None, log: LOG.to_owned(), log_format: LogFormat::Text }
    }
}

/// Reads `[telemetry]`; everything in it has a default.
pub fn telemetry(root: &mut Table<'_>) -> TelemetrySettings {
    let mut settings = TelemetrySettings::default();
    let Some(mut table) = root.table("telemetry") else { return settings };
    if let Some(text) = table.optional::<String>("otlp_endpoint") {
        match Url::parse(&text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => settings.otlp_endpoint = Some(url),
            _ => table.problem("otlp_endpoint", format!("{text:?} is no URL such as \"http://127.0.0.1:4318\"")),
        }
    }
    if let Some(text) = table.optional::<String>("prometheus_listen") {
        match text.parse() {
            Ok(address) => settings.prometheus_listen = Some(address),
            Err(_) => table.problem("prometheus_listen", format!("{text:?} is no address such as \"127.0.0.1:9464\"")),
        }
    }
    settings.log = table.or("log", settings.log);
    settings.log_format =
        table.choice("log_format", &[("text", LogFormat::Text), ("json", LogFormat::Json)]).unwrap_or(LogFormat::Text);
    table.finish();
    settings
}
