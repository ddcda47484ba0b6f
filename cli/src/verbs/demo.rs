//! `forebay demo`: a small plant on loopback, every role, and what came of it.
//!
//! The plant's servers are real and replay recorded data; the configuration that reads them is written into the folder, so
//! that it can be read, changed and run again. Nothing here takes a short cut: history comes by `import`, the rest by
//! connectors.

mod folder;
mod outcome;

use std::{
    io::{IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use forebay_config::{Expanded, FromValue as _};
use forebay_simulated::{Pace, Plant, QUIET, Scenario};
use tokio::{
    select,
    time::{Instant, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::{clock, now},
    config::Config,
    log, out,
    place::Place,
    registry,
    role::Role,
    service::{Service, Watch},
    signals::stop_on_signal,
    store::Store,
};
use folder::Folder;
use outcome::Outcome;

const FOLDER: &str = "forebay-demo";
/// The job of the configuration that writes the report.
const REPORT: &str = "report";
/// How long the first reading may take.
const FIRST_MAX: Duration = Duration::from_secs(30);
/// How long, after the readings, windows and jobs may take to follow.
const AFTER_MAX: Duration = Duration::from_secs(12);
/// How long jobs are given to take the last windows.
const LINGER: Duration = Duration::from_secs(4);
const LOOK: Duration = Duration::from_secs(1);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long readings are taken, counted from the first.
    #[arg(long = "for", value_name = "D", default_value = "45s", value_parser = duration)]
    length: Duration,
    /// What the plant does.
    #[arg(long, value_enum, default_value_t = Story::Recorded)]
    scenario: Story,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Story {
    /// A pump goes from good health into the failure that was recorded.
    Recorded,
    /// The pump stays well: nothing must be warned of.
    Healthy,
    /// The failure comes sooner, and demand is higher: forecast and warning must follow.
    Perturbed,
}

fn duration(text: &str) -> Result<Duration, String> {
    Duration::from_value(&Expanded::Text(text.to_owned()))
}

pub(crate) async fn run(data_dir: Option<PathBuf>, args: Args) -> anyhow::Result<ExitCode> {
    if args.length < Duration::from_secs(1) {
        bail!("--for {:?}: at least 1s is expected", args.length);
    }
    // The counts are what is shown.
    log::start(&format!(",{QUIET},{}", registry::QUIET));
    let stop = stop_on_signal()?;
    let scenario = match args.scenario {
        Story::Recorded => Scenario::Recorded,
        Story::Healthy => Scenario::Healthy,
        Story::Perturbed => Scenario::Perturbed,
    };
    let plant = Plant::start_at(scenario, clock(), Pace::within(args.length)).await?;
    let folder = Folder::make(
        data_dir.unwrap_or_else(|| PathBuf::from(FOLDER)),
        &plant,
        args.length,
    )?;
    let place = Place::find(None, Some(folder.path().to_owned()))?;
    eprintln!(
        "A small plant is up: a pump (Modbus TCP), a press (OPC UA) and meters (MQTT), replaying recorded data."
    );
    eprintln!("Its configuration is {}.", folder.config().display());
    let config = Config::load(&place)?;
    let store = Store::of(&config);
    let history = folder.import_history(&config, &store, scenario).await?;
    eprintln!("Imported {history} new readings of a feeder's last four weeks.");
    let started = now()?;
    let before = Outcome::read(&store).await?;
    let service = Service::open(config, &[Role::Edge, Role::Compactor, Role::Jobs]).await?;
    let watch = service.watch();
    let stopped = CancellationToken::new();
    let mut running = tokio::spawn(service.run(stopped.clone(), LINGER));
    let watched = select! {
        ended = &mut running => return ended?.and_then(|()| bail!("the gateway stopped unexpectedly")),
        watched = watched(&watch, args.length, &stop) => watched,
    };
    stopped.cancel();
    running.await??;
    plant.stop().await;
    watched?;
    let outcome = Outcome::read(&store).await?;
    let new = outcome.readings - before.readings;
    let warnings = outcome.warnings(started).await?;
    outcome
        .print(new + i64::try_from(history)?, &warnings, folder.path())
        .await?;
    report(&place, &store).await?;
    if stop.is_cancelled() {
        return Ok(ExitCode::SUCCESS);
    }
    if new == 0 || outcome.predictions <= before.predictions {
        bail!("the demo ended without readings or a forecast: run it again with FOREBAY_LOG=info");
    }
    match args.scenario {
        Story::Healthy if !warnings.is_empty() => {
            bail!("there are warnings although the pump is healthy")
        }
        Story::Recorded | Story::Perturbed if warnings.is_empty() => {
            bail!("the pump failed and nothing warned of it: was --for shorter than 30s?")
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Writes the report of the configuration and says where it lies. What the demo found stands without it.
async fn report(place: &Place, store: &Store) -> anyhow::Result<()> {
    let config = Config::load(place)?;
    let path = config.jobs_path();
    let lake = Arc::new(store.writer().await?);
    let runs =
        forebay_jobs::run_now(Arc::new(config.jobs), lake, &path, clock(), REPORT, None).await?;
    for run in runs {
        let message = run.message.unwrap_or_default();
        match message.strip_prefix("report: ") {
            Some(path) => out::print(format!("\nReport, for a browser: {path}\n"))?,
            None => eprintln!("The report failed: {message}"),
        }
    }
    Ok(())
}

/// Shows the counts until the time is over or a signal comes.
async fn watched(watch: &Watch, length: Duration, stop: &CancellationToken) -> anyhow::Result<()> {
    let first = async {
        let mut looks = interval(Duration::from_millis(50));
        while spooled(watch) == 0 {
            looks.tick().await;
        }
    };
    timeout(FIRST_MAX, first)
        .await
        .context("no reading arrived within 30 s: run it again with FOREBAY_LOG=info")?;
    let end = Instant::now() + length;
    let mut looks = interval(LOOK);
    loop {
        select! {
            _ = looks.tick() => show(watch, end.saturating_duration_since(Instant::now())),
            () = tokio::time::sleep_until(end) => break,
            () = stop.cancelled() => break,
        }
    }
    if std::io::stderr().is_terminal() {
        eprintln!();
    }
    eprintln!(
        "Stopping: what has been read is committed, windows close, jobs end (at most {} s).",
        AFTER_MAX.as_secs()
    );
    Ok(())
}

fn spooled(watch: &Watch) -> u64 {
    watch
        .edge
        .sources()
        .iter()
        .map(|(_, source)| source.spooled())
        .sum()
}

/// One line, in place on a terminal.
fn show(watch: &Watch, left: Duration) {
    let sources: Vec<String> = watch
        .edge
        .sources()
        .iter()
        .map(|(name, source)| match source.down() {
            Some(why) => format!("{name} down ({why})"),
            None => format!("{name} {}", source.spooled()),
        })
        .collect();
    let committed = watch
        .lake
        .progress
        .committed
        .load(std::sync::atomic::Ordering::Relaxed);
    let line = format!(
        "{:>3} s left | spooled: {} | committed: {committed}",
        left.as_secs(),
        sources.join(", ")
    );
    let mut out = std::io::stderr();
    // A closed stderr is no reason to end the demo.
    let written = if out.is_terminal() {
        write!(out, "\r\x1b[K{line}")
    } else {
        writeln!(out, "{line}")
    };
    written.and_then(|()| out.flush()).ok();
}
