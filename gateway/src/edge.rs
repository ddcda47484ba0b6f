//! The edge at work: connectors as tasks, one pump for each, lanes shared by all.
//!
//! Each connector has its own bounded queue and its own pump, so that a slow one does not hold up the others; what waits in a
//! queue is appended together, and the spool groups the appends of all pumps into one sync.

mod outage;
mod pump;
mod tasks;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use forebay_connectors::{Connector, Declared, RuleId, SessionId, outlet};
use forebay_schemas::{Clock, ErrorKind, Lane, SiteId, Timestamp};
use forebay_stream::{LogWriter, OpenReceipt, StreamError};
use tokio::{select, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::{
    pump::Pump,
    tasks::{ended_badly, finish, run_connector},
};
use crate::{
    EdgeStatus, GatewayError, Lanes, Pipeline, SeriesFolder, Source, SourceStatus,
    held::owner,
    held_back::HeldBack,
    keeper::Keeper,
    memory::Memory,
    outages::{FullSpool, Span},
};

/// Parcels that may wait between a connector and its pump.
const WAITING_MAX: usize = 256;

/// What the edge needs to run.
pub struct Run {
    /// Site of every reading.
    pub site: SiteId,
    /// How devices are spread.
    pub lanes: Lanes,
    /// One writer for each lane.
    pub writers: BTreeMap<Lane, Arc<dyn LogWriter>>,
    /// The receipts that each lane's opening found.
    pub receipts: BTreeMap<Lane, Vec<OpenReceipt>>,
    /// When the newest record before this start was taken, in any lane; none where there is none.
    pub stored_at: Option<Timestamp>,
    /// Where it is kept what each series said last; none keeps it for the life of the process alone.
    pub series: Option<SeriesFolder>,
    /// The gateway's clock.
    pub clock: Clock,
}

/// The edge of one gateway, ready to run.
pub struct Edge {
    run: Arc<Run>,
    sources: Vec<(Source, Arc<SourceStatus>)>,
    status: EdgeStatus,
}

impl Edge {
    /// The edge with these connectors.
    pub fn new(run: Run, sources: Vec<Source>) -> Self {
        let mut status = EdgeStatus::default();
        let sources = sources.into_iter().map(|source| {
            let of = status.add(&source.name);
            (source, of)
        });
        let sources = sources.collect();
        Self {
            run: Arc::new(run),
            sources,
            status,
        }
    }

    /// The connectors' counters, which go on counting.
    pub fn status(&self) -> EdgeStatus {
        self.status.clone()
    }

    /// Runs until `stop` is cancelled, then drains: connectors take no more, what they handed over becomes durable and is
    /// acknowledged. The lanes are left open.
    ///
    /// # Errors
    /// The first spool that cannot go on; the rest is stopped then. A connector that cannot go on is started again alone.
    pub async fn run(self, stop: CancellationToken) -> Result<(), GatewayError> {
        self.end_foreign_receipts().await?;
        let mut connectors = JoinSet::new();
        let mut pumps = JoinSet::new();
        let stopping = stop.child_token();
        let stopped = Span::of_stop(self.run.stored_at, (self.run.clock)());
        for (mut source, status) in self.sources {
            let brings = all_brings(&source);
            let mut pipeline = source.pipeline(self.run.site.clone(), status.clone());
            let Source {
                name, connector, ..
            } = source;
            let file = self
                .run
                .series
                .as_ref()
                .and_then(|folder| folder.file(&name));
            let memory = Memory::recall(&name, file, brings, &mut pipeline).await;
            let held_back = HeldBack::recall(
                &name,
                self.run.series.as_ref(),
                self.run.lanes,
                &self.run.receipts,
                &mut pipeline,
            )
            .await;
            let (keeper, restored) =
                Keeper::restore(connector.session(), self.run.lanes, &self.run.receipts);
            let (outlet, deliveries) = outlet(WAITING_MAX);
            let outlet = outlet
                .with_restored(restored)
                .with_skipped(status.skips())
                .with_known(pipeline.brought());
            let run = self.run.clone();
            // What a session keeps comes later: nothing of it is missing.
            let is_polled = connector.session().is_none();
            let pump = Pump {
                name: name.clone(),
                run,
                pipeline,
                memory,
                keeper,
                held_back,
                status,
                deliveries,
                held: Vec::new(),
                delivers: false,
                full: is_polled.then(FullSpool::default),
            };
            pumps.spawn(pump.run(stopped.filter(|_| is_polled)));
            connectors.spawn(run_connector(name, connector, outlet, stopping.clone()));
        }
        let first = select! {
            () = stop.cancelled() => None,
            ended = ended_badly(&mut connectors) => Some(ended),
            broken = ended_badly(&mut pumps) => Some(broken),
        };
        stopping.cancel();
        let connectors = finish(
            &mut connectors,
            "timed out stopping, its device sends again what was not acknowledged",
        )
        .await;
        // Every outlet is gone now, so the pumps end by themselves; one that waits for room in a full spool is cut off.
        let pumps = finish(&mut pumps, "timed out flushing readings to the spool").await;
        first.or(connectors).or(pumps).map_or(Ok(()), Err)
    }

    /// Nobody would ever end the receipts of a session that no connector has any more.
    async fn end_foreign_receipts(&self) -> Result<(), GatewayError> {
        let of_steps = self.sources.iter().map(|(source, _)| owner(&source.name));
        let sessions: BTreeSet<SessionId> = self
            .sources
            .iter()
            .filter_map(|(source, _)| source.connector.session())
            .chain(of_steps)
            .collect();
        for (lane, receipts) in &self.run.receipts {
            let is_foreign = |receipt: &&OpenReceipt| !sessions.contains(&SessionId(receipt.owner));
            let foreign: Vec<_> = receipts.iter().filter(is_foreign).cloned().collect();
            if !foreign.is_empty() {
                info!(%lane, receipts = foreign.len(), "ended receipts of sessions that are no longer configured");
                self.run.end_receipts(*lane, foreign).await?;
            }
        }
        Ok(())
    }
}

impl Run {
    fn writer(&self, lane: Lane) -> Result<&dyn LogWriter, StreamError> {
        self.writers
            .get(&lane)
            .map(|writer| &**writer)
            .ok_or(StreamError::Closed)
    }

    /// Ends receipts without readings; answers those that it could not end in passing.
    async fn end_receipts(
        &self,
        lane: Lane,
        ended: Vec<OpenReceipt>,
    ) -> Result<Vec<OpenReceipt>, GatewayError> {
        let result = match self.writer(lane) {
            Ok(writer) => writer.end_receipts(ended.clone()).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(()) => Ok(Vec::new()),
            Err(error) if error.kind() == ErrorKind::Retry => {
                warn!(%lane, %error, "recording ended receipts failed, retrying");
                Ok(ended)
            }
            Err(source) => Err(GatewayError::Spool {
                lane: lane.0,
                source,
            }),
        }
    }
}

impl Source {
    /// Its steps; they are taken out of it.
    fn pipeline(&mut self, site: SiteId, status: Arc<SourceStatus>) -> Pipeline {
        let rules = std::mem::take(&mut self.rules);
        let filter = std::mem::take(&mut self.filter);
        Pipeline::new(site, rules, filter, self.connector.declared(), status)
            .with_steps(&self.steps)
            .with_clock_skew(self.skew)
    }
}

/// What each rule brings.
fn all_brings(source: &Source) -> Vec<String> {
    let declared = source.connector.declared();
    (0..source.rules.len())
        .map(RuleId)
        .map(|rule| brings(&*source.connector, &declared, rule))
        .collect()
}

/// What a rule brings, in words that last.
fn brings(connector: &dyn Connector, declared: &[Declared], rule: RuleId) -> String {
    let declared = || declared.iter().find(|declared| declared.rule == rule);
    let by_name = || declared().map(|Declared { device, tag, .. }| format!("{device}/{tag}"));
    connector
        .brings(rule)
        .or_else(by_name)
        .unwrap_or_else(|| format!("rule {}", rule.0))
}
