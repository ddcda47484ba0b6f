//! The role of alerts: facts of this process and of its lake, handed to the rules.
//!
//! What this process does not have (no edge here, no lake, no jobs) is not read: rules over it stay as they are, and the start
//! says so. A lake that is out of reach holds up no other fact.

#[cfg(feature = "lake")]
mod acknowledge;
#[cfg(feature = "lake")]
mod lake;

use std::{
    collections::BTreeMap,
    fs, io, mem,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use forebay_alerts::{
    AlertRun, AlertSettings, Fact, FactSource, Facts, Measure, Sender, StateFolder, Subject,
};
use forebay_gateway::EdgeStatus;
use forebay_schemas::{Clock, DeviceId, SiteId, Timestamp};
use tokio::time::Instant;
use tracing::warn;

use super::{LaneWatch, Service, part::OnFailure};
use crate::{
    clock::{clock, uniform},
    config::Config,
    role::Role,
};

#[cfg(feature = "lake")]
pub(super) use lake::{LakeAsks, LakeFacts};

/// So long connectors may take to recall the devices that they knew: until then what is missing is not gone.
const RECALL_MAX: Duration = Duration::from_secs(10);

/// What the alerts need of the configuration, which gives the rest away.
pub(super) struct AlertParts {
    settings: AlertSettings,
    sender: Sender,
    data_dir: PathBuf,
    spools: PathBuf,
    spool_bytes_max: u64,
}

impl AlertParts {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            settings: config.alerts.clone(),
            sender: Sender {
                gateway: config.gateway.id.clone(),
                site: config.gateway.site.clone(),
            },
            data_dir: config.gateway.data_dir.clone(),
            spools: config.spools_path(),
            spool_bytes_max: config.spool.limits.bytes_max(),
        }
    }

    #[cfg(feature = "lake")]
    pub(super) fn lake_every(&self) -> std::time::Duration {
        self.settings.lake_every
    }

    #[cfg(feature = "lake")]
    pub(super) fn gateway(&self) -> forebay_schemas::GatewayId {
        self.sender.gateway.clone()
    }
}

impl Service {
    /// Adds the role behind all others, whose counters it looks at.
    pub(super) fn add_alerts(
        &mut self,
        parts: AlertParts,
        behind: OnFailure,
        #[cfg(feature = "lake")] lake: LakeFacts,
    ) {
        let clock = clock();
        let source = Arc::new(ServiceFacts {
            site: parts.sender.site.clone(),
            data_dir: parts.data_dir.clone(),
            spools: parts.spools,
            spool_bytes_max: parts.spool_bytes_max,
            edge: self.watch.edge.clone(),
            lanes: self.watch.lanes.clone(),
            unheard: Mutex::default(),
            clock: clock.clone(),
            begun: Instant::now(),
            #[cfg(feature = "lake")]
            lake,
        });
        for rule in &parts.settings.rules {
            if !source.has(rule.subject) {
                let (alert, on) = (&rule.name, rule.subject.name());
                warn!(
                    alert,
                    on, "skipped: this process does not have what the alert is about"
                );
            }
        }
        let (settings, sender) = (parts.settings, parts.sender);
        let (data_dir, progress) = (parts.data_dir, self.watch.alerts.clone());
        self.add(Role::Alerts.name(), behind, move |stop| {
            let run = AlertRun {
                settings: settings.clone(),
                source: source.clone(),
                sender: sender.clone(),
                folder: StateFolder::new(&data_dir),
                clock: clock.clone(),
                uniform: uniform(),
                progress: progress.clone(),
            };
            Some(Box::pin(async move {
                Ok(forebay_alerts::run(run, stop).await?)
            }))
        });
    }
}

/// The facts of one process.
struct ServiceFacts {
    site: SiteId,
    data_dir: PathBuf,
    spools: PathBuf,
    spool_bytes_max: u64,
    edge: EdgeStatus,
    lanes: Vec<LaneWatch>,
    unheard: Mutex<Unheard>,
    clock: Clock,
    begun: Instant,
    #[cfg(feature = "lake")]
    lake: LakeFacts,
}

