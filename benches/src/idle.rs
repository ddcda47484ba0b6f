//! What telemetry and the ports for queries cost while nobody asks: the same load with them and without, in turns.
//!
//! Simulated connectors make 100,000 readings a second, which go through the synced spool into a lake in a folder. With them, a
//! collector takes OTLP over HTTP, the page for Prometheus is read every five seconds, and `[serve]` listens. The measure is
//! processor time per reading that came into the lake, of the shipped binary, all its roles.

mod sinks;

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use serde::Serialize;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::{
    meter::{median, threads_cpu},
    program::{Running, run_over},
    served::{PASSWORD, free_port},
};
use sinks::{collector, scraper};

/// So many connectors read so many tags each as often as this: 100,000 readings a second. A connector waits until what it has read is
/// synced, so that one alone would wait most of the time.
const CONNECTORS: u64 = 10;
const TAGS: u64 = 1_000;
const EVERY: &str = "100ms";
/// How the names of threads begin that telemetry and the ports for queries have for themselves.
const OWN_THREADS: [&str; 2] = ["OpenTelemetry", "serve"];
/// The first commits and the start itself are not measured.
const WARM_UP: Duration = Duration::from_secs(10);

/// What is measured.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Plan {
    /// The binary `forebay`.
    #[arg(long)]
    forebay: PathBuf,
    /// How many seconds each measurement takes.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(5..=600))]
    seconds: u64,
    /// How often each is measured.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=15))]
    rounds: u8,
}

/// Medians over the rounds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct IdleFigures {
    pub(crate) readings_per_second: f64,
    pub(crate) cpu_nanos_without: f64,
    pub(crate) cpu_nanos_with: f64,
    /// With over without, the median of the rounds' own.
    pub(crate) ratio: f64,
    /// The least and the greatest of the rounds.
    pub(crate) ratios: (f64, f64),
    /// Of the processor time with them, what their own threads took: it hardly depends on what else the machine does, but leaves out
    /// what the data path counts and notes for them.
    pub(crate) own_share: f64,
}

/// What runs beside the data path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beside {
    Nothing,
    TelemetryAndServe,
}

#[derive(Debug, Clone, Copy)]
struct Measured {
    cpu_nanos_per_reading: f64,
    readings_per_second: f64,
    own_share: f64,
}

/// Measures both in each round, in turns.
pub(crate) async fn run(plan: &Plan) -> anyhow::Result<IdleFigures> {
    let mut rounds = Vec::new();
    for round in 1..=plan.rounds {
        eprintln!("round {round} of {}", plan.rounds);
        // What the machine does meanwhile falls on either first in turn.
        let order = if round % 2 == 1 {
            [Beside::Nothing, Beside::TelemetryAndServe]
        } else {
            [Beside::TelemetryAndServe, Beside::Nothing]
        };
        let first = measure(plan, order[0]).await?;
        let second = measure(plan, order[1]).await?;
        let (without, with) = if order[0] == Beside::Nothing {
            (first, second)
        } else {
            (second, first)
        };
        eprintln!("  ratio {:.4}", ratio(&without, &with));
        rounds.push((without, with));
    }
    let ratios: Vec<f64> = rounds
        .iter()
        .map(|(without, with)| ratio(without, with))
        .collect();
    Ok(IdleFigures {
        readings_per_second: median(
            rounds
                .iter()
                .map(|(without, _)| without.readings_per_second),
        ),
        cpu_nanos_without: median(
            rounds
                .iter()
                .map(|(without, _)| without.cpu_nanos_per_reading),
        ),
        cpu_nanos_with: median(rounds.iter().map(|(_, with)| with.cpu_nanos_per_reading)),
        ratio: median(ratios.iter().copied()),
        ratios: (
            ratios.iter().copied().fold(f64::INFINITY, f64::min),
            ratios.iter().copied().fold(0.0, f64::max),
        ),
        own_share: median(rounds.iter().map(|(_, with)| with.own_share)),
    })
}

fn ratio(without: &Measured, with: &Measured) -> f64 {
    with.cpu_nanos_per_reading / without.cpu_nanos_per_reading
}

async fn measure(plan: &Plan, beside: Beside) -> anyhow::Result<Measured> {
    let folder = TempDir::new()?;
    let beside = match beside {
        Beside::Nothing => None,
        Beside::TelemetryAndServe => {
            let (endpoint, collecting) = collector().await?;
            let page = free_port()?;
            Some((endpoint, page, collecting, scraper(page)))
        }
    };
    let ports = beside
        .as_ref()
        .map(|(endpoint, page, ..)| (endpoint.as_str(), *page));
    fs::write(folder.path().join("forebay.toml"), configuration(ports)?)?;
    fs::write(folder.path().join("password"), PASSWORD)?;
    let program = run_over(&plan.forebay, folder.path(), &[])?;
    sleep(WARM_UP).await;
    let meter = program.meter()?;
    let own = threads_cpu(program.id(), &OWN_THREADS)?;
    let before = readings(plan, folder.path(), &program)?;
    sleep(Duration::from_secs(plan.seconds)).await;
    let after = readings(plan, folder.path(), &program)?;
    let cost = meter.stop(after.saturating_sub(before))?;
    let own = threads_cpu(program.id(), &OWN_THREADS)?.saturating_sub(own);
    ensure!(cost.readings > 0, "nothing came into the lake");
    drop(program);
    if let Some((_, _, collecting, scraping)) = beside {
        collecting.abort();
        scraping.abort();
    }
    Ok(Measured {
        cpu_nanos_per_reading: cost.cpu_seconds * 1e9 / cost.readings as f64,
        readings_per_second: cost.readings as f64 / cost.wall_seconds,
        own_share: own.as_secs_f64() / cost.cpu_seconds,
    })
}

fn configuration(beside: Option<(&str, u16)>) -> anyhow::Result<String> {
    let mut text = String::from(
        r#"[gateway]
id = "bench"
site = "bench"

[lake]
commit_interval = "1s"
"#,
    );
    for connector in 0..CONNECTORS {
        write!(
            text,
            "\n[[connector]]\nname = \"load-{connector}\"\nkind = \"simulated\"\ndevice = \"plant-{connector}\"\nevery = \"{EVERY}\"\n"
        )?;
        for tag in 0..TAGS {
            write!(
                text,
                "\n[[connector.tag]]\nname = \"tag-{tag}\"\nsignal = \"triangle\"\nperiod = \"1m\"\n"
            )?;
        }
    }
    match beside {
        None => text.push_str("\n[telemetry]\nlog = \"warn\"\n"),
        Some((endpoint, page)) => write!(
            text,
            r#"
[telemetry]
log = "warn"
otlp_endpoint = "{endpoint}"
prometheus_listen = "127.0.0.1:{page}"

[serve]
postgres_listen = "127.0.0.1:{}"
http_listen = "127.0.0.1:{}"

[[serve.user]]
name = "grafana"
password_file = "password"
sites = ["*"]
"#,
            free_port()?,
            free_port()?
        )?,
    }
    Ok(text)
}

/// The readings that are in the lake; a process of its own counts them.
fn readings(plan: &Plan, folder: &Path, program: &Running) -> anyhow::Result<u64> {
    let sql = "SELECT count(*) AS n FROM readings";
    let output = Command::new(&plan.forebay)
        .args(["query", sql, "--format", "csv", "--data-dir"])
        .arg(folder)
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let count = said
        .lines()
        .nth(1)
        .and_then(|line| line.trim().parse().ok());
    count.with_context(|| format!("the lake cannot be counted: {said}\n{}", program.said()))
}
