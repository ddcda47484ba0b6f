//! Work that a trace shows.

use std::fmt::Display;

use forebay_runtime::trace::show;
use tracing::{Instrument as _, Span};

/// Does work within a span that records its error: the span declares the fields `trace_id` and `otel.status_description`.
pub(crate) async fn traced<T, E: Display>(
    span: Span,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    show(&span);
    let done = work.instrument(span.clone()).await;
    if let Err(error) = &done {
        span.record("otel.status_description", error.to_string());
    }
    done
}
