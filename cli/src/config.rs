//! The whole of `forebay.toml`: each part read by the crate whose settings it holds.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use forebay_compactor::{LakeSettings, lake_settings};
use forebay_config::{Document, Table};
use forebay_gateway::{GatewaySettings, Source, SpoolSettings, connectors, gateway, spool};

use crate::{clock, place::Place, registry};

/// Everything that the file says, or the defaults where there is none.
pub(crate) struct Config {
    pub(crate) gateway: GatewaySettings,
    pub(crate) spool: SpoolSettings,
    pub(crate) sources: Vec<Source>,
    pub(crate) lake: LakeSettings,
    /// Folder of the keyring.
    pub(crate) keys: PathBuf,
}

impl Config {
    /// Reads the place's configuration.
    ///
    /// Every error in the file comes at once, as one [`forebay_config::ConfigErrors`].
    pub(crate) fn load(place: &Place) -> anyhow::Result<Self> {
        let (file, text) = match &place.config {
            Some(file) => {
                let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
                (file.clone(), text)
            }
            None => (place.root.join(crate::place::CONFIG_FILE), String::new()),
        };
        let environment = |name: &str| env::var(name).ok();
        Ok(Document::new(&file, &text, &environment).read(|root| Self::read(root, &place.root))?)
    }

    fn read(root: &mut Table<'_>, beside: &Path) -> Option<Self> {
        let gateway = gateway(root, beside);
        let spool = spool(root);
        let lake = lake_settings(root);
        let keys = keys(root);
        let sources = connectors(root, &registry::CONNECTORS, &clock::context());
        let gateway = gateway?;
        let keys = keys.map_or_else(|| gateway.data_dir.join("keys"), |path| beside.join(path));
        Some(Self { spool: spool?, sources, lake: lake?, keys, gateway })
    }
}

/// `[keys]`: the folder of the file keyring, where it is named.
fn keys(root: &mut Table<'_>) -> Option<PathBuf> {
    let mut table = root.table("keys")?;
    match table.optional::<String>("provider").as_deref() {
        None | Some("file") => {}
        Some(other @ ("vault" | "aws-kms")) => {
            table.problem("provider", format!("{other:?} is not in this release: use \"file\""));
        }
        Some(other) => table.problem("provider", format!("{other:?} is none of \"file\", \"vault\", \"aws-kms\"")),
    }
    let path = table.optional("path");
    table.finish();
    path
}
