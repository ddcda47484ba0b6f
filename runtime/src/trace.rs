//! Which trace work belongs to, for those who hand it on: in a header, to another task, as a link.
//!
//! Nothing here keeps traces. Whoever does [`install`]s itself; without it there is no trace, and asking costs a load. How many
//! traces begin is bounded by a [`Sampler`], never by how much passes.

use std::{fmt, str::FromStr, sync::OnceLock, time::Duration};

use thiserror::Error;
use tokio::time::Instant;
use tracing::{Span, field::display};

/// A span that is kept, as W3C Trace Context names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// Of the whole trace; never 0.
    pub trace_id: u128,
    /// Of the span; never 0.
    pub span_id: u64,
}

/// A text that names no span, or one that is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not the traceparent of a sampled span")]
pub struct NotSampled;

/// Who keeps traces.
pub trait Tracer: Send + Sync {
    /// What a span is called outside; none if it is not kept.
    fn context_of(&self, span: &Span) -> Option<TraceContext>;
    /// A span goes on from one that is elsewhere. To be said before it is asked what it is called, and before it is entered.
    fn set_parent(&self, span: &Span, parent: TraceContext);
    /// A span has to do with one that is elsewhere.
    fn link(&self, span: &Span, to: TraceContext);
    /// How often each place where traces begin begins one, at most.
    fn every(&self) -> Duration;
}

static TRACER: OnceLock<Box<dyn Tracer>> = OnceLock::new();

/// Keeps the traces of this process from now on, once; answers whether it does.
pub fn install(tracer: Box<dyn Tracer>) -> bool {
    TRACER.set(tracer).is_ok()
}

/// Whether anybody keeps traces.
pub fn is_on() -> bool {
    TRACER.get().is_some()
}

/// What a span is called outside; none if it is not kept.
pub fn context_of(span: &Span) -> Option<TraceContext> {
    TRACER.get()?.context_of(span)
}

/// What the span is called in which this is asked.
pub fn current() -> Option<TraceContext> {
    TRACER.get()?.context_of(&Span::current())
}

/// Has a span go on from one that is elsewhere; see [`Tracer::set_parent`].
pub fn set_parent(span: &Span, parent: TraceContext) {
    if let Some(tracer) = TRACER.get() {
        tracer.set_parent(span, parent);
    }
}

/// Links a span to one that is elsewhere.
pub fn link(span: &Span, to: TraceContext) {
    if let Some(tracer) = TRACER.get() {
        tracer.link(span, to);
    }
}

/// Puts the id of its trace into a span's field `trace_id`, which it declares, so that log lines within it have it.
pub fn show(span: &Span) {
    if let Some(context) = context_of(span) {
        span.record("trace_id", display(context.trace_id_text()));
    }
}

impl TraceContext {
    /// The trace's id in 32 hexadecimal digits.
    pub fn trace_id_text(&self) -> String {
        format!("{:032x}", self.trace_id)
    }
}

/// As `traceparent` has it.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-01", self.trace_id, self.span_id)
    }
}

/// From a `traceparent` (W3C Trace Context, level 1). Of a later version what this one has is read.
impl FromStr for TraceContext {
    type Err = NotSampled;

    fn from_str(text: &str) -> Result<Self, NotSampled> {
        let mut parts = text.split('-');
        let mut part = |digits: usize| {
            let part = parts.next().ok_or(NotSampled)?;
            let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            if part.len() != digits || !part.bytes().all(is_hex) {
                return Err(NotSampled);
            }
            u128::from_str_radix(part, 16).map_err(|_| NotSampled)
        };
        let (version, trace_id) = (part(2)?, part(32)?);
        let (span_id, flags) = (part(16)?, part(2)?);
        let has_more = parts.next().is_some();
        let is_known = version < 0xff && !(version == 0 && has_more);
        let span_id = u64::try_from(span_id).map_err(|_| NotSampled)?;
        if !is_known || trace_id == 0 || span_id == 0 || flags & 1 == 0 {
            return Err(NotSampled);
        }
        Ok(Self { trace_id, span_id })
    }
}

/// Says which of the things that pass a place begin a trace: at most one in the time that [`Tracer::every`] says.
#[derive(Debug, Default)]
pub struct Sampler {
    next: Option<Instant>,
}

impl Sampler {
    /// Whether this one does.
    pub fn admit(&mut self) -> bool {
        TRACER
            .get()
            .is_some_and(|tracer| self.admit_every(tracer.every()))
    }

    fn admit_every(&mut self, every: Duration) -> bool {
        let now = Instant::now();
        if self.next.is_some_and(|next| now < next) {
            return false;
        }
        self.next = Some(now + every);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn a_traceparent_is_read_as_the_standard_has_it() {
        let check = |text: String, expected: bool| {
            let read = TraceContext::from_str(&text);
            assert_eq!(read.is_ok(), expected, "{text}");
            if let Ok(read) = read {
                assert_eq!(read.to_string(), format!("00-{TRACE}-{SPAN}-01"));
                assert_eq!(read.trace_id_text(), TRACE);
            }
        };
        check(format!("00-{TRACE}-{SPAN}-01"), true);
        check(format!("00-{TRACE}-{SPAN}-03"), true);
        check(format!("cc-{TRACE}-{SPAN}-01-what-will-be"), true);
        check(format!("00-{TRACE}-{SPAN}-00"), false);
        check(format!("00-{TRACE}-{SPAN}-01-more"), false);
        check(format!("ff-{TRACE}-{SPAN}-01"), false);
        check(format!("00-{}-{SPAN}-01", TRACE.to_uppercase()), false);
        check(format!("00-{}-{SPAN}-01", "0".repeat(32)), false);
        check(format!("00-{TRACE}-{}-01", "0".repeat(16)), false);
        check(format!("00-{TRACE}-{SPAN}"), false);
        check(format!("00-{TRACE}+{SPAN}-01"), false);
        check(format!("00-+{}-{SPAN}-01", &TRACE[1..]), false);
        check("ü".repeat(20), false);
        check(String::new(), false);
    }

    #[tokio::test(start_paused = true)]
    async fn traces_begin_no_more_often_than_they_may() {
        let every = Duration::from_secs(1);
        let mut sampler = Sampler::default();
        let mut begun = Vec::new();
        for tenth in 0..25 {
            if sampler.admit_every(every) {
                begun.push(tenth);
            }
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        assert_eq!(begun, [0, 10, 20]);
        assert!(!Sampler::default().admit(), "nobody keeps traces here");
    }
}
