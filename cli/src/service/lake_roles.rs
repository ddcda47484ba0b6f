//! The roles that work on the lake: compactor, housekeeping, windows, jobs.

use std::{
    future::Future,
    mem,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, bail};
use forebay_compactor::{
    CompactorSettings, Hold, Holds, Progress, RetentionSettings, SPOOL_GAP_WAIT, WindowProgress,
    run_housekeeping, run_retention, run_windows,
};
use forebay_jobs::{JobProgress, Jobs, SchedulerError, needs};
use forebay_lake::{LakeWriter, MaintainPolicy};
use forebay_schemas::LaneId;
use forebay_serve::{ServeProgress, ServeSettings};
use forebay_stream::{
    FixedGroup, LogGroup, LogSource, SpoolSource,
    kafka::{KafkaGroup, KafkaSettings},
    local::Spool,
};
use tokio::select;
use tokio_util::sync::CancellationToken;

use super::{
    SCHEDULER, Service,
    alerts::{AlertParts, LakeAsks, LakeFacts},
    lake_door::LakeDoor,
    part::{OnFailure, Task},
};
use crate::{clock::clock, config::Config, role::Role, store::Store};

/// What the roles on the lake have done so far.
#[derive(Clone, Default)]
pub(crate) struct LakeWatch {
    /// The compactor's counters; zero without it.
    pub(crate) progress: Arc<Progress>,
    /// How far the sites' watermarks have come; none without the compactor.
    pub(crate) windows: Arc<WindowProgress>,
    /// Finished runs; none without the jobs.
    pub(crate) jobs: Arc<JobProgress>,
    /// Queries and sign-ins; zero without the role.
    pub(crate) serve: Arc<ServeProgress>,
}

/// What the roles on the lake need of the configuration.
pub(super) struct LakeRoles {
    store: Arc<Store>,
    lake: LakeDoor,
    compactor: CompactorSettings,
    retention: RetentionSettings,
    maintain: MaintainPolicy,
    jobs: Arc<Jobs>,
    jobs_path: PathBuf,
    serve: Option<ServeSettings>,
}

impl LakeRoles {
    /// The configuration gives its jobs and users away.
    pub(super) fn of(config: &mut Config) -> Self {
        let store = Arc::new(Store::of(config));
        Self {
            lake: LakeDoor::new(store.clone()),
            store,
            compactor: config.compactor.clone(),
            retention: config.retention.clone(),
            maintain: config.lake.maintain,
            jobs: Arc::new(mem::take(&mut config.jobs)),
            jobs_path: config.jobs_path(),
            serve: config.serve.take(),
        }
    }
}

/// Without a stream the spool is the stream, which only a compactor in the same process empties.
pub(super) fn check_roles(config: &Config, roles: &[Role]) -> anyhow::Result<()> {
    let edge = roles.contains(&Role::Edge);
    let compactor = roles.contains(&Role::Compactor);
    if compactor && !edge && config.stream.is_none() {
        bail!(
            "without [stream] the spool is the stream: the compactor must run in one process with the edge"
        );
    }
    if edge && !compactor && config.stream.is_none() {
        bail!(
            "without [stream] the spool is the stream: nobody would empty it; add --role compactor, or a [stream]"
        );
    }
    if roles.contains(&Role::Serve) && config.serve.is_none() {
        bail!("--role serve needs [serve] in the configuration");
    }
    Ok(())
}

impl Service {
    /// What the alerts ask of the lake.
    pub(super) fn lake_facts(
        &self,
        on_lake: &LakeRoles,
        alerts: &AlertParts,
        roles: &[Role],
    ) -> LakeFacts {
        let (windows, jobs) = (self.watch.lake.windows.clone(), on_lake.jobs.clone());
        let (door, path) = (on_lake.lake.clone(), on_lake.jobs_path.clone());
        let asks = LakeAsks {
            every: alerts.lake_every(),
            gateway: alerts.gateway(),
            door,
        };
        LakeFacts::new(roles, asks, windows, jobs, path)
    }

    pub(super) fn add_lake_roles(
        &mut self,
        on_lake: LakeRoles,
        stream: Option<KafkaSettings>,
        behind: OnFailure,
        roles: &[Role],
    ) {
        if roles.contains(&Role::Compactor) {
            self.add_compactor(behind, &on_lake, stream);
        }
        let LakeRoles {
            store,
            lake,
            jobs,
            jobs_path,
            serve,
            ..
        } = on_lake;
        if roles.contains(&Role::Jobs) {
            let progress = self.watch.lake.jobs.clone();
            self.add_on_lake(SCHEDULER, behind, &lake, move |lake, stop| {
                let (jobs, path, progress) = (jobs.clone(), jobs_path.clone(), progress.clone());
                Box::pin(async move {
                    Ok(forebay_jobs::run(jobs, lake, &path, clock(), progress, stop).await?)
                })
            });
        }
        if let Some(serve) = serve.filter(|_| roles.contains(&Role::Serve)) {
            let watch = &self.watch.lake;
            let compactor = roles
                .contains(&Role::Compactor)
                .then(|| (watch.windows.clone(), watch.progress.clone()));
            self.add_serve(behind, store, serve, compactor);
        }
    }

