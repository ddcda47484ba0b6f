//! `forebay validate`: reads the configuration and says what it would do.

use std::{fmt::Write as _, process::ExitCode};

use forebay_gateway::shared_series;

use crate::{config::Config, out, place::Place, role::Role};

pub(crate) fn run(place: &Place) -> anyhow::Result<ExitCode> {
    let file = place.file()?;
    let config = Config::load(place)?;
    let mut told = String::new();
    for source in &config.sources {
        let declared = source.connector.declared().len();
        let (name, rules) = (&source.name, source.rules.len());
        let others = if declared < rules {
            ", the others once they are heard from"
        } else {
            ""
        };
        writeln!(
            told,
            "connector {name:?}: {rules} tag rules, {declared} series known in advance{others}"
        )?;
    }
    for shared in shared_series(&config.sources) {
        writeln!(told, "warning: {shared}")?;
    }
    #[cfg(not(feature = "lake"))]
    for table in &config.not_in_build {
        writeln!(told, "skipped: [{table}], this build is for the edge alone")?;
    }
    #[cfg(feature = "lake")]
    for job in config.jobs.iter() {
        writeln!(
            told,
            "job {:?}: {}, {}",
            job.spec.name.as_str(),
            job.spec.kind,
            job.spec.trigger
        )?;
    }
    for rule in &config.alerts.rules {
        writeln!(told, "alert {:?}: on {}", rule.name, rule.subject.name())?;
    }
    for route in &config.alerts.routes {
        writeln!(told, "route {:?}: {}", route.name, route.kind())?;
    }
    for warning in config.alerts.warnings() {
        writeln!(told, "warning: {warning}")?;
    }
    let roles = Role::configured(&config, file)?;
    let roles: Vec<&str> = roles.iter().map(|role| role.name()).collect();
    writeln!(
        told,
        "ok {}: {} connectors, roles {}",
        file.display(),
        config.sources.len(),
        roles.join(", ")
    )?;
    out::print(told)?;
    Ok(ExitCode::SUCCESS)
}
