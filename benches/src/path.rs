//! What a reading costs from the device to the lake's table: one device is polled, and edge and compactor are one process, with
//! the spool as the stream.
//!
//! The measured process is the shipped binary. Readings are counted at the device while it is measured; in the end each of them
//! has to be in the table.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use serde::Serialize;
use tempfile::TempDir;

use crate::{
    meter::median,
    modbus::{Devices, connector},
    program::{Running, start},
};

/// As often as the device is polled.
const EVERY: Duration = Duration::from_millis(200);
/// The table has been committed to a few times, as it is every ten seconds.
const WARM_UP: Duration = Duration::from_secs(25);

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
pub(crate) struct PathFigures {
    pub(crate) tags: u32,
    pub(crate) readings_per_second: f64,
    pub(crate) cpu_seconds_per_million: f64,
    /// Resident memory at the end of the measurement.
    pub(crate) resident_bytes: f64,
    /// Peak of resident memory.
    pub(crate) peak_bytes: f64,
}

#[derive(Debug, Clone, Copy)]
struct Measured {
    readings: u64,
    wall_seconds: f64,
    cpu_seconds: f64,
    resident_bytes: u64,
    peak_bytes: u64,
}

/// Measures so many tags of one register each.
pub(crate) async fn run(plan: &Plan) -> anyhow::Result<PathFigures> {
    let mut runs = Vec::new();
    for round in 1..=plan.rounds {
        eprintln!("round {round} of {}", plan.rounds);
        let devices = Devices::start(1).await?;
        let folder = TempDir::new()?;
        let config = configuration(folder.path(), &devices, plan.tags);
        let running = start(&plan.forebay, folder.path(), &config, &["run", "--config"])?;
        let run = measure(running, &devices, plan.length).await?;
        check(plan, folder.path(), devices.registers())?;
        runs.push(run);
    }
    let of = |figure: fn(&Measured) -> f64| median(runs.iter().map(figure));
    Ok(PathFigures {
        tags: plan.tags,
        readings_per_second: of(|run| run.readings as f64 / run.wall_seconds),
        cpu_seconds_per_million: of(|run| run.cpu_seconds * 1e6 / run.readings as f64),
        resident_bytes: of(|run| run.resident_bytes as f64),
        peak_bytes: of(|run| run.peak_bytes as f64),
    })
}

async fn measure(
    mut running: Running,
    devices: &Devices,
    length: Duration,
) -> anyhow::Result<Measured> {
    tokio::time::sleep(WARM_UP).await;
    running.check()?;
    let before = devices.registers();
    let meter = running.meter()?;
    tokio::time::sleep(length).await;
    let readings = devices.registers() - before;
    let cost = meter.stop(readings)?;
    running.check()?;
    ensure!(readings > 0, "the device is not polled");
    let measured = Measured {
        readings,
        wall_seconds: cost.wall_seconds,
        cpu_seconds: cost.cpu_seconds,
        resident_bytes: running.resident_bytes()?,
        peak_bytes: running.peak_bytes()?,
    };
    running.stop()?;
    Ok(measured)
}

/// What the device has answered is in the table, but for a poll that the stop may have cut off, and what a start asks to find the
/// device.
fn check(plan: &Plan, folder: &Path, answered: u64) -> anyhow::Result<()> {
    let asked = Command::new(&plan.forebay)
        .args(["query", "--format", "csv", "--config"])
        .arg(folder.join("config.toml"))
        .arg("SELECT count(*) FROM readings WHERE value IS NOT NULL")
        .output()?;
    let said = String::from_utf8_lossy(&asked.stdout);
    let stored = said
        .lines()
        .nth(1)
        .and_then(|line| line.trim().parse().ok());
    let stored: u64 =
        stored.with_context(|| format!("{said}{}", String::from_utf8_lossy(&asked.stderr)))?;
    ensure!(
        stored <= answered && stored + 2 * u64::from(plan.tags) >= answered,
        "{stored} readings in the table of {answered}"
    );
    Ok(())
}

fn configuration(folder: &Path, devices: &Devices, tags: u32) -> String {
    let every = format!("{}ms", EVERY.as_millis());
    let ports = devices.ports().iter().enumerate();
    let connectors = ports.map(|(device, port)| connector(device, *port, tags, &every));
    format!(
        "[gateway]\nid = \"bench\"\nsite = \"plant\"\ndata_dir = \"{}\"\n\n[lake]\n\n[telemetry]\nlog = \"warn\"\n{}",
        folder.join("data").display(),
        connectors.collect::<String>()
    )
}
