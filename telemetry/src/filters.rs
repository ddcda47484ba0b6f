//! What of spans and events goes where.
//!
//! `log` filters lines alone. The spans that lines stand in are there whatever it says, and traces do not depend on it.

use tracing::{
    Event, Level, Metadata, Subscriber,
    level_filters::LevelFilter,
    span::{Attributes, Id, Record},
    subscriber::Interest,
};
use tracing_subscriber::{
    EnvFilter,
    filter::FilterFn,
    layer::{Context, Filter},
    registry::LookupSpan,
};

use crate::{TelemetryError, names::SPANS};

/// Whose spans and events are ours.
const OURS: &str = "forebay";
/// The exporter's own events: sent to the collector, each failure to send would be something to send.
const EXPORTER: &str = "opentelemetry";

/// Reads a filter of lines.
pub(crate) fn lines(wanted: &str) -> Result<Lines, TelemetryError> {
    let filter = EnvFilter::try_new(wanted).map_err(|error| TelemetryError::Filter {
        filter: wanted.to_owned(),
        why: error.to_string(),
    })?;
    Ok(Lines { filter })
}

/// What goes into traces.
pub(crate) fn traced() -> FilterFn {
    FilterFn::new(is_traced as Of).with_max_level_hint(LevelFilter::INFO)
}

/// What of lines may go to the collector.
pub(crate) fn sent() -> FilterFn {
    // Other filters say how much of it.
    FilterFn::new(is_sent as Of).with_max_level_hint(LevelFilter::TRACE)
}

type Of = fn(&Metadata<'_>) -> bool;

/// Whether it is for a trace: one of our spans, or an event of ours, which a span that is there takes along.
fn is_traced(metadata: &Metadata<'_>) -> bool {
    is_ours(metadata) && (metadata.is_event() || SPANS.contains(&metadata.name()))
}

/// Whether a line may go to the collector.
fn is_sent(metadata: &Metadata<'_>) -> bool {
    !metadata.target().starts_with(EXPORTER)
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with(OURS) && *metadata.level() <= Level::INFO
}

/// Lines as their filter has it, and our spans.
pub(crate) struct Lines {
    filter: EnvFilter,
}

impl Lines {
    fn is_span(metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && is_ours(metadata)
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Filter<S> for Lines {
    fn enabled(&self, metadata: &Metadata<'_>, context: &Context<'_, S>) -> bool {
        Self::is_span(metadata) || Filter::enabled(&self.filter, metadata, context)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        let interest = Filter::<S>::callsite_enabled(&self.filter, metadata);
        if Self::is_span(metadata) {
            return Interest::always();
        }
        interest
    }

    fn event_enabled(&self, event: &Event<'_>, context: &Context<'_, S>) -> bool {
        Filter::event_enabled(&self.filter, event, context)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let hint = Filter::<S>::max_level_hint(&self.filter);
        hint.map(|hint| hint.max(LevelFilter::INFO))
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        Filter::on_new_span(&self.filter, attributes, id, context);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        Filter::on_record(&self.filter, id, values, context);
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        Filter::on_enter(&self.filter, id, context);
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        Filter::on_exit(&self.filter, id, context);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        Filter::on_close(&self.filter, id, context);
    }
}
