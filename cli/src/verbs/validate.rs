//! `forebay validate`: reads the configuration and says what it would do.

use std::{fmt::Write as _, process::ExitCode};

use anyhow::bail;
use forebay_gateway::shared_series;
use forebay_telemetry::OtlpSettings;

use crate::{config::Config, keyring::KeyringPlace, out, place::Place, role::Role};

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
    if let Some(Err(error)) = config.telemetry.otlp.as_ref().map(OtlpSettings::check) {
        writeln!(
            told,
            "warning: {error}: the gateway would send nothing there"
        )?;
    }
    // The file may be right and nothing can start all the same.
    if let Some(lost) = KeyringPlace::of(&config).lost() {
        bail!(lost);
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_keyring_that_is_missing_beside_what_it_has_sealed_is_missed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("forebay.toml");
        let text = "[gateway]\nid = \"g\"\nsite = \"s\"\n[stream]\nkind = \"kafka\"\nbrokers = [\"k:9092\"]\n\
                    [[connector]]\nname = \"cells\"\nkind = \"mqtt\"\nurl = \"mqtt://127.0.0.1\"\n\
                    [[connector.tag]]\ntopic = \"{device}/{tag}\"\n";
        fs::write(&file, text).unwrap();
        let place = Place::find(Some(file), None).unwrap();
        assert!(run(&place).is_ok(), "nothing is sealed yet");
        let data = folder.path().join("forebay-data");
        fs::create_dir_all(data.join("spool/0")).unwrap();
        let error = run(&place).unwrap_err().to_string();
        assert!(error.contains("its keyring is not at"), "{error}");
        fs::create_dir(data.join("keys")).unwrap();
        assert!(run(&place).is_ok(), "the keyring is there");
    }
}
