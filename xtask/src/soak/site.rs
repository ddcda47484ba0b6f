//! The gateway under test: its folder, its configuration, and what is asked of the binary beside it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, ensure};

use super::{
    load::Load,
    pace::{Watch, sleep},
    peer::free_port,
    plant::{Ports, REGISTERS},
    process::Process,
};

/// How long what was sent last may take into the lake; a stop takes no longer either.
const COMMITTED_MAX: Duration = Duration::from_secs(180);
const LOOK: Duration = Duration::from_secs(2);

/// How fast things come round: a minute's windows in an hour's run, and shorter ones in a shorter run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rhythm {
    pub(super) window: Duration,
    pub(super) commit: Duration,
    /// Of log entries and of needless files.
    pub(super) retention: Duration,
}

impl Rhythm {
    pub(super) fn of(length: Duration) -> Self {
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        let window = (length / 60).clamp(5 * second, minute);
        Self {
            window,
            commit: (window / 30).clamp(second / 2, 2 * second),
            retention: (length / 12).clamp(minute, 5 * minute),
        }
    }
}

/// A folder with a configuration.
pub(super) struct Site {
    folder: PathBuf,
    binary: PathBuf,
    page: u16,
}

impl Site {
    pub(super) fn new(
        folder: &Path,
        binary: &Path,
        rhythm: &Rhythm,
        load: Load,
        ports: Ports,
    ) -> anyhow::Result<Self> {
        let page = free_port()?;
        fs::write(
            folder.join("forebay.toml"),
            configuration(rhythm, load, ports, page),
        )?;
        Ok(Self {
            folder: folder.to_owned(),
            binary: binary.to_owned(),
            page,
        })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.folder.join("run.log")
    }

    /// The port of its page for Prometheus.
    pub(super) fn page(&self) -> u16 {
        self.page
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .current_dir(&self.folder)
            .args(args)
            .env("NO_COLOR", "1")
            .env_remove("FOREBAY_LOG");
        command
    }

    /// Starts `forebay run`.
    pub(super) fn run(&self) -> anyhow::Result<Gateway> {
        let log = fs::File::create(self.log())?;
        let mut command = self.command(&["run"]);
        // As the units and images in deploy/ set it.
        command
            .env("MIMALLOC_ALLOW_THP", "0")
            .env("MIMALLOC_PURGE_DELAY", "0");
        let command = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        Ok(Gateway {
            process: Process::spawn("forebay run", command)?,
            log: self.log(),
        })
    }

    fn answer(&self, sql: &str) -> anyhow::Result<String> {
        let asked = self.command(&["query", sql, "--format", "csv"]).output()?;
        ensure!(
            asked.status.success(),
            "{sql}: {}",
            String::from_utf8_lossy(&asked.stderr)
        );
        let answer = String::from_utf8(asked.stdout)?;
        Ok(answer.lines().last().unwrap_or_default().to_owned())
    }

    /// Waits until as many numbers are in the lake as were sent.
    pub(super) fn until_committed(&self, sent: u64) -> anyhow::Result<()> {
        let watch = Watch::start();
        loop {
            let found = self.answer(NUMBERS)?;
            if found == format!("{sent},{sent}") {
                return Ok(());
            }
            ensure!(
                watch.passed() < COMMITTED_MAX,
                "{sent} numbers were sent; in the lake (rows, numbers): {found}"
            );
            sleep(LOOK);
        }
    }

    /// Each number is there once, and `forebay verify` finds nothing.
    pub(super) fn check_readings(&self, sent: u64) -> anyhow::Result<()> {
        let found = self.answer(NUMBERS)?;
        ensure!(
            found == format!("{sent},{sent}"),
            "{sent} numbers were sent; in the lake (rows, numbers): {found}"
        );
        let verified = self.command(&["verify"]).output()?;
        let said = String::from_utf8_lossy(&verified.stdout);
        println!(
            "{sent} numbers over MQTT, each there once; verify: {}",
            said.lines().last().unwrap_or_default()
        );
        ensure!(verified.status.success(), "verify finds a fault: {said}");
        Ok(())
    }
}

