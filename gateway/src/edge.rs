//! The edge at work: connectors as tasks, one pump for each, lanes shared by all.
//!
//! Each connector has its own bounded queue and its own pump, so that a slow one does not hold up the others; what waits in a
//! queue is appended together, and the spool groups the appends of all pumps into one sync.

mod told;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use forebay_connectors::{
    Connector, Declared, Delivery, LinkChange, Message, Outlet, Parcel, RuleId, SessionId, outlet,
};
use forebay_runtime::{Backoff, Failpoint, failpoint};
use forebay_schemas::{Clock, ErrorKind, Lane, Quality, Reading, SiteId, Timestamp};
use forebay_stream::{LogWriter, OpenReceipt, ReceiptChanges, StreamError};
use tokio::{
    select,
    sync::mpsc,
    task::{JoinError, JoinSet},
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    EdgeStatus, GatewayError, Lanes, Pipeline, SeriesFolder, Source, SourceStatus,
    complaints::Complaint,
    keeper::{Keeper, Taken},
    lot::{Lot, Piece, pieces},
    memory::Memory,
    outages::{FullSpool, Span},
};

/// Parcels that may wait between a connector and its pump.
const WAITING_MAX: usize = 256;
/// Readings that one append may hold.
const APPEND_READINGS_MAX: usize = 16_384;
/// Ended receipts that go with one append; the rest goes with the next.
const APPEND_ENDED_MAX: usize = 1024;
/// How often series behind a lost link are looked at, and for how long an ended receipt waits for an append to go with.
const TICK: Duration = Duration::from_secs(1);
/// How long connectors may take to say good-bye.
const STOP_MAX: Duration = Duration::from_secs(10);
/// A connector that fails sooner than this after its start waits longer each time.
const START_BRIEF: Duration = Duration::from_secs(60);
/// Pause after an append that failed in passing.
const RETRY: Duration = Duration::from_millis(500);

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
        for (source, status) in self.sources {
            let Source {
                name,
                connector,
                rules,
                filter,
            } = source;
            let declared = connector.declared();
            let brings = (0..rules.len())
                .map(RuleId)
                .map(|rule| brings(&*connector, &declared, rule))
                .collect();
            let mut pipeline = Pipeline::new(
                self.run.site.clone(),
                rules,
                filter,
                declared,
                status.clone(),
            );
            let file = self
                .run
                .series
                .as_ref()
                .and_then(|folder| folder.file(&name));
            let memory = Memory::recall(&name, file, brings, &mut pipeline).await;
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
            "did not stop in time, its device sends again what was not acknowledged",
        )
        .await;
        // Every outlet is gone now, so the pumps end by themselves; one that waits for room in a full spool is cut off.
        let pumps = finish(&mut pumps, "had readings that the spool took no more").await;
        first.or(connectors).or(pumps).map_or(Ok(()), Err)
    }

    /// Nobody would ever end the receipts of a session that no connector has any more.
    async fn end_foreign_receipts(&self) -> Result<(), GatewayError> {
        let sessions: BTreeSet<SessionId> = self
            .sources
            .iter()
            .filter_map(|(source, _)| source.connector.session())
            .collect();
        for (lane, receipts) in &self.run.receipts {
            let is_foreign = |receipt: &&OpenReceipt| !sessions.contains(&SessionId(receipt.owner));
            let foreign: Vec<_> = receipts.iter().filter(is_foreign).cloned().collect();
            if !foreign.is_empty() {
                info!(%lane, receipts = foreign.len(), "receipts of sessions that no connector has any more are ended");
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
                warn!(%lane, %error, "could not record that receipts have ended, trying again");
                Ok(ended)
            }
            Err(source) => Err(GatewayError::Spool {
                lane: lane.0,
                source,
            }),
        }
    }
}

/// Waits for tasks to end, and cuts them off in the end. Answers the first error.
async fn finish(
    tasks: &mut JoinSet<Result<(), GatewayError>>,
    late: &'static str,
) -> Option<GatewayError> {
    let mut first = None;
    let drained = timeout(STOP_MAX, async {
        while let Some(ended) = tasks.join_next().await {
            if let Some(error) = failure(ended) {
                error!(%error, "stopped with an error");
                first.get_or_insert(error);
            }
        }
    });
    if drained.await.is_err() {
        tasks.shutdown().await;
        first.get_or_insert(GatewayError::Task {
            name: "?".to_owned(),
            what: late,
        });
    }
    first
}

/// What ended a task, if it was not its end.
fn failure(ended: Result<Result<(), GatewayError>, JoinError>) -> Option<GatewayError> {
    match ended {
        Ok(outcome) => outcome.err(),
        Err(_) => Some(GatewayError::Task {
            name: "?".to_owned(),
            what: "panicked",
        }),
    }
}

