//! The edge path of a built binary: MQTT into the spool while Kafka is away, then SIGKILL, and what the next start finds.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, ensure};

use super::{MB, binary::resident_bytes, target::Emulator};
use crate::soak::{
    pace::{Watch, sleep},
    page,
    peer::{Broker, Peer, free_port},
    process::Process,
};

const MQTT: &str = "connectors/mqtt/tests/peer.py";
/// How long a step may take, also under an emulator.
const STEP_MAX: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(250);
/// How long nothing is sent before memory is looked at.
const IDLE: Duration = Duration::from_secs(5);
/// Messages before the kill, and after it.
const BEFORE: u64 = 2_000;
const AFTER: u64 = 100;

/// A binary, and what starts it.
pub(super) struct Program {
    pub(super) binary: PathBuf,
    pub(super) emulator: Option<Emulator>,
}

impl Program {
    pub(super) fn command(&self) -> Command {
        let mut command = match &self.emulator {
            None => Command::new(&self.binary),
            Some(emulator) => {
                let mut command = Command::new(&emulator.program);
                command.arg("-L").arg(&emulator.libraries).arg(&self.binary);
                command
            }
        };
        command
            .env("NO_COLOR", "1")
            .env_remove("FOREBAY_LOG")
            // As the units and images in deploy/ set it.
            .env("MIMALLOC_ALLOW_THP", "0")
            .env("MIMALLOC_PURGE_DELAY", "0");
        command
    }
}

/// What was seen.
#[derive(Debug)]
pub(super) struct Seen {
    /// Idle with one MQTT connector; none under an emulator, whose own memory it would be.
    pub(super) idle_bytes: Option<u64>,
    /// Records that waited for Kafka when the gateway was killed, and when it had started again.
    pub(super) records_before: u64,
    pub(super) records_after: u64,
}

impl Seen {
    pub(super) fn shown(&self) -> String {
        let idle = match self.idle_bytes {
            Some(bytes) => format!("idle {:.1} MB resident", bytes as f64 / MB),
            None => "run under qemu-user".to_owned(),
        };
        format!(
            "{idle}; {BEFORE} readings from MQTT into the spool, {} records waited when it was killed, {} after the next start",
            self.records_before, self.records_after
        )
    }
}

