//! `forebay validate`: reads the configuration and says what it would do.

use std::process::ExitCode;

use crate::{config::Config, place::Place, role::Role};

pub(crate) fn run(place: &Place) -> anyhow::Result<ExitCode> {
    let file = place.file()?;
    let config = Config::load(place)?;
    for source in &config.sources {
        let declared = source.connector.declared().len();
        println!("connector {:?}: {} tag rules, {declared} series known beforehand", source.name, source.rules.len());
    }
    for job in config.jobs.iter() {
        println!("job {:?}: {}, {}", job.spec.name.as_str(), job.spec.kind, job.spec.trigger);
    }
    let roles = Role::configured(&config, file)?;
    let roles: Vec<&str> = roles.iter().map(|role| role.name()).collect();
    println!("ok {}: {} connectors, roles {}", file.display(), config.sources.len(), roles.join(", "));
    Ok(ExitCode::SUCCESS)
}