/// Runs a connector for as long as the gateway runs. One that cannot go on stops alone: its series are bad with the reason, and
/// it is started again with back-off.
async fn run_connector(
    name: String,
    connector: Box<dyn Connector>,
    outlet: Outlet,
    stop: CancellationToken,
) -> Result<(), GatewayError> {
    info!(connector = name, "connector starts");
    let mut failures = 0_u32;
    loop {
        let began = Instant::now();
        let (name, of) = (name.clone(), outlet.clone());
        let error = match connector.run(of, stop.clone()).await {
            Ok(()) if stop.is_cancelled() => return Ok(()),
            Ok(()) => GatewayError::Task {
                name,
                what: "stopped by itself",
            },
            Err(source) => GatewayError::Connector { name, source },
        };
        failures = if began.elapsed() < START_BRIEF {
            failures.saturating_add(1)
        } else {
            1
        };
        // Every connector of the gateway is in another state: chance would spread nothing.
        let wait = Backoff::default().wait(failures, 1.0);
        let reason = with_sources(&error);
        error!(
            reason,
            failures,
            ?wait,
            "connector failed, starting it again"
        );
        let down = LinkChange {
            device: None,
            down: Some(reason),
        };
        if outlet.link(down).await.is_err() {
            return Err(error);
        }
        if stop.run_until_cancelled(sleep(wait)).await.is_none() {
            return Ok(());
        }
    }
}

