//! A topic filled by the product's own publisher, as gateways would fill it.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use forebay_schemas::{Epoch, EpochNonce, Seq};
use forebay_stream::{
    Entry, LastSeq, LogReader, Offset, Record, StreamError,
    kafka::{KafkaSettings, publish},
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::signals::{GATEWAYS, Plant};

/// Publishes so many readings, an equal part by each gateway.
pub(crate) async fn fill(
    settings: &KafkaSettings,
    readings: u64,
    places: &Path,
) -> anyhow::Result<()> {
    let mut publishers = JoinSet::new();
    for gateway in 0..GATEWAYS {
        let plant = Arc::new(Plant::new(gateway)?);
        let (lane, places) = (
            plant.lane().clone(),
            places.join(format!("{}-{gateway}", settings.topic)),
        );
        let readings = readings / GATEWAYS;
        let log = Box::new(move |from: Offset| {
            Box::new(Log {
                plant: plant.clone(),
                next: from,
                readings,
            }) as Box<dyn LogReader>
        });
        publishers.spawn(publish(
            settings.clone(),
            log,
            lane,
            places,
            Arc::default(),
            CancellationToken::new(),
        ));
    }
    for published in publishers.join_all().await {
        published?;
    }
    Ok(())
}

/// A gateway's readings as a log that is closed behind them, and never forgets.
struct Log {
    plant: Arc<Plant>,
    next: Offset,
    readings: u64,
}

#[async_trait]
impl LogReader for Log {
    async fn next(&mut self) -> Result<Record, StreamError> {
        let records = self.plant.records(self.readings);
        let entry = match self.plant.record(self.next.0, self.readings) {
            Some(batch) => Entry::Batch(batch),
            None if self.next.0 == records => {
                let last = LastSeq::Known(Some(Seq(self.readings)));
                Entry::EpochEnd {
                    epoch: Epoch(1),
                    nonce: EpochNonce::UNKNOWN,
                    last,
                }
            }
            None => return Err(StreamError::Closed),
        };
        let (offset, next) = (self.next, Offset(self.next.0 + 1));
        self.next = next;
        Ok(Record {
            offset,
            next,
            entry,
        })
    }

    async fn try_next(&mut self) -> Result<Option<Record>, StreamError> {
        self.next().await.map(Some)
    }

    async fn forget(&self, _: Offset) -> Result<(), StreamError> {
        Ok(())
    }
}
