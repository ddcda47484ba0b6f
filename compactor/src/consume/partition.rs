//! One partition: read, gather, commit, again (E5, E6, E7).
//!
//! Invariants: what is committed was built from the state that the table holds; after a fence everything gathered is
//! dropped and read again from the state that counts; the stream hears of progress only after the commit. A store that
//! fails or a key that is missing stops the commits and loses nothing: reading stops too, and the commit is tried until it
//! succeeds.

mod commit;
mod device_times;
mod gathered;
mod pause;

use std::{sync::Arc, time::Duration};

use forebay_lake::{LakeError, LakeWriter, StreamState};
use forebay_runtime::RateLimit;
use forebay_schemas::{Clock, ErrorKind, LaneId, table::READINGS};
use forebay_stream::{Delivered, Entry, LogSource, Offset, PartitionReader, StreamError};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    CompactorError, ConsumeSettings, Progress,
    budget::MemoryBudget,
    contiguity::{ConsumedReadings, Contiguity, Rules},
    elsewhere::Elsewhere,
    events::{EventNames, FoundEvents},
    moment::Moment,
    progress::add,
    size::waiting_bytes,
};
use commit::{Committed, is_same_gap};
use device_times::WrittenTimes;
use gathered::Gathered;
use pause::Pause;

/// How often waits are looked at, at most and at least.
const TICK_MIN: Duration = Duration::from_millis(10);
const TICK_MAX: Duration = Duration::from_secs(1);

/// Where others have filled the memory, a partition commits once it holds so much of a full commit beyond it. Committing each record
/// by itself would be slow and make a file of each. So all partitions together go beyond the memory by this part of a full commit
/// each, and by a record.
const UNSHARED_PART: usize = 8;

/// What a partition's task has.
pub(super) struct Partition {
    pub(super) lake: Arc<LakeWriter>,
    pub(super) source: Arc<dyn LogSource>,
    pub(super) settings: Arc<ConsumeSettings>,
    pub(super) clock: Clock,
    pub(super) progress: Arc<Progress>,
    pub(super) budget: MemoryBudget,
    /// What other streams took.
    pub(super) elsewhere: Elsewhere,
    /// What the table of events has.
    pub(super) event_names: EventNames,
    /// When the task began.
    pub(super) begun: Instant,
    pub(super) stop: CancellationToken,
}

/// How a run over one state ended.
enum Ended {
    /// Asked to stop, or the stream has ended; everything read is committed.
    Done,
    /// The state in the table is another one now.
    Fenced,
}

/// What happened next.
enum Event {
    Read(Result<Box<Delivered>, StreamError>),
    CommitDue,
    Tick,
    Stop,
}

impl Partition {
    /// Stream and partition, for people.
    pub(super) fn place(&self) -> String {
        format!(
            "{}, partition {}",
            self.source.stream(),
            self.source.partition()
        )
    }

    /// Consumes until the stop, the end of the stream or an error that no waiting mends.
    pub(super) async fn consume(&self) -> Result<(), CompactorError> {
        let app_id = self
            .lake
            .keeper()
            .app_id(self.source.stream(), self.source.partition());
        loop {
            let Some((number, state)) = self.load(&app_id).await? else {
                return Ok(());
            };
            let from = Offset(state.next_offset);
            let Some(reader) = self.open(from).await? else {
                return Ok(());
            };
            info!(place = self.place(), %from, "consuming");
            let mut contiguity =
                Contiguity::new(&state, self.rules(), self.moment()).map_err(|source| {
                    CompactorError::State {
                        place: self.place(),
                        source,
                    }
                })?;
            contiguity.opened(from);
            let gathered = Gathered::default();
            let mut run = Run {
                at: self,
                app_id: &app_id,
                number,
                state,
                contiguity,
                reader,
                gathered,
                tick_due: Instant::now(),
                quarantine_log: RateLimit::default(),
                gap_log: RateLimit::default(),
                event_log: RateLimit::default(),
                foreign_log: RateLimit::default(),
                times: WrittenTimes::default(),
            };
            match run.go().await? {
                Ended::Done => return Ok(()),
                Ended::Fenced => warn!(
                    place = self.place(),
                    "another state counts now, going on from it"
                ),
            }
        }
    }

    fn moment(&self) -> Moment {
        Moment::new((self.clock)(), self.begun.elapsed())
    }

    fn rules(&self) -> Rules {
        Rules {
            gap_wait: self.settings.gap_wait,
            held_bytes_max: self.settings.held_bytes_max,
            max_skew: self.settings.max_skew,
        }
    }

    /// The state that counts; none if asked to stop before it could be had.
    async fn load(
        &self,
        app_id: &str,
    ) -> Result<Option<(Option<i64>, StreamState)>, CompactorError> {
        let mut pause = Pause::new(&self.stop);
        loop {
            let error = match self.try_load(app_id).await {
                Ok(found) => return Ok(Some(found)),
                Err(error) => error,
            };
            self.bear(error, "cannot read the state")?;
            if pause.wait().await.is_stopped() {
                return Ok(None);
            }
        }
    }

