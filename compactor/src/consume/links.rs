//! Which spans the records of a commit were published in.

use forebay_runtime::trace::{TraceContext, link};
use tracing::Span;

/// Links of one commit; there may be many lanes behind it.
const LINKS_MAX: usize = 32;

/// The spans behind what was gathered, and how many there was no room for.
#[derive(Debug, Default)]
pub(super) struct TraceLinks {
    links: Vec<TraceContext>,
    dropped: i64,
}

impl TraceLinks {
    pub(super) fn add(&mut self, span: Option<TraceContext>) {
        let Some(span) = span.filter(|span| !self.links.contains(span)) else {
            return;
        };
        if self.links.len() < LINKS_MAX {
            self.links.push(span);
        } else {
            self.dropped += 1;
        }
    }

    /// Puts them into the commit's span, which declares `links_dropped`.
    pub(super) fn put_into(self, commit: &Span) {
        self.links.into_iter().for_each(|span| link(commit, span));
        if self.dropped > 0 {
            commit.record("links_dropped", self.dropped);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_bounded_and_the_rest_counted() {
        let mut links = TraceLinks::default();
        for span_id in 1..=40 {
            let span = TraceContext {
                trace_id: 7,
                span_id,
            };
            // One record in two parts, and one without a trace.
            links.add(Some(span));
            links.add(Some(span));
            links.add(None);
        }
        assert_eq!((links.links.len(), links.dropped), (LINKS_MAX, 8 + 8));
    }
}
