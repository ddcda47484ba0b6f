//! The edge at work: connectors as tasks, one pump for each, lanes shared by all.
//!
//! Each connector has its own bounded queue and its own pump, so that a slow one does not hold up the others; what waits in a
//! queue is appended together, and the spool groups the appends of all pumps into one sync.

mod control;
mod outage;
mod pump;
mod roster;
mod tasks;

use std::{collections::BTreeMap, sync::Arc};

use forebay_schemas::{Clock, ErrorKind, Lane, SiteId, Timestamp};
use forebay_stream::{LogWriter, OpenReceipt, StreamError};
use tokio::{select, sync::mpsc};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use self::{control::Request, roster::Roster};
use crate::{EdgeStatus, GatewayError, Lanes, SeriesFolder, Source, outages::Span};

pub use self::control::{Changes, EdgeControl};

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

/// Open receipts, by lane.
type Receipts = BTreeMap<Lane, Vec<OpenReceipt>>;

/// The edge of one gateway, ready to run.
pub struct Edge {
    run: Arc<Run>,
    sources: Vec<Source>,
    status: EdgeStatus,
    control: EdgeControl,
    requests: mpsc::Receiver<Request>,
}

impl Edge {
    /// The edge with these connectors.
    pub fn new(run: Run, sources: Vec<Source>) -> Self {
        let status = EdgeStatus::default();
        for source in &sources {
            status.add(&source.name);
        }
        let (control, requests) = EdgeControl::new();
        Self {
            run: Arc::new(run),
            sources,
            status,
            control,
            requests,
        }
    }

    /// The connectors' counters, which go on counting.
    pub fn status(&self) -> EdgeStatus {
        self.status.clone()
    }

    /// What can be asked of it while it runs.
    pub fn control(&self) -> EdgeControl {
        self.control.clone()
    }

    /// Runs until `stop` is cancelled, then drains: connectors take no more, what they handed over becomes durable and is
    /// acknowledged. The lanes are left open.
    ///
    /// # Errors
    /// The first spool that cannot go on; the rest is stopped then. A connector that cannot go on is started again alone.
    pub async fn run(self, stop: CancellationToken) -> Result<(), GatewayError> {
        let Self {
            run,
            sources,
            status,
            control,
            mut requests,
        } = self;
        let stopped = Span::of_stop(run.stored_at, (run.clock)());
        let mut roster = Roster::new(run, status, control.tap());
        roster.end_foreign_receipts(&sources).await?;
        for source in sources {
            roster.start(source, stopped).await;
        }
        let first = loop {
            let done = select! {
                () = stop.cancelled() => break None,
                ended = roster.next_ended() => roster.replace(ended).await,
                Some(request) = requests.recv() => roster.answer(request).await,
            };
            if let Err(failed) = done {
                break Some(failed);
            }
        };
        let draining = roster.stop_all().await;
        first.or(draining).map_or(Ok(()), Err)
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
