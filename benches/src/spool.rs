//! The edge's own limit: appends to the spool, each answered only once it is synced.
//!
//! One writer waits for a sync each time; many share it (group commit).

use std::{path::Path, sync::Arc, time::Duration};

use forebay_schemas::{Reading, Timestamp};
use forebay_stream::{
    LogWriter as _,
    local::{Limits, OnFull, Options, Spool, SpoolKey},
};
use ring::rand::SystemRandom;
use serde::{Deserialize, Serialize};
use tokio::{task::JoinSet, time::Instant};

use crate::{
    meter::{Cost, Meter},
    signals::{Plant, RECORD_READINGS},
};

const FOR: Duration = Duration::from_secs(2);
const WRITERS: usize = 64;

/// What one writer can do, and what many can do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Spooled {
    pub(crate) alone: Appended,
    pub(crate) together: Appended,
}

/// Appends of 100 readings, each synced before the writer's next.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Appended {
    pub(crate) writers: u64,
    pub(crate) appends: u64,
    pub(crate) cost: Cost,
}

/// Appends for a while to a spool in this folder.
pub(crate) async fn measure(folder: &Path) -> anyhow::Result<Spooled> {
    let plant = Plant::new(0)?;
    let spool = Spool::open(Options {
        path: folder.to_owned(),
        lane: plant.lane().clone(),
        key: SpoolKey::new([7; 32]),
        limits: Limits::new(1 << 30, 16 << 20, OnFull::DropOldest)?,
        now: Timestamp::from_nanos(0),
        random: Arc::new(SystemRandom::new()),
    })
    .await?;
    let readings = plant
        .record(0, RECORD_READINGS)
        .map(|batch| batch.readings)
        .unwrap_or_default();
    append(&spool, &readings, 1, FOR / 4).await?;
    let alone = append(&spool, &readings, 1, FOR).await?;
    let together = append(&spool, &readings, WRITERS, FOR).await?;
    spool.writer().close().await?;
    Ok(Spooled { alone, together })
}

async fn append(
    spool: &Spool,
    readings: &[Reading],
    writers: usize,
    for_: Duration,
) -> anyhow::Result<Appended> {
    let meter = Meter::start()?;
    let until = Instant::now() + for_;
    let mut tasks = JoinSet::new();
    for _ in 0..writers {
        let (writer, readings) = (spool.writer(), readings.to_vec());
        tasks.spawn(async move {
            let mut appends = 0_u64;
            while Instant::now() < until {
                writer.append(readings.clone()).await?;
                appends += 1;
            }
            anyhow::Ok(appends)
        });
    }
    let mut appends = 0;
    for task in tasks.join_all().await {
        appends += task?;
    }
    Ok(Appended {
        writers: writers as u64,
        appends,
        cost: meter.stop(appends * readings.len() as u64)?,
    })
}
