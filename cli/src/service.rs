//! The roles of one process: started together, stopped in the order of the flow, so that nothing is left half-way.
//!
//! What lies behind the spool may fail and is restarted (`part`); the lake is opened while devices are read (`lake_door`).

mod alerts;
#[cfg(feature = "lake")]
mod lake_door;
#[cfg(feature = "lake")]
mod lake_roles;
mod lanes;
mod part;
#[cfg(feature = "lake")]
mod serve;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use anyhow::anyhow;
use forebay_alerts::AlertProgress;
use forebay_gateway::{Edge, EdgeControl, EdgeStatus, Run, SeriesFolder};
use forebay_runtime::LockFile;
use forebay_schemas::{Lane, LaneId, Timestamp};
use forebay_stream::{
    LogReader, LogWriter, Offset,
    kafka::{KafkaSettings, publish},
    local::{Options, Spool, SpoolKey},
};
use tokio::{
    select,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    clock::{clock, now, random},
    config::Config,
    keyring::KeyringPlace,
    lock::take_role,
    owner,
    role::Role,
};
use alerts::AlertParts;
#[cfg(feature = "lake")]
use lake_roles::{LakeRoles, check_roles};
#[cfg(feature = "lake")]
pub(crate) use lake_roles::{LakeWatch, held};
#[cfg(feature = "lake")]
pub(crate) use lanes::to_open as lanes_to_open;
use part::{OnFailure, Part, Task};

/// Secret of the keyring under which spools are sealed.
pub(crate) const SPOOL_SECRET: &str = "forebay.spool";
/// Secret of the keyring under which it is sealed what series said last.
const SERIES_SECRET: &str = "forebay.series";
/// The part that comes last.
const SCHEDULER: &str = "scheduler";
/// How long a part may take to stop, on top of what it allows itself.
const STOP_MAX: Duration = Duration::from_secs(30);

/// What can be watched while it runs.
#[derive(Clone, Default)]
pub(crate) struct Watch {
    /// The data folder; none before the service is open.
    pub(crate) data_dir: Option<PathBuf>,
    /// How often each part has failed.
    pub(crate) failures: Vec<(&'static str, Arc<AtomicU64>)>,
    /// The connectors' counters; empty without the edge.
    pub(crate) edge: EdgeStatus,
    /// What the roles on the lake have done.
    #[cfg(feature = "lake")]
    pub(crate) lake: LakeWatch,
    /// The lanes; none without the edge.
    pub(crate) lanes: Vec<LaneWatch>,
    /// What can be asked of the edge; none without it.
    pub(crate) control: Option<EdgeControl>,
    /// How alerts stand; empty without that role.
    pub(crate) alerts: Arc<AlertProgress>,
}

/// One lane's spool, and how many of its readings Kafka has acknowledged; none where there is no Kafka.
#[derive(Clone)]
pub(crate) struct LaneWatch {
    pub(crate) lane: Lane,
    pub(crate) spool: Arc<Spool>,
    pub(crate) published: Option<Arc<AtomicU64>>,
}

/// The roles, open and ready to run.
pub(crate) struct Service {
    parts: Vec<Part>,
    lanes: Vec<(LaneId, Arc<Spool>)>,
    series: Option<SeriesFolder>,
    watch: Watch,
    _locks: Vec<LockFile>,
}

impl Service {
    /// Opens what the roles need on this machine; nothing has been read from a device when this fails.
    pub(crate) async fn open(config: Config, roles: &[Role]) -> anyhow::Result<Self> {
        #[cfg(feature = "lake")]
        check_roles(&config, roles)?;
        let mut locks = Vec::new();
        for role in roles {
            locks.push(take_role(&config.gateway.data_dir, role.name())?);
        }
        #[cfg(not(feature = "lake"))]
        for table in &config.not_in_build {
            warn!(table, "skipped: this build is for the edge alone");
        }
        let keys = KeyringPlace::of(&config);
        let (parts, lanes) = (Vec::new(), Vec::new());
        let watch = Watch {
            data_dir: Some(config.gateway.data_dir.clone()),
            ..Watch::default()
        };
        let mut service = Self {
            parts,
            lanes,
            series: None,
            watch,
            _locks: locks,
        };
        if roles.contains(&Role::Edge) {
            service.lanes = open_lanes(&config, &keys).await?;
            service.series = Some(series_folder(&config, &keys).await?);
        }
        service.compose(config, roles)?;
        Ok(service)
    }

