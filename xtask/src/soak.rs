//! `cargo xtask soak`: `forebay run` against foreign peers for an hour, and whether what it holds stays the same.
//!
//! Everything that comes round in days at a real site comes round in minutes here: windows, jobs, segments of the spool,
//! checkpoints, merges, vacuums, lost links. What is measured is written once a minute, and judged at the end: see
//! [`series`] for what may grow and by how much. It measures neither speed nor what a kill does to the data.
//! `--load day` squeezes a day of a site with 200 tags into 72 minutes, and judges what a reading costs as well.
//! `--load fuzz` runs no binary: it fuzzes every decoder for longer than the tests do.

mod fuzz;
mod load;
pub(crate) mod pace;
pub(crate) mod page;
pub(crate) mod peer;
mod plant;
pub(crate) mod process;
mod sample;
mod series;
mod site;
mod table_log;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};

use self::{
    load::Load,
    pace::{Watch, sleep},
    plant::Plant,
    sample::{Probe, Sample},
    site::Site,
};
use crate::{
    command::{cargo, run as run_command, target_dir},
    peers,
};

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(5);
/// How often a line is written.
const LINE: Duration = Duration::from_secs(60);
/// How long the binary may take until it reads its devices.
const START_MAX: Duration = Duration::from_secs(120);
/// The shortest run that says anything: a few windows.
const SHORTEST: Duration = Duration::from_secs(60);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long, such as 3m or 1h; what takes longer to come round than a quarter of it is not judged. An hour, the whole of a
    /// squeezed day, or a minute for each decoder.
    #[arg(long = "for", value_name = "D", value_parser = pace::duration)]
    length: Option<Duration>,
    /// What comes.
    #[arg(long, value_enum, default_value_t)]
    load: Coming,
    /// Builds and runs the release profile.
    #[arg(long)]
    release: bool,
}

/// What comes.
#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum Coming {
    /// A hundred readings a second over three protocols, and links that get lost.
    #[default]
    Plant,
    /// A day of a site whose 200 tags speak once in ten seconds, at twenty times its speed: 400 readings a second over MQTT into
    /// a spool of the default size, beside what `plant` has. What a reading costs must not rise by more than a tenth.
    Day,
    /// Damaged inputs, for every decoder in turn: what makes one panic or hang is kept in its corpus.
    Fuzz,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let load = match args.load {
        Coming::Plant => Load::Plant,
        Coming::Day => Load::Day,
        Coming::Fuzz => return fuzz::run(args.length, args.release),
    };
    let length = args.length.unwrap_or_else(|| load.whole());
    ensure!(
        length >= SHORTEST,
        "--for: at least {} s are expected",
        SHORTEST.as_secs()
    );
    let target = target_dir();
    let python = peers::python(&target)?;
    let folder = target.join("soak").join(std::process::id().to_string());
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let binary = built_aside(&target, &folder, args.release)?;
    let flat = soak(&folder, &binary, &python, load, length)
        .with_context(|| format!("everything is left in {}", folder.display()))?;
    if !flat {
        bail!(
            "not flat: see the table; everything is left in {}",
            folder.display()
        );
    }
    fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))
}

/// The binary of this checkout, where the next build does not replace it.
fn built_aside(target: &Path, folder: &Path, release: bool) -> anyhow::Result<PathBuf> {
    let build: &[&str] = match release {
        true => &[
            "build",
            "--locked",
            "--release",
            "-p",
            "forebay",
            "-p",
            "forebay-benches",
        ],
        // As the tests build it: other features would build the analytic engine once more.
        false => &[
            "test",
            "--locked",
            "--workspace",
            "--test",
            "e2e",
            "--no-run",
        ],
    };
    run_command(cargo().args(build))?;
    let built = target
        .join(if release { "release" } else { "debug" })
        .join("forebay");
    let aside = folder.join("forebay");
    fs::copy(&built, &aside).with_context(|| format!("copy {}", built.display()))?;
    Ok(aside)
}

/// Answers whether every series that could be judged is flat.
fn soak(
    folder: &Path,
    binary: &Path,
    python: &Path,
    load: Load,
    length: Duration,
) -> anyhow::Result<bool> {
    let rhythm = load.rhythm(length);
    let mut plant = Plant::start(folder, python, load)?;
    let site = Site::new(folder, binary, &rhythm, load, plant.ports())?;
    let mut gateway = site.run()?;
    let mut probe = Probe::new(&site, gateway.id());
    let watch = Watch::start();
    while probe.metric("forebay_received_total", "connector=\"cells\"") == 0.0 {
        gateway.check()?;
        ensure!(
            watch.passed() < START_MAX,
            "the gateway has not subscribed within {} s",
            START_MAX.as_secs()
        );
        plant.probe()?;
    }
    plant.work(length)?;
    println!(
        "{} at {} for {}",
        binary.display(),
        site.folder().display(),
        pace::shown(length)
    );
    let watch = Watch::start();
    let (mut samples, mut next_line) = (Vec::<Sample>::new(), LINE);
    while watch.passed() < length {
        sleep(LOOK);
        gateway.check()?;
        plant.check()?;
        let sample = probe.sample(watch.passed())?;
        if sample.at >= next_line {
            println!("{}", sample.line());
            next_line += LINE;
        }
        samples.push(sample);
    }
    let sent = plant.stop()?;
    site.until_committed(sent)?;
    gateway.stop()?;
    site.check_readings(sent)?;
    let table = series::judge(&samples, &rhythm, load);
    println!("\n{table}");
    Ok(table.is_flat())
}
