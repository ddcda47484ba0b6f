//! OTLP over HTTP. What sends runs on tokio, since the HTTP client needs its reactor.

use std::time::Duration;

use forebay_runtime::report;
use opentelemetry_otlp::{
    ExporterBuildError, LogExporter, MetricExporter, Protocol, SpanExporter, WithExportConfig,
    WithHttpConfig,
};
use opentelemetry_sdk::{
    Resource,
    logs::LogExporter as _,
    metrics::periodic_reader_with_async_runtime::PeriodicReader,
    runtime::Tokio,
    trace::{SpanData, SpanExporter as _},
};
use reqwest::{
    Client,
    header::{AUTHORIZATION, HeaderMap, HeaderValue},
    redirect::Policy,
};
use url::Url;

use crate::{
    OtlpSettings, TelemetryError,
    queue::{LogItem, Queue},
};

const EVERY: Duration = Duration::from_secs(15);
const TIMEOUT: Duration = Duration::from_secs(5);

/// What sends each signal.
pub(crate) struct Exports {
    pub(crate) metrics: PeriodicReader<MetricExporter>,
    pub(crate) spans: Queue<SpanData>,
    pub(crate) logs: Queue<LogItem>,
}

impl Exports {
    /// Reads the files of certificates, within a tokio runtime.
    pub(crate) fn of(settings: &OtlpSettings, resource: &Resource) -> Result<Self, TelemetryError> {
        let collector = Collector::of(settings)?;
        Ok(Self {
            metrics: collector.metrics()?,
            spans: collector.spans(resource)?,
            logs: collector.logs(resource)?,
        })
    }
}

/// Where OTLP goes, and the client that takes it there.
pub(crate) struct Collector<'s> {
    endpoint: &'s Url,
    client: Client,
}

impl<'s> Collector<'s> {
    /// Reads the files of certificates.
    pub(crate) fn of(settings: &'s OtlpSettings) -> Result<Self, TelemetryError> {
        Ok(Self {
            endpoint: &settings.endpoint,
            client: client(settings).map_err(|why| TelemetryError::Start {
                what: "the export to otlp_endpoint",
                why,
            })?,
        })
    }

    fn exporter<B: WithExportConfig + WithHttpConfig>(&self, builder: B, signal: &str) -> B {
        let base = self.endpoint.as_str().trim_end_matches('/');
        builder
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{base}/v1/{signal}"))
            .with_timeout(TIMEOUT)
            .with_http_client(self.client.clone())
    }

    fn metrics(&self) -> Result<PeriodicReader<MetricExporter>, TelemetryError> {
        let exporter = self
            .exporter(MetricExporter::builder().with_http(), "metrics")
            .build()
            .map_err(failed("the export of metrics"))?;
        Ok(PeriodicReader::builder(exporter, Tokio)
            .with_interval(EVERY)
            .build())
    }

    fn spans(&self, resource: &Resource) -> Result<Queue<SpanData>, TelemetryError> {
        let mut exporter = self
            .exporter(SpanExporter::builder().with_http(), "traces")
            .build()
            .map_err(failed("the export of traces"))?;
        exporter.set_resource(resource);
        Ok(Queue::new("spans", exporter))
    }

    fn logs(&self, resource: &Resource) -> Result<Queue<LogItem>, TelemetryError> {
        let mut exporter = self
            .exporter(LogExporter::builder().with_http(), "logs")
            .build()
            .map_err(failed("the export of logs"))?;
        exporter.set_resource(resource);
        Ok(Queue::new("logs", exporter))
    }
}

/// One client for all signals. Redirects are not followed: the header of authorization would go with them.
fn client(settings: &OtlpSettings) -> Result<Client, String> {
    let tls = match settings.endpoint.scheme() {
        "https" => forebay_tls::client_config(settings.ca_file.as_deref(), None),
        _ => forebay_tls::trusting_nobody(),
    };
    let tls = tls.map_err(|error| report(&error))?;
    let mut headers = HeaderMap::new();
    if let Some(authorization) = &settings.authorization {
        let mut value = HeaderValue::from_str(authorization.expose())
            .map_err(|_| "otlp_authorization is not a header: letters of ASCII are expected")?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    let builder = match settings.endpoint.scheme() {
        "https" => Client::builder(),
        // A proxy of the environment would see the header, and lies beyond this machine.
        _ => Client::builder().no_proxy(),
    };
    builder
        .tls_backend_preconfigured((*tls).clone())
        .default_headers(headers)
        .redirect(Policy::none())
        .timeout(TIMEOUT)
        .build()
        .map_err(|error| report(&error))
}

fn failed(what: &'static str) -> impl FnOnce(ExporterBuildError) -> TelemetryError {
    move |error| TelemetryError::Start {
        what,
        why: error.to_string(),
    }
}
