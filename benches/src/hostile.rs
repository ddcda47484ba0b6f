//! Whether strangers and greedy users at the ports for queries slow the data path down.
//!
//! A probe posts a reading to the HTTP connector a hundred times a second and waits until it is durable. Quiet stretches and
//! attacked ones take turns on one process of the shipped binary, all its roles: the measure is the 99th percentile of an attacked
//! stretch over that of the quiet one before it. Attacked means, all at once: connections that send a byte now and then, wrong
//! passwords and tokens, statements of the greatest length, and queries that multiply rows until they time out.

mod attack;
mod probe;

use std::{fs, path::PathBuf, time::Duration};

use anyhow::Context as _;
use serde::Serialize;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::{
    meter::median,
    program::run_over,
    served::{PASSWORD, free_port},
};
use attack::Attack;
use probe::{Probe, percentile};

/// Before the first stretch, and between an attack and the quiet after it.
const SETTLE: Duration = Duration::from_secs(3);

/// The user's token.
pub(crate) const TOKEN: &str = "a-token-of-the-bench";

/// What is measured.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Plan {
    /// The binary `forebay`.
    #[arg(long)]
    forebay: PathBuf,
    /// How many seconds each stretch takes, quiet or attacked.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(5..=600))]
    seconds: u64,
    /// How often each is measured.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=15))]
    rounds: u8,
}

/// Medians over the rounds, in ms.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct HostileFigures {
    pub(crate) probes: usize,
    pub(crate) quiet_p50: f64,
    pub(crate) quiet_p99: f64,
    pub(crate) attacked_p50: f64,
    pub(crate) attacked_p99: f64,
    /// Of the 99th percentiles, the median of the rounds' own.
    pub(crate) ratio: f64,
    /// What was done to the ports, in all rounds.
    pub(crate) attacks: attack::Done,
}

/// Where the process listens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) postgres: u16,
    pub(crate) http: u16,
    /// Of the connector.
    pub(crate) readings: u16,
}

/// Measures quiet and attacked stretches in turns.
pub(crate) async fn run(plan: &Plan) -> anyhow::Result<HostileFigures> {
    let folder = TempDir::new()?;
    let ports = Ports {
        postgres: free_port()?,
        http: free_port()?,
        readings: free_port()?,
    };
    fs::write(folder.path().join("forebay.toml"), configuration(ports))?;
    fs::write(folder.path().join("password"), PASSWORD)?;
    fs::write(folder.path().join("token"), TOKEN)?;
    let program = run_over(&plan.forebay, folder.path(), &[])?;
    let mut probe = Probe::connect(ports.readings)
        .await
        .with_context(|| program.said())?;
    probe.stretch(SETTLE).await?;
    let length = Duration::from_secs(plan.seconds);
    let (mut quiet, mut attacked, mut done) = (Vec::new(), Vec::new(), attack::Done::default());
    for round in 1..=plan.rounds {
        eprintln!("round {round} of {}", plan.rounds);
        quiet.push(probe.stretch(length).await?);
        let attack = Attack::begin(ports);
        attacked.push(probe.stretch(length).await?);
        done.add(attack.end());
        sleep(SETTLE).await;
    }
    let of = |stretches: &[Vec<f64>], share: f64| {
        median(stretches.iter().map(|times| percentile(times, share)))
    };
    let ratios = quiet.iter().zip(&attacked);
    let ratios =
        ratios.map(|(quiet, attacked)| percentile(attacked, 0.99) / percentile(quiet, 0.99));
    Ok(HostileFigures {
        probes: quiet.iter().chain(&attacked).map(Vec::len).sum(),
        quiet_p50: of(&quiet, 0.5),
        quiet_p99: of(&quiet, 0.99),
        attacked_p50: of(&attacked, 0.5),
        attacked_p99: of(&attacked, 0.99),
        ratio: median(ratios),
        attacks: done,
    })
}

fn configuration(ports: Ports) -> String {
    let Ports {
        postgres,
        http,
        readings,
    } = ports;
    format!(
        r#"[gateway]
id = "bench"
site = "bench"

[lake]
commit_interval = "1s"

[[connector]]
name = "push"
kind = "http"
listen = "127.0.0.1:{readings}"

[[connector.tag]]
path = "/raw/{{device}}/{{tag}}"
format = "raw"

[serve]
postgres_listen = "127.0.0.1:{postgres}"
http_listen = "127.0.0.1:{http}"
timeout = "5s"

[[serve.user]]
name = "grafana"
password_file = "password"
token_file = "token"
sites = ["*"]

[telemetry]
log = "error"
"#
    )
}
