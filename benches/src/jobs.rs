//! What a forecast and a warning cost for many series: time on the processors, and memory, of the shipped binary.
//!
//! Eight weeks of hourly readings of each series are imported into a lake in a folder; then each job runs once by
//! `forebay jobs run`, in a process of its own. A run over one series is measured too: what it takes is the program's own, and
//! what the others take beyond it is the series'.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use serde::Serialize;
use tempfile::TempDir;

use crate::meter::{Meter, peak_bytes_of};

/// Eight weeks of hours.
const ROWS: u32 = 56 * 24;

/// 2026-01-01T00:00:00Z, in seconds.
const START: u32 = 1_767_225_600;

/// The first instant after the readings.
const DUE: &str = "2026-02-26T00:00:00Z";

/// How often a process is looked at. Its peak of memory is kept by the kernel, so that the last look holds it.
const LOOK_EVERY: Duration = Duration::from_millis(20);

const CONFIGURATION: &str = r#"[gateway]
id = "bench"
site = "bench"

[lake]
window = "1d"

[[job]]
name = "forecast"
kind = "grid_demand"
schedule = "0 0 * * *"
tags = ["load-*"]
step = "1h"

[[job]]
name = "warning"
kind = "predictive_maintenance"
schedule = "0 * * * *"
tags = ["load-*"]
"#;

/// What is measured.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) forebay: PathBuf,
    pub(crate) series: u32,
}

/// What one job took.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct JobFigures {
    pub(crate) job: &'static str,
    pub(crate) series: u32,
    /// Of the whole process.
    pub(crate) cpu_seconds: f64,
    pub(crate) peak_bytes: u64,
    /// Beyond what a run over one series takes.
    pub(crate) cpu_seconds_per_series: f64,
    pub(crate) peak_bytes_per_series: f64,
}

#[derive(Debug, Clone, Copy)]
struct Measured {
    cpu_seconds: f64,
    peak_bytes: u64,
}

/// Measures each job over one series, then over all.
pub(crate) async fn run(plan: &Plan) -> anyhow::Result<Vec<JobFigures>> {
    let one = measure(&plan.forebay, 1).await?;
    let all = measure(&plan.forebay, plan.series).await?;
    let others = f64::from(plan.series.saturating_sub(1).max(1));
    let figures = ["forecast", "warning"].into_iter().zip(one.iter().zip(all));
    let figures = figures.map(|(job, (one, all))| JobFigures {
        job,
        series: plan.series,
        cpu_seconds: all.cpu_seconds,
        peak_bytes: all.peak_bytes,
        cpu_seconds_per_series: (all.cpu_seconds - one.cpu_seconds) / others,
        peak_bytes_per_series: (all.peak_bytes as f64 - one.peak_bytes as f64) / others,
    });
    Ok(figures.collect())
}

/// What the forecast and the warning took.
async fn measure(forebay: &Path, series: u32) -> anyhow::Result<[Measured; 2]> {
    eprintln!("{series} series");
    let folder = TempDir::new()?;
    std::fs::write(folder.path().join("forebay.toml"), CONFIGURATION)?;
    let csv = folder.path().join("load.csv");
    write_readings(&csv, series)?;
    let csv = csv.to_string_lossy().into_owned();
    let import = [
        "import",
        &csv,
        "--time",
        "t",
        "--time-format",
        "s",
        "--device",
        "grid",
    ];
    process(forebay, folder.path(), &import).await?;
    let forecast = ["jobs", "run", "forecast", "--at", DUE];
    let forecast = process(forebay, folder.path(), &forecast).await?;
    let warning = ["jobs", "run", "warning", "--at", DUE];
    let warning = process(forebay, folder.path(), &warning).await?;
    Ok([forecast, warning])
}

/// A day's and a week's course with noise; every series at another height.
fn write_readings(path: &Path, series: u32) -> anyhow::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    write!(out, "t")?;
    for number in 0..series {
        write!(out, ",load-{number}")?;
    }
    writeln!(out)?;
    for row in 0..ROWS {
        write!(out, "{}", START + 3600 * row)?;
        let hour = f64::from(row % 24) / 24.0;
        let weekend = if row / 24 % 7 > 4 { 10.0 } else { 0.0 };
        let course = 50.0 + 20.0 * (std::f64::consts::TAU * (hour - 0.25)).sin() - weekend;
        for number in 0..series {
            let height = 1.0 + f64::from(number % 7) / 10.0;
            write!(out, ",{:.3}", course * height + 6.0 * noise(number, row))?;
        }
        writeln!(out)?;
    }
    Ok(out.flush()?)
}

/// Noise between −0.5 and 0.5, the same at each measurement.
fn noise(series: u32, row: u32) -> f64 {
    let hashed = (u64::from(series) << 32 | u64::from(row))
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .rotate_left(31)
        .wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (hashed >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
}

/// Runs the binary to its end.
async fn process(forebay: &Path, folder: &Path, args: &[&str]) -> anyhow::Result<Measured> {
    let log = folder.join("log.txt");
    let mut program = Command::new(forebay)
        .args(args)
        .arg("--data-dir")
        .arg(folder)
        .stdout(Stdio::null())
        .stderr(File::create(&log)?)
        .spawn()
        .with_context(|| format!("{} cannot be started", forebay.display()))?;
    let meter = Meter::start_of(program.id())?;
    let mut last = Measured {
        cpu_seconds: 0.0,
        peak_bytes: 0,
    };
    let status = loop {
        // A process that has just ended has no memory any more: what was seen before holds.
        if let Ok(peak) = peak_bytes_of(program.id()) {
            last.peak_bytes = peak;
        }
        if let Ok(cost) = meter.stop(0) {
            last.cpu_seconds = cost.cpu_seconds;
        }
        if let Some(status) = program.try_wait()? {
            break status;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    let said = std::fs::read_to_string(&log).unwrap_or_default();
    ensure!(status.success(), "{} failed: {said}", args.join(" "));
    Ok(last)
}