    async fn try_load(&self, app_id: &str) -> Result<(Option<i64>, StreamState), LakeError> {
        let readings = self.lake.table(&READINGS)?;
        let number = readings.snapshot().await?.state_of(app_id).await?;
        let mut state = match number {
            Some(number) => self.lake.keeper().load(readings, app_id, number).await?,
            None => StreamState::new(0, Vec::new()),
        };
        state.stream = self.source.stream().to_owned();
        Ok((number, state))
    }

    /// A reader; none if asked to stop before it could be had.
    async fn open(&self, from: Offset) -> Result<Option<Box<dyn PartitionReader>>, CompactorError> {
        let mut pause = Pause::new(&self.stop);
        loop {
            match self.source.open(from).await {
                Ok(reader) => return Ok(Some(reader)),
                Err(source) if source.kind() != ErrorKind::Retry => {
                    return Err(self.stream_error(source));
                }
                Err(error) => {
                    warn!(place = self.place(), %error, "cannot open the stream, trying again")
                }
            }
            if pause.wait().await.is_stopped() {
                return Ok(None);
            }
        }
    }

    /// Whether an error of the tables may pass. One that no waiting mends is handed back.
    fn bear(&self, error: LakeError, what: &'static str) -> Result<(), CompactorError> {
        add(&self.progress.retries, 1);
        if !error.can_be_waited_out() {
            return Err(CompactorError::Lake {
                place: self.place(),
                source: error,
            });
        }
        match error.is_of_a_key() {
            true => {
                tracing::error!(place = self.place(), %error, what, "a key cannot be had, waiting for it")
            }
            false => warn!(place = self.place(), %error, what, "trying again"),
        }
        Ok(())
    }

    fn stream_error(&self, source: StreamError) -> CompactorError {
        CompactorError::Stream {
            place: self.place(),
            source,
        }
    }
}

/// A partition under way from one state to the next ones.
struct Run<'a> {
    at: &'a Partition,
    app_id: &'a str,
    /// The number of the state in the table.
    number: Option<i64>,
    /// That state.
    state: StreamState,
    contiguity: Contiguity,
    reader: Box<dyn PartitionReader>,
    gathered: Gathered,
    tick_due: Instant,
    quarantine_log: RateLimit,
    gap_log: RateLimit,
    event_log: RateLimit,
    foreign_log: RateLimit,
    times: WrittenTimes,
}

