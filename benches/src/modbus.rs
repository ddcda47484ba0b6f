//! What registers cost at the edge: Modbus TCP polled as fast as it goes, through the synced spool, into Kafka; and the memory that so
//! many tags take.
//!
//! The measured process is the shipped binary. Devices answer at once and their registers never stand still, so that each poll
//! gives a reading of each register; what is counted is what has come into Kafka.

mod server;

use std::{fmt::Write as _, path::PathBuf, time::Duration};

use serde::Serialize;
use tempfile::TempDir;
use tokio::time::Instant;

use self::server::Devices;
use crate::{
    edge::{
        program::{Running, start},
        received::Received,
    },
    kafka_broker::Broker,
    meter::median,
};

/// As many as one device has; each device is a connector with a connection of its own.
const TAGS_PER_DEVICE: u32 = 1_000;

/// What is measured.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) forebay: PathBuf,
    pub(crate) tags: u32,
    /// How long each measurement takes.
    pub(crate) length: Duration,
    pub(crate) rounds: u8,
}

/// Medians over the rounds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ModbusFigures {
    pub(crate) tags: u32,
    pub(crate) registers_per_second: f64,
    pub(crate) registers_per_cpu_second: f64,
    /// Peak of resident memory.
    pub(crate) peak_bytes: f64,
}

#[derive(Debug, Clone, Copy)]
struct Measured {
    registers: u64,
    cpu_seconds: f64,
    wall_seconds: f64,
    peak_bytes: u64,
}

/// Measures so many tags of one register each, in so many rounds.
pub(crate) async fn run(plan: &Plan) -> anyhow::Result<ModbusFigures> {
    let folder = TempDir::new()?;
    let kafka = Broker::started().await;
    let devices = Devices::start(plan.tags.div_ceil(TAGS_PER_DEVICE)).await?;
    let mut runs = Vec::new();
    for round in 1..=plan.rounds {
        eprintln!("round {round} of {}", plan.rounds);
        let topic = format!("modbus-{round}");
        kafka.create(&topic, 1, &[]).await;
        let folder = TempDir::new_in(folder.path())?;
        let text = configuration(&folder, plan.tags, &devices, &kafka.address(), &topic);
        let running = start(&plan.forebay, folder.path(), &text, &["run", "--config"])?;
        let received = Received::of(&kafka.address(), &topic)?;
        runs.push(measure(running, received, plan)?);
    }
    let rate =
        |by: fn(&Measured) -> f64| median(runs.iter().map(|run| run.registers as f64 / by(run)));
    Ok(ModbusFigures {
        tags: plan.tags,
        registers_per_second: rate(|run| run.wall_seconds),
        registers_per_cpu_second: rate(|run| run.cpu_seconds),
        peak_bytes: median(runs.iter().map(|run| run.peak_bytes as f64)),
    })
}

fn measure(mut running: Running, mut received: Received, plan: &Plan) -> anyhow::Result<Measured> {
    // All devices are connected, and the program is warm.
    while received.count()? < 10 * u64::from(plan.tags) {
        running.check()?;
    }
    let before = received.count()?;
    let meter = running.meter()?;
    let begun = Instant::now();
    while begun.elapsed() < plan.length {
        running.check()?;
        received.count()?;
    }
    let registers = received.count()? - before;
    let cost = meter.stop(registers)?;
    Ok(Measured {
        registers,
        cpu_seconds: cost.cpu_seconds,
        wall_seconds: cost.wall_seconds,
        peak_bytes: running.peak_bytes()?,
    })
}

fn configuration(
    folder: &TempDir,
    tags: u32,
    devices: &Devices,
    kafka: &str,
    topic: &str,
) -> String {
    let mut text = format!(
        r#"[gateway]
id = "bench"
site = "plant"
data_dir = "{}"

[stream]
kind = "kafka"
brokers = ["{kafka}"]
topic = "{topic}"

[telemetry]
log = "error"
"#,
        folder.path().join("data").display()
    );
    let mut left = tags;
    for (device, port) in devices.ports().iter().enumerate() {
        // More often than it goes: the next poll is due as soon as one is stored.
        let connector = format!(
            "\n[[connector]]\nname = \"device-{device}\"\nkind = \"modbus\"\ndevice = \"device-{device}\"\n\
             url = \"tcp://127.0.0.1:{port}\"\nevery = \"10ms\"\n"
        );
        text.push_str(&connector);
        for address in 0..left.min(TAGS_PER_DEVICE) {
            // Writing to a string does not fail.
            write!(
                text,
                "\n[[connector.tag]]\nname = \"register-{address}\"\nregister = \"holding\"\naddress = {address}\ntype = \"u16\"\n"
            )
            .unwrap_or_default();
        }
        left = left.saturating_sub(TAGS_PER_DEVICE);
    }
    text
}
