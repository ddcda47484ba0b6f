//! OTLP over HTTP. The processors run on tokio, since the HTTP client needs its reactor.

use std::time::Duration;

use opentelemetry_otlp::{
    ExporterBuildError, LogExporter, MetricExporter, Protocol, SpanExporter, WithExportConfig as _,
};
use opentelemetry_sdk::{
    Resource,
    logs::{SdkLoggerProvider, log_processor_with_async_runtime::BatchLogProcessor},
    metrics::periodic_reader_with_async_runtime::PeriodicReader,
    runtime::Tokio,
    trace::{SdkTracerProvider, span_processor_with_async_runtime::BatchSpanProcessor},
};
use url::Url;

use crate::TelemetryError;

const EVERY: Duration = Duration::from_secs(15);
const TIMEOUT: Duration = Duration::from_secs(10);

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

pub(crate) fn tracers(
    endpoint: &Url,
    resource: Resource,
) -> Result<SdkTracerProvider, TelemetryError> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(signal(endpoint, "traces"))
        .with_timeout(TIMEOUT)
        .build()
        .map_err(failed("the export of traces"))?;
    let processor = BatchSpanProcessor::builder(exporter, Tokio).build();
    Ok(SdkTracerProvider::builder()
        .with_resource(resource)
        .with_span_processor(processor)
        .build())
}

pub(crate) fn loggers(
    endpoint: &Url,
    resource: Resource,
) -> Result<SdkLoggerProvider, TelemetryError> {
    let exporter = LogExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(signal(endpoint, "logs"))
        .with_timeout(TIMEOUT)
        .build()
        .map_err(failed("the export of logs"))?;
    let processor = BatchLogProcessor::builder(exporter, Tokio).build();
    Ok(SdkLoggerProvider::builder()
        .with_resource(resource)
        .with_log_processor(processor)
        .build())
}
