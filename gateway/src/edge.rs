//! The edge at work: connectors as tasks, one pump for each, lanes shared by all.
//!
//! Each connector has its own bounded queue and its own pump, so that a slow one does not hold up the others; what waits in a
//! queue is appended together, and the spool groups the appends of all pumps into one sync.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use forebay_config::{Failpoint, failpoint};
use forebay_connectors::{Connector, Delivery, Outlet, outlet};
use forebay_schemas::{Clock, ErrorKind, Lane, Reading, SiteId};
use forebay_stream::{LogWriter, StreamError};
use tokio::{
    select,
    sync::mpsc,
    task::{JoinError, JoinSet},
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{EdgeStatus, GatewayError, Lanes, Pipeline, Source, SourceStatus};

/// Parcels that may wait between a connector and its pump.
const WAITING_MAX: usize = 256;
/// Readings that one append may hold.
const APPEND_READINGS_MAX: usize = 16_384;
/// How often series behind a lost link are looked at.
const TICK: Duration = Duration::from_secs(1);
/// How long connectors may take to say good-bye.
const STOP_MAX: Duration = Duration::from_secs(10);
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
        Self { run: Arc::new(run), sources, status }
    }

    /// The connectors' counters, which go on counting.
    pub fn status(&self) -> EdgeStatus {
        self.status.clone()
    }

    /// Runs until `stop` is cancelled, then drains: connectors take no more, what they handed over becomes durable and is
    /// acknowledged. The lanes are left open.
    ///
    /// # Errors
    /// The first connector or spool that cannot go on; the rest is stopped then.
    pub async fn run(self, stop: CancellationToken) -> Result<(), GatewayError> {
        let mut connectors = JoinSet::new();
        let mut pumps = JoinSet::new();
        let stopping = stop.child_token();
        for (source, status) in self.sources {
            let Source { name, connector, rules, filter } = source;
            let declared = connector.declared();
            let pipeline = Pipeline::new(self.run.site.clone(), rules, filter, declared, status.clone());
            let (outlet, deliveries) = outlet(WAITING_MAX);
            let pump = Pump { run: self.run.clone(), pipeline, status, deliveries, held: Vec::new() };
            pumps.spawn(pump.run());
            connectors.spawn(run_connector(name, connector, outlet, stopping.clone()));
        }
        let first = select! {
            () = stop.cancelled() => None,
            ended = ended_badly(&mut connectors) => Some(ended),
            broken = ended_badly(&mut pumps) => Some(broken),
        };
        stopping.cancel();
        let connectors =
            finish(&mut connectors, "did not stop in time, its device sends again what was not acknowledged").await;
        // Every outlet is gone now, so the pumps end by themselves; one that waits for room in a full spool is cut off.
        let pumps = finish(&mut pumps, "had readings that the spool took no more").await;
        first.or(connectors).or(pumps).map_or(Ok(()), Err)
    }
}

/// Waits for tasks to end, and cuts them off in the end. Answers the first error.
async fn finish(tasks: &mut JoinSet<Result<(), GatewayError>>, late: &'static str) -> Option<GatewayError> {
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
        first.get_or_insert(GatewayError::Task { name: "?".to_owned(), what: late });
    }
    first
}

/// What ended a task, if it was not its end.
fn failure(ended: Result<Result<(), GatewayError>, JoinError>) -> Option<GatewayError> {
    match ended {
        Ok(outcome) => outcome.err(),
        Err(_) => Some(GatewayError::Task { name: "?".to_owned(), what: "panicked" }),
    }
}

async fn run_connector(
    name: String,
    connector: Box<dyn Connector>,
    outlet: Outlet,
    stop: CancellationToken,
) -> Result<(), GatewayError> {
    info!(connector = name, "connector starts");
    match connector.run(outlet, stop.clone()).await {
        Ok(()) if stop.is_cancelled() => Ok(()),
        Ok(()) => Err(GatewayError::Task { name, what: "stopped by itself" }),
        Err(source) => Err(GatewayError::Connector { name, source }),
    }
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

/// One connector's way into the lanes.
struct Pump {
    run: Arc<Run>,
    pipeline: Pipeline,
    status: Arc<SourceStatus>,
    deliveries: mpsc::Receiver<Delivery>,
    /// Whom to answer once what follows from their parcels is durable.
    held: Vec<tokio::sync::oneshot::Sender<()>>,
}

impl Pump {
    /// Runs until the connector's outlets are gone.
    async fn run(mut self) -> Result<(), GatewayError> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let delivery = select! {
                delivery = self.deliveries.recv() => Some(delivery),
                _ = ticks.tick() => None,
            };
            let readings = match delivery {
                Some(Some(delivery)) => self.gather(delivery),
                Some(None) => return Ok(()),
                None => self.pipeline.tick((self.run.clock)()),
            };
            self.append(readings).await?;
            failpoint(Failpoint::AfterSync);
            for receipt in self.held.drain(..) {
                // A connector that no longer waits has lost its connection: its device sends again.
                receipt.send(()).ok();
            }
        }
    }

    /// The readings of a parcel and of those that wait behind it.
    fn gather(&mut self, first: Delivery) -> Vec<Reading> {
        let now = (self.run.clock)();
        let mut readings = Vec::new();
        let mut next = Some(first);
        while let Some(Delivery { parcel, receipt }) = next {
            readings.extend(self.pipeline.take(parcel, now));
            self.held.push(receipt);
            next = if readings.len() < APPEND_READINGS_MAX { self.deliveries.try_recv().ok() } else { None };
        }
        readings
    }

    async fn append(&self, readings: Vec<Reading>) -> Result<(), GatewayError> {
        for (lane, readings) in self.run.lanes.split(readings) {
            let count = readings.len();
            self.append_to(lane, readings).await.map_err(|source| GatewayError::Spool { lane: lane.0, source })?;
            self.status.note_spooled(count);
        }
        Ok(())
    }

    async fn append_to(&self, lane: Lane, mut readings: Vec<Reading>) -> Result<(), StreamError> {
        let writer = self.run.writers.get(&lane).ok_or(StreamError::Closed)?;
        while !readings.is_empty() {
            let rest = readings.split_off(readings.len().min(APPEND_READINGS_MAX));
            let mut pieces = vec![readings];
            while let Some(piece) = pieces.pop() {
                match writer.append(piece.clone()).await {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::Retry => {
                        warn!(%lane, %error, "append failed, trying again");
                        sleep(RETRY).await;
                        pieces.push(piece);
                    }
                    Err(StreamError::TooLarge { .. }) if piece.len() > 1 => {
                        let mut head = piece;
                        let tail = head.split_off(head.len() / 2);
                        pieces.extend([tail, head]);
                    }
                    Err(error) => return Err(error),
                }
            }
            readings = rest;
        }
        Ok(())
    }
}
