//! The whole of `forebay.toml`: each part read by the crate whose settings it holds.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use forebay_compactor::{LakeSettings, lake_settings};
use forebay_config::{ConfigErrors, Document, Problem, Table};
use forebay_gateway::{GatewaySettings, Source, SpoolSettings, connectors, gateway, spool};
use forebay_jobs::Jobs;
use forebay_schemas::{GatewayId, Lane};
use forebay_stream::kafka::KafkaSettings;
use forebay_telemetry::{TelemetrySettings, telemetry};

use crate::{clock, owner, place::Place, registry};

/// Everything that the file says, or the defaults where there is none.
pub(crate) struct Config {
    pub(crate) gateway: GatewaySettings,
    pub(crate) spool: SpoolSettings,
    pub(crate) sources: Vec<Source>,
    /// None: the spool is the stream.
    pub(crate) stream: Option<KafkaSettings>,
    pub(crate) lake: LakeSettings,
    /// Folder of the keyring.
    pub(crate) keys: PathBuf,
    pub(crate) jobs: Jobs,
    pub(crate) telemetry: TelemetrySettings,
}

impl Config {
    /// Reads the place's configuration.
    ///
    /// Every error in the file comes at once, as one [`forebay_config::ConfigErrors`].
    pub(crate) fn load(place: &Place) -> anyhow::Result<Self> {
        let (file, text) = match &place.config {
            Some(file) => {
                let text =
                    fs::read_to_string(file).map_err(|error| unusable(file, format!("cannot be read: {error}")))?;
                (file.clone(), text)
            }
            None => (place.expected.clone(), String::new()),
        };
        let environment = |name: &str| env::var(name).ok();
        Ok(Document::new(&file, &text, &environment).read(|root| Self::read(root, place))?)
    }

    /// Every part is read before any is missed, so that all errors come at once.
    fn read(root: &mut Table<'_>, place: &Place) -> Option<Self> {
        let gateway = gateway(root, &place.root);
        let spool = spool(root);
        let stream = stream(root);
        let lake = match root.table("lake") {
            Some(mut table) => {
                let settings = lake_settings(&mut table);
                table.finish();
                settings
            }
            None => Some(LakeSettings::default()),
        };
        let keys = keys(root);
        let telemetry = telemetry(root);
        let id = gateway.as_ref().map_or_else(|| GatewayId::new("unknown").ok(), |gateway| Some(gateway.id.clone()))?;
        let data_dir = gateway.as_ref().map_or_else(|| place.root.clone(), |gateway| gateway.data_dir.clone());
        let sources = connectors(root, &registry::CONNECTORS, &clock::context(id, data_dir));
        let jobs = forebay_jobs::configure(root, &registry::JOBS);
        let gateway = gateway?;
        let gateway = match (owner::of(&gateway.data_dir), &place.config) {
            // Without a configuration the folder itself says whose it is.
            (Some(owner), None) => GatewaySettings { id: GatewayId::new(&owner).unwrap_or(gateway.id), ..gateway },
            (Some(owner), Some(_)) if owner != gateway.id.as_str() => {
                root.problem("gateway", of_another(&gateway, &owner));
                gateway
            }
            _ => gateway,
        };
        let keys = keys.unwrap_or_else(|| gateway.data_dir.join("keys"));
        Some(Self { spool: spool?, sources, stream, lake: lake?, keys, jobs: jobs?, telemetry, gateway })
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
    pub(crate) fn jobs_path(&self) -> PathBuf {
        self.gateway.data_dir.join("jobs.sqlite")
    }
}

/// What is wrong with a file as a whole.
pub(crate) fn unusable(file: &Path, message: impl Into<String>) -> ConfigErrors {
    let problem = Problem { line: 1, column: 1, message: message.into() };
    ConfigErrors { file: file.to_owned(), problems: vec![problem] }
}

/// Why a gateway must not start in a data folder.
fn of_another(gateway: &GatewaySettings, owner: &str) -> String {
    let (folder, id) = (gateway.data_dir.display(), gateway.id.as_str());
    format!(
        "the data folder {folder} belongs to gateway {owner:?}, while id is {id:?}: set id back, or give the other gateway a \
         data_dir of its own"
    )
}

/// `[stream]`; none where it is absent, and where it is wrong, which is noted.
fn stream(root: &mut Table<'_>) -> Option<KafkaSettings> {
    let mut table = root.table("stream")?;
    let kind = table.choice("kind", &[("kafka", ())]);
    if !table.has("kind") {
        table.problem("kind", "missing; \"kafka\" is expected, or no [stream] at all: then the spool is the stream");
    }
    let settings = KafkaSettings::read(&mut table);
    table.finish();
    kind.and(settings)
}

/// `[keys]`: the folder of the file keyring, where it is named.
fn keys(root: &mut Table<'_>) -> Option<PathBuf> {
    let mut table = root.table("keys")?;
    let providers = [("file", None), ("vault", Some("vault")), ("aws-kms", Some("aws-kms"))];
    if let Some(Some(other)) = table.choice("provider", &providers) {
        table.problem("provider", format!("{other:?} is not in this release: use \"file\""));
    }
    let path = table.path("path");
    table.finish();
    path
}
