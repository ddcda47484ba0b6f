//! `forebay validate`: reads the configuration and says what it would do.

use std::process::ExitCode;

use anyhow::bail;

use crate::{config::Config, place::Place};

pub(crate) fn run(place: &Place) -> anyhow::Result<ExitCode> {
    let Some(file) = &place.config else {
        bail!("there is no configuration at {}: `forebay init` writes one", place.root.display());
    };
    let config = Config::load(place)?;
    for source in &config.sources {
        let declared = source.connector.declared().len();
        println!("connector {:?}: {} tag rules, {declared} series known beforehand", source.name, source.rules.len());
    }
    println!("ok {}: {} connectors", file.display(), config.sources.len());
    Ok(ExitCode::SUCCESS)
}
