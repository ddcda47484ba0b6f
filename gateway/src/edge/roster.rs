//! The connectors at work: started, stopped, exchanged for others.
//!
//! Invariants: a session's receipts go from the pump that stops to the one that takes its place, as they would over a restart
//! (E1); so the next one starts only when the one before has stored what it was given, however long a full spool makes that.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use forebay_connectors::{Declared, RuleId, SessionId, outlet};
use forebay_runtime::trace::Sampler;
use forebay_schemas::SiteId;
use forebay_stream::OpenReceipt;
use tokio::{
    sync::{mpsc, oneshot},
    task::{JoinError, JoinSet},
    time::{Instant, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, error, error_span, info, warn};

use super::{
    Receipts, Run,
    control::{Changes, Request},
    pump::{Ask, Pump},
    tasks::{SourceStop, SourceTasks, run_connector},
};
use crate::{
    EdgeStatus, GatewayError, Pipeline, Source, SourceStatus, Tap,
    arrivals::Arrivals,
    device_report::DeviceReport,
    held::owner,
    held_back::HeldBack,
    keeper::Keeper,
    memory::Memory,
    outages::{FullSpool, Span},
    tap::RawTap,
};

/// Parcels that may wait between a connector and its pump.
const WAITING_MAX: usize = 256;
/// How long a connector may take to say how its devices do: its pump may wait for a disk.
const REPORT_MAX: Duration = Duration::from_secs(1);
/// How long a reload waits for connectors that stop; who takes longer is replaced later.
const RELOAD_MAX: Duration = Duration::from_secs(15);

/// A connector at work.
struct Running {
    fingerprint: u64,
    session: Option<SessionId>,
    stop: SourceStop,
    asks: mpsc::Sender<Ask>,
    /// None while it is to run.
    going: Option<Successor>,
}

/// What takes the place of a connector that stops.
enum Successor {
    Nobody,
    Source(Box<Source>),
}

/// How a source ended.
pub(super) type Ended = (String, Result<Receipts, GatewayError>);

pub(super) struct Roster {
    run: Arc<Run>,
    status: EdgeStatus,
    tap: Tap,
    /// The receipts of sessions that nobody serves at the moment.
    receipts: Receipts,
    running: BTreeMap<String, Running>,
    tasks: JoinSet<Ended>,
}

impl Roster {
    pub(super) fn new(run: Arc<Run>, status: EdgeStatus, tap: Tap) -> Self {
        Self {
            receipts: run.receipts.clone(),
            run,
            status,
            tap,
            running: BTreeMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Starts a connector with its pump, which first records that the gateway was `stopped`.
    pub(super) async fn start(&mut self, source: Source, stopped: Option<Span>) {
        let mut source = source;
        let status = self.status.add(&source.name);
        let run = self.run.clone();
        let brings = all_brings(&source);
        let mut pipeline = source
            .pipeline(run.site.clone(), status.clone())
            .since((run.clock)());
        let Source {
            name,
            connector,
            fingerprint,
            ..
        } = source;
        let session = connector.session();
        let file = run.series.as_ref().and_then(|folder| folder.file(&name));
        let memory = Memory::recall(&name, file, brings, &mut pipeline).await;
        // After a reload the counters go on, and devices that were taken out of the connector do not.
        status.keep_only(&pipeline.own_devices());
        let (keeper, restored) = Keeper::restore(session, run.lanes, &self.receipts);
        let folder = run.series.as_ref();
        let held_back = HeldBack::recall(
            &name,
            session,
            folder,
            run.lanes,
            &self.receipts,
            &mut pipeline,
        )
        .await;
        let restored = held_back.with_restored(restored);
        let own = [session, Some(owner(&name))];
        forget(&mut self.receipts, |receipt| {
            own.contains(&Some(SessionId(receipt.owner)))
        });
        let (outlet, deliveries) = outlet(WAITING_MAX);
        let outlet = outlet
            .with_restored(restored)
            .with_skipped(status.skips())
            .with_known(pipeline.brought())
            .with_watcher(Arc::new(RawTap {
                tap: self.tap.clone(),
                connector: name.as_str().into(),
            }));
        let (asks, asked) = mpsc::channel(1);
        // What a session keeps comes later: nothing of it is missing.
        let is_polled = session.is_none();
        let pump = Pump {
            name: name.as_str().into(),
            run,
            pipeline,
            memory,
            keeper,
            held_back,
            status,
            deliveries,
            asked,
            tap: self.tap.clone(),
            held: Vec::new(),
            delivers: false,
            full: is_polled.then(FullSpool::default),
            arrivals: Arrivals::default(),
            sampler: Sampler::default(),
        };
        let (stop, own_stop) = (SourceStop::default(), CancellationToken::new());
        // Of the highest level, so that no filter of lines leaves it out.
        let span = error_span!(parent: None, "connector", connector = name);
        let running = run_connector(
            name.clone(),
            connector,
            outlet,
            asks.clone(),
            own_stop.clone(),
        );
        let pumping = pump.run(stopped.filter(|_| is_polled));
        let tasks = SourceTasks {
            name: name.clone(),
            connector: tokio::spawn(running.instrument(span.clone())),
            pump: tokio::spawn(pumping.instrument(span)),
            stop: own_stop,
        };
        let (of, stopping) = (name.clone(), stop.clone());
        self.tasks
            .spawn(async move { (of, tasks.run(stopping).await) });
        self.running.insert(
            name,
            Running {
                fingerprint,
                session,
                stop,
                asks,
                going: None,
            },
        );
    }

    /// The next connector that has ended; waits for ever without one. May be dropped at any time.
    pub(super) async fn next_ended(&mut self) -> Result<Ended, JoinError> {
        match self.tasks.join_next().await {
            Some(ended) => ended,
            None => std::future::pending().await,
        }
    }

    /// A connector has ended; what is to take its place starts.
    ///
    /// # Errors
    /// It did not end in order.
    pub(super) async fn replace(
        &mut self,
        ended: Result<Ended, JoinError>,
    ) -> Result<(), GatewayError> {
        match self.note_end(ended)? {
            Some(Successor::Source(source)) => self.start(*source, None).await,
            Some(Successor::Nobody) => self.end_foreign_receipts(&[]).await?,
            None => {}
        }
        Ok(())
    }

    /// # Errors
    /// A spool that cannot go on.
    pub(super) async fn answer(&mut self, request: Request) -> Result<(), GatewayError> {
        // Who asked may have gone.
        match request {
            Request::Reload(sources, done) => {
                done.send(self.reload(sources).await?).ok();
            }
            Request::Devices(done) => {
                done.send(self.devices().await).ok();
            }
        }
        Ok(())
    }

    async fn reload(&mut self, sources: Vec<Source>) -> Result<Changes, GatewayError> {
        let mut changes = Changes::default();
        let named: BTreeMap<&str, u64> = sources
            .iter()
            .map(|source| (source.name.as_str(), source.fingerprint))
            .collect();
        for (name, running) in &self.running {
            let is_same =
                |fingerprint: &u64| *fingerprint == running.fingerprint && running.going.is_none();
            match named.get(name.as_str()) {
                Some(fingerprint) if is_same(fingerprint) => changes.unchanged += 1,
                Some(_) => changes.changed.push(name.clone()),
                None => changes.removed.push(name.clone()),
            }
        }
        let is_new = |source: &Source| !self.running.contains_key(&source.name);
        let added = sources.iter().filter(|source| is_new(source));
        changes.added = added.map(|source| source.name.clone()).collect();
        for name in &changes.removed {
            self.status.remove(name);
            self.stop(name, Successor::Nobody);
        }
        let mut added = Vec::new();
        for source in sources {
            let name = source.name.clone();
            if changes.changed.contains(&name) {
                self.stop(&name, Successor::Source(Box::new(source)));
            } else if changes.added.contains(&name) {
                added.push(source);
            }
        }
        let mut starting = self.drain().await?;
        starting.extend(added);
        let going = self.running.iter().filter(|(_, one)| one.going.is_some());
        changes.draining = going.map(|(name, _)| name.clone()).collect();
        for connector in &changes.draining {
            warn!(
                connector,
                "stopping: its last readings wait for room in the spool, what takes its place starts then"
            );
        }
        self.end_foreign_receipts(&starting).await?;
        for source in starting {
            self.start(source, None).await;
        }
        Ok(changes)
    }

    /// Has a connector stop, with what takes its place then.
    fn stop(&mut self, name: &str, successor: Successor) {
        if let Some(running) = self.running.get_mut(name) {
            running.stop.drain();
            running.going = Some(successor);
        }
    }

    /// Waits until what the connectors that stop handed over is durable, but not for ever; answers what takes the place of those
    /// that have stopped.
    async fn drain(&mut self) -> Result<Vec<Source>, GatewayError> {
        let until = Instant::now() + RELOAD_MAX;
        let mut successors = Vec::new();
        while self.running.values().any(|one| one.going.is_some()) {
            let Ok(ended) = timeout_at(until, self.next_ended()).await else {
                break;
            };
            if let Some(Successor::Source(source)) = self.note_end(ended)? {
                successors.push(*source);
            }
        }
        Ok(successors)
    }

    /// Stops all connectors and waits for them; answers the first that could not be drained.
    pub(super) async fn stop_all(mut self) -> Option<GatewayError> {
        for running in self.running.values() {
            running.stop.end();
        }
        let mut first = None;
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(failed) = self.note_end(ended) {
                error!(error = %failed, "stopped with an error");
                first.get_or_insert(failed);
            }
        }
        first
    }

    fn note_end(
        &mut self,
        ended: Result<Ended, JoinError>,
    ) -> Result<Option<Successor>, GatewayError> {
        let (name, outcome) = ended.map_err(|_| GatewayError::Task {
            name: "?".to_owned(),
            what: "panicked",
        })?;
        let running = self.running.remove(&name);
        for (lane, receipts) in outcome? {
            self.receipts.entry(lane).or_default().extend(receipts);
        }
        Ok(running.and_then(|running| running.going))
    }

    async fn devices(&self) -> Vec<DeviceReport> {
        let mut asked = JoinSet::new();
        for running in self.running.values() {
            let asks = running.asks.clone();
            asked.spawn(timeout(REPORT_MAX, async move {
                let (done, report) = oneshot::channel();
                asks.send(Ask::Devices(done)).await.ok()?;
                report.await.ok()
            }));
        }
        let mut reports = Vec::new();
        while let Some(report) = asked.join_next().await {
            // One whose pump waits for a disk is left out.
            if let Ok(Ok(Some(report))) = report {
                reports.extend(report);
            }
        }
        reports.sort_by(|one: &DeviceReport, other| {
            (&one.connector, &one.device).cmp(&(&other.connector, &other.device))
        });
        reports
    }

    /// Nobody would ever end the receipts of a session that no connector has any more.
    pub(super) async fn end_foreign_receipts(
        &mut self,
        sources: &[Source],
    ) -> Result<(), GatewayError> {
        let waiting = self.running.values().filter_map(Running::successor);
        let configured: Vec<&Source> = sources.iter().chain(waiting).collect();
        let at_work = self.running.values().map(|running| running.session);
        let names = self.running.keys();
        let names = names.chain(sources.iter().map(|source| &source.name));
        let sessions: BTreeSet<SessionId> = configured
            .iter()
            .map(|source| source.connector.session())
            .chain(at_work)
            .chain(names.map(|name| Some(owner(name))))
            .flatten()
            .collect();
        let is_foreign = |receipt: &OpenReceipt| !sessions.contains(&SessionId(receipt.owner));
        for (lane, receipts) in &self.receipts {
            let foreign: Vec<_> = receipts
                .iter()
                .filter(|receipt| is_foreign(receipt))
                .cloned()
                .collect();
            if !foreign.is_empty() {
                info!(%lane, receipts = foreign.len(), "ended receipts of sessions that are no longer configured");
                self.run.end_receipts(*lane, foreign).await?;
            }
        }
        forget(&mut self.receipts, is_foreign);
        Ok(())
    }
}

impl Running {
    fn successor(&self) -> Option<&Source> {
        match &self.going {
            Some(Successor::Source(source)) => Some(source),
            _ => None,
        }
    }
}

fn forget(receipts: &mut Receipts, of: impl Fn(&OpenReceipt) -> bool) {
    for receipts in receipts.values_mut() {
        receipts.retain(|receipt| !of(receipt));
    }
}

impl Source {
    /// Its steps; they are taken out of it.
    fn pipeline(&mut self, site: SiteId, status: Arc<SourceStatus>) -> Pipeline {
        let rules = std::mem::take(&mut self.rules);
        let filter = std::mem::take(&mut self.filter);
        // Before any device is noted under its own name.
        status.name_devices(&self.steps.pseudonyms);
        Pipeline::new(site, rules, filter, self.connector.declared(), status)
            .with_steps(&self.steps)
            .with_clock_skew(self.skew)
    }
}

/// What each rule brings, in words that last: the connector's, or the first series that it declares for the rule.
fn all_brings(source: &Source) -> Vec<Arc<str>> {
    let connector = &source.connector;
    let words = (0..source.rules.len()).map(|rule| connector.brings(RuleId(rule)));
    let mut words: Vec<Option<String>> = words.collect();
    for Declared { rule, device, tag } in connector.declared() {
        if let Some(words @ None) = words.get_mut(rule.0) {
            *words = Some(format!("{device}/{tag}"));
        }
    }
    let words = words.into_iter().enumerate();
    words
        .map(|(rule, words)| words.unwrap_or_else(|| format!("rule {rule}")).into())
        .collect()
}
