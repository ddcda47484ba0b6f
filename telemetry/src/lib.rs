//! How Forebay reports on itself: logs on stderr, and metrics, traces and logs by OpenTelemetry and for Prometheus.
//!
//! Every metric's name stands in [`names`]. The crate knows no part of the product: whoever has counters hands them to
//! [`Telemetry::counter`] and [`Telemetry::gauge`] as functions that are called when somebody asks.

mod error;
mod export;
mod filters;
pub mod names;
mod prometheus;
mod queue;
mod settings;
mod tracer;

use std::{
    io::IsTerminal as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use export::Exports;
use filters::Lines;
use forebay_runtime::trace::install;
use opentelemetry::{
    KeyValue,
    metrics::{Meter, MeterProvider as _},
};
use opentelemetry_appender_tracing::layer::{OpenTelemetryTracingBridge, TracingSpanAttributes};
use opentelemetry_sdk::{
    Resource, error::OTelSdkResult, logs::SdkLoggerProvider, metrics::SdkMeterProvider,
    trace::SdkTracerProvider,
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::{
    Layer as _, filter::FilterExt as _, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

pub use error::TelemetryError;
pub use names::Metric;
pub use prometheus::Scrape;
pub use settings::{LogFormat, OtlpSettings, TELEMETRY, TelemetrySettings, telemetry};
use tracer::OtlpTracer;

/// One value with its labels, as `(name, value)` pairs.
pub type Sample<T> = (T, Vec<(&'static str, String)>);

/// What is running.
pub struct Telemetry {
    meter: Meter,
    meters: SdkMeterProvider,
    tracers: Option<SdkTracerProvider>,
    loggers: Option<SdkLoggerProvider>,
    registry: ::prometheus::Registry,
}

impl Telemetry {
    /// Starts logging and exporting, once per process and within a tokio runtime. `filter` comes from `FOREBAY_LOG` and goes
    /// before the settings'.
    ///
    /// Where files for `otlp_endpoint` cannot be used, it logs why and sends nothing.
    ///
    /// # Errors
    /// An invalid filter.
    pub fn start(
        settings: &TelemetrySettings,
        gateway: &str,
        site: &str,
        filter: Option<&str>,
    ) -> Result<Self, TelemetryError> {
        let wanted = filter.unwrap_or(&settings.log);
        let filter = filters::lines(wanted)?;
        let resource = Resource::builder()
            .with_service_name("forebay")
            .with_attributes([
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
                KeyValue::new("service.instance.id", gateway.to_owned()),
                KeyValue::new("forebay.site", site.to_owned()),
            ])
            .build();
        let registry = ::prometheus::Registry::new();
        let mut meters = SdkMeterProvider::builder()
            .with_resource(resource.clone())
            .with_reader(
                opentelemetry_prometheus::exporter()
                    .with_registry(registry.clone())
                    .build()
                    .map_err(|error| TelemetryError::Start {
                        what: "the Prometheus registry",
                        why: error.to_string(),
                    })?,
            );
        let (mut tracers, mut loggers) = (None, None);
        let mut dropped = Vec::new();
        let exports = settings
            .otlp
            .as_ref()
            .map(|otlp| Exports::of(otlp, &resource));
        // Devices are read all the same.
        let (exports, unavailable) = match exports.transpose() {
            Ok(exports) => (exports, None),
            Err(error) => (None, Some(error)),
        };
        if let Some(Exports {
            metrics,
            spans,
            logs,
        }) = exports
        {
            meters = meters.with_reader(metrics);
            dropped = vec![("spans", spans.dropped()), ("logs", logs.dropped())];
            let provider = SdkTracerProvider::builder().with_resource(resource.clone());
            tracers = Some(provider.with_span_processor(spans).build());
            let provider = SdkLoggerProvider::builder().with_resource(resource);
            loggers = Some(provider.with_log_processor(logs).build());
        }
        listen(settings, filter, wanted, tracers.as_ref(), loggers.as_ref())?;
        if let Some(error) = unavailable {
            tracing::error!(%error, "nothing is sent to otlp_endpoint until the next start");
        }
        if tracers.is_some() {
            // A test may start it twice; the first stays.
            install(Box::new(OtlpTracer {
                every: settings.trace_every,
            }));
        }
        let meters = meters.build();
        let telemetry = Self {
            meter: meters.meter("forebay"),
            meters,
            tracers,
            loggers,
            registry,
        };
        telemetry.count_dropped(dropped);
        Ok(telemetry)
    }

    /// Counts what each signal has lost.
    fn count_dropped(&self, dropped: Vec<(&'static str, Arc<AtomicU64>)>) {
        self.counter(&names::TELEMETRY_DROPPED, move || {
            let count = |(signal, count): &(&'static str, Arc<AtomicU64>)| {
                let labels = vec![("signal", (*signal).to_owned())];
                (count.load(Ordering::Relaxed), labels)
            };
            dropped.iter().map(count).collect()
        });
    }

    /// A count that only grows, read when somebody asks.
    pub fn counter(
        &self,
        metric: &'static Metric,
        read: impl Fn() -> Vec<Sample<u64>> + Send + Sync + 'static,
    ) {
        let builder = self
            .meter
            .u64_observable_counter(metric.name)
            .with_description(metric.help);
        let builder = builder
            .with_unit(metric.unit)
            .with_callback(move |observer| {
                for (value, labels) in read() {
                    observer.observe(value, &key_values(metric, labels));
                }
            });
        // The provider keeps the callback; the handle is of no further use.
        let _handle = builder.build();
    }

    /// A value that goes up and down, read when somebody asks.
    pub fn gauge(
        &self,
        metric: &'static Metric,
        read: impl Fn() -> Vec<Sample<f64>> + Send + Sync + 'static,
    ) {
        let builder = self
            .meter
            .f64_observable_gauge(metric.name)
            .with_description(metric.help);
        let builder = builder
            .with_unit(metric.unit)
            .with_callback(move |observer| {
                for (value, labels) in read() {
                    observer.observe(value, &key_values(metric, labels));
                }
            });
        let _handle = builder.build();
    }

    /// The page that Prometheus reads, listening.
    ///
    /// # Errors
    /// An address that cannot be listened on.
    pub async fn scrape(
        &self,
        settings: &TelemetrySettings,
        stop: CancellationToken,
    ) -> Result<Option<Scrape>, TelemetryError> {
        match settings.prometheus_listen {
            Some(address) => Scrape::listen(address, self.registry.clone(), stop)
                .await
                .map(Some),
            None => Ok(None),
        }
    }

    /// Sends what is left, on a thread that may block for some seconds. What cannot be sent is lost, and logged.
    pub fn stop(self) {
        let failed = |ended: OTelSdkResult| {
            if let Err(error) = ended {
                tracing::warn!(%error, "the last telemetry could not be sent");
            }
        };
        // A collector that hangs is waited for once, not once for each signal.
        std::thread::scope(|all| {
            all.spawn(|| failed(self.meters.shutdown()));
            all.spawn(|| failed(self.tracers.map_or(Ok(()), |tracers| tracers.shutdown())));
            all.spawn(|| failed(self.loggers.map_or(Ok(()), |loggers| loggers.shutdown())));
        });
    }
}

/// Takes in what the process says from now on.
fn listen(
    settings: &TelemetrySettings,
    lines_of: Lines,
    wanted: &str,
    tracers: Option<&SdkTracerProvider>,
    loggers: Option<&SdkLoggerProvider>,
) -> Result<(), TelemetryError> {
    use opentelemetry::trace::TracerProvider as _;

    let colour = std::env::var_os("NO_COLOR").is_none() && std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(colour);
    let lines = match settings.log_format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => tracing_subscriber::fmt::layer()
            .json()
            .with_writer(std::io::stderr)
            .boxed(),
    };
    let spans = tracers.map(|tracers| {
        tracing_opentelemetry::layer()
            .with_tracer(tracers.tracer("forebay"))
            .with_filter(filters::traced())
    });
    let records = match loggers {
        Some(loggers) => {
            let bridge = OpenTelemetryTracingBridge::builder(loggers)
                .with_tracing_span_attributes(TracingSpanAttributes::all())
                .build();
            let sent = filters::lines(wanted)?.and(filters::sent());
            Some(bridge.with_filter(sent))
        }
        None => None,
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(lines_of))
        .with(spans)
        .with(records)
        .try_init()
        .map_err(|error| TelemetryError::Start {
            what: "logging",
            why: error.to_string(),
        })
}

fn key_values(metric: &Metric, labels: Vec<(&'static str, String)>) -> Vec<KeyValue> {
    debug_assert!(
        labels
            .iter()
            .map(|(name, _)| *name)
            .eq(metric.labels.iter().copied()),
        "{}: {labels:?}",
        metric.name
    );
    labels
        .into_iter()
        .map(|(name, value)| KeyValue::new(name, value))
        .collect()
}
