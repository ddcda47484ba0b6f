//! One producer: idempotent and without holes (E2), on a thread of its own that collects acknowledgements.

use std::time::Duration;

use forebay_runtime::trace::TraceContext;
use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
    message::DeliveryResult,
    producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer},
};
use tokio::{runtime::Handle, sync::mpsc, task::spawn_blocking};
use tracing::debug;

use super::{cluster::pass_on, settings::KafkaSettings, split::Fitted, window::RECORDS_MAX};
use crate::StreamError;

/// How long records wait for company.
const LINGER: Duration = Duration::from_millis(5);
/// The client library's own batches are not larger than this.
const BATCH_BYTES_MAX: u64 = 1_000_000;

/// The broker's answer to one record.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) number: usize,
    pub(super) result: Result<(), RDKafkaErrorCode>,
}

struct Answers {
    to: mpsc::Sender<Answer>,
}

impl ClientContext for Answers {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        pass_on(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        debug!(%error, reason, "kafka producer error");
    }
}

impl ProducerContext for Answers {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        let result = match result {
            Ok(_) => Ok(()),
            Err((error, _)) => Err(error
                .rdkafka_error_code()
                .unwrap_or(RDKafkaErrorCode::Unknown)),
        };
        // There is room for as many answers as records may be under way; nobody listens once the producer is given up.
        if let Err(unheard) = self.to.try_send(Answer { number, result }) {
            debug!(%unheard, "dropped an acknowledgement that nobody waits for");
        }
    }
}

/// A producer for one topic. Its end takes up to a second, which it spends outside the reactor.
pub(super) struct Producer {
    /// Always there until it is dropped.
    inner: Option<ThreadedProducer<Answers>>,
    answers: mpsc::Receiver<Answer>,
    topic: String,
}

/// Why a record was not taken.
pub(super) enum NotTaken {
    /// The client's queue is full: again after the next answer.
    Full,
    /// This producer is of no more use.
    Failed(KafkaError),
}

impl Producer {
    /// A producer that sends nothing larger than `limit` bytes.
    pub(super) fn new(settings: &KafkaSettings, limit: u64) -> Result<Self, StreamError> {
        let mut config = settings.client();
        config
            .set("enable.idempotence", "true")
            .set("enable.gapless.guarantee", "true");
        config
            .set("acks", "all")
            .set("message.timeout.ms", "0")
            .set("max.in.flight.requests.per.connection", "5");
        config.set("linger.ms", LINGER.as_millis().to_string());
        config.set("compression.type", settings.compression.as_str());
        config.set("message.max.bytes", limit.to_string());
        config.set("batch.size", limit.min(BATCH_BYTES_MAX).to_string());
        config.set(
            "queue.buffering.max.messages",
            (2 * RECORDS_MAX).to_string(),
        );
        config.set(
            "queue.buffering.max.kbytes",
            (2 * settings.queue / 1024).max(1).to_string(),
        );
        config
            .set("retry.backoff.ms", "100")
            .set("allow.auto.create.topics", "false");
        let (to, answers) = mpsc::channel(2 * RECORDS_MAX);
        let inner = config
            .create_with_context(Answers { to })
            .map_err(KafkaSettings::refused)?;
        Ok(Self {
            inner: Some(inner),
            answers,
            topic: settings.topic.clone(),
        })
    }

    /// Hands a record over, published in the span `trace`, if that is kept; its answer comes under `number`.
    pub(super) fn send(
        &self,
        record: &Fitted,
        key: &str,
        partition: u32,
        number: usize,
        trace: Option<TraceContext>,
    ) -> Result<(), NotTaken> {
        let Some(inner) = &self.inner else {
            return Err(NotTaken::Failed(KafkaError::Canceled));
        };
        let sent = BaseRecord::with_opaque_to(&self.topic, number)
            .partition(partition as i32)
            .key(key)
            .payload(&*record.bytes)
            .headers(record.outgoing.headers(trace));
        match inner.send(sent) {
            Ok(()) => Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                Err(NotTaken::Full)
            }
            Err((error, _)) => Err(NotTaken::Failed(error)),
        }
    }

    /// The next answer; waits for it. Cancel-safe.
    pub(super) async fn answer(&mut self) -> Option<Answer> {
        self.answers.recv().await
    }

    /// What made this producer useless, in the client library's words.
    pub(super) fn fatal(&self) -> Option<String> {
        let (code, why) = self.inner.as_ref()?.client().fatal_error()?;
        Some(format!("{code}: {why}"))
    }

    /// Gives up what is under way, and returns once nothing of it can be sent any more.
    pub(super) async fn abandon(mut self) {
        let inner = self.inner.take();
        if let Err(failure) = spawn_blocking(move || drop(inner)).await {
            debug!(%failure, "stopping a kafka producer failed");
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        if let (Some(inner), Ok(runtime)) = (self.inner.take(), Handle::try_current()) {
            // Whoever drops a producer unfinished does not wait for its end.
            drop(runtime.spawn_blocking(move || drop(inner)));
        }
    }
}
