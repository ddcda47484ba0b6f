//! `forebay jobs graph`: what hands on to what, and which windows and times are done, late, failed or missing.

use std::process::ExitCode;

use forebay_jobs::{FireState, JobNode};

use super::instant;
use crate::{
    clock::{clock, rfc3339},
    config::Config,
    out,
    store::Store,
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Fires from this time on; from each job's first run unless given.
    #[arg(long, value_name = "T")]
    from: Option<String>,
    /// Fires before this time; now unless given.
    #[arg(long, value_name = "T")]
    to: Option<String>,
}

pub(super) async fn run(config: &Config, args: &Args) -> anyhow::Result<ExitCode> {
    let time = |text: &Option<String>| text.as_deref().map(instant).transpose();
    let (from, to) = (time(&args.from)?, time(&args.to)?);
    let lake = Store::of(config).writer().await?;
    let path = config.jobs_path();
    for node in forebay_jobs::graph(&config.jobs, &lake, &path, &clock(), from, to).await? {
        out::print(lines(&node))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn lines(node: &JobNode) -> String {
    let mut lines = format!("{}  {}  {}\n", node.name, node.kind, node.trigger);
    for next in &node.hands_on_to {
        lines.push_str(&format!("  -> {next}\n"));
    }
    let counts: Vec<String> = FireState::ALL
        .iter()
        .map(|state| {
            let count = node.counts.get(state).copied().unwrap_or(0);
            format!("{count} {}", state.name())
        })
        .collect();
    lines.push_str(&format!(
        "  {} to {}: {}\n",
        rfc3339(node.from),
        rfc3339(node.to),
        counts.join(", ")
    ));
    for (fire, state) in &node.open {
        lines.push_str(&format!("  {}  {fire}\n", state.name()));
    }
    let open: usize = node
        .counts
        .iter()
        .filter(|(state, _)| !matches!(state, FireState::Done | FireState::Waiting))
        .map(|(_, count)| count)
        .sum();
    if open > node.open.len() {
        lines.push_str(&format!("  and {} more\n", open - node.open.len()));
    }
    lines
}
