//! `forebay init`: a configuration to start from.

use std::{fs, io::Write as _, path::PathBuf, process::ExitCode};

use anyhow::Context as _;

use crate::place::{CONFIG_FILE, Place};

/// What a new configuration says; a test keeps it valid.
const TEMPLATE: &str = include_str!("../../templates/forebay.toml");

pub(crate) fn run(place: &Place) -> anyhow::Result<ExitCode> {
    let file = place.config.clone().unwrap_or_else(|| PathBuf::from(CONFIG_FILE));
    let mut created = fs::File::create_new(&file)
        .with_context(|| format!("cannot create {}: an existing file is never overwritten", file.display()))?;
    created.write_all(TEMPLATE.as_bytes()).with_context(|| format!("cannot write {}", file.display()))?;
    eprintln!(
        "wrote {0}: change the connectors to yours, then `forebay validate -c {0}` and `forebay run -c {0}`",
        file.display()
    );
    Ok(ExitCode::SUCCESS)
}
