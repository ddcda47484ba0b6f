//! The life of one producer: read, send, take answers, let the spool forget.

use std::{collections::VecDeque, sync::atomic::Ordering, time::Duration};

use forebay_runtime::trace::context_of;
use forebay_schemas::{Epoch, wire::EpochEnd};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::{
    select,
    task::spawn_blocking,
    time::{Instant, Interval, MissedTickBehavior, interval, sleep_until},
};
use tracing::{Span, debug, warn};

use super::{Publisher, traces::PublishTraces};
use crate::{
    LogReader, Offset, StreamError,
    kafka::{
        course::Course,
        places::choose,
        producer::{Answer, NotTaken, Producer},
        record::Outgoing,
        split::{Fitted, fit},
        window::{Head, Passed, Sent, Window},
    },
    raw::RawRecord,
};

/// How long acknowledged records may wait to be forgotten together: each forgetting writes and syncs the spool's mark, with every
/// open receipt in it. What a crash keeps it from forgetting is sent again.
const FORGET_EVERY: Duration = Duration::from_secs(1);
/// How long the end waits for what is under way.
const DRAIN_MAX: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How a producer's life ended.
pub(super) enum Turn {
    /// Stopped, or the log is closed and done with.
    Done,
    /// The broker takes only smaller records.
    TooLarge,
    /// It may go better with another producer.
    Failed(StreamError),
}

enum Event {
    Forget,
    Stop,
    Late,
    Answer(Option<Answer>),
    Look,
    Read(Result<RawRecord, StreamError>),
}

/// A record that waits for room.
struct Waiting {
    record: Fitted,
    passed: Option<Passed>,
    /// The span of its publishing, if it is traced.
    span: Option<Span>,
}

pub(super) struct Run {
    producer: Producer,
    reader: Box<dyn LogReader>,
    window: Window,
    /// The parts of the entry read last.
    waiting: VecDeque<Waiting>,
    traces: PublishTraces,
    course: Course,
    partitions: u32,
    /// Acknowledged, and to be forgotten.
    due: Option<(Vec<Epoch>, Offset)>,
    forget_at: Instant,
    /// Set once no more is read.
    drain_until: Option<Instant>,
    look: Interval,
}

