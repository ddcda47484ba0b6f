//! `forebay keys`: the keyring.

use std::process::ExitCode;

use anyhow::bail;
use clap::Subcommand;

use crate::{config::Config, place::Place, store::Store};

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Make a keyring. Keep a copy away from this machine: without it the lake cannot be read by anyone.
    Init,
}

pub(crate) fn run(place: &Place, verb: Verb) -> anyhow::Result<ExitCode> {
    let store = Store::of(&Config::load(place)?)?;
    match verb {
        Verb::Init => {
            if store.has_local_lake() && !store.keys().exists() {
                bail!(
                    "there is a lake already, and no other keyring opens it: bring back a copy of its own to {}",
                    store.keys().display()
                );
            }
            store.create_keyring()?;
            eprintln!("made a keyring in {}: keep a copy of it away from this machine", store.keys().display());
            Ok(ExitCode::SUCCESS)
        }
    }
}
