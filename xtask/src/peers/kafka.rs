//! Apache Kafka from its published jars: enough of them to format a folder and to run a broker.

use std::path::{Path, PathBuf};

use super::maven::{Artifact, jars};

const WANTED: [Artifact; 4] = [
    ("org.apache.kafka", "kafka_2.13", "4.1.1"),
    ("org.apache.kafka", "kafka-tools", "4.1.1"),
    ("org.apache.logging.log4j", "log4j-core", "2.25.2"),
    ("org.apache.logging.log4j", "log4j-slf4j-impl", "2.25.2"),
];

/// A folder with Kafka's jars.
pub(crate) fn kafka(target: &Path) -> anyhow::Result<PathBuf> {
    let home = std::path::absolute(target)?.join("peers/kafka");
    jars(&home, "Apache Kafka", &WANTED)?;
    Ok(home)
}