    /// What can be watched while it runs.
    pub(crate) fn watch(&self) -> Watch {
        self.watch.clone()
    }

    /// Runs until `stop`, then stops part by part from the devices to the jobs, which get `linger` to take what has just been
    /// closed. A part that cannot be restarted stops the rest.
    pub(crate) async fn run(self, stop: CancellationToken, linger: Duration) -> anyhow::Result<()> {
        let mut running: Vec<(
            &'static str,
            CancellationToken,
            JoinHandle<anyhow::Result<()>>,
        )> = Vec::new();
        let ended = CancellationToken::new();
        for part in self.parts {
            let (name, stop, ended) = (part.name, part.stop.clone(), ended.clone());
            let watched = async move {
                let _ended = ended.drop_guard();
                part.run().await
            };
            running.push((name, stop, tokio::spawn(watched)));
        }
        select! {
            () = stop.cancelled() => info!("stopping: flushing accepted readings"),
            () = ended.cancelled() => error!("a part has ended, stopping the others"),
        }
        let stops: Vec<_> = running
            .iter()
            .map(|(name, stop, _)| (*name, stop.clone()))
            .collect();
        let mut first = None;
        for (name, _, mut task) in running {
            if name == SCHEDULER && !linger.is_zero() {
                sleep(linger).await;
            }
            // Parts of one name, such as the publishers of many lanes, stop together.
            stops
                .iter()
                .filter(|(other, _)| *other == name)
                .for_each(|(_, stop)| stop.cancel());
            let outcome = match timeout(STOP_MAX, &mut task).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) => Err(anyhow!(
                    "the {name} panicked, which is a defect of this program"
                )),
                Err(_) => {
                    task.abort();
                    Err(anyhow!(
                        "the {name} did not stop within {} s and was cut off",
                        STOP_MAX.as_secs()
                    ))
                }
            };
            if let Err(error) = outcome {
                error!(
                    part = name,
                    error = format!("{error:#}"),
                    "stopped with an error"
                );
                first.get_or_insert(error);
            }
        }
        let sources = self.watch.edge.sources();
        let spooled = sources.iter().map(|(_, source)| source.spooled()).sum();
        for (lane, spool) in self.lanes {
            let records = spool.waiting();
            if holds_readings(records, spooled) {
                info!(lane = %lane.lane, records, "readings are left in the spool: they are sent on after the next start");
            }
            if let Err(error) = spool.writer().close().await {
                error!(lane = %lane.lane, %error, "the spool's epoch could not be ended: the next start ends it");
            }
        }
        first.map_or(Ok(()), Err)
    }

    /// Adds the parts in the order of the flow, in which they are stopped.
    fn compose(&mut self, config: Config, roles: &[Role]) -> anyhow::Result<()> {
        let alerts = AlertParts::of(&config);
        #[cfg(feature = "lake")]
        let mut config = config;
        #[cfg(feature = "lake")]
        let lake_roles = LakeRoles::of(&mut config);
        #[cfg(feature = "lake")]
        let lake_facts = self.lake_facts(&lake_roles, &alerts, roles);
        let places: Vec<PathBuf> = self
            .lanes
            .iter()
            .map(|(id, _)| config.places_path(id.lane))
            .collect();
        let Config {
            gateway,
            sources,
            stream,
            ..
        } = config;
        let behind = match roles.contains(&Role::Edge) {
            true => OnFailure::Restart,
            false => OnFailure::RestartIfPassing,
        };
        if roles.contains(&Role::Edge) {
            let writers: BTreeMap<Lane, Arc<dyn LogWriter>> = self
                .lanes
                .iter()
                .map(|(id, spool)| (id.lane, Arc::new(spool.writer()) as Arc<dyn LogWriter>))
                .collect();
            let receipts = self
                .lanes
                .iter()
                .map(|(id, spool)| (id.lane, spool.opened().receipts.clone()))
                .collect();
            let series = self.series.take();
            let stored_at = self
                .lanes
                .iter()
                .filter_map(|(_, spool)| spool.opened().stored_at)
                .max();
            let (site, lanes) = (gateway.site, gateway.lanes);
            let run = Run {
                site,
                lanes,
                writers,
                receipts,
                stored_at,
                series,
                clock: clock(),
            };
            let edge = Edge::new(run, sources);
            self.watch.edge = edge.status();
            self.watch.control = Some(edge.control());
            let mut edge = Some(edge);
            self.add("edge", OnFailure::RestartIfPassing, move |stop| {
                let edge = edge.take()?;
                Some(Box::pin(async move { Ok(edge.run(stop).await?) }))
            });
            for ((id, spool), path) in self.lanes.clone().into_iter().zip(places) {
                let published = stream.as_ref().map(|_| Arc::new(AtomicU64::new(0)));
                self.watch.lanes.push(LaneWatch {
                    lane: id.lane,
                    spool: spool.clone(),
                    published: published.clone(),
                });
                let Some((kafka, published)) = stream.clone().zip(published) else {
                    continue;
                };
                self.add("publisher", behind, move |stop| {
                    let (kafka, spool, id, path) =
                        (kafka.clone(), spool.clone(), id.clone(), path.clone());
                    Some(Box::pin(publish_lane(
                        kafka,
                        spool,
                        id,
                        path,
                        published.clone(),
                        stop,
                    )))
                });
            }
        }
        #[cfg(feature = "lake")]
        self.add_lake_roles(lake_roles, stream, behind, roles);
        if roles.contains(&Role::Alerts) {
            self.add_alerts(
                alerts,
                behind,
                #[cfg(feature = "lake")]
                lake_facts,
            );
        }
        Ok(())
    }

    fn add(
        &mut self,
        name: &'static str,
        on_failure: OnFailure,
        begin: impl FnMut(CancellationToken) -> Option<Task> + Send + 'static,
    ) {
        let failures = Arc::<AtomicU64>::default();
        self.watch.failures.push((name, failures.clone()));
        self.parts.push(Part {
            name,
            stop: CancellationToken::new(),
            on_failure,
            begin: Box::new(begin),
            failures,
        });
    }
}

