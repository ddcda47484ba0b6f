//! When a connector's series are kept: soon after one is new, seldom where only words changed, and at the stop.
//!
//! Only what is durable in the spool may be kept, or a crash in between would lose it: callers keep between appends. Writing
//! is bounded, since many gateways write to flash: at most [`BYTES_PER_SECOND`] on average.

use std::{sync::Arc, time::Duration};

use forebay_schemas::Timestamp;
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use crate::{
    Pipeline,
    kept::{KeptSeries, SeriesFile},
    pipeline::News,
    sealed::SealedError,
    series::elapsed,
};

/// A new series is kept after so long.
const SERIES_AFTER: Duration = Duration::from_secs(5);
/// New words of known series are kept after so long.
const WORDS_AFTER: Duration = Duration::from_secs(60);
/// What is written on average, at most.
const BYTES_PER_SECOND: u64 = 16 * 1024;

/// One connector's.
pub(crate) struct Memory {
    connector: String,
    file: Option<SeriesFile>,
    /// What each rule brings.
    brings: Vec<Arc<str>>,
    news: News,
    kept_at: Option<Timestamp>,
    /// Length of the file.
    bytes: u64,
}

impl Memory {
    /// Takes what the last process left into the pipeline. A file that cannot be read is as good as none.
    pub(crate) async fn recall(
        connector: &str,
        file: Option<SeriesFile>,
        brings: Vec<Arc<str>>,
        pipeline: &mut Pipeline,
    ) -> Self {
        if let Some(file) = file.clone() {
            let loaded = spawn_blocking(move || file.load()).await;
            match loaded.unwrap_or_else(|_| Ok(Vec::new())) {
                Ok(kept) => {
                    let series = kept.len();
                    pipeline.restore(kept, &brings);
                    if series > 0 {
                        info!(connector, series, "recovered the series of the last run");
                    }
                }
                Err(error) => warn!(
                    connector,
                    error = with_source(&error),
                    "reading the last values of series failed: a retained message may be stored once more"
                ),
            }
        }
        let connector = connector.to_owned();
        Self {
            connector,
            file,
            brings,
            news: News::Nothing,
            kept_at: None,
            bytes: 0,
        }
    }

    /// Keeps what has changed, unless that was done lately.
    pub(crate) async fn keep_if_due(&mut self, pipeline: &mut Pipeline, now: Timestamp) {
        self.news = self.news.max(pipeline.take_news());
        let after = match self.news {
            News::Nothing => return,
            News::Series => SERIES_AFTER,
            News::Words => WORDS_AFTER,
        };
        let rest = Duration::from_secs(self.bytes / BYTES_PER_SECOND);
        let kept_at = *self.kept_at.get_or_insert(now);
        if elapsed(kept_at, now) >= after.max(rest) {
            self.keep(pipeline, now).await;
        }
    }

    /// Keeps what has changed.
    pub(crate) async fn keep(&mut self, pipeline: &mut Pipeline, now: Timestamp) {
        let news = self.news.max(pipeline.take_news());
        let Some(file) = self.file.clone().filter(|_| news > News::Nothing) else {
            return;
        };
        let series: Vec<KeptSeries> = pipeline.kept(&self.brings);
        self.kept_at = Some(now);
        let saved = spawn_blocking(move || file.save(series)).await;
        self.news = News::Nothing;
        match saved {
            Ok(Ok(bytes)) => self.bytes = bytes as u64,
            Ok(Err(error)) => {
                self.news = news;
                let (connector, error) = (&self.connector, with_source(&error));
                warn!(
                    connector,
                    error, "storing the last values of series failed, retrying"
                );
            }
            // Cut off with the runtime.
            Err(_) => self.news = news,
        }
    }
}

fn with_source(error: &SealedError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
