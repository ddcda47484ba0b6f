//! The whole of `forebay.toml`: each part read by the crate whose settings it holds.

use std::{collections::BTreeMap, env, fs, path::PathBuf};

use forebay_alerts::AlertSettings;
#[cfg(feature = "lake")]
use forebay_compactor::{CompactorSettings, LAKE, RETENTION, RetentionSettings};
use forebay_config::{ConfigErrors, Document, Table};
use forebay_gateway::{
    GATEWAY, GatewaySettings, Source, SpoolSettings, connectors, gateway, spool,
};
#[cfg(feature = "lake")]
use forebay_jobs::Jobs;
use forebay_keys::KeySettings;
#[cfg(feature = "lake")]
use forebay_lake::LakeSettings;
use forebay_schemas::{GatewayId, Lane};
#[cfg(feature = "lake")]
use forebay_serve::ServeSettings;
use forebay_stream::kafka::{self, KafkaSettings, STREAM};
use forebay_telemetry::{TelemetrySettings, telemetry};

#[cfg(not(feature = "lake"))]
use forebay_config::{Describe, TableKeys};

use crate::{clock, owner, place::Place, registry};

/// Everything that the file says, or the defaults where there is none.
pub(crate) struct Config {
    pub(crate) gateway: GatewaySettings,
    pub(crate) spool: SpoolSettings,
    pub(crate) sources: Vec<Source>,
    /// None: the spool is the stream.
    pub(crate) stream: Option<KafkaSettings>,
    #[cfg(feature = "lake")]
    pub(crate) lake: LakeSettings,
    #[cfg(feature = "lake")]
    pub(crate) compactor: CompactorSettings,
    /// How long rows are kept.
    #[cfg(feature = "lake")]
    pub(crate) retention: RetentionSettings,
    /// Folder of the keyring.
    pub(crate) keys: PathBuf,
    #[cfg(feature = "lake")]
    pub(crate) jobs: Jobs,
    /// None: nobody asks over the network.
    #[cfg(feature = "lake")]
    pub(crate) serve: Option<ServeSettings>,
    /// What the file asks for and this build does not have.
    #[cfg(not(feature = "lake"))]
    pub(crate) not_in_build: Vec<&'static str>,
    pub(crate) telemetry: TelemetrySettings,
    /// What each table of the file says, as fingerprints.
    pub(crate) tables: BTreeMap<String, u64>,
    pub(crate) alerts: AlertSettings,
}

impl Config {
    /// Reads the place's configuration.
    ///
    /// Every error in the file comes at once, as one [`forebay_config::ConfigErrors`].
    pub(crate) fn load(place: &Place) -> anyhow::Result<Self> {
        let (file, text) = text_of(place)?;
        let environment = |name: &str| env::var(name).ok();
        Ok(Document::new(&file, &text, &environment).read(|root| Self::read(root, place))?)
    }

    /// As [`Config::load`], for processes that live on. What a large file took while it was read is freed on the thread that read
    /// it, and goes back to the system once that thread has ended; one that sleeps on would keep it.
    pub(crate) async fn load_aside(place: &Place) -> anyhow::Result<Self> {
        let place = place.clone();
        tokio::task::spawn_blocking(move || Self::load(&place)).await?
    }

    /// The data folder alone, for verbs that ask a running gateway: the rest of the file may be wrong.
    ///
    /// # Errors
    /// What is wrong with `[gateway]`.
    pub(crate) fn data_dir(place: &Place) -> anyhow::Result<PathBuf> {
        let (file, text) = text_of(place)?;
        let environment = |name: &str| env::var(name).ok();
        let read = |root: &mut Table<'_>| Some(gateway(root, &place.root)?.data_dir);
        Ok(Document::new(&file, &text, &environment).read_only(&["gateway"], read)?)
    }

