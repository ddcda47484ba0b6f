//! The spool: a gateway's log in files of its own, sealed, bounded and synced before any receipt.
//!
//! Segments named after their first offset hold records; a mark holds what is known of places without a segment;
//! docs/adr/0001-segments-for-the-spool.md says why. Beside them lies the ledger of what was received (`ledger`, E12). Invariants: see [`LogWriter`](crate::LogWriter) and
//! [`LogReader`](crate::LogReader); every opening begins a new epoch (E3) in a new segment, and no byte of an older
//! segment is ever written again. The spool keeps no key and does not know what readings mean.

mod audit;
mod bytes;
mod dir;
mod drops;
mod header;
mod key;
mod leaving;
mod ledger;
mod limits;
mod mark;
mod medium;
mod partition;
mod reader;
mod receipts;
mod record;
mod recover;
mod scan;
mod segment;
mod store;
#[cfg(test)]
mod tests;
mod traced;
mod writer;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use forebay_schemas::{Epoch, LaneId, Timestamp};
use ring::rand::SecureRandom;
use tokio::{
    sync::{mpsc, watch},
    task::{JoinSet, spawn_blocking},
};
use tracing::info;

pub use self::{
    audit::lane_ledger,
    key::SpoolKey,
    limits::{Limits, OnFull},
    partition::SpoolSource,
    reader::SpoolReader,
    recover::TornTail,
    writer::SpoolWriter,
};
use self::{
    dir::Dir,
    mark::Mark,
    medium::{Medium, OsMedium},
    segment::{SealedFile, View},
    store::{Parts, Store},
    traced::TracedAppends,
    writer::{Control, WAITING_MAX, run},
};
use crate::{Offset, OpenReceipt, StreamError};

const NANOS_PER_MILLI: i64 = 1_000_000;
/// An epoch is up to so far past the last one where the clock does not tell.
const EPOCH_CHANCE: u32 = 1 << 20;

/// How to open a spool.
pub struct Options {
    /// The directory, which belongs to the spool alone; created if need be.
    pub path: PathBuf,
    /// The lane whose readings it takes.
    pub lane: LaneId,
    /// Seals everything but file names and sizes.
    pub key: SpoolKey,
    /// How much room it may take.
    pub limits: Limits,
    /// The clock at the opening, for the new epoch's number.
    pub now: Timestamp,
    /// Random numbers for salts and the spool's id.
    pub random: Arc<dyn SecureRandom + Send + Sync>,
}

/// What an opening found and began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The new epoch.
    pub epoch: Epoch,
    /// The spool's random id, for ever: the stream's id (E5).
    pub spool: [u8; 16],
    /// What a crash left unfinished.
    pub torn: Option<TornTail>,
    /// The receipts that are open (E1).
    pub receipts: Vec<OpenReceipt>,
    /// When the spool was closed or, after a crash, its newest record was taken, by the gateway's clock; none in a new spool.
    pub stored_at: Option<Timestamp>,
}

/// An open spool. Dropping it stops its writer as a crash would; close it through a writer instead.
pub struct Spool {
    opened: Opened,
    key: SpoolKey,
    medium: Arc<dyn Medium>,
    writer: SpoolWriter,
    traced: Arc<TracedAppends>,
    view: watch::Receiver<View>,
    _tasks: JoinSet<()>,
}

impl Spool {
    /// Opens the spool, recovers it, and begins a new epoch. Runs within a tokio runtime.
    ///
    /// # Errors
    /// `Fatal`: held by another process, sealed with another key, or of a later release; nothing is changed then. `Retry`: the
    /// file system refused.
    pub async fn open(options: Options) -> Result<Self, StreamError> {
        Self::open_on(options, Arc::new(OsMedium)).await
    }

    async fn open_on(options: Options, medium: Arc<dyn Medium>) -> Result<Self, StreamError> {
        let key = options.key.clone();
        let reading = medium.clone();
        let opening = spawn_blocking(move || open(options, medium));
        let (store, opened) = opening.await.map_err(|_| StreamError::Closed)??;
        let view = store.view();
        let traced = store.traced();
        let (appends, appended) = mpsc::channel(WAITING_MAX);
        let (control, controlled) = mpsc::channel::<Control>(1);
        let mut tasks = JoinSet::new();
        tasks.spawn(run(store, appended, controlled));
        let writer = SpoolWriter { appends, control };
        Ok(Self {
            opened,
            key,
            medium: reading,
            writer,
            traced,
            view,
            _tasks: tasks,
        })
    }

    /// What the opening found and began.
    pub fn opened(&self) -> &Opened {
        &self.opened
    }

    /// A handle that appends.
    pub fn writer(&self) -> SpoolWriter {
        self.writer.clone()
    }

    /// How many records are in it that have not been forgotten.
    pub fn waiting(&self) -> u64 {
        let view = self.view.borrow();
        view.end().0.saturating_sub(view.forgotten.0)
    }

    /// A reader from an offset on; from the oldest record if that is forgotten.
    pub fn reader(&self, from: Offset) -> SpoolReader {
        let file = SealedFile {
            spool: self.opened.spool,
            key: self.key.clone(),
            medium: self.medium.clone(),
        };
        let (view, control) = (self.view.clone(), self.writer.control.clone());
        SpoolReader::new(view, control, file, self.traced.clone(), from)
    }
}

impl fmt::Debug for Spool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spool")
            .field("opened", &self.opened)
            .finish_non_exhaustive()
    }
}

fn open(options: Options, medium: Arc<dyn Medium>) -> Result<(Store, Opened), StreamError> {
    let Options {
        path,
        lane,
        key,
        limits,
        now,
        random,
    } = options;
    let dir = Dir::open(&path, medium)?;
    let recovered = recover::recover(&dir, &key, &*random)?;
    let chance = u32::from_le_bytes(key::random(&*random)?);
    let epoch = next_epoch(recovered.mark.epoch, now, chance)?;
    let mut receipts: Vec<OpenReceipt> = recovered.mark.receipts.iter().cloned().collect();
    receipts.sort();
    let Mark {
        spool, stored_at, ..
    } = recovered.mark;
    let opened = Opened {
        epoch,
        spool,
        torn: recovered.torn,
        receipts,
        stored_at,
    };
    let store = Store::begin(
        Parts {
            dir: Arc::new(dir),
            key,
            random,
            limits,
            lane,
        },
        recovered,
        epoch,
    )?;
    log_opened(&path, &opened);
    Ok((store, opened))
}

/// The epoch after `last` (E3): the clock in ms where that is well past it. Where it is not, as in two copies of an image that
/// wake up without a clock, `chance`, a random number, keeps their epochs apart.
fn next_epoch(last: Epoch, now: Timestamp, chance: u32) -> Result<Epoch, StreamError> {
    let chance = u64::from(chance % EPOCH_CHANCE);
    let after = last
        .0
        .checked_add(1 + chance)
        .ok_or(StreamError::Exhausted("the lane"))?;
    Ok(Epoch(after.max(
        u64::try_from(now.nanos() / NANOS_PER_MILLI).unwrap_or(0),
    )))
}

fn log_opened(path: &Path, opened: &Opened) {
    let receipts = opened.receipts.len();
    info!(path = %path.display(), epoch = %opened.epoch, torn = ?opened.torn, receipts, "opened the spool");
}
