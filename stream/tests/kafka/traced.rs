//! The trace of a record goes along beside its bytes.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use forebay_runtime::trace::{TraceContext, Tracer, install};
use forebay_stream::{Entry, Offset};
use tempfile::TempDir;
use tracing::Span;

use crate::support::{Publishing, append, broker, drain, join, lane, read_until, spool, topic};

const CONTEXT: TraceContext = TraceContext {
    trace_id: 0xabcd,
    span_id: 0xef,
};

/// Calls every span the same, and notes what spans go on from.
struct Always(Arc<Mutex<Vec<TraceContext>>>);

impl Tracer for Always {
    fn context_of(&self, _: &Span) -> Option<TraceContext> {
        Some(CONTEXT)
    }

    fn set_parent(&self, _: &Span, parent: TraceContext) {
        self.0.lock().unwrap().push(parent);
    }

    fn link(&self, _: &Span, _: TraceContext) {}

    fn every(&self) -> Duration {
        Duration::from_secs(3_600)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_traced_says_so_in_its_header() {
    let parents = Arc::default();
    assert!(install(Box::new(Always(Arc::clone(&parents)))));
    let (dir, topic) = (TempDir::new().unwrap(), topic(1).await);
    let settings = broker().await.settings(&topic);
    let lane = lane("traced", 0);
    let spool = spool(&dir.path().join("spool"), lane.clone()).await;
    append(&spool.writer(), 1, 5).await;
    let places = dir.path().join("places");
    let publishing = Publishing::start(settings.clone(), &spool, lane.clone(), places);
    let (_group, sources) = join(settings, 1).await;
    read_until(&sources, &[(lane, spool.opened().epoch, 5)]).await;
    let all = drain(&*sources[&0], Offset(0)).await;
    let is_batch = |entry: &Entry<_>| matches!(entry, Entry::Batch(_));
    let traces = all.iter().filter(|found| is_batch(&found.record.entry));
    let traces: Vec<_> = traces.map(|found| found.transit.trace).collect();
    assert_eq!(traces, [Some(CONTEXT)]);
    // The broker's time of each record, after 2023.
    let published = all.iter().map(|found| found.transit.published);
    let late = |at: Option<forebay_schemas::Timestamp>| at.unwrap().micros() / 1_000_000;
    assert!(published.map(late).all(|second| second > 1_700_000_000));
    assert!(
        parents.lock().unwrap().contains(&CONTEXT),
        "it goes on from its append"
    );
    publishing.stop().await.unwrap();
}