/// An error with what it comes from, in one line.
fn with_sources(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// The first task that ends with an error; waits for ever without one.
async fn ended_badly(tasks: &mut JoinSet<Result<(), GatewayError>>) -> GatewayError {
    while let Some(ended) = tasks.join_next().await {
        if let Some(error) = failure(ended) {
            return error;
        }
    }
    std::future::pending().await
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

/// A reading whose value no record can hold gives way to a bad one that says so: one value must not stop all devices.
fn without_value(single: Piece, error: StreamError) -> Result<Piece, StreamError> {
    let reason =
        format!("value not kept: {error}: raise spool.max_bytes, or have the device send less");
    let Some(bad) = single.without_values(&reason) else {
        return Err(error);
    };
    let series = bad
        .readings()
        .first()
        .map(|reading| format!("{}/{}", reading.series.device, reading.series.tag));
    error!(series, %error, "a value is too large for the spool, a bad reading stands in its place");
    Ok(bad)
}

/// One connector's way into the lanes.
struct Pump {
    name: String,
    run: Arc<Run>,
    pipeline: Pipeline,
    memory: Memory,
    keeper: Keeper,
    status: Arc<SourceStatus>,
    deliveries: mpsc::Receiver<Delivery>,
    /// Whom to answer once what follows from their parcels is durable.
    held: Vec<tokio::sync::oneshot::Sender<()>>,
    /// Whether values have come since the start.
    delivers: bool,
    /// When there was no room; none where that loses nothing, since what was not taken is sent again.
    full: Option<FullSpool>,
}

impl Pump {
    /// Runs until the connector's outlets are gone. First it tells of the stop before this start.
    async fn run(mut self, stopped: Option<Span>) -> Result<(), GatewayError> {
        if let Some(stopped) = stopped {
            self.tell_of(stopped).await?;
        }
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let delivery = select! {
                delivery = self.deliveries.recv() => Some(delivery),
                _ = ticks.tick() => None,
            };
            let taken = match delivery {
                Some(Some(delivery)) => self.gather(delivery),
                Some(None) => {
                    if let Some(span) = self
                        .full
                        .as_mut()
                        .and_then(|full| full.take(self.status.skipped()))
                    {
                        self.tell_of(span).await?;
                    }
                    self.memory
                        .keep(&mut self.pipeline, (self.run.clock)())
                        .await;
                    return self.record_ended().await;
                }
                None => {
                    // What the steps remember is durable by now.
                    self.memory
                        .keep_if_due(&mut self.pipeline, (self.run.clock)())
                        .await;
                    self.record_ended().await?;
                    let (now, skipped) = ((self.run.clock)(), self.status.skipped());
                    if let Some(span) = self
                        .full
                        .as_mut()
                        .and_then(|full| full.take_due(now, skipped))
                    {
                        self.tell_of(span).await?;
                    }
                    let readings = self.pipeline.tick((self.run.clock)());
                    vec![Taken {
                        readings,
                        token: None,
                    }]
                }
            };
            self.append(taken).await?;
            self.tell_of_bad();
            for receipt in self.held.drain(..) {
                // A connector that no longer waits has lost its connection: its device sends again.
                receipt.send(()).ok();
            }
        }
    }

    fn tell_of_bad(&mut self) {
        if let Some(Complaint {
            series,
            status,
            others,
        }) = self.pipeline.complaint((self.run.clock)())
        {
            warn!(
                connector = self.name,
                series,
                code = status.code,
                reason = status.reason,
                others,
                "a bad reading"
            );
        }
    }

    /// The readings of a parcel and of those that wait behind it.
    fn gather(&mut self, first: Delivery) -> Vec<Taken> {
        let now = (self.run.clock)();
        let (mut taken, mut count) = (Vec::new(), 0);
        let mut next = Some(first);
        while let Some(Delivery { parcel, receipt }) = next {
            let before = taken.len();
            self.take(parcel, now, &mut taken);
            count += taken[before..]
                .iter()
                .map(|taken| taken.readings.len())
                .sum::<usize>();
            self.held.push(receipt);
            next = if count < APPEND_READINGS_MAX {
                self.deliveries.try_recv().ok()
            } else {
                None
            };
        }
        taken
    }

    fn take(&mut self, parcel: Parcel, now: Timestamp, taken: &mut Vec<Taken>) {
        match parcel {
            Parcel::Samples(samples) => {
                taken.push(Taken {
                    readings: self.pipeline.samples(samples, now),
                    token: None,
                });
            }
            Parcel::Messages { ended, messages } => {
                self.keeper.end(ended);
                taken.extend(messages.into_iter().map(|Message { samples, token }| {
                    let readings = self.pipeline.samples(samples, now);
                    Taken { readings, token }
                }));
            }
            Parcel::Link(change) => taken.push(Taken {
                readings: self.pipeline.link(change, now),
                token: None,
            }),
        }
    }

    async fn append(&mut self, taken: Vec<Taken>) -> Result<(), GatewayError> {
        let lots = self.keeper.spread(taken);
        let appends = !lots.is_empty();
        for (lane, lots) in lots {
            let count: usize = lots.iter().map(|lot| lot.readings.len()).sum();
            let of_use = |reading: &Reading| {
                reading.value.is_some() && reading.status.quality != Quality::Bad
            };
            let is_first = !self.delivers && lots.iter().flat_map(|lot| &lot.readings).any(of_use);
            self.append_to(lane, lots)
                .await
                .map_err(|source| GatewayError::Spool {
                    lane: lane.0,
                    source,
                })?;
            self.status.note_spooled(count);
            if is_first {
                self.delivers = true;
                info!(
                    connector = self.name,
                    readings = count,
                    "the first values since the start are safe in the spool"
                );
            }
        }
        if appends {
            failpoint(Failpoint::AfterSync);
        }
        Ok(())
    }

    async fn append_to(&mut self, lane: Lane, lots: Vec<Lot>) -> Result<(), StreamError> {
        let run = self.run.clone();
        let writer = run.writer(lane)?;
        let mut pieces: VecDeque<_> = pieces(lots, APPEND_READINGS_MAX).into();
        let mut ended_max = APPEND_ENDED_MAX;
        while let Some(piece) = pieces.pop_front() {
            let ended = self.keeper.take_ended(lane, ended_max);
            let receipts = ReceiptChanges {
                ended: ended.clone(),
                opened: piece.receipts(),
            };
            let appended = self
                .wait_for(writer.append_with(piece.readings(), receipts))
                .await;
            let Err(error) = appended else { continue };
            let had_ended = !ended.is_empty();
            self.keeper.put_back(lane, ended);
            match error {
                error if error.kind() == ErrorKind::Retry => {
                    warn!(%lane, %error, "append failed, trying again");
                    sleep(RETRY).await;
                    pieces.push_front(piece);
                }
                error @ StreamError::TooLarge { .. } => match piece.halves() {
                    Ok([head, tail]) => {
                        pieces.push_front(tail);
                        pieces.push_front(head);
                    }
                    // What is too large may be the ended receipts.
                    Err(single) if had_ended => {
                        ended_max = 0;
                        pieces.push_front(single);
                    }
                    Err(single) => pieces.push_front(without_value(single, error)?),
                },
                error => return Err(error),
            }
        }
        Ok(())
    }

    /// Records the ended receipts that no append took along.
    async fn record_ended(&mut self) -> Result<(), GatewayError> {
        for (lane, ended) in self.keeper.take_all_ended() {
            let left = self.run.end_receipts(lane, ended).await?;
            self.keeper.put_back(lane, left);
        }
        Ok(())
    }
}
