//! `forebay keys`: the keyring.

#[cfg(feature = "lake")]
mod sites;
#[cfg(not(feature = "lake"))]
#[path = "keys/no_sites.rs"]
mod sites;

use std::{process::ExitCode, sync::Arc};

use anyhow::bail;
use clap::Subcommand;
use forebay_keys::FileKeyring;

use crate::{config::Config, keyring::KeyringPlace, place::Place};

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Make a keyring. Keep a copy away from this machine: without it the lake cannot be read by anyone.
    Init(sites::SiteArgs),
}

pub(crate) async fn run(place: &Place, verb: Verb) -> anyhow::Result<ExitCode> {
    let Verb::Init(args) = verb;
    let config = Config::load(place)?;
    let keys = KeyringPlace::of(&config);
    let sites = args.sites()?;
    let keyring = if sites.is_empty() || !keys.dir().exists() {
        make(&keys)?
    } else {
        keys.for_writing()?
    };
    sites.add_to(&keyring, &config).await?;
    Ok(ExitCode::SUCCESS)
}

/// Makes the keyring, unless something is sealed under one that is not here.
fn make(keys: &KeyringPlace) -> anyhow::Result<Arc<FileKeyring>> {
    if let Some(lost) = keys.lost() {
        bail!(lost);
    }
    let keyring = keys.create()?;
    eprintln!(
        "created a keyring in {}: keep a copy of it away from this machine",
        keys.dir().display()
    );
    Ok(Arc::new(keyring))
}
