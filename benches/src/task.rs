//! The measurements, as one process asks another for them: a task as JSON in, a figure as JSON out.

use std::{path::PathBuf, process::Stdio, time::Duration};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{process::Command, time::timeout};

use crate::{
    consume, encode, ingest,
    place::{Place, Profile, Topic},
    spool,
};

/// No measurement takes longer, or it is given up.
const MEASURE_MAX: Duration = Duration::from_secs(300);

/// One measurement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Task {
    /// librdkafka and the decoding of the records alone; answers a [`Cost`](crate::meter::Cost).
    Consume { warm_up: Topic, topic: Topic },
    /// The encoding of the same rows alone; answers a [`Cost`](crate::meter::Cost).
    Encode { readings: u64 },
    /// From Kafka into the lake; answers an [`Ingested`](ingest::Ingested). `keys` and `warm_up_lake` are its alone.
    Ingest {
        warm_up: Topic,
        warm_up_lake: Place,
        topic: Topic,
        lake: Place,
        keys: PathBuf,
        profile: Profile,
    },
    /// Into a spool in this folder; answers a [`Spooled`](spool::Spooled).
    Spool { folder: PathBuf },
}

impl Task {
    /// Does the measurement in this process.
    pub(crate) async fn measure(self) -> anyhow::Result<String> {
        Ok(match self {
            Self::Consume { warm_up, topic } => {
                let consuming =
                    move || consume::measure(&warm_up).and_then(|_| consume::measure(&topic));
                serde_json::to_string(&tokio::task::spawn_blocking(consuming).await??)?
            }
            Self::Encode { readings } => serde_json::to_string(
                &tokio::task::spawn_blocking(move || encode::measure(readings)).await??,
            )?,
            Self::Ingest {
                warm_up,
                warm_up_lake,
                topic,
                lake,
                keys,
                profile,
            } => {
                let keyring = ingest::keyring(&keys)?;
                ingest::measure(&warm_up, &warm_up_lake, keyring.clone(), profile).await?;
                serde_json::to_string(&ingest::measure(&topic, &lake, keyring, profile).await?)?
            }
            Self::Spool { folder } => serde_json::to_string(&spool::measure(&folder).await?)?,
        })
    }

    /// Has another process do it.
    pub(crate) async fn ask<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        let task = serde_json::to_string(self)?;
        let mut asked = Command::new(std::env::current_exe()?);
        asked
            .arg("measure")
            .arg(&task)
            .stderr(Stdio::inherit())
            .kill_on_drop(true);
        let answered = timeout(MEASURE_MAX, asked.output()).await;
        let output =
            answered.with_context(|| format!("no answer within {MEASURE_MAX:?}: {task}"))??;
        if !output.status.success() {
            bail!("{task} failed: {}", output.status);
        }
        serde_json::from_slice(&output.stdout).context("what a measurement answers")
    }
}
