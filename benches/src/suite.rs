//! Everything measured in one run, in turns, so that what else the machine does falls on all alike.

use serde::Serialize;
use tempfile::TempDir;

use crate::{
    ingest::Ingested,
    kafka_broker::Broker,
    meter::{Cost, median},
    moto::{BUCKET, Moto},
    place::{Place, Profile, Topic},
    signals::GATEWAYS,
    spool::{Appended, Spooled},
    task::Task,
    topic,
};

/// Of the readings, one part in so many is taken before anything is measured.
const WARM_UP_SHARE: u64 = 8;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) readings: u64,
    pub(crate) rounds: u8,
}

/// All figures of a run, each the median over its rounds.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) readings: u64,
    pub(crate) rounds: u8,
    pub(crate) cores: usize,
    pub(crate) kafka_bytes_per_reading: f64,
    /// librdkafka and decoding alone.
    pub(crate) consume: Rate,
    /// Rows to Parquet alone.
    pub(crate) encode: Rate,
    /// Readings a second of one core that did these two and nothing else.
    pub(crate) bound_per_core_second: f64,
    pub(crate) lakes: Vec<LakeFigures>,
    /// Profile `columns` over `none`, the lake in a folder.
    pub(crate) encryption: Encryption,
    pub(crate) spool: Vec<SpoolFigures>,
}

/// How fast, and how dear.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Rate {
    pub(crate) per_second: f64,
    pub(crate) per_core_second: f64,
    pub(crate) cpu_nanos_per_reading: f64,
}

/// From Kafka into one kind of lake.
#[derive(Debug, Serialize)]
pub(crate) struct LakeFigures {
    pub(crate) lake: &'static str,
    pub(crate) profile: Profile,
    /// To the visible commit, every file merged.
    pub(crate) merged: Rate,
    pub(crate) merged_share_of_bound: f64,
    /// To the visible commit.
    pub(crate) committed: Rate,
    pub(crate) committed_share_of_bound: f64,
    pub(crate) commits: f64,
    pub(crate) files_before_merge: f64,
    pub(crate) files_after_merge: f64,
    pub(crate) bytes_per_reading_before_merge: f64,
    pub(crate) bytes_per_reading_after_merge: f64,
    /// Most resident memory of the compactor while it consumes, and with the merge.
    pub(crate) peak_bytes: f64,
    pub(crate) peak_bytes_with_merge: f64,
}

/// What encryption costs, as ratios.
#[derive(Debug, Serialize)]
pub(crate) struct Encryption {
    pub(crate) cpu: f64,
    pub(crate) bytes: f64,
}

/// Appends to the spool, each synced.
#[derive(Debug, Serialize)]
pub(crate) struct SpoolFigures {
    pub(crate) writers: u64,
    pub(crate) appends_per_second: f64,
    pub(crate) rate: Rate,
}

/// What is running for the measurements.
struct Rig {
    folder: TempDir,
    broker: Broker,
    moto: Moto,
    warm_up: Topic,
    topic: Topic,
}

/// Measures everything.
pub(crate) async fn run(size: Size) -> anyhow::Result<Figures> {
    // Each gateway has an equal part.
    let size = Size {
        readings: size.readings / GATEWAYS * GATEWAYS,
        ..size
    };
    let rig = Rig::start(size).await?;
    let (mut consumed, mut encoded, mut spooled) = (Vec::new(), Vec::new(), Vec::new());
    let variants = [
        ("file", Profile::Columns),
        ("file", Profile::None),
        ("s3", Profile::Columns),
    ];
    let mut ingested = variants.map(|_| Vec::new());
    for round in 1..=size.rounds {
        eprintln!("round {round} of {}", size.rounds);
        let consume = Task::Consume {
            warm_up: rig.warm_up.clone(),
            topic: rig.topic.clone(),
        };
        consumed.push(consume.ask::<Cost>().await?);
        encoded.push(
            Task::Encode {
                readings: size.readings,
            }
            .ask::<Cost>()
            .await?,
        );
        for (place, (lake, profile)) in variants.into_iter().enumerate() {
            ingested[place].push(rig.ingest(lake, profile).await?);
        }
        let folder = rig.fresh()?;
        spooled.push(
            Task::Spool {
                folder: folder.path().join("spool"),
            }
            .ask::<Spooled>()
            .await?,
        );
    }
    let kafka_bytes_per_reading =
        rig.broker.stored_bytes(&rig.topic.name) as f64 / rig.topic.readings as f64;
    let (consume, encode) = (rate(&consumed), rate(&encoded));
    let bound = 1.0 / (1.0 / consume.per_core_second + 1.0 / encode.per_core_second);
    let lakes = variants.into_iter().zip(&ingested);
    let lakes: Vec<_> = lakes
        .map(|((lake, profile), runs)| LakeFigures::of(lake, profile, runs, bound))
        .collect();
    let ratio = |of: fn(&LakeFigures) -> f64| of(&lakes[0]) / of(&lakes[1]);
    Ok(Figures {
        readings: size.readings,
        rounds: size.rounds,
        cores: std::thread::available_parallelism()?.get(),
        kafka_bytes_per_reading,
        consume,
        encode,
        bound_per_core_second: bound,
        encryption: Encryption {
            cpu: ratio(|lake| lake.merged.cpu_nanos_per_reading),
            bytes: ratio(|lake| lake.bytes_per_reading_after_merge),
        },
        spool: [
            |run: &Spooled| run.alone.clone(),
            |run: &Spooled| run.together.clone(),
        ]
        .map(|of| SpoolFigures::of(&spooled.iter().map(of).collect::<Vec<_>>()))
        .into(),
        lakes,
    })
}

