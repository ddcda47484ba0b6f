//! `forebay keys`: the keyring.

use std::process::ExitCode;

use clap::Subcommand;

use crate::DataDir;

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Make a keyring. Keep a copy away from this machine: without it the lake cannot be read by anyone.
    Init,
}

pub(crate) fn run(dir: &DataDir, verb: Verb) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::Init => {
            dir.create_keyring()?;
            eprintln!("made a keyring in {}: keep a copy of it away from this machine", dir.keys().display());
            Ok(ExitCode::SUCCESS)
        }
    }
}
