//! The programs that carry readings from devices to Kafka.
//!
//! The measured processes are the shipped binaries, each with the environment that its own documents recommend.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, bail, ensure};

use crate::meter::{self, Meter};

/// What is measured.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Binaries {
    /// The binary `forebay`.
    #[arg(long)]
    forebay: PathBuf,
    /// Another build of it, measured in the same turns.
    #[arg(long)]
    before: Option<PathBuf>,
    /// The binary `telegraf`; without it Forebay is measured alone.
    #[arg(long)]
    telegraf: Option<PathBuf>,
}

/// Which program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Forebay,
    Before,
    Telegraf,
}

/// One of those that are measured.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) kind: Kind,
    binary: PathBuf,
}

impl Binaries {
    /// In the order in which they take turns.
    pub(crate) fn programs(&self) -> Vec<Program> {
        let program = |kind, binary: &PathBuf| Program {
            kind,
            binary: binary.clone(),
        };
        let mut programs = vec![program(Kind::Forebay, &self.forebay)];
        programs.extend(
            self.before
                .iter()
                .map(|binary| program(Kind::Before, binary)),
        );
        let telegraf = self.telegraf.iter();
        programs.extend(telegraf.map(|binary| program(Kind::Telegraf, binary)));
        programs
    }
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Forebay => "forebay",
            Self::Before => "before",
            Self::Telegraf => "telegraf",
        }
    }
}

impl Program {
    /// Starts the program with a configuration of this text.
    pub(crate) fn start(&self, folder: &Path, text: &str) -> anyhow::Result<Running> {
        // The role alone that Telegraf has, too: the lake's would read the topic again and write tables.
        let arguments: &[&str] = match self.kind {
            Kind::Forebay | Kind::Before => &["run", "--role", "edge", "--config"],
            Kind::Telegraf => &["--quiet", "--config"],
        };
        start(&self.binary, folder, text, arguments)
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
    spawn(
        Command::new(binary).args(arguments).arg(config),
        folder.join("log.txt"),
    )
}

/// Starts `forebay run` with these arguments over a folder that has its `forebay.toml`; the log stands there, too.
pub(crate) fn run_over(
    forebay: &Path,
    folder: &Path,
    arguments: &[&str],
) -> anyhow::Result<Running> {
    let mut command = Command::new(forebay);
    command.arg("run").args(arguments);
    spawn(
        command.arg("--data-dir").arg(folder),
        folder.join("log.txt"),
    )
}

/// Starts a program; what it says of itself goes to `log`.
fn spawn(command: &mut Command, log: PathBuf) -> anyhow::Result<Running> {
    command.stdout(Stdio::null()).stderr(File::create(&log)?);
    let started = command.spawn();
    let program = started.with_context(|| {
        let program = Path::new(command.get_program());
        format!("{} cannot be started", program.display())
    })?;
    Ok(Running { program, log })
}

/// Telegraf's own part of a configuration, and what takes readings to Kafka.
pub(crate) fn telegraf_to_kafka(kafka: &str, topic: &str) -> String {
    format!(
        r#"[agent]
flush_interval = "1s"
metric_batch_size = 5000
metric_buffer_limit = 100000
omit_hostname = true

[[outputs.kafka]]
brokers = ["{kafka}"]
topic = "{topic}"
required_acks = -1
compression_codec = 4
data_format = "json"
"#
    )
}

/// Forebay's own part of a configuration, with a stream to Kafka.
pub(crate) fn forebay_to_kafka(folder: &Path, kafka: &str, topic: &str) -> String {
    format!(
        r#"[gateway]
id = "bench"
site = "plant"
data_dir = "{}"

[stream]
kind = "kafka"
brokers = ["{kafka}"]
topic = "{topic}"

[telemetry]
log = "warn"
"#,
        folder.join("data").display()
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
            bail!("the measured program has ended: {status}\n{}", self.said());
        }
        Ok(())
    }

    pub(crate) fn id(&self) -> u32 {
        self.program.id()
    }

    /// Its log so far; nothing where that cannot be read.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn meter(&self) -> anyhow::Result<Meter> {
        Meter::start_of(self.program.id())
    }

    pub(crate) fn peak_bytes(&self) -> anyhow::Result<u64> {
        meter::peak_bytes_of(self.program.id())
    }

    pub(crate) fn resident_bytes(&self) -> anyhow::Result<u64> {
        meter::resident_bytes_of(self.program.id())
    }

    /// Asks it to stop and waits until it has.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let pid = self.program.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &pid]).status()?;
        ensure!(asked.success(), "the measured program cannot be stopped");
        let status = self.program.wait()?;
        ensure!(
            status.success(),
            "the measured program failed: {status}\n{}",
            self.said()
        );
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.program.kill());
        drop(self.program.wait());
    }
}
