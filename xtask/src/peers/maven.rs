//! Jars from Maven Central, with what they need themselves.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, bail};

use crate::command::run;

/// Group, artifact and version.
pub(super) type Artifact = (&'static str, &'static str, &'static str);

/// A folder with these jars and all that they need, made again only when the list changes.
pub(super) fn jars(home: &Path, what: &str, wanted: &[Artifact]) -> anyhow::Result<()> {
    let wanted = description(wanted);
    let stamp = home.join("wanted.xml");
    if fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) {
        return Ok(());
    }
    if home.exists() {
        fs::remove_dir_all(home).with_context(|| format!("remove {}", home.display()))?;
    }
    fs::create_dir_all(home)?;
    let pom = home.join("pom.xml");
    fs::write(&pom, wanted)?;
    for (program, version) in [("java", "-version"), ("mvn", "--version")] {
        let found = Command::new(program).arg(version).output();
        if !found.is_ok_and(|found| found.status.success()) {
            bail!(
                "the tests run {what} and need {program} (Debian: default-jre-headless and maven)"
            );
        }
    }
    let mut fetch = Command::new("mvn");
    fetch.args([
        "--quiet",
        "--batch-mode",
        "dependency:copy-dependencies",
        "-DincludeScope=runtime",
    ]);
    run(fetch
        .arg("--file")
        .arg(&pom)
        .arg(format!("-DoutputDirectory={}", home.display())))
    .with_context(|| format!("fetch the jars of {what}"))?;
    fs::rename(&pom, &stamp).context("keep the list of what is fetched")
}

/// Maven's description of what is wanted.
fn description(wanted: &[Artifact]) -> String {
    let dependencies: String = wanted
        .iter()
        .map(|(group, artifact, version)| {
            format!(
                "    <dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version></dependency>\n"
            )
        })
        .collect();
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\n  <modelVersion>4.0.0</modelVersion>\n  \
         <groupId>forebay</groupId>\n  <artifactId>peer</artifactId>\n  <version>1</version>\n  \
         <dependencies>\n{dependencies}  </dependencies>\n</project>\n"
    )
}
