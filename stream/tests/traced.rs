//! Readings of a spool that belong to a trace are known by whoever reads them on in the same process.

#![allow(clippy::unwrap_used, reason = "what a test cannot set up ends it")]

use std::{sync::Arc, time::Duration};

use forebay_runtime::trace::{TraceContext, Tracer, install};
use forebay_schemas::{GatewayId, Lane, LaneId, Timestamp};
use forebay_stream::{
    LogSource as _, LogWriter as _, Offset, SpoolSource,
    conformance::readings,
    local::{Limits, OnFull, Options, Spool, SpoolKey},
};
use ring::rand::SystemRandom;
use tracing::Span;

const CONTEXT: TraceContext = TraceContext {
    trace_id: 0xabcd,
    span_id: 0xef,
};

/// Calls every span the same.
struct Always;

impl Tracer for Always {
    fn context_of(&self, _: &Span) -> Option<TraceContext> {
        Some(CONTEXT)
    }

    fn set_parent(&self, _: &Span, _: TraceContext) {}

    fn link(&self, _: &Span, _: TraceContext) {}

    fn every(&self) -> Duration {
        Duration::from_secs(3_600)
    }
}

fn lane() -> LaneId {
    LaneId {
        gateway: GatewayId::new("gw").unwrap(),
        lane: Lane(0),
    }
}

async fn open(path: &std::path::Path) -> Arc<Spool> {
    let options = Options {
        path: path.to_owned(),
        lane: lane(),
        key: SpoolKey::new([7; 32]),
        limits: Limits::new(1 << 20, 1 << 16, OnFull::Block).unwrap(),
        now: Timestamp::from_nanos(5_000_000_000_000),
        random: Arc::new(SystemRandom::new()),
    };
    Arc::new(Spool::open(options).await.unwrap())
}

/// The traces of the first records.
async fn traces(spool: &Arc<Spool>, count: usize) -> Vec<Option<TraceContext>> {
    let source = SpoolSource::new(spool.clone(), lane());
    let mut reader = source.open(Offset(0)).await.unwrap();
    let mut traces = Vec::new();
    for _ in 0..count {
        traces.push(reader.next().await.unwrap().transit.trace);
    }
    traces
}

#[tokio::test]
async fn an_append_s_trace_is_known_in_its_process_and_those_of_many_ago_are_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path()).await;
    let append = async |from: u64| {
        let readings = readings(from, 2).unwrap();
        spool.writer().append(readings).await.unwrap();
    };
    append(1).await;
    assert_eq!(traces(&spool, 1).await, [None], "nobody keeps traces");
    assert!(install(Box::new(Always)));
    append(3).await;
    assert_eq!(traces(&spool, 2).await, [None, Some(CONTEXT)]);
    for number in 2..66 {
        append(1 + 2 * number).await;
    }
    let all = traces(&spool, 66).await;
    let known = all.iter().filter(|trace| trace.is_some()).count();
    assert_eq!((known, all[1], all[65]), (64, None, Some(CONTEXT)));
    spool.writer().close().await.unwrap();
    drop(spool);
    let spool = open(dir.path()).await;
    assert_eq!(traces(&spool, 3).await, [None; 3], "another process");
}
