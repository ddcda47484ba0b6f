//! `forebay keys`: the keyring.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use forebay_lake::{
    ensure_site_keys,
    keys::{FileKeyring, site_key_name},
};
use forebay_schemas::SiteId;

use crate::{
    config::Config,
    place::Place,
    store::{Store, lost_keyring},
};

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Make a keyring. Keep a copy away from this machine: without it the lake cannot be read by anyone.
    Init {
        /// Makes this site's key as well, for a place where the keyring is read-only; adds it to a keyring that is there.
        #[arg(long, value_name = "S")]
        site: Vec<String>,
    },
}

pub(crate) async fn run(place: &Place, verb: Verb) -> anyhow::Result<ExitCode> {
    let store = Store::of(&Config::load(place)?)?;
    match verb {
        Verb::Init { site } => {
            let sites: Vec<SiteId> = site
                .into_iter()
                .map(|name| SiteId::new(&name).with_context(|| format!("{name:?} is no name of a site")))
                .collect::<Result<_, _>>()?;
            if !sites.is_empty() && store.keys().exists() {
                let keyring = store.keyring_for_writing()?;
                return add_sites(&store, &keyring, &sites).await;
            }
            if let Some(sealed) = store.sealed_already()
                && !store.keys().exists()
            {
                bail!("{}", lost_keyring(sealed, store.keys()));
            }
            let keyring = store.create_keyring()?;
            eprintln!("made a keyring in {}: keep a copy of it away from this machine", store.keys().display());
            add_sites(&store, &keyring, &sites).await
        }
    }
}

/// Makes the sites' keys, but for those that the lake knows and a newer copy of the keyring has.
async fn add_sites(store: &Store, keyring: &FileKeyring, sites: &[SiteId]) -> anyhow::Result<ExitCode> {
    if sites.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let keys = match store.lake_there().await.context("cannot tell which keys the lake knows already")? {
        Some(lake) => ensure_site_keys(&lake, keyring, sites).await?,
        None => sites.iter().map(|site| keyring.ensure(&site_key_name(site))).collect::<Result<_, _>>()?,
    };
    for (site, key) in sites.iter().zip(keys) {
        eprintln!("site {site}: {key}");
    }
    Ok(ExitCode::SUCCESS)
}