/// A connector's devices that were not heard yet, and since when each is known: at the start, or after a reload.
type Unheard = BTreeMap<(String, DeviceId), Timestamp>;

#[async_trait]
impl FactSource for ServiceFacts {
    async fn facts(&self) -> Facts {
        let mut facts = Facts::default();
        if self.has(Subject::DeviceSilent) {
            facts.facts.extend(self.devices());
            if self.begun.elapsed() >= RECALL_MAX {
                facts.read.insert(Subject::DeviceSilent);
            }
        }
        match disk(&self.data_dir, &self.site) {
            Some(disk) => {
                facts.facts.push(disk);
                facts.read.insert(Subject::Disk);
            }
            None => warn!(folder = %self.data_dir.display(), "reading how full the disk is failed"),
        }
        if self.has(Subject::Spool) {
            add_lanes(&mut facts, self.lanes.iter().map(|lane| self.of_lane(lane)));
        }
        #[cfg(feature = "lake")]
        self.lake.add_to(&mut facts).await;
        self.name_devices(&mut facts.facts);
        facts
    }

    #[cfg(feature = "lake")]
    fn taken_up(&self, warnings: Vec<forebay_alerts::TakenUp>) {
        self.lake.taken_up(warnings);
    }
}

impl ServiceFacts {
    /// Whether this process can ever read facts of this subject.
    fn has(&self, subject: Subject) -> bool {
        match subject {
            Subject::Disk => true,
            Subject::DeviceSilent | Subject::Spool => !self.lanes.is_empty(),
            #[cfg(feature = "lake")]
            subject => self.lake.has(subject),
            #[cfg(not(feature = "lake"))]
            _ => false,
        }
    }

    fn devices(&self) -> Vec<Fact> {
        let now = (self.clock)();
        let mut unheard = self.unheard.lock().unwrap_or_else(PoisonError::into_inner);
        let before = mem::take(&mut *unheard);
        let mut facts = Vec::new();
        for (connector, status) in self.edge.sources() {
            let down = status.down().map(|reason| format!("link down, {reason}"));
            for (device, heard) in status.devices() {
                let labels = [
                    ("device", device.as_str()),
                    ("connector", &connector),
                    ("site", self.site.as_str()),
                ];
                let known = (connector.clone(), device.clone());
                let measure = silence(known, heard, &before, &mut unheard, now);
                let mut fact = Fact::new(Subject::DeviceSilent, &labels, measure);
                fact.note.clone_from(&down);
                facts.push(fact);
            }
        }
        facts
    }

    /// Says of devices with pseudonyms what they are called here.
    fn name_devices(&self, facts: &mut [Fact]) {
        let mut own = BTreeMap::new();
        for (_, status) in self.edge.sources() {
            own.extend(status.own_names());
        }
        if own.is_empty() {
            return;
        }
        for fact in facts {
            let called = fact.labels.get("device");
            let called = called.and_then(|device| DeviceId::new(device).ok());
            let name = called.and_then(|called| own.get(&called));
            fact.own_device = name.map(|name| name.as_str().to_owned());
        }
    }

    fn of_lane(&self, lane: &LaneWatch) -> io::Result<Fact> {
        let lane_name = lane.lane.to_string();
        let bytes = bytes_in(&self.spools.join(&lane_name))?;
        let percent = bytes as f64 * 100.0 / self.spool_bytes_max.max(1) as f64;
        let labels = [("lane", lane_name.as_str()), ("site", self.site.as_str())];
        let mut fact = Fact::new(Subject::Spool, &labels, Measure::Number(percent));
        fact.note = Some(format!("{} records wait", lane.spool.waiting()));
        Ok(fact)
    }
}

