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

    /// Never "always": what a filter of one layer answers stays on the thread until an event or the next question. One who asks
    /// and then writes nothing, as `log_enabled!` of the crate `log` does, would take the next line with it; so each is asked for.
    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        let interest = Filter::<S>::callsite_enabled(&self.filter, metadata);
        if interest.is_never() && !Self::is_span(metadata) {
            return interest;
        }
        Interest::sometimes()
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

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Write},
        sync::{Arc, Mutex},
    };

    use tracing::dispatcher::get_default;
    use tracing_subscriber::{Layer as _, layer::SubscriberExt as _};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// As each line of librdkafka is asked for through the crate `log`, and then not written.
    #[test]
    fn a_line_is_written_though_another_was_asked_for_and_left_out_before() {
        let written = Written::default();
        let writer = written.clone();
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(move || writer.clone())
            .with_filter(lines("warn,forebay=info").unwrap());
        let subscriber = tracing_subscriber::registry().with(lines);
        tracing::subscriber::with_default(subscriber, || {
            let other = tracing::info_span!(target: "librdkafka", "other");
            let other = other.metadata().unwrap();
            for number in 0..3 {
                get_default(|dispatch| dispatch.enabled(other));
                tracing::info!(target: "forebay", number, "consuming");
            }
        });
        let written = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert_eq!(written.matches("consuming").count(), 3, "{written}");
    }
}