impl Run<'_> {
    async fn go(&mut self) -> Result<Ended, CompactorError> {
        // What an earlier run may not have come to after its last commit.
        if let Committed::Fenced = self.tell_ended_gaps().await? {
            return Ok(Ended::Fenced);
        }
        let mut pause = Pause::new(&self.at.stop);
        loop {
            let committed = match self.event().await {
                Event::Read(Ok(delivered)) => {
                    pause.reset();
                    self.take(*delivered).await?
                }
                Event::Read(Err(error)) if error.kind() == ErrorKind::Retry => {
                    warn!(place = self.at.place(), %error, "cannot read the stream, trying again");
                    pause.wait().await;
                    self.read_from(self.contiguity.position()).await?
                }
                Event::Read(Err(error)) => return self.end_of_stream(error).await,
                Event::CommitDue => self.commit().await?,
                Event::Tick => Committed::Yes,
                Event::Stop => return self.drain().await,
            };
            if let Committed::Fenced = committed {
                return Ok(Ended::Fenced);
            }
            if Instant::now() >= self.tick_due
                && let Committed::Fenced = self.tick().await?
            {
                return Ok(Ended::Fenced);
            }
        }
    }

    /// What happens next. A commit that is due comes before more readings.
    async fn event(&mut self) -> Event {
        let now = Instant::now();
        let due = self.gathered.due;
        let waiting = self.contiguity.is_waiting();
        tokio::select! {
            biased;
            () = self.at.stop.cancelled() => Event::Stop,
            () = sleep_until(due.unwrap_or(now)), if due.is_some() => Event::CommitDue,
            read = self.reader.next() => Event::Read(read.map(Box::new)),
            () = sleep_until(self.tick_due), if waiting => Event::Tick,
        }
    }

    /// Takes a record; commits before or after it where there is no room for more.
    async fn take(&mut self, delivered: Delivered) -> Result<Committed, CompactorError> {
        let received = match &delivered.record.entry {
            Entry::Batch(batch) => batch.len() as u64,
            _ => 0,
        };
        add(&self.at.progress.received, received);
        if let Some(lane) = self.contiguity.asks_elsewhere(&delivered)
            && let Committed::Fenced = self.take_over(&lane).await?
        {
            return Ok(Committed::Fenced);
        }
        self.gathered.links.add(delivered.transit.trace);
        let now = self.at.moment().of(delivered.transit.published);
        let consumed = self.contiguity.take(delivered, now);
        self.gather(consumed).await
    }

    /// Goes on from what other streams took of a lane.
    async fn take_over(&mut self, lane: &LaneId) -> Result<Committed, CompactorError> {
        let mut pause = Pause::new(&self.at.stop);
        let elsewhere = loop {
            match self
                .at
                .elsewhere
                .of_lane(&self.at.lake, self.app_id, self.at.source.stream(), lane)
                .await
            {
                Ok(found) => break found,
                Err(error) => {
                    self.bear_unless_stopped(
                        error,
                        "cannot read what other streams took",
                        &mut pause,
                    )
                    .await?;
                }
            }
        };
        if elsewhere.taken_over.is_empty() {
            return Ok(Committed::Yes);
        }
        let place = self.at.place();
        info!(place, gateway = %lane.gateway, lane = %lane.lane, "going on from what other streams took of this lane");
        let found = self.contiguity.take_over(&elsewhere, self.at.moment());
        let (known, consumed) = found.map_err(|source| CompactorError::State { place, source })?;
        for gap in known {
            if !self.state.gaps.iter().any(|other| is_same_gap(other, &gap)) {
                self.state.gaps.push(gap);
            }
        }
        self.gather(consumed).await
    }

    async fn gather(&mut self, consumed: ConsumedReadings) -> Result<Committed, CompactorError> {
        add(&self.at.progress.duplicates, consumed.duplicates);
        self.tell_of_foreign(consumed.foreign);
        let raw: usize = consumed
            .quarantine
            .iter()
            .map(|row| row.raw.len() + row.key.len())
            .sum();
        let events = FoundEvents::of(&consumed.batches);
        let waiting: usize = consumed.batches.iter().map(waiting_bytes).sum();
        let bytes = raw + waiting + events.bytes;
        self.gathered
            .push(consumed, events, bytes, self.at.settings.commit_interval);
        // What was taken before takes no room.
        if bytes > 0 {
            match (&mut self.gathered.share, self.at.budget.try_share(bytes)) {
                (Some(joined), Some(share)) => joined.join(share),
                (joined @ None, Some(share)) => *joined = Some(share),
                (_, None) => self.gathered.bytes_unshared += bytes,
            }
        }
        let ConsumeSettings {
            commit_readings_max,
            commit_bytes_max,
            ..
        } = *self.at.settings;
        let unshared = self.gathered.bytes_unshared;
        let is_full = unshared > 0 && unshared >= commit_bytes_max / UNSHARED_PART;
        let rows = self.gathered.readings + self.gathered.quarantine.len() as u64;
        if is_full || rows >= commit_readings_max || self.gathered.bytes >= commit_bytes_max {
            return self.commit().await;
        }
        Ok(Committed::Yes)
    }

    /// Lets time pass: jumps become gaps, or the partition is read again.
    async fn tick(&mut self) -> Result<Committed, CompactorError> {
        self.tick_due = Instant::now() + (self.at.settings.gap_wait / 4).clamp(TICK_MIN, TICK_MAX);
        if self.contiguity.is_rereading() {
            match self.reader.try_next().await {
                Ok(Some(delivered)) => {
                    if let Committed::Fenced = self.take(delivered).await? {
                        return Ok(Committed::Fenced);
                    }
                }
                Ok(None) => self.contiguity.at_end(),
                // The next read meets it again.
                Err(error) => {
                    debug!(place = self.at.place(), %error, "the end of the stream could not be looked up")
                }
            }
        }
        let ticked = self.contiguity.tick(self.at.moment());
        if let Some(consumed) = ticked.given_up
            && let Committed::Fenced = self.gather(consumed).await?
        {
            return Ok(Committed::Fenced);
        }
        match ticked.read_from {
            Some(from) => self.read_from(from).await,
            None => Ok(Committed::Yes),
        }
    }

    async fn read_from(&mut self, from: Offset) -> Result<Committed, CompactorError> {
        // Before the reader is there: what has been read again is counted from here.
        self.contiguity.opened(from);
        if let Some(reader) = self.at.open(from).await? {
            self.reader = reader;
        }
        Ok(Committed::Yes)
    }

    /// The stop: what is in the stream already is still taken, for a while.
    async fn drain(&mut self) -> Result<Ended, CompactorError> {
        let until = Instant::now() + self.at.settings.drain_max;
        while let Ok(Ok(Some(delivered))) = timeout_at(until, self.reader.try_next()).await {
            if let Committed::Fenced = self.take(delivered).await? {
                return Ok(Ended::Done);
            }
        }
        self.commit().await?;
        Ok(Ended::Done)
    }

    /// Everything before the end, or before a record that this release cannot read, counts.
    async fn end_of_stream(&mut self, error: StreamError) -> Result<Ended, CompactorError> {
        if let Committed::Fenced = self.commit().await? {
            return Ok(Ended::Fenced);
        }
        match error {
            StreamError::Closed => Ok(Ended::Done),
            source => Err(self.at.stream_error(source)),
        }
    }
}
