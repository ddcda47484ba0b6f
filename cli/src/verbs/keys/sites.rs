//! Keys of sites, made beside the keyring's own.

use anyhow::Context as _;
use forebay_keys::{FileKeyring, site_key_name};
use forebay_lake::ensure_site_keys;
use forebay_schemas::SiteId;

use crate::{config::Config, store::Store};

#[derive(clap::Args)]
pub(crate) struct SiteArgs {
    /// Makes this site's key as well, for a place where the keyring is read-only; adds it to a keyring that is there.
    #[arg(long, value_name = "S")]
    site: Vec<String>,
}

impl SiteArgs {
    /// The sites, whose names are checked.
    pub(super) fn sites(self) -> anyhow::Result<Sites> {
        let site = |name: String| {
            SiteId::new(&name).with_context(|| format!("{name:?} is not a valid site name"))
        };
        Ok(Sites(
            self.site.into_iter().map(site).collect::<Result<_, _>>()?,
        ))
    }
}

/// Sites that get a key.
pub(super) struct Sites(Vec<SiteId>);

impl Sites {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Makes the sites' keys, except those that the lake knows and a newer copy of the keyring has.
    pub(super) async fn add_to(
        &self,
        keyring: &FileKeyring,
        config: &Config,
    ) -> anyhow::Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let lake = Store::of(config)
            .lake_there()
            .await
            .context("cannot determine which keys the lake already uses")?;
        let keys = match lake {
            Some(lake) => ensure_site_keys(&lake, keyring, &self.0).await?,
            None => self
                .0
                .iter()
                .map(|site| keyring.add_if_missing(&site_key_name(site)))
                .collect::<Result<_, _>>()?,
        };
        for (site, key) in self.0.iter().zip(keys) {
            eprintln!("site {site}: {key}");
        }
        Ok(())
    }
}
