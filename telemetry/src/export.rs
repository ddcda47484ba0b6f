//! OTLP over HTTP. What sends runs on tokio, since the HTTP client needs its reactor.

use std::time::Duration;

use opentelemetry_otlp::{
    ExporterBuildError, LogExporter, MetricExporter, Protocol, SpanExporter, WithExportConfig as _,
};
use opentelemetry_sdk::{
    Resource,
    logs::LogExporter as _,
    metrics::periodic_reader_with_async_runtime::PeriodicReader,
    runtime::Tokio,
    trace::{SpanData, SpanExporter as _},
};
use url::Url;

use crate::{
    TelemetryError,
    queue::{LogItem, Queue},
};

const EVERY: Duration = Duration::from_secs(15);
const TIMEOUT: Duration = Duration::from_secs(5);

fn signal(endpoint: &Url, name: &str) -> String {
    format!("{}/v1/{name}", endpoint.as_str().trim_end_matches('/'))
}

fn failed(what: &'static str) -> impl FnOnce(ExporterBuildError) -> TelemetryError {
    move |error| TelemetryError::Start {
        what,
        why: error.to_string(),
    }
}

pub(crate) fn metrics(endpoint: &Url) -> Result<PeriodicReader<MetricExporter>, TelemetryError> {
    let exporter = MetricExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(signal(endpoint, "metrics"))
        .with_timeout(TIMEOUT)
        .build()
        .map_err(failed("the export of metrics"))?;
    Ok(PeriodicReader::builder(exporter, Tokio)
        .with_interval(EVERY)
        .build())
}

pub(crate) fn spans(
    endpoint: &Url,
    resource: &Resource,
) -> Result<Queue<SpanData>, TelemetryError> {
    let mut exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(signal(endpoint, "traces"))
        .with_timeout(TIMEOUT)
        .build()
        .map_err(failed("the export of traces"))?;
    exporter.set_resource(resource);
    Ok(Queue::new("spans", exporter))
}

pub(crate) fn logs(endpoint: &Url, resource: &Resource) -> Result<Queue<LogItem>, TelemetryError> {
    let mut exporter = LogExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(signal(endpoint, "logs"))
        .with_timeout(TIMEOUT)
        .build()
        .map_err(failed("the export of logs"))?;
    exporter.set_resource(resource);
    Ok(Queue::new("logs", exporter))
}
