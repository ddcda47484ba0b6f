//! Spans and log records on their way to a collector: a bounded queue and a task that sends what is in it.
//!
//! Invariants: whoever hands something in never waits; what finds no room, and what a collector does not take, is dropped and
//! counted; the end waits for a collector for a bounded time.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc as blocking,
    },
    time::Duration,
};

use forebay_runtime::RateLimit;
use opentelemetry::{Context, InstrumentationScope};
use opentelemetry_otlp::{LogExporter, SpanExporter};
use opentelemetry_sdk::{
    error::{OTelSdkError, OTelSdkResult},
    logs::{LogBatch, LogExporter as _, LogProcessor, SdkLogRecord},
    trace::{Span, SpanData, SpanExporter as _, SpanProcessor},
};
use tokio::{
    select,
    sync::mpsc,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// What may wait.
const WAITING_MAX: usize = 2048;
/// What is sent at once.
const BATCH_MAX: usize = 512;
/// How long something waits for company.
const LINGER: Duration = Duration::from_secs(1);
/// How long the end waits for a collector.
const STOP_MAX: Duration = Duration::from_secs(3);

/// A log record with whose it is.
pub(crate) type LogItem = (SdkLogRecord, InstrumentationScope);

/// Takes batches to a collector.
pub(crate) trait Export<T>: Send + Sync + 'static {
    fn send(&self, batch: Vec<T>) -> impl Future<Output = OTelSdkResult> + Send;
}

impl Export<SpanData> for SpanExporter {
    fn send(&self, batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        self.export(batch)
    }
}

impl Export<LogItem> for LogExporter {
    async fn send(&self, batch: Vec<LogItem>) -> OTelSdkResult {
        let records: Vec<_> = batch.iter().map(|(record, of)| (record, of)).collect();
        self.export(LogBatch::new(&records)).await
    }
}

/// The end that takes things in.
pub(crate) struct Queue<T> {
    signal: &'static str,
    to: mpsc::Sender<T>,
    dropped: Arc<AtomicU64>,
    stop: CancellationToken,
    ended: Mutex<blocking::Receiver<()>>,
}

impl<T: Send + 'static> Queue<T> {
    /// A queue with its task, within a tokio runtime.
    pub(crate) fn new(signal: &'static str, exporter: impl Export<T>) -> Self {
        let (to, waiting) = mpsc::channel(WAITING_MAX);
        let (ends, ended) = blocking::channel();
        let (dropped, stop) = (Arc::<AtomicU64>::default(), CancellationToken::new());
        let sending = Sending {
            signal,
            waiting,
            exporter,
            dropped: dropped.clone(),
            stop: stop.clone(),
            unsent_log: RateLimit::default(),
        };
        tokio::spawn(async move {
            sending.run().await;
            // Whoever stops may have stopped waiting.
            ends.send(()).ok();
        });
        Self {
            signal,
            to,
            dropped,
            stop,
            ended: Mutex::new(ended),
        }
    }

    /// Counts what was dropped.
    pub(crate) fn dropped(&self) -> Arc<AtomicU64> {
        self.dropped.clone()
    }

    fn take(&self, item: T) {
        if self.to.try_send(item).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sends what is there. Blocks its thread, for a bounded time.
    fn stop(&self) -> OTelSdkResult {
        self.stop.cancel();
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        match ended.recv_timeout(STOP_MAX) {
            // A task that is gone has ended before.
            Ok(()) | Err(blocking::RecvTimeoutError::Disconnected) => Ok(()),
            Err(blocking::RecvTimeoutError::Timeout) => Err(OTelSdkError::Timeout(STOP_MAX)),
        }
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Queue").field(&self.signal).finish()
    }
}

impl SpanProcessor for Queue<SpanData> {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() {
            self.take(span);
        }
    }

    /// What is there is on its way.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        self.stop()
    }
}

impl LogProcessor for Queue<LogItem> {
    fn emit(&self, record: &mut SdkLogRecord, of: &InstrumentationScope) {
        self.take((record.clone(), of.clone()));
    }

    /// What is there is on its way.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        self.stop()
    }
}

/// The task behind it.
struct Sending<T, E> {
    signal: &'static str,
    waiting: mpsc::Receiver<T>,
    exporter: E,
    dropped: Arc<AtomicU64>,
    stop: CancellationToken,
    unsent_log: RateLimit,
}

impl<T: Send + 'static, E: Export<T>> Sending<T, E> {
    async fn run(mut self) {
        let stop = self.stop.clone();
        loop {
            let mut batch = Vec::new();
            let first = select! {
                biased;
                () = stop.cancelled() => break,
                first = self.waiting.recv_many(&mut batch, BATCH_MAX) => first,
            };
            if first == 0 {
                return;
            }
            self.gather(&mut batch, &stop).await;
            self.send(batch).await;
        }
        self.waiting.close();
        let until = Instant::now() + STOP_MAX;
        let mut batch = Vec::new();
        while self.waiting.recv_many(&mut batch, BATCH_MAX).await > 0 {
            let (lost, last) = (batch.len(), std::mem::take(&mut batch));
            if timeout_at(until, self.send(last)).await.is_err() {
                self.drop(lost);
            }
        }
    }

    /// Waits for company.
    async fn gather(&mut self, batch: &mut Vec<T>, stop: &CancellationToken) {
        let more = async {
            while batch.len() < BATCH_MAX {
                let room = BATCH_MAX - batch.len();
                if self.waiting.recv_many(batch, room).await == 0 {
                    return;
                }
            }
        };
        select! {
            () = stop.cancelled() => {}
            // It is over, or full.
            _ = timeout(LINGER, more) => {}
        }
    }

    async fn send(&mut self, batch: Vec<T>) {
        let count = batch.len();
        let Err(error) = self.exporter.send(batch).await else {
            return;
        };
        self.drop(count);
        let signal = self.signal;
        if let Some(skipped) = self.unsent_log.admit() {
            warn!(signal, count, skipped, %error, "sending telemetry failed, dropped");
        }
    }

    fn drop(&self, count: usize) {
        self.dropped.fetch_add(count as u64, Ordering::Relaxed);
    }
}
