//! Apache Kafka from its published jars: enough of them to format a folder and to run a broker.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};

use crate::command::run;

/// Maven's description of what is wanted, pinned; what these need themselves comes with them.
const WANTED: &str = r#"<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>forebay</groupId>
  <artifactId>peer-kafka</artifactId>
  <version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>4.1.1</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>4.1.1</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-core</artifactId><version>2.25.2</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.25.2</version></dependency>
  </dependencies>
</project>
"#;

/// A folder with Kafka's jars.
pub(crate) fn kafka(target: &Path) -> anyhow::Result<PathBuf> {
    let home = std::path::absolute(target)?.join("peers/kafka");
    let stamp = home.join("wanted.xml");
    if fs::read_to_string(&stamp).is_ok_and(|made| made == WANTED) {
        return Ok(home);
    }
    if home.exists() {
        fs::remove_dir_all(&home).with_context(|| format!("remove {}", home.display()))?;
    }
    fs::create_dir_all(&home)?;
    let pom = home.join("pom.xml");
    fs::write(&pom, WANTED)?;
    for (program, version) in [("java", "-version"), ("mvn", "--version")] {
        let found = Command::new(program).arg(version).output();
        if !found.is_ok_and(|found| found.status.success()) {
            bail!(
                "the tests run Apache Kafka and need {program} (Debian: default-jre-headless and maven)"
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
    .context("fetch Apache Kafka's jars")?;
    fs::rename(&pom, &stamp).context("keep the list of what is fetched")?;
    Ok(home)
}