/// Since when a device is silent: since it was heard, else at least since it is known.
fn silence(
    device: (String, DeviceId),
    heard: Option<Timestamp>,
    before: &Unheard,
    unheard: &mut Unheard,
    now: Timestamp,
) -> Measure {
    let Some(heard) = heard else {
        let since = before.get(&device).copied().unwrap_or(now);
        unheard.insert(device, since);
        return Measure::NotSince(since);
    };
    Measure::At(heard)
}

/// How full a folder's disk is for those who are not root; none where it cannot be asked.
fn disk(folder: &Path, site: &SiteId) -> Option<Fact> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    let used = disk.f_blocks.checked_sub(disk.f_bfree)?;
    // As df(1) has it: what is kept for root counts for neither.
    let all = used.checked_add(disk.f_bavail).filter(|all| *all > 0)?;
    let percent = used as f64 * 100.0 / all as f64;
    let folder = folder.display().to_string();
    let labels = [("folder", folder.as_str()), ("site", site.as_str())];
    let mut fact = Fact::new(Subject::Disk, &labels, Measure::Number(percent));
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    fact.note = Some(format!("{:.1} GB are free", free as f64 / 1e9));
    Some(fact)
}

/// Adds the spools if every lane's could be read: the others would count as gone, and their alerts as over.
fn add_lanes(facts: &mut Facts, lanes: impl Iterator<Item = io::Result<Fact>>) {
    match lanes.collect::<io::Result<Vec<Fact>>>() {
        Ok(found) => {
            facts.facts.extend(found);
            facts.read.insert(Subject::Spool);
        }
        Err(error) => warn!(%error, "reading how full the spools are failed, retrying"),
    }
}

/// The bytes of a folder's files. One that vanishes meanwhile, as a segment that is delivered, has none.
fn bytes_in(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        bytes += match entry?.metadata() {
            Ok(file) => file.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_device_that_was_not_heard_counts_from_when_it_is_known() {
        let second = |n: i64| Timestamp::from_nanos(n * 1_000_000_000);
        let mut unheard = Unheard::new();
        let mut look = |at: i64, devices: &[(&str, Option<i64>)]| -> Vec<Measure> {
            let before = mem::take(&mut unheard);
            let measure = |(name, heard): &(&str, Option<i64>)| {
                let device = ("c".to_owned(), DeviceId::new(name).unwrap());
                silence(device, heard.map(second), &before, &mut unheard, second(at))
            };
            devices.iter().map(measure).collect()
        };
        let (at, not_since) = (|n| Measure::At(second(n)), |n| Measure::NotSince(second(n)));
        assert_eq!(look(1, &[("a", None)]), [not_since(1)]);
        // One more comes with a reload.
        let both = look(900, &[("a", None), ("b", None)]);
        assert_eq!(both, [not_since(1), not_since(900)]);
        let heard = look(901, &[("a", Some(901)), ("b", None)]);
        assert_eq!(heard, [at(901), not_since(900)]);
    }

    #[test]
    fn a_lane_that_cannot_be_read_leaves_all_spools_unknown() {
        let spools = TempDir::new().unwrap();
        let lane = |name: &str| -> io::Result<Fact> {
            let bytes = bytes_in(&spools.path().join(name))?;
            let labels = [("lane", name)];
            let measure = Measure::Number(bytes as f64);
            Ok(Fact::new(Subject::Spool, &labels, measure))
        };
        fs::create_dir(spools.path().join("live")).unwrap();
        fs::write(spools.path().join("live/1"), "12345").unwrap();
        let mut facts = Facts::default();
        add_lanes(&mut facts, ["live", "backfill"].into_iter().map(lane));
        assert!(facts.facts.is_empty() && facts.read.is_empty(), "{facts:?}");
        fs::create_dir(spools.path().join("backfill")).unwrap();
        add_lanes(&mut facts, ["live", "backfill"].into_iter().map(lane));
        let found: Vec<_> = facts.facts.into_iter().map(|fact| fact.measure).collect();
        assert_eq!(found, [Measure::Number(5.0), Measure::Number(0.0)]);
        assert!(facts.read.contains(&Subject::Spool));
    }
}