    /// Something of `[[connector]]` alone: the rest of the file may be wrong. None where `read` finds none.
    ///
    /// # Errors
    /// What is wrong with what is read.
    pub(crate) fn connector<T>(
        place: &Place,
        read: impl FnOnce(&mut Table<'_>) -> Option<T>,
    ) -> anyhow::Result<Option<T>> {
        let (file, text) = text_of(place)?;
        let environment = |name: &str| env::var(name).ok();
        let mut found = None;
        let noted = Document::new(&file, &text, &environment).read_only(&["connector"], |root| {
            found = read(root);
            Some(())
        });
        noted?;
        Ok(found)
    }

    /// Every part is read before any is missed, so that all errors come at once.
    fn read(root: &mut Table<'_>, place: &Place) -> Option<Self> {
        let tables = root.fingerprints();
        let gateway = gateway(root, &place.root);
        let spool = spool(root);
        let stream = stream(root);
        #[cfg(feature = "lake")]
        let lake = lake(root);
        #[cfg(feature = "lake")]
        let retention = retention(root);
        let keys = KeySettings::read(root);
        let telemetry = telemetry(root);
        let alerts = AlertSettings::read(root);
        let id = gateway.as_ref().map_or_else(
            || GatewayId::new("unknown").ok(),
            |gateway| Some(gateway.id.clone()),
        )?;
        let data_dir = gateway
            .as_ref()
            .map_or_else(|| place.root.clone(), |gateway| gateway.data_dir.clone());
        let sources = connectors(root, registry::CONNECTORS, &clock::context(id, data_dir));
        #[cfg(feature = "lake")]
        let jobs = forebay_jobs::configure(root, registry::JOBS);
        #[cfg(feature = "lake")]
        let jobs = jobs.zip(gateway.as_ref()).map(|(mut jobs, gateway)| {
            jobs.spill_to(&gateway.data_dir.join("jobs-spill"));
            jobs
        });
        #[cfg(feature = "lake")]
        let serve = ServeSettings::read(root);
        #[cfg(not(feature = "lake"))]
        let not_in_build = not_in_build(root);
        let gateway = gateway?;
        let gateway = match (owner::of(&gateway.data_dir), &place.config) {
            // Without a configuration the folder itself says whose it is.
            (Some(owner), None) => GatewaySettings {
                id: GatewayId::new(&owner).unwrap_or(gateway.id),
                ..gateway
            },
            (Some(owner), Some(_)) if owner != gateway.id.as_str() => {
                root.problem(&GATEWAY, of_another(&gateway, &owner));
                gateway
            }
            _ => gateway,
        };
        let keys = keys.folder(&gateway.data_dir);
        #[cfg(feature = "lake")]
        let (lake, compactor) = lake?;
        Some(Self {
            spool: spool?,
            sources,
            stream,
            #[cfg(feature = "lake")]
            lake,
            #[cfg(feature = "lake")]
            compactor,
            #[cfg(feature = "lake")]
            retention: retention?,
            keys,
            #[cfg(feature = "lake")]
            jobs: jobs?,
            #[cfg(feature = "lake")]
            serve,
            #[cfg(not(feature = "lake"))]
            not_in_build,
            telemetry,
            tables,
            alerts: alerts?,
            gateway,
        })
    }

    /// Where the spools of all lanes lie.
    pub(crate) fn spools_path(&self) -> PathBuf {
        self.gateway.data_dir.join("spool")
    }

    /// Where a lane's spool lies.
    pub(crate) fn spool_path(&self, lane: Lane) -> PathBuf {
        self.spools_path().join(lane.to_string())
    }

    /// Where it is noted in which partition of Kafka each of a lane's epochs goes.
    pub(crate) fn places_path(&self, lane: Lane) -> PathBuf {
        self.spools_path().join(format!("{lane}.places"))
    }

    /// Where the scheduler keeps its runs.
    #[cfg(feature = "lake")]
    pub(crate) fn jobs_path(&self) -> PathBuf {
        self.gateway.data_dir.join("jobs.sqlite")
    }
}

/// What it takes to read a lake: verbs that only read need no more of the file, so that they answer while it is edited.
#[cfg(feature = "lake")]
pub(crate) struct Reading {
    /// Folder that everything is relative to.
    pub(crate) data_dir: PathBuf,
    pub(crate) lake: LakeSettings,
    /// Folder of the keyring.
    pub(crate) keys: PathBuf,
}

#[cfg(feature = "lake")]
impl Reading {
    /// Reads `[gateway]`, `[lake]` and `[keys]` of the place's configuration; whatever else is in it may be wrong.
    pub(crate) fn load(place: &Place) -> anyhow::Result<Self> {
        let (file, text) = text_of(place)?;
        let environment = |name: &str| env::var(name).ok();
        let read = |root: &mut Table<'_>| {
            let gateway = gateway(root, &place.root);
            let lake = lake(root);
            let keys = KeySettings::read(root);
            let data_dir = gateway?.data_dir;
            let keys = keys.folder(&data_dir);
            let (lake, _) = lake?;
            Some(Self {
                data_dir,
                lake,
                keys,
            })
        };
        Ok(Document::new(&file, &text, &environment)
            .read_only(&["gateway", "lake", "keys"], read)?)
    }
}

