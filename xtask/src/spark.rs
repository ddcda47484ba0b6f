//! `cargo xtask spark`: a data folder's `readings` as Spark sees them, by the Delta log and the keyring alone.
//!
//! Not among the tests: PySpark and the jars are 400 MB.

use std::{fs, path::PathBuf, process::Command};

use anyhow::Context as _;

use crate::command::{run as run_command, target_dir};

/// Python's package, pinned.
const PYSPARK: &str = "pyspark==4.1.0";

const SCRIPT: &str = include_str!("spark/read_lake.py");

/// What Spark needs beside its own jars, pinned: each one alone, without what it names itself.
const JARS: [(&str, &str, &str, &str); 4] = [
    ("io.delta", "delta-spark_4.1_2.13", "4.4.0", "jar"),
    ("io.delta", "delta-storage", "4.4.0", "jar"),
    ("io.unitycatalog", "unitycatalog-client", "0.6.0", "jar"),
    // With `InMemoryKMS`, which takes keys from its configuration.
    ("org.apache.parquet", "parquet-hadoop", "1.16.0", "test-jar"),
];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The data folder, with `lake/` and `keys/`.
    folder: PathBuf,
    /// A UTC day such as 2024-05-01: how many files Spark opens for it, and what it finds there.
    day: Option<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let home = std::path::absolute(target_dir())?.join("peers/spark");
    let (python, jars, stamp) = (
        home.join("bin/python"),
        home.join("jars"),
        home.join("wanted.xml"),
    );
    let wanted = project();
    if !fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) {
        run_command(
            Command::new("python3")
                .args(["-m", "venv", "--clear"])
                .arg(&home),
        )
        .context("make a Python of its own")?;
        run_command(Command::new(&python).args(["-m", "pip", "install", "--quiet", PYSPARK]))
            .context("install PySpark")?;
        let pom = home.join("pom.xml");
        fs::write(&pom, &wanted)?;
        let mut fetch = Command::new("mvn");
        fetch
            .args([
                "--quiet",
                "--batch-mode",
                "dependency:copy-dependencies",
                "--file",
            ])
            .arg(&pom);
        run_command(fetch.arg(format!("-DoutputDirectory={}", jars.display())))
            .context("fetch the jars (Debian: maven)")?;
        fs::rename(&pom, &stamp).context("keep the list of what is fetched")?;
    }
    let script = home.join("read_lake.py");
    fs::write(&script, SCRIPT)?;
    run_command(
        Command::new(&python)
            .arg(&script)
            .arg(&args.folder)
            .arg(&jars)
            .args(&args.day),
    )
}

/// Maven's description of [`JARS`].
fn project() -> String {
    let jar = |(group, artifact, version, kind): (&str, &str, &str, &str)| {
        format!(
            "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version>\
             <type>{kind}</type><exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion>\
             </exclusions></dependency>"
        )
    };
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion><groupId>forebay</groupId>\
         <artifactId>peer-spark</artifactId><version>1</version><dependencies>{}</dependencies></project>",
        JARS.map(jar).concat()
    )
}
