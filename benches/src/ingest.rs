//! The whole way: from the consumer group to a commit that others see, then every file merged.
//!
//! It is the compactor as `forebay run` has it, with its defaults, but for the merge: that runs here once ingest is over
//! and takes whatever has company, so that nearly every reading is rewritten once. At the end `verify` proves that each
//! reading is in the lake once, outside of what is measured.

use std::{
    path::Path,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use forebay_compactor::{ConsumeSettings, Progress};
use forebay_lake::{
    Lake, LakeWriter, Location, MergeOutcome, MergePolicy, S3Credentials, S3Settings, Sealed,
    keys::{FileKeyring, Random},
    merge, plan, verify,
};
use forebay_schemas::{Clock, Timestamp, table::READINGS};
use forebay_stream::kafka::{KafkaGroup, KafkaSettings};
use ring::rand::SystemRandom;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    meter::{Cost, Meter, peak_bytes},
    place::{Place, Profile, Topic},
};

/// How often is looked how far it has come.
const LOOK: Duration = Duration::from_millis(2);

/// What came into the lake, and what it took.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Ingested {
    /// From the first record to the last commit.
    pub(crate) ingest: Cost,
    /// The merge alone.
    pub(crate) merge: Cost,
    pub(crate) commits: u64,
    pub(crate) before_merge: Files,
    pub(crate) after_merge: Files,
    /// Peak of resident memory up to the merge.
    pub(crate) ingest_peak_bytes: u64,
    /// Peak of resident memory of the whole.
    pub(crate) peak_bytes: u64,
}

/// The active files of the table.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Files {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

/// A keyring of its own in this folder.
pub(crate) fn keyring(folder: &Path) -> anyhow::Result<Arc<FileKeyring>> {
    let random: Random = Arc::new(SystemRandom::new());
    Ok(Arc::new(FileKeyring::create(folder, random)?))
}

/// Takes a topic into a new lake.
pub(crate) async fn measure(
    topic: &Topic,
    place: &Place,
    keyring: Arc<FileKeyring>,
    profile: Profile,
) -> anyhow::Result<Ingested> {
    let sealed = match profile {
        Profile::Columns => Sealed::Columns,
        Profile::None => Sealed::None,
    };
    let lake = Lake::open(&location(place)?).await?;
    let lake =
        Arc::new(LakeWriter::open(&lake, keyring, sealed, Arc::new(SystemRandom::new())).await?);
    let (ingest, commits) = consume(topic, &lake).await?;
    let (before_merge, ingest_peak_bytes) = (files(&lake).await?, peak_bytes()?);
    let meter = Meter::start()?;
    merge_all(&lake).await?;
    let merge = meter.stop(topic.readings)?;
    let (after_merge, peak_bytes) = (files(&lake).await?, peak_bytes()?);
    let report = verify(lake.table(&READINGS)?, lake.keeper(), &lake.decrypter()).await?;
    ensure!(
        report.faults.is_empty(),
        "the lake has faults: {:?}",
        report.faults
    );
    ensure!(
        report.readings == topic.readings,
        "{} readings instead of {}",
        report.readings,
        topic.readings
    );
    Ok(Ingested {
        ingest,
        merge,
        commits,
        before_merge,
        after_merge,
        ingest_peak_bytes,
        peak_bytes,
    })
}

fn location(place: &Place) -> anyhow::Result<Location> {
    Ok(match place {
        Place::Folder(folder) => Location::Folder(folder.clone()),
        Place::Bucket {
            endpoint,
            name,
            folder,
        } => Location::S3(Box::new(S3Settings {
            endpoint: Some(endpoint.parse()?),
            credentials: Some(S3Credentials::new("forebay", "bench")),
            allow_http: true,
            ..S3Settings::from_url(&format!("s3://{name}/{folder}").parse()?)?
        })),
    })
}

async fn consume(topic: &Topic, lake: &Arc<LakeWriter>) -> anyhow::Result<(Cost, u64)> {
    let mut settings = KafkaSettings::new(vec![topic.broker.clone()]);
    (settings.topic, settings.group) = (topic.name.clone(), format!("{}.group", topic.name));
    let (progress, stop) = (Arc::new(Progress::default()), CancellationToken::new());
    let group = Box::new(KafkaGroup::join(settings).await?);
    let run = forebay_compactor::run(
        lake.clone(),
        group,
        ConsumeSettings::default(),
        clock(),
        progress.clone(),
        stop.clone(),
    );
    let mut run = std::pin::pin!(run);
    // Processor time counts from before a record can come: on a busy machine the first is seen late. The clock starts with
    // it, since what the group takes to assign partitions is not of the readings.
    let work = Meter::start()?;
    until(&progress, 1, run.as_mut()).await?;
    let clock = Meter::start()?;
    until(&progress, topic.readings, run.as_mut()).await?;
    // Everything has come: the rest is committed now, without waiting for the interval.
    stop.cancel();
    run.await?;
    let committed = progress.committed.load(Relaxed);
    ensure!(
        committed == topic.readings,
        "{committed} readings committed instead of {}",
        topic.readings
    );
    let cost = Cost {
        wall_seconds: clock.stop(committed)?.wall_seconds,
        ..work.stop(committed)?
    };
    Ok((cost, progress.commits.load(Relaxed)))
}

/// Runs until so many readings have been read.
async fn until(
    progress: &Progress,
    readings: u64,
    mut run: std::pin::Pin<
        &mut impl Future<Output = Result<(), forebay_compactor::CompactorError>>,
    >,
) -> anyhow::Result<()> {
    while progress.received.load(Relaxed) < readings {
        tokio::select! {
            ended = run.as_mut() => {
                ended?;
                bail!("the compactor ended unexpectedly");
            }
            () = sleep(LOOK) => {}
        }
    }
    Ok(())
}

async fn merge_all(lake: &LakeWriter) -> anyhow::Result<()> {
    let files = lake.table(&READINGS)?.snapshot().await?.files();
    let now = now()?;
    let hour_on = Timestamp::from_nanos(now.nanos() + 3_600_000_000_000);
    let policy = MergePolicy {
        min_files: 2,
        ..MergePolicy::settled_before(hour_on)
    };
    for spec in plan(lake, &READINGS, &files, &policy) {
        match merge(lake, &spec, now).await? {
            MergeOutcome::Merged { .. } => {}
            MergeOutcome::Abandoned { why } => bail!("a merge was abandoned: {why}"),
        }
    }
    Ok(())
}

async fn files(lake: &LakeWriter) -> anyhow::Result<Files> {
    let files = lake.table(&READINGS)?.snapshot().await?.files();
    Ok(Files {
        files: files.len() as u64,
        bytes: files.iter().map(|file| file.size.unsigned_abs()).sum(),
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "a binary is where the clock comes in"
)]
fn now() -> anyhow::Result<Timestamp> {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(Timestamp::from_nanos(
        i64::try_from(since_1970.as_nanos()).context("this machine's clock is wrong")?,
    ))
}

fn clock() -> Clock {
    Arc::new(|| now().unwrap_or(Timestamp::from_nanos(0)))
}
