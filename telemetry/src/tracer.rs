//! How parts that know nothing of OpenTelemetry hand traces on.

use std::time::Duration;

use forebay_runtime::trace::{TraceContext, Tracer};
use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState},
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The spans that are exported.
pub(crate) struct OtlpTracer {
    pub(crate) every: Duration,
}

impl Tracer for OtlpTracer {
    fn context_of(&self, span: &Span) -> Option<TraceContext> {
        let context = span.context();
        let of = context.span();
        let of = of.span_context();
        (of.is_valid() && of.is_sampled()).then(|| TraceContext {
            trace_id: u128::from_be_bytes(of.trace_id().to_bytes()),
            span_id: u64::from_be_bytes(of.span_id().to_bytes()),
        })
    }

    fn set_parent(&self, span: &Span, parent: TraceContext) {
        // A span that is not exported has none.
        span.set_parent(Context::new().with_remote_span_context(remote(parent)))
            .ok();
    }

    fn link(&self, span: &Span, to: TraceContext) {
        span.add_link(remote(to));
    }

    fn every(&self) -> Duration {
        self.every
    }
}

fn remote(context: TraceContext) -> SpanContext {
    SpanContext::new(
        TraceId::from_bytes(context.trace_id.to_be_bytes()),
        SpanId::from_bytes(context.span_id.to_be_bytes()),
        TraceFlags::SAMPLED,
        true,
        TraceState::NONE,
    )
}
