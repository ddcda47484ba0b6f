//! `forebay keys`: the keyring.

use std::process::ExitCode;

use anyhow::bail;
use clap::Subcommand;

use crate::{
    config::Config,
    place::Place,
    store::{Store, lost_keyring},
};

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Make a keyring. Keep a copy away from this machine: without it the lake cannot be read by anyone.
    Init,
}

pub(crate) fn run(place: &Place, verb: Verb) -> anyhow::Result<ExitCode> {
    let store = Store::of(&Config::load(place)?)?;
    match verb {
        Verb::Init => {
            if let Some(sealed) = store.sealed_already()
                && !store.keys().exists()
            {
                bail!("{}", lost_keyring(sealed, store.keys()));
            }
            store.create_keyring()?;
            eprintln!("made a keyring in {}: keep a copy of it away from this machine", store.keys().display());
            Ok(ExitCode::SUCCESS)
        }
    }
}