impl Rig {
    async fn start(size: Size) -> anyhow::Result<Self> {
        eprintln!(
            "starting Kafka and an S3 store, publishing {} readings",
            size.readings
        );
        let (folder, broker) = (TempDir::new()?, Broker::started().await);
        let warm_up = filled(
            &broker,
            "warm-up",
            size.readings / WARM_UP_SHARE / GATEWAYS * GATEWAYS,
            &folder,
        )
        .await?;
        let topic = filled(&broker, "measured", size.readings, &folder).await?;
        Ok(Self {
            folder,
            broker,
            moto: Moto::start(&[]),
            warm_up,
            topic,
        })
    }

    fn fresh(&self) -> anyhow::Result<TempDir> {
        Ok(TempDir::new_in(self.folder.path())?)
    }

    async fn ingest(&self, lake: &str, profile: Profile) -> anyhow::Result<Ingested> {
        let folder = self.fresh()?;
        let unique = folder
            .path()
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        let place = |name: &str| match lake {
            "s3" => Place::Bucket {
                endpoint: self.moto.url().into(),
                name: BUCKET.to_owned(),
                folder: format!("{unique}/{name}"),
            },
            _ => Place::Folder(folder.path().join(name)),
        };
        let task = Task::Ingest {
            warm_up: self.warm_up.clone(),
            warm_up_lake: place("warm-up"),
            topic: self.topic.clone(),
            lake: place("lake"),
            keys: folder.path().join("keys"),
            profile,
        };
        task.ask().await
    }
}

async fn filled(
    broker: &Broker,
    name: &str,
    readings: u64,
    folder: &TempDir,
) -> anyhow::Result<Topic> {
    broker.create(name, GATEWAYS as u32, &[]).await;
    topic::fill(&broker.settings(name), readings, folder.path()).await?;
    Ok(Topic {
        broker: broker.address(),
        name: name.to_owned(),
        readings,
    })
}

impl LakeFigures {
    fn of(lake: &'static str, profile: Profile, runs: &[Ingested], bound: f64) -> Self {
        let merged: Vec<Cost> = runs.iter().map(|run| run.ingest.and(&run.merge)).collect();
        let (merged, committed) = (
            rate(&merged),
            rate(&runs.iter().map(|run| run.ingest).collect::<Vec<_>>()),
        );
        let of = |of: fn(&Ingested) -> u64| median(runs.iter().map(|run| of(run) as f64));
        let readings = runs.first().map_or(1.0, |run| run.ingest.readings as f64);
        Self {
            lake,
            profile,
            merged,
            merged_share_of_bound: merged.per_core_second / bound,
            committed,
            committed_share_of_bound: committed.per_core_second / bound,
            commits: of(|run| run.commits),
            files_before_merge: of(|run| run.before_merge.files),
            files_after_merge: of(|run| run.after_merge.files),
            bytes_per_reading_before_merge: of(|run| run.before_merge.bytes) / readings,
            bytes_per_reading_after_merge: of(|run| run.after_merge.bytes) / readings,
            peak_bytes: of(|run| run.ingest_peak_bytes),
            peak_bytes_with_merge: of(|run| run.peak_bytes),
        }
    }
}

impl SpoolFigures {
    fn of(runs: &[Appended]) -> Self {
        Self {
            writers: runs.first().map_or(0, |run| run.writers),
            appends_per_second: median(
                runs.iter()
                    .map(|run| run.appends as f64 / run.cost.wall_seconds),
            ),
            rate: rate(&runs.iter().map(|run| run.cost).collect::<Vec<_>>()),
        }
    }
}

fn rate(runs: &[Cost]) -> Rate {
    let cpu_nanos = median(
        runs.iter()
            .map(|run| run.cpu_seconds * 1e9 / run.readings as f64),
    );
    Rate {
        per_second: median(
            runs.iter()
                .map(|run| run.readings as f64 / run.wall_seconds),
        ),
        per_core_second: 1e9 / cpu_nanos,
        cpu_nanos_per_reading: cpu_nanos,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slow_round_does_not_count() {
        let run = |wall_seconds, cpu_seconds| Cost {
            readings: 1_000_000,
            wall_seconds,
            cpu_seconds,
        };
        let found = rate(&[run(1.0, 0.5), run(9.0, 0.6), run(2.0, 0.25)]);
        assert_eq!(
            (found.per_second, found.per_core_second),
            (500_000.0, 2_000_000.0)
        );
        assert_eq!(found.cpu_nanos_per_reading, 500.0);
    }
}