/// Whether readings are among the records that a spool has not forgotten. A single one is the end of the epoch before, unless
/// `spooled` readings came behind that: records are forgotten in their order.
fn holds_readings(records: u64, spooled: u64) -> bool {
    records > 1 || (records == 1 && spooled > 0)
}

async fn publish_lane(
    settings: KafkaSettings,
    spool: Arc<Spool>,
    lane: LaneId,
    places: PathBuf,
    published: Arc<AtomicU64>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let log = Box::new(move |from: Offset| Box::new(spool.reader(from)) as Box<dyn LogReader>);
    Ok(publish(settings, log, lane, places, published, stop).await?)
}

async fn series_folder(config: &Config, keys: &KeyringPlace) -> anyhow::Result<SeriesFolder> {
    let key = keys.derived_key(SERIES_SECRET).await?;
    Ok(SeriesFolder {
        path: config.gateway.data_dir.join("series"),
        key,
        random: random(),
    })
}

async fn open_lanes(
    config: &Config,
    keys: &KeyringPlace,
) -> anyhow::Result<Vec<(LaneId, Arc<Spool>)>> {
    let key = keys.derived_key(SPOOL_SECRET).await?;
    let opened: Timestamp = now()?;
    owner::claim(&config.gateway.data_dir, &config.gateway.id)?;
    let mut lanes = Vec::new();
    let configured = config.gateway.lanes.0;
    for lane in lanes::to_open(configured, &config.spools_path())? {
        let id = LaneId {
            gateway: config.gateway.id.clone(),
            lane,
        };
        let options = Options {
            path: config.spool_path(id.lane),
            lane: id.clone(),
            key: SpoolKey::new(key),
            limits: config.spool.limits,
            now: opened,
            random: random(),
        };
        let spool = Spool::open(options).await?;
        if lane.0 >= configured.get() && spool.waiting() > 1 {
            warn!(%lane, records = spool.waiting(), "a lane is no longer configured, draining its spool");
        }
        lanes.push((id, Arc::new(spool)));
    }
    Ok(lanes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spool_with_the_end_of_an_epoch_alone_holds_no_readings() {
        let table = [
            (0, 0, false),
            (1, 0, false),
            (1, 7, true),
            (2, 0, true),
            (0, 7, false),
        ];
        for (records, spooled, expected) in table {
            assert_eq!(
                holds_readings(records, spooled),
                expected,
                "{records} {spooled}"
            );
        }
    }
}