/// The place's configuration file and its text; an empty one where there is none.
fn text_of(place: &Place) -> Result<(PathBuf, String), ConfigErrors> {
    match &place.config {
        Some(file) => {
            let text = fs::read_to_string(file)
                .map_err(|error| ConfigErrors::of_file(file, format!("cannot be read: {error}")))?;
            Ok((file.clone(), text))
        }
        None => Ok((place.expected.clone(), String::new())),
    }
}

/// Why a gateway must not start in a data folder.
fn of_another(gateway: &GatewaySettings, owner: &str) -> String {
    let (folder, id) = (gateway.data_dir.display(), gateway.id.as_str());
    format!(
        "the data folder {folder} belongs to gateway {owner:?}, while id is {id:?}: set id back, or give the other gateway a \
         data_dir of its own"
    )
}

/// Tables for roles that this build does not have, so that one file serves both builds. Without a stream nobody would empty
/// the spool.
#[cfg(not(feature = "lake"))]
fn not_in_build(root: &mut Table<'_>) -> Vec<&'static str> {
    const LAKE: TableKeys =
        TableKeys::one("lake", "Skipped in this build, which has no lake.", &[]);
    const RETENTION: TableKeys = TableKeys::one(
        "retention",
        "Skipped in this build, which has no lake.",
        &[],
    );
    const JOB: TableKeys = TableKeys::many("job", "Skipped in this build, which has no jobs.", &[]);
    const JOBS: TableKeys =
        TableKeys::one("jobs", "Skipped in this build, which has no jobs.", &[]);
    const SERVE: TableKeys =
        TableKeys::one("serve", "Skipped in this build, which has no lake.", &[]);
    let tables = [LAKE, RETENTION, JOBS, JOB, SERVE]
        .iter()
        .filter(|table| root.has(*table))
        .map(Describe::name)
        .collect();
    if !root.has(&STREAM) {
        root.problem(&STREAM, "missing: this build is for the edge alone and has no lake, so it must publish to Kafka");
    }
    tables
}

/// `[lake]`, which holds keys of the lake and of the compactor; everything in it has a default.
#[cfg(feature = "lake")]
fn lake(root: &mut Table<'_>) -> Option<(LakeSettings, CompactorSettings)> {
    let Some(mut table) = root.table(&LAKE) else {
        return Some((LakeSettings::default(), CompactorSettings::default()));
    };
    let lake = LakeSettings::read(&mut table);
    let compactor = CompactorSettings::read(&mut table);
    table.finish();
    lake.zip(compactor)
}

/// `[retention]`; without it everything is kept.
#[cfg(feature = "lake")]
fn retention(root: &mut Table<'_>) -> Option<RetentionSettings> {
    let Some(mut table) = root.table(&RETENTION) else {
        return Some(RetentionSettings::default());
    };
    let retention = RetentionSettings::read(&mut table);
    table.finish();
    retention
}

/// `[stream]`; none where it is absent, and where it is wrong, which is noted.
fn stream(root: &mut Table<'_>) -> Option<KafkaSettings> {
    let mut table = root.table(&STREAM)?;
    let kind = table.read(&kafka::KIND);
    if !table.has(&kafka::KIND) {
        table.problem(
            &kafka::KIND,
            "missing; \"kafka\" is expected, or no [stream] at all: then the spool is the stream",
        );
    }
    let settings = KafkaSettings::read(&mut table);
    table.finish();
    kind.and(settings)
}

#[cfg(test)]
mod tests;