    fn add_compactor(
        &mut self,
        behind: OnFailure,
        on_lake: &LakeRoles,
        stream: Option<KafkaSettings>,
    ) {
        let lake = &on_lake.lake;
        let mut consume = on_lake.compactor.consume();
        consume.gap_wait = stream
            .as_ref()
            .map_or(SPOOL_GAP_WAIT, |kafka| kafka.gap_wait);
        let (progress, lanes) = (self.watch.lake.progress.clone(), self.lanes.clone());
        self.add_on_lake("compactor", behind, lake, move |lake, stop| {
            let group = group(stream.clone(), &lanes);
            let (consume, progress) = (consume.clone(), progress.clone());
            Box::pin(async move {
                let group = select! {
                    group = group => group?,
                    () = stop.cancelled() => return Ok(()),
                };
                Ok(forebay_compactor::run(lake, group, consume, clock(), progress, stop).await?)
            })
        });
        let merging = on_lake.compactor.merge;
        let policy = on_lake.maintain;
        self.add_on_lake("housekeeping", behind, lake, move |lake, stop| {
            Box::pin(async move {
                run_housekeeping(lake, merging, policy, clock(), stop).await;
                Ok(())
            })
        });
        let retention = on_lake.retention.clone();
        let levels = on_lake.compactor.windows.rollups;
        let (jobs, path) = (on_lake.jobs.clone(), on_lake.jobs_path.clone());
        self.add_on_lake("retention", behind, lake, move |lake, stop| {
            let retention = retention.clone();
            let holds = holds(jobs.clone(), lake.clone(), path.clone());
            Box::pin(async move {
                run_retention(lake, retention, levels, holds, clock(), stop).await;
                Ok(())
            })
        });
        let windows = on_lake.compactor.windows;
        let progress = self.watch.lake.windows.clone();
        self.add_on_lake("windows", behind, lake, move |lake, stop| {
            let progress = progress.clone();
            Box::pin(async move { Ok(run_windows(lake, windows, clock(), progress, stop).await?) })
        });
    }

    /// A part that works on the lake, which may be out of reach when it begins.
    fn add_on_lake(
        &mut self,
        name: &'static str,
        on_failure: OnFailure,
        lake: &LakeDoor,
        begin: impl Fn(Arc<LakeWriter>, CancellationToken) -> Task + Clone + Send + Sync + 'static,
    ) {
        let door = lake.clone();
        self.add(name, on_failure, move |stop| {
            let (door, begin) = (door.clone(), begin.clone());
            Some(Box::pin(async move {
                let lake = select! {
                    lake = door.open() => lake?,
                    () = stop.cancelled() => return Ok(()),
                };
                begin(lake, stop).await
            }))
        });
    }
}

/// What the jobs of this configuration still have to read.
fn holds(jobs: Arc<Jobs>, lake: Arc<LakeWriter>, path: PathBuf) -> Holds {
    Arc::new(move || {
        let (jobs, lake, path) = (jobs.clone(), lake.clone(), path.clone());
        Box::pin(async move {
            let held = held(&jobs, &lake, &path).await;
            held.map_err(|error| error.to_string())
        })
    })
}

/// What jobs still have to read, as retention has it.
///
/// # Errors
/// When the database of runs or the lake cannot be read.
pub(crate) async fn held(
    jobs: &Jobs,
    lake: &LakeWriter,
    path: &Path,
) -> Result<Vec<Hold>, SchedulerError> {
    let needs = needs(jobs, lake, path, clock()()).await?;
    let hold = |need: forebay_jobs::Need| Hold {
        site: need.site,
        from: need.from.micros(),
        to: need.to.micros(),
        why: need.why,
    };
    Ok(needs.into_iter().map(hold).collect())
}

/// Where the compactor gets its partitions from. Kafka may be away for long: joining is part of running.
fn group(
    stream: Option<KafkaSettings>,
    lanes: &[(LaneId, Arc<Spool>)],
) -> impl Future<Output = anyhow::Result<Box<dyn LogGroup>>> + Send + use<> {
    let sources = lanes.iter().map(|(id, spool)| {
        let source: Arc<dyn LogSource> = Arc::new(SpoolSource::new(spool.clone(), id.clone()));
        source
    });
    let spools = FixedGroup::new(sources.collect());
    async move {
        let group: Box<dyn LogGroup> = match stream {
            Some(kafka) => Box::new(
                KafkaGroup::join(kafka)
                    .await
                    .context("cannot join the consumer group")?,
            ),
            None => Box::new(spools),
        };
        Ok(group)
    }
}