/// Works in `folder`.
pub(super) fn prove(program: &Program, python: &Path, folder: &Path) -> anyhow::Result<Seen> {
    let broker = Broker::start(&folder.join("mosquitto"))?;
    let options = format!(r#"{{"port": {}, "version": 5}}"#, broker.port);
    let mut publisher = Peer::start(python, MQTT, &options)?;
    let site = Site::new(folder, broker.port)?;

    let mut gateway = site.run(program, "first.log")?;
    let probes = site.until_subscribed(&mut gateway, &mut publisher)?;
    let idle_bytes = match program.emulator {
        Some(_) => None,
        None => {
            sleep(IDLE);
            Some(resident_bytes(gateway.id())?)
        }
    };
    publish(&mut publisher, BEFORE)?;
    site.until_spooled(&mut gateway, probes + BEFORE)?;
    let records_before = site.waiting()?;
    ensure!(records_before > 0, "no record waits in the spool");
    site.check_devices(program)?;
    // SIGKILL.
    drop(gateway);

    let mut gateway = site.run(program, "second.log")?;
    // Before anything new is sent.
    let records_after = site.until_recovered(&mut gateway, records_before)?;
    let probes = site.until_subscribed(&mut gateway, &mut publisher)?;
    publish(&mut publisher, AFTER)?;
    site.until_spooled(&mut gateway, probes + AFTER)?;
    gateway.terminate(STEP_MAX)?;
    Ok(Seen {
        idle_bytes,
        records_before,
        records_after,
    })
}

fn publish(publisher: &mut Peer, count: u64) -> anyhow::Result<()> {
    publisher.ask(&format!(
        r#"{{"topic": "site/c-1/cell/volts", "first": 1, "last": {count}}}"#
    ))
}

/// The gateway's folder, and the port of its page for Prometheus.
struct Site {
    folder: PathBuf,
    page: u16,
}

impl Site {
    fn new(folder: &Path, mqtt: u16) -> anyhow::Result<Self> {
        let page = free_port()?;
        // Nobody listens there: what is read stays in the spool.
        let kafka = free_port()?;
        let text = format!(
            r#"[gateway]
id = "dist"
site = "works"
data_dir = "data"

[stream]
kind = "kafka"
brokers = ["127.0.0.1:{kafka}"]
topic = "forebay.readings"

[telemetry]
prometheus_listen = "127.0.0.1:{page}"

[[connector]]
name = "cells"
kind = "mqtt"
url = "mqtt://127.0.0.1:{mqtt}"
version = 5
client_id = "forebay-dist"
topics = ["site/+/cell/#"]

[[connector.tag]]
topic = "site/{{device}}/cell/{{tag}}"
value = "$.v"
unit = "V"
"#
        );
        fs::write(folder.join("forebay.toml"), text)?;
        Ok(Self {
            folder: folder.to_owned(),
            page,
        })
    }

    fn run(&self, program: &Program, log: &str) -> anyhow::Result<Process> {
        let log = File::create(self.folder.join(log))?;
        let mut command = program.command();
        command
            .arg("run")
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        Process::spawn("forebay run", &mut command)
    }

    /// What is published before the connector has subscribed goes nowhere. Answers how many probes came in.
    fn until_subscribed(&self, gateway: &mut Process, peer: &mut Peer) -> anyhow::Result<u64> {
        let watch = Watch::start();
        let mut before = 0;
        loop {
            gateway.check()?;
            // The page is not there at once.
            let spooled = self.number("forebay_spooled_total").unwrap_or(0);
            if spooled > 0 && spooled == before {
                return Ok(spooled);
            }
            ensure!(
                watch.passed() < STEP_MAX,
                "the gateway has not subscribed within {} s",
                STEP_MAX.as_secs()
            );
            // Those that are on their way are waited for.
            if spooled == 0 {
                peer.ask(r#"{"topic": "site/probe/cell/volts", "first": 0, "last": 0}"#)?;
            }
            before = spooled;
            sleep(LOOK);
        }
    }

    /// Waits until as many records wait for Kafka as before the kill; answers how many do.
    fn until_recovered(&self, gateway: &mut Process, records: u64) -> anyhow::Result<u64> {
        let watch = Watch::start();
        loop {
            gateway.check()?;
            let waiting = self.waiting().unwrap_or(0);
            if waiting >= records {
                return Ok(waiting);
            }
            ensure!(
                watch.passed() < STEP_MAX,
                "{records} records waited in the spool before the kill, {waiting} after it"
            );
            sleep(LOOK);
        }
    }

    fn until_spooled(&self, gateway: &mut Process, count: u64) -> anyhow::Result<()> {
        let watch = Watch::start();
        loop {
            gateway.check()?;
            let spooled = self.number("forebay_spooled_total")?;
            if spooled >= count {
                return Ok(());
            }
            ensure!(
                watch.passed() < STEP_MAX,
                "{count} readings were sent, {spooled} are in the spool after {} s",
                STEP_MAX.as_secs()
            );
            sleep(LOOK);
        }
    }

    /// Records in the spool that wait for Kafka.
    fn waiting(&self) -> anyhow::Result<u64> {
        self.number("forebay_lag")
    }

    fn number(&self, metric: &str) -> anyhow::Result<u64> {
        Ok(page::value(&page::read(self.page)?, metric, "") as u64)
    }

    /// `forebay devices`, a second process, asks the gateway and finds its device.
    fn check_devices(&self, program: &Program) -> anyhow::Result<()> {
        let asked = program
            .command()
            .arg("devices")
            .current_dir(&self.folder)
            .output()?;
        let said = String::from_utf8(asked.stdout).context("forebay devices")?;
        ensure!(
            asked.status.success() && said.contains("c-1"),
            "forebay devices: {said}{}",
            String::from_utf8_lossy(&asked.stderr)
        );
        Ok(())
    }
}
