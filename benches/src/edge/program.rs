//! The programs that carry messages from MQTT to Kafka, each with what its own documents recommend for that.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, bail};

use super::flood::Mosquitto;
use crate::meter::{self, Meter};

/// Which program.
pub(crate) enum Program {
    Forebay(PathBuf),
    Telegraf(PathBuf),
}

impl Program {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Forebay(_) => "forebay",
            Self::Telegraf(_) => "telegraf",
        }
    }

    pub(crate) fn start(
        &self,
        folder: &Path,
        mosquitto: &Mosquitto,
        kafka: &str,
        topic: &str,
    ) -> anyhow::Result<Running> {
        let port = mosquitto.port;
        // The role alone that Telegraf has, too: the lake's would read the topic again and write tables.
        let (binary, text, arguments): (_, _, &[&str]) = match self {
            Self::Forebay(binary) => (
                binary,
                forebay(folder, port, kafka, topic),
                &["run", "--role", "edge", "--config"],
            ),
            Self::Telegraf(binary) => (
                binary,
                telegraf(port, kafka, topic),
                &["--quiet", "--config"],
            ),
        };
        start(binary, folder, &text, arguments)
    }
}

/// Starts a program with a configuration of this text, which stands behind the arguments.
pub(crate) fn start(
    binary: &Path,
    folder: &Path,
    text: &str,
    arguments: &[&str],
) -> anyhow::Result<Running> {
    let config = folder.join("config.toml");
    fs::write(&config, text)?;
    let log = folder.join("log.txt");
    let program = Command::new(binary)
        .args(arguments)
        .arg(config)
        .stdout(Stdio::null())
        .stderr(File::create(&log)?)
        .spawn()
        .with_context(|| format!("{} cannot be started", binary.display()))?;
    Ok(Running { program, log })
}

fn forebay(folder: &Path, mqtt: u16, kafka: &str, topic: &str) -> String {
    format!(
        r#"[gateway]
id = "bench"
site = "plant"
data_dir = "{}"

[stream]
kind = "kafka"
brokers = ["{kafka}"]
topic = "{topic}"

[[connector]]
name = "cells"
kind = "mqtt"
url = "mqtt://127.0.0.1:{mqtt}"
topics = ["plant/#"]

[[connector.tag]]
topic = "plant/{{device}}/{{tag}}"
value = "$.v"
time = "$.ts"
time_unit = "ms"

[telemetry]
log = "warn"
"#,
        folder.join("data").display()
    )
}

fn telegraf(mqtt: u16, kafka: &str, topic: &str) -> String {
    format!(
        r#"[agent]
flush_interval = "1s"
metric_batch_size = 5000
metric_buffer_limit = 100000
omit_hostname = true

[[inputs.mqtt_consumer]]
servers = ["tcp://127.0.0.1:{mqtt}"]
topics = ["plant/#"]
qos = 1
client_id = "telegraf-{topic}"
persistent_session = true
max_undelivered_messages = 5000
data_format = "json"
json_time_key = "ts"
json_time_format = "unix_ms"

[[outputs.kafka]]
brokers = ["{kafka}"]
topic = "{topic}"
required_acks = -1
compression_codec = 4
data_format = "json"
"#
    )
}

/// One that runs; it ends with this value.
pub(crate) struct Running {
    program: Child,
    log: PathBuf,
}

impl Running {
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.program.try_wait()? {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            bail!("the measured program has ended: {status}\n{log}");
        }
        Ok(())
    }

    pub(crate) fn meter(&self) -> anyhow::Result<Meter> {
        Meter::start_of(self.program.id())
    }

    pub(crate) fn peak_bytes(&self) -> anyhow::Result<u64> {
        meter::peak_bytes_of(self.program.id())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.program.kill());
        drop(self.program.wait());
    }
}
