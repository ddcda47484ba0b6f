//! The role of alerts: facts of this process and of its lake, handed to the rules.
//!
//! What this process does not have (no edge here, no lake, no jobs) is not read: rules over it stay as they are, and the start
//! says so. A lake that is out of reach holds up no other fact.

#[cfg(feature = "lake")]
mod lake;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use forebay_alerts::{
    AlertRun, AlertSettings, Fact, FactSource, Facts, Measure, Sender, StateFolder, Subject,
};
use forebay_gateway::{EdgeStatus, SourceStatus};
use forebay_schemas::{DeviceId, SiteId, Timestamp};
use tracing::warn;

use super::{LaneWatch, Service, part::OnFailure};
use crate::{
    clock::{clock, uniform},
    config::Config,
    role::Role,
};

#[cfg(feature = "lake")]
pub(super) use lake::LakeFacts;

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
            started: clock(),
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
    /// A device that was not heard since is silent from then on.
    started: Timestamp,
    #[cfg(feature = "lake")]
    lake: LakeFacts,
}

#[async_trait]
impl FactSource for ServiceFacts {
    async fn facts(&self) -> Facts {
        let mut facts = Facts::default();
        if self.has(Subject::DeviceSilent) {
            let sources = self.edge.sources();
            let found = sources
                .iter()
                .flat_map(|(name, status)| self.of_connector(name, status));
            facts.facts.extend(found);
            facts.read.insert(Subject::DeviceSilent);
        }
        match disk(&self.data_dir, &self.site) {
            Some(disk) => {
                facts.facts.push(disk);
                facts.read.insert(Subject::Disk);
            }
            None => warn!(folder = %self.data_dir.display(), "reading how full the disk is failed"),
        }
        if self.has(Subject::Spool) {
            let found = self.lanes.iter().filter_map(|lane| self.of_lane(lane));
            facts.facts.extend(found);
            facts.read.insert(Subject::Spool);
        }
        #[cfg(feature = "lake")]
        self.lake.add_to(&mut facts).await;
        facts
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

    fn of_connector(&self, connector: &str, status: &SourceStatus) -> Vec<Fact> {
        let down = status.down().map(|reason| format!("link down, {reason}"));
        let fact = |(device, heard): (DeviceId, Option<Timestamp>)| {
            let labels = [
                ("device", device.as_str()),
                ("connector", connector),
                ("site", self.site.as_str()),
            ];
            let at = Measure::At(heard.unwrap_or(self.started));
            let mut fact = Fact::new(Subject::DeviceSilent, &labels, at);
            fact.note.clone_from(&down);
            fact
        };
        status.devices().into_iter().map(fact).collect()
    }

    /// None where its folder cannot be read, which is so while a segment is deleted.
    fn of_lane(&self, lane: &LaneWatch) -> Option<Fact> {
        let lane_name = lane.lane.to_string();
        let bytes = bytes_in(&self.spools.join(&lane_name))?;
        let percent = bytes as f64 * 100.0 / self.spool_bytes_max.max(1) as f64;
        let labels = [("lane", lane_name.as_str()), ("site", self.site.as_str())];
        let mut fact = Fact::new(Subject::Spool, &labels, Measure::Number(percent));
        fact.note = Some(format!("{} records wait", lane.spool.waiting()));
        Some(fact)
    }
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

fn bytes_in(folder: &Path) -> Option<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).ok()? {
        bytes += entry.ok()?.metadata().ok()?.len();
    }
    Some(bytes)
}
