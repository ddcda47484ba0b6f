//! A build without the lake seals nothing under sites' keys.

use forebay_keys::FileKeyring;

use crate::config::Config;

#[derive(clap::Args)]
pub(crate) struct SiteArgs {}

impl SiteArgs {
    pub(super) fn sites(self) -> anyhow::Result<Sites> {
        Ok(Sites)
    }
}

pub(super) struct Sites;

impl Sites {
    pub(super) fn is_empty(&self) -> bool {
        true
    }

    pub(super) async fn add_to(
        &self,
        _keyring: &FileKeyring,
        _config: &Config,
    ) -> anyhow::Result<()> {
        Ok(())
    }
}