impl Run {
    pub(super) fn begin(publisher: &Publisher, partitions: u32) -> Result<Self, StreamError> {
        let settings = &publisher.cluster.settings;
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            producer: Producer::new(settings, publisher.limit)?,
            reader: (publisher.log)(publisher.passed.next),
            window: Window::new(settings.queue),
            waiting: VecDeque::new(),
            traces: PublishTraces::default(),
            course: publisher.passed.course,
            partitions,
            due: None,
            forget_at: Instant::now(),
            drain_until: None,
            look,
        })
    }

    pub(super) async fn drive(&mut self, publisher: &mut Publisher) -> Result<Turn, StreamError> {
        loop {
            if let Some(turn) = self.send(publisher).await? {
                return Ok(turn);
            }
            if self.drain_until.is_some() && self.window.is_empty() && self.waiting.is_empty() {
                return Ok(Turn::Done);
            }
            let ended = match self.event(publisher).await {
                Event::Forget => {
                    self.forget(publisher).await;
                    None
                }
                Event::Stop => {
                    self.drain_until = Some(Instant::now() + DRAIN_MAX);
                    None
                }
                Event::Late => {
                    warn!(
                        lane = publisher.key,
                        "kafka did not acknowledge the last records in time, they stay in the spool"
                    );
                    Some(Turn::Done)
                }
                Event::Answer(answer) => self.answered(publisher, answer),
                Event::Look => self.look_for_failure(publisher),
                Event::Read(record) => self.take(publisher, record).await?,
            };
            if let Some(turn) = ended {
                return Ok(turn);
            }
        }
    }

    /// Lets the spool forget what has been acknowledged, and gives up the rest.
    pub(super) async fn end(mut self, publisher: &mut Publisher) {
        self.forget(publisher).await;
        self.producer.abandon().await;
    }

    async fn event(&mut self, publisher: &Publisher) -> Event {
        let draining = self.drain_until;
        let reads = draining.is_none() && self.waiting.is_empty() && self.window.has_room(0);
        select! {
            biased;
            () = sleep_until(self.forget_at), if self.due.is_some() => Event::Forget,
            () = publisher.stop.cancelled(), if draining.is_none() => Event::Stop,
            () = sleep_until(draining.unwrap_or(self.forget_at)), if draining.is_some() => Event::Late,
            answer = self.producer.answer() => Event::Answer(answer),
            _ = self.look.tick() => Event::Look,
            record = self.reader.next_raw(), if reads => Event::Read(record),
        }
    }

    /// Cuts an entry of the spool into records that fit.
    async fn take(
        &mut self,
        publisher: &Publisher,
        record: Result<RawRecord, StreamError>,
    ) -> Result<Option<Turn>, StreamError> {
        let record = match record {
            Ok(record) => record,
            Err(StreamError::Closed) => {
                self.drain_until = Some(Instant::now() + DRAIN_MAX);
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let next = record.next;
        let mut span = self.traces.begin(&record, &*self.reader, &publisher.key);
        let all = self
            .course
            .records(&publisher.lane, record, &publisher.places);
        for outgoing in all {
            let parts = fitted(outgoing, publisher.limit).await?;
            self.waiting.extend(parts.into_iter().map(|record| Waiting {
                span: span.take_if(|_| record.outgoing.readings() > 0),
                record,
                passed: None,
            }));
        }
        if let Some(last) = self.waiting.back_mut() {
            last.passed = Some(Passed {
                next,
                course: self.course,
            });
        }
        Ok(None)
    }

    /// Hands over what there is room for.
    async fn send(&mut self, publisher: &mut Publisher) -> Result<Option<Turn>, StreamError> {
        while let Some(Waiting {
            record,
            passed,
            span,
        }) = self.waiting.front()
        {
            let bytes = record.bytes.len() as u64;
            if !self.window.has_room(bytes) {
                return Ok(None);
            }
            let epoch = record.outgoing.epoch();
            let partition = match publisher
                .places
                .get(epoch)
                .filter(|partition| *partition < self.partitions)
            {
                Some(partition) => partition,
                None => choose_place(publisher, epoch, self.partitions).await?,
            };
            let number = self.window.next_number();
            let trace = span.as_ref().and_then(context_of);
            match self
                .producer
                .send(record, &publisher.key, partition, number, trace)
            {
                Ok(()) => {}
                Err(NotTaken::Full) if !self.window.is_empty() => return Ok(None),
                Err(NotTaken::Full) => {
                    let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
                    return Ok(Some(Turn::Failed(
                        publisher.cluster.error("write to", full),
                    )));
                }
                Err(NotTaken::Failed(source)) => {
                    return Ok(Some(self.failed(publisher, source)));
                }
            }
            let ends = match &record.outgoing {
                Outgoing::End(EpochEnd { epoch, .. }) => Some(*epoch),
                Outgoing::Readings(_)
                | Outgoing::Gap(_)
                | Outgoing::Outages(_)
                | Outgoing::Loss(_) => None,
            };
            self.traces.sent(number, span.clone());
            self.window.sent(Sent {
                bytes,
                readings: record.outgoing.readings(),
                ends,
                passed: *passed,
            });
            self.waiting.pop_front();
        }
        Ok(None)
    }

    fn answered(&mut self, publisher: &mut Publisher, answer: Option<Answer>) -> Option<Turn> {
        let Answer { number, result } = answer?;
        self.traces.answered(number);
        if let Err(code) = result {
            return Some(self.failed(publisher, KafkaError::MessageProduction(code)));
        }
        publisher.acknowledged = true;
        let Head {
            readings,
            ended,
            passed,
        } = self.window.acknowledged(number);
        publisher.published.fetch_add(readings, Ordering::Relaxed);
        if let Some(passed) = passed {
            publisher.passed = passed;
            match &mut self.due {
                Some((epochs, up_to)) => {
                    epochs.extend(ended);
                    *up_to = passed.next;
                }
                None => {
                    self.due = Some((ended, passed.next));
                    self.forget_at = Instant::now() + FORGET_EVERY;
                }
            }
        }
        None
    }

    fn failed(&self, publisher: &Publisher, source: KafkaError) -> Turn {
        if let Some(why) = self.producer.fatal() {
            debug!(lane = publisher.key, why, "kafka producer failed");
        }
        match source.rdkafka_error_code() {
            Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize) => {
                Turn::TooLarge
            }
            _ => Turn::Failed(publisher.cluster.error("write to", source)),
        }
    }

    /// A producer may fail without an answer to any record.
    fn look_for_failure(&self, publisher: &Publisher) -> Option<Turn> {
        let why = self.producer.fatal()?;
        debug!(lane = publisher.key, why, "kafka producer failed");
        let source = KafkaError::MessageProduction(RDKafkaErrorCode::Fatal);
        Some(Turn::Failed(publisher.cluster.error("write to", source)))
    }

    /// First the file, then the spool: an end record that is sent again must find its partition.
    async fn forget(&mut self, publisher: &mut Publisher) {
        let Some((ended, up_to)) = self.due.take() else {
            return;
        };
        let noted = ended.clone();
        let result = match with_places(publisher, move |places| places.end(&noted)).await {
            Ok(()) => self.reader.forget(up_to).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(()) => publisher.forgotten = ended.into_iter().max().max(publisher.forgotten),
            Err(StreamError::Closed) => {
                debug!(lane = publisher.key, %up_to, "the spool is closed, what is acknowledged will be sent again")
            }
            Err(error) => {
                warn!(lane = publisher.key, %up_to, %error, "deleting acknowledged records from the spool failed, retrying");
                self.due = Some((ended, up_to));
                self.forget_at = Instant::now() + LOOK_EVERY;
            }
        }
    }
}

/// A record that is too large is decoded and cut outside the reactor.
async fn fitted(outgoing: Outgoing, limit: u64) -> Result<Vec<Fitted>, StreamError> {
    let whole = Fitted::whole(outgoing);
    if whole.is_within(limit) {
        return Ok(vec![whole]);
    }
    spawn_blocking(move || fit(whole.outgoing, limit))
        .await
        .map_err(|_| StreamError::Closed)
}

async fn choose_place(
    publisher: &mut Publisher,
    epoch: Epoch,
    partitions: u32,
) -> Result<u32, StreamError> {
    if let Some(before) = publisher.places.get(epoch) {
        warn!(lane = publisher.key, %epoch, partition = before, partitions,
            "the topic has lost this epoch's partition, choosing another");
    }
    let partition = choose(&publisher.lane, partitions);
    let forgotten = publisher.forgotten;
    with_places(publisher, move |places| {
        places.choose(epoch, partition, forgotten)
    })
    .await?;
    Ok(partition)
}

/// Writes the file of places outside the reactor.
async fn with_places(
    publisher: &mut Publisher,
    work: impl FnOnce(&mut crate::kafka::places::Places) -> Result<(), StreamError> + Send + 'static,
) -> Result<(), StreamError> {
    let mut places = publisher.places.clone();
    let worked = spawn_blocking(move || work(&mut places).map(|()| places)).await;
    publisher.places = worked.map_err(|_| StreamError::Closed)??;
    Ok(())
}
