//! One connector's way into the lanes: parcels to readings, appended together, each answered once it is durable.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use forebay_connectors::{Declared, Delivery, Extent, Message, Parcel, Restored};
use forebay_runtime::{
    Failpoint, failpoint,
    trace::{Sampler, show},
};
use forebay_schemas::{ErrorKind, Lane, Quality, Reading, Timestamp};
use forebay_stream::{ReceiptChanges, StreamError};
use tokio::{
    select,
    sync::{mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use tracing::{Instrument as _, error, field::Empty, info, info_span, warn};

use super::{Receipts, Run};
use crate::{
    Fate, GatewayError, Pipeline, SourceStatus, Stage, Tap,
    arrivals::Arrivals,
    complaints::Complaint,
    device_report::DeviceReport,
    held_back::HeldBack,
    keeper::{AcceptedReadings, Keeper},
    memory::Memory,
    outages::{FullSpool, Span},
    spool_append::{AppendUnit, SpoolAppend, appends},
    steps::Trace,
};

/// Readings that one append may hold.
const APPEND_READINGS_MAX: usize = 16_384;
/// Ended receipts that go with one append; the rest goes with the next.
const APPEND_ENDED_MAX: usize = 1024;
/// How often series behind a lost link are looked at, and for how long an ended receipt waits for an append to go with.
pub(super) const TICK: Duration = Duration::from_secs(1);
/// Pause after an append that failed in passing.
pub(super) const RETRY: Duration = Duration::from_millis(500);

/// A reading whose value no record can hold gives way to a bad one that says so: one value must not stop all devices.
fn without_value(single: SpoolAppend, error: StreamError) -> Result<SpoolAppend, StreamError> {
    let reason =
        format!("value not kept: {error}: raise spool.max_bytes, or have the device send less");
    let Some(bad) = single.without_values(&reason) else {
        return Err(error);
    };
    let series = bad
        .readings()
        .first()
        .map(|reading| format!("{}/{}", reading.series.device, reading.series.tag));
    error!(series, %error, "value too large for the spool: dropped, a bad reading is stored instead");
    Ok(bad)
}

/// What a pump can be asked.
pub(super) enum Ask {
    /// How its devices do.
    Devices(oneshot::Sender<Vec<DeviceReport>>),
    /// What its connector begins with when it starts again.
    Beginning(oneshot::Sender<Beginning>),
}

/// What a connector begins with.
pub(super) struct Beginning {
    /// The receipts that are open.
    pub(super) restored: Vec<Restored>,
    /// The series that messages have brought.
    pub(super) known: Vec<Declared>,
}

/// One connector's way into the lanes.
pub(super) struct Pump {
    pub(super) name: Arc<str>,
    pub(super) run: Arc<Run>,
    pub(super) pipeline: Pipeline,
    pub(super) memory: Memory,
    pub(super) keeper: Keeper,
    /// What the steps hold back.
    pub(super) held_back: HeldBack,
    pub(super) status: Arc<SourceStatus>,
    pub(super) deliveries: mpsc::Receiver<Delivery>,
    pub(super) asked: mpsc::Receiver<Ask>,
    pub(super) tap: Tap,
    /// Whom to answer once what follows from their parcels is durable.
    pub(super) held: Vec<oneshot::Sender<()>>,
    /// Whether values have come since the start.
    pub(super) delivers: bool,
    /// When there was no room; none where that loses nothing, since what was not taken is sent again.
    pub(super) full: Option<FullSpool>,
    /// When what has no time of its own came.
    pub(super) arrivals: Arrivals,
    /// Which appends begin a trace.
    pub(super) sampler: Sampler,
}

impl Pump {
    /// Runs until the connector's outlets are gone; answers the receipts that are open then. First it records the stop before this
    /// start.
    pub(super) async fn run(mut self, stopped: Option<Span>) -> Result<Receipts, GatewayError> {
        if let Some(stopped) = stopped {
            self.record_outage(stopped).await?;
        }
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let delivery = select! {
                delivery = self.deliveries.recv() => Some(delivery),
                _ = ticks.tick() => None,
                Some(ask) = self.asked.recv() => {
                    self.answer(ask);
                    continue;
                }
            };
            let taken = match delivery {
                Some(Some(delivery)) => self.gather(delivery),
                Some(None) => {
                    if let Some(span) = self
                        .full
                        .as_mut()
                        .and_then(|full| full.take(self.status.skipped()))
                    {
                        self.record_outage(span).await?;
                    }
                    self.append_flushed().await?;
                    self.memory
                        .keep(&mut self.pipeline, (self.run.clock)())
                        .await;
                    self.record_ended().await?;
                    return Ok(self.open_receipts());
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
                        self.record_outage(span).await?;
                    }
                    let now = self.arrivals.at_least(now);
                    let readings = self.pipeline.tick(now);
                    self.show_readings(&readings);
                    vec![AcceptedReadings {
                        readings,
                        token: None,
                    }]
                }
            };
            self.append(taken).await?;
            self.status.note_durable((self.run.clock)(), Instant::now());
            self.log_bad_readings();
            for receipt in self.held.drain(..) {
                // A connector that no longer waits has lost its connection: its device sends again.
                receipt.send(()).ok();
            }
        }
    }

    fn answer(&mut self, ask: Ask) {
        // Who asked may have gone.
        match ask {
            Ask::Devices(asks) => drop(asks.send(self.pipeline.report(&self.name))),
            Ask::Beginning(asks) => {
                let restored = self.keeper.restored();
                drop(asks.send(Beginning {
                    restored: self.held_back.with_restored_again(restored),
                    known: self.pipeline.brought(),
                }));
            }
        }
    }

    fn log_bad_readings(&mut self) {
        if let Some(Complaint {
            series,
            status,
            others,
        }) = self.pipeline.complaint()
        {
            warn!(
                connector = &*self.name,
                series,
                code = status.code,
                reason = status.reason,
                others,
                "bad reading"
            );
        }
    }

    /// The readings of a parcel and of those that wait behind it.
    fn gather(&mut self, first: Delivery) -> Vec<AcceptedReadings> {
        let now = (self.run.clock)();
        let (mut taken, mut count) = (Vec::new(), 0);
        let mut next = Some(first);
        while let Some(delivery) = next {
            let Delivery {
                parcel,
                began,
                receipt,
            } = delivery;
            let before = taken.len();
            self.status.note_began(began);
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

    fn take(&mut self, parcel: Parcel, now: Timestamp, taken: &mut Vec<AcceptedReadings>) {
        let before = taken.len();
        let looking = self.tap.looking();
        if looking.is_anybody() {
            self.show_samples(&parcel);
        }
        let trace = || Trace::new(self.tap.clone(), self.name.clone());
        let trace = looking.is_at_steps().then(trace);
        self.pipeline.set_trace(trace);
        match parcel {
            Parcel::Samples(samples) => {
                let now = self.arrivals.of(&samples, now);
                taken.push(AcceptedReadings {
                    readings: self.pipeline.samples(samples, now),
                    token: None,
                });
            }
            Parcel::Messages { ended, messages } => {
                self.held_back.end(&ended);
                self.keeper.end(ended);
                taken.extend(
                    messages
                        .into_iter()
                        .map(|message| self.take_message(message, now)),
                );
            }
            Parcel::Events(events) => {
                let now = self.arrivals.at_least(now);
                taken.push(AcceptedReadings {
                    readings: self.pipeline.events(events, now),
                    token: None,
                });
            }
            Parcel::Link(change) => {
                // Behind what came before it.
                let now = self.arrivals.next(now);
                taken.push(AcceptedReadings {
                    readings: self.pipeline.link(change, now),
                    token: None,
                });
            }
        }
        if looking.is_anybody() {
            for accepted in &taken[before..] {
                self.show_readings(&accepted.readings);
            }
        }
    }

    fn take_message(&mut self, message: Message, now: Timestamp) -> AcceptedReadings {
        let Message { samples, token } = message;
        let now = self.arrivals.of(&samples, now);
        let Some(token) = token else {
            let readings = self.pipeline.samples(samples, now);
            return AcceptedReadings {
                readings,
                token: None,
            };
        };
        let before = self.held_back.take_before(&token);
        let (readings, passed) = self.pipeline.message(samples, now, before);
        if let Some(passed) = passed {
            let extent = match readings[..] {
                [] => Extent::Whole,
                [..] => Extent::Part,
            };
            self.held_back.note_fed(token.clone(), extent, passed);
        }
        AcceptedReadings {
            readings,
            token: Some(token),
        }
    }

    /// Shows readings that go into the spool to who looks.
    fn show_readings(&self, readings: &[Reading]) {
        if self.tap.looking().is_anybody() {
            for reading in readings {
                self.tap
                    .reading(&self.name, Stage::Reading, Fate::GoesOn, reading);
            }
        }
    }

    fn show_samples(&self, parcel: &Parcel) {
        match parcel {
            Parcel::Samples(samples) => self.tap.decoded(&self.name, samples),
            Parcel::Messages { messages, .. } => {
                for message in messages {
                    self.tap.decoded(&self.name, &message.samples);
                }
            }
            Parcel::Events(_) | Parcel::Link(_) => {}
        }
    }

    /// What the steps hold back is handed over before the end.
    async fn append_flushed(&mut self) -> Result<(), GatewayError> {
        let now = self.arrivals.at_least((self.run.clock)());
        let readings = self.pipeline.flush(now);
        let flushed = AcceptedReadings {
            readings,
            token: None,
        };
        self.append(vec![flushed]).await?;
        // The file is without what is stored now, and its receipts end.
        self.held_back.secure(&mut self.pipeline).await;
        Ok(())
    }

    async fn append(&mut self, taken: Vec<AcceptedReadings>) -> Result<(), GatewayError> {
        let is_held = self.held_back.secure(&mut self.pipeline).await;
        let mut units = self.keeper.spread(taken);
        for (lane, released) in self.held_back.units(&mut self.pipeline) {
            for unit in &released {
                self.show_readings(&unit.readings);
            }
            units.entry(lane).or_default().extend(released);
        }
        let has_readings = !units.is_empty();
        for (lane, units) in units {
            let count: usize = units.iter().map(|unit| unit.readings.len()).sum();
            let of_use = |reading: &Reading| {
                reading.value.is_some() && reading.status.quality != Quality::Bad
            };
            let is_first =
                !self.delivers && units.iter().flat_map(|unit| &unit.readings).any(of_use);
            self.append_to(lane, units)
                .await
                .map_err(|source| GatewayError::Spool {
                    lane: lane.0,
                    source,
                })?;
            self.status.note_spooled(count);
            if is_first {
                self.delivers = true;
                info!(
                    connector = &*self.name,
                    readings = count,
                    "first values since the start are stored in the spool"
                );
            }
        }
        if has_readings || is_held {
            failpoint(Failpoint::AfterSync);
        }
        Ok(())
    }

    async fn append_to(&mut self, lane: Lane, units: Vec<AppendUnit>) -> Result<(), StreamError> {
        let run = self.run.clone();
        let writer = run.writer(lane)?;
        let mut appends: VecDeque<_> = appends(units, APPEND_READINGS_MAX).into();
        let mut ended_max = APPEND_ENDED_MAX;
        while let Some(append) = appends.pop_front() {
            let mut ended = self.keeper.take_ended(lane, ended_max);
            let of_connector = ended.len();
            ended.extend(self.held_back.keeper.take_ended(lane, ended_max));
            let receipts = ReceiptChanges {
                ended: ended.clone(),
                opened: append.receipts(),
            };
            let span = self.receive_span(append.readings().len());
            let append_shared = writer.append_shared(append.readings().clone(), receipts);
            let appended = self.wait_for(append_shared.instrument(span)).await;
            let Err(error) = appended else { continue };
            let had_ended = !ended.is_empty();
            let of_steps = ended.split_off(of_connector);
            self.keeper.put_back(lane, ended);
            self.held_back.keeper.put_back(lane, of_steps);
            match error {
                error if error.kind() == ErrorKind::Retry => {
                    warn!(%lane, %error, "append failed, retrying");
                    sleep(RETRY).await;
                    appends.push_front(append);
                }
                error @ StreamError::TooLarge { .. } => match append.halves() {
                    Ok([head, tail]) => {
                        appends.push_front(tail);
                        appends.push_front(head);
                    }
                    // What is too large may be the ended receipts.
                    Err(single) if had_ended => {
                        ended_max = 0;
                        appends.push_front(single);
                    }
                    Err(single) => appends.push_front(without_value(single, error)?),
                },
                error => return Err(error),
            }
        }
        Ok(())
    }

    /// The span in which readings are stored, of an append that begins a trace.
    fn receive_span(&mut self, readings: usize) -> tracing::Span {
        if !self.sampler.admit() {
            return tracing::Span::none();
        }
        let (connector, readings) = (&*self.name, readings as i64);
        let span = info_span!(parent: None, "receive", connector, readings, trace_id = Empty);
        show(&span);
        span
    }

    /// What a spool that is opened now would find open of this connector and its steps.
    fn open_receipts(&self) -> Receipts {
        let mut receipts = self.keeper.open_receipts();
        for (lane, of_steps) in self.held_back.keeper.open_receipts() {
            receipts.entry(lane).or_default().extend(of_steps);
        }
        receipts
    }

    /// Records the ended receipts that no append took along.
    async fn record_ended(&mut self) -> Result<(), GatewayError> {
        for (lane, ended) in self.keeper.take_all_ended() {
            let left = self.run.end_receipts(lane, ended).await?;
            self.keeper.put_back(lane, left);
        }
        for (lane, ended) in self.held_back.keeper.take_all_ended() {
            let left = self.run.end_receipts(lane, ended).await?;
            self.held_back.keeper.put_back(lane, left);
        }
        Ok(())
    }
}
