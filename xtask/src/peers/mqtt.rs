//! Peers of the MQTT connector that run on Java: HiveMQ's broker, and edge nodes by Eclipse Tahu. The small programs of the tests that
//! drive them are compiled by Eclipse's compiler, which is a jar and needs no JDK.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;

use super::maven::{Artifact, jars};
use crate::command::run;

const COMPILER: Artifact = ("org.eclipse.jdt", "ecj", "3.33.0");
const BROKER: [Artifact; 2] = [
    ("com.hivemq", "hivemq-community-edition-embedded", "2024.3"),
    COMPILER,
];
const NODES: [Artifact; 2] = [("org.eclipse.tahu", "tahu-edge", "1.0.14"), COMPILER];

/// A folder with the jars of HiveMQ's community edition, and the program that runs it compiled in `classes`.
pub(crate) fn hivemq(target: &Path) -> anyhow::Result<PathBuf> {
    let home = std::path::absolute(target)?.join("peers/hivemq");
    jars(&home, "HiveMQ", &BROKER)?;
    compile(&home, "connectors/mqtt/tests/HiveBroker.java")?;
    Ok(home)
}

/// A folder with the jars of Eclipse Tahu, and the program that drives its nodes compiled in `classes`.
pub(crate) fn tahu(target: &Path) -> anyhow::Result<PathBuf> {
    let home = std::path::absolute(target)?.join("peers/tahu");
    jars(&home, "Eclipse Tahu", &NODES)?;
    compile(&home, "connectors/mqtt/tests/TahuNodes.java")?;
    Ok(home)
}

/// Compiles a source file against a folder's jars, if it has changed.
fn compile(home: &Path, source: &str) -> anyhow::Result<()> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(source);
    let text = fs::read_to_string(&source).with_context(|| format!("read {}", source.display()))?;
    let stamp = home.join("compiled.java");
    if fs::read_to_string(&stamp).is_ok_and(|compiled| compiled == text) {
        return Ok(());
    }
    let (_, artifact, version) = COMPILER;
    run(Command::new("java")
        .arg("-jar")
        .arg(home.join(format!("{artifact}-{version}.jar")))
        .args(["-17", "-nowarn", "-proc:none", "-cp"])
        .arg(class_path(home)?)
        .arg("-d")
        .arg(home.join("classes"))
        .arg(&source))
    .with_context(|| format!("compile {} (Java 17 or later is needed)", source.display()))?;
    fs::write(stamp, text).context("keep the text of what is compiled")
}

/// The compiler takes no `*`.
fn class_path(home: &Path) -> anyhow::Result<String> {
    let mut jars = Vec::new();
    for entry in fs::read_dir(home)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jar") {
            jars.push(path.display().to_string());
        }
    }
    Ok(jars.join(":"))
}