const NUMBERS: &str = "select count(*), count(distinct value_int) from readings where device like 'c-%' and quality = 0";

/// `forebay run` at work.
pub(super) struct Gateway {
    process: Process,
    log: PathBuf,
}

impl Gateway {
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        self.process
            .check()
            .with_context(|| format!("see {}", self.log.display()))
    }

    pub(super) fn stop(self) -> anyhow::Result<()> {
        self.process
            .terminate(COMMITTED_MAX)
            .with_context(|| format!("see {}", self.log.display()))
    }
}

/// Every part that a gateway without a Kafka has.
fn configuration(rhythm: &Rhythm, load: Load, ports: Ports, page: u16) -> String {
    let Ports {
        mqtt,
        modbus,
        opcua,
    } = ports;
    let millis = |time: Duration| format!("{}ms", time.as_millis());
    let Rhythm {
        window,
        commit,
        retention,
    } = *rhythm;
    let (lateness, idle) = (millis(window / 6), millis(window / 2));
    let (short, baseline) = (millis(window * 2), millis(window * 8));
    let (window, commit, retention) = (millis(window), millis(commit), millis(retention));
    let spool = load.spool();
    let registers: String = (0..REGISTERS)
        .map(|n| {
            format!("[[connector.tag]]\nname = \"r{n}\"\nregister = \"holding\"\naddress = {n}\ntype = \"u16\"\nunit = \"Cel\"\n")
        })
        .collect();
    format!(
        r#"[gateway]
id = "soak"
site = "works"
data_dir = "data"

{spool}
[lake]
window = "{window}"
lateness = "{lateness}"
idle_timeout = "{idle}"
commit_interval = "{commit}"
log_retention = "{retention}"
file_retention = "{retention}"

[telemetry]
prometheus_listen = "127.0.0.1:{page}"

[[connector]]
name = "cells"
kind = "mqtt"
url = "mqtt://127.0.0.1:{mqtt}"
version = 5
client_id = "forebay-soak"
topics = ["site/+/cell/#"]
[[connector.tag]]
topic = "site/{{device}}/cell/{{tag}}"
value = "$.v"
unit = "V"

[[connector]]
name = "press"
kind = "opcua"
device = "press-3"
url = "opc.tcp://127.0.0.1:{opcua}"
[[connector.tag]]
name = "force"
node = "ns=2;s=Force"
sampling = "50ms"
unit = "N"

[[connector]]
name = "boiler"
kind = "modbus"
device = "boiler-1"
url = "tcp://127.0.0.1:{modbus}"
every = "200ms"
{registers}
[[job]]
name = "means"
kind = "sql"
on = "window_closed"
into = "scores"
query = "SELECT site, device, {{window_end}} AS event_time, avg(value) AS score, 1e9 AS limit, avg(value) > 1e9 AS anomalous FROM readings WHERE site = {{site}} AND event_time >= {{window_start}} AND value IS NOT NULL GROUP BY site, device"

[[job]]
name = "warning"
kind = "predictive_maintenance"
on = "window_closed"
after = ["means"]
devices = ["boiler-*", "press-*"]
short = "{short}"
baseline = "{baseline}"
points_min = 100
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_an_hour_takes_less_in_a_shorter_run() {
        let seconds = |s| Duration::from_secs(s);
        let hour = Rhythm {
            window: seconds(60),
            commit: seconds(2),
            retention: seconds(300),
        };
        assert_eq!(Rhythm::of(seconds(3600)), hour);
        assert_eq!(Rhythm::of(seconds(36_000)), hour);
        let short = Rhythm {
            window: seconds(5),
            commit: seconds(1) / 2,
            retention: seconds(60),
        };
        assert_eq!(Rhythm::of(seconds(180)), short);
    }
}
