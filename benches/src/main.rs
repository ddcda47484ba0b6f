//! `cargo xtask bench`: what a reading costs from Kafka into the lake, beside the limits of what it is made of.
//!
//! Every measurement runs in a process of its own, which is this program again: so CPU time and memory are those of the
//! measured part alone. It starts its own Kafka and its own S3 store on loopback, bounded in count and time; what it
//! measures and how is described in README.md. It judges nothing: there is no threshold here.

mod consume;
mod edge;
mod encode;
mod hostile;
mod idle;
mod ingest;
mod jobs;
// What the suites of `stream` and `lake` run against, too: what it cannot set up ends it.
#[path = "../../stream/tests/kafka_broker/mod.rs"]
#[allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the tests' own rig"
)]
mod kafka_broker;
mod meter;
mod modbus;
#[path = "../../lake/tests/s3/moto.rs"]
#[allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the tests' own rig"
)]
mod moto;
mod place;
mod report;
mod serve;
mod served;
mod signals;
mod spool;
mod suite;
mod task;
mod topic;

use std::{path::PathBuf, time::Duration};

use clap::{Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::{suite::Size, task::Task};

/// As the binary `forebay` has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(
    name = "forebay-bench",
    about = "What Forebay costs, beside what it cannot cost less than"
)]
struct Args {
    #[command(subcommand)]
    measure: Option<Case>,
    /// How the results are written to standard output.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Readings of each measurement.
    #[arg(long, default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(100_000..=6_000_000))]
    readings: u64,
    /// How often each is measured; medians are printed.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=9))]
    rounds: u8,
}

#[derive(Subcommand)]
enum Case {
    /// What a message costs from MQTT over the spool into Kafka, with Telegraf beside it.
    Edge {
        /// The binary `forebay`.
        #[arg(long)]
        forebay: PathBuf,
        /// The binary `telegraf`; without it Forebay is measured alone.
        #[arg(long)]
        telegraf: Option<PathBuf>,
        /// Messages of each measurement.
        #[arg(long, default_value_t = 300_000, value_parser = clap::value_parser!(u64).range(10_000..=3_000_000))]
        messages: u64,
        /// How often each is measured; the medians are reported.
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=9))]
        rounds: u8,
    },
    /// What registers cost from Modbus TCP over the spool into Kafka, and the memory of so many tags.
    Modbus {
        /// The binary `forebay`.
        #[arg(long)]
        forebay: PathBuf,
        /// Tags, of one register each.
        #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
        tags: u32,
        /// How many seconds each measurement takes.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3_600))]
        seconds: u64,
        /// How often it is measured; the medians are reported.
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=9))]
        rounds: u8,
    },
    /// What a forecast and a warning cost for many series.
    Jobs {
        /// The binary `forebay`.
        #[arg(long)]
        forebay: PathBuf,
        /// How many series.
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(2..=10_000))]
        series: u32,
    },
    /// How long a day's chart of ten tags takes over PostgreSQL's protocol, with roll-ups and without.
    Serve(serve::Plan),
    /// What telemetry and the ports for queries cost while nobody asks.
    Idle(idle::Plan),
    /// Whether strangers and greedy users at the ports for queries slow the data path down.
    Hostile(hostile::Plan),
    /// One measurement, as this program asks it of itself.
    #[command(hide = true)]
    Measure {
        /// What, as JSON.
        task: String,
    },
}

/// How the results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

fn main() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_env("FOREBAY_LOG").unwrap_or_else(|_| EnvFilter::new("error"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    match args.measure {
        Some(Case::Measure { task }) => {
            let task: Task = serde_json::from_str(&task)?;
            println!("{}", runtime.block_on(task.measure())?);
            return Ok(());
        }
        Some(Case::Edge {
            forebay,
            telegraf,
            messages,
            rounds,
        }) => {
            let plan = edge::Plan {
                forebay,
                telegraf,
                messages,
                rounds,
            };
            let figures = runtime.block_on(edge::run(&plan))?;
            return told(args.format, &figures, |figures| report::edge_table(figures));
        }
        Some(Case::Modbus {
            forebay,
            tags,
            seconds,
            rounds,
        }) => {
            let plan = modbus::Plan {
                forebay,
                tags,
                length: Duration::from_secs(seconds),
                rounds,
            };
            let figures = runtime.block_on(modbus::run(&plan))?;
            return told(args.format, &figures, report::modbus_table);
        }
        Some(Case::Jobs { forebay, series }) => {
            let plan = jobs::Plan { forebay, series };
            let figures = runtime.block_on(jobs::run(&plan))?;
            return told(args.format, &figures, |figures| report::jobs_table(figures));
        }
        Some(Case::Serve(plan)) => {
            let figures = runtime.block_on(serve::run(&plan))?;
            return told(args.format, &figures, report::serve_table);
        }
        Some(Case::Idle(plan)) => {
            let figures = runtime.block_on(idle::run(&plan))?;
            return told(args.format, &figures, report::idle_table);
        }
        Some(Case::Hostile(plan)) => {
            let figures = runtime.block_on(hostile::run(&plan))?;
            return told(args.format, &figures, report::hostile_table);
        }
        None => {}
    }
    let figures = runtime.block_on(suite::run(Size {
        readings: args.readings,
        rounds: args.rounds,
    }))?;
    told(args.format, &figures, report::table)
}

/// Writes figures as they are asked for.
fn told<F: serde::Serialize>(
    format: Format,
    figures: &F,
    table: fn(&F) -> String,
) -> anyhow::Result<()> {
    match format {
        Format::Table => print!("{}", table(figures)),
        Format::Json => println!("{}", serde_json::to_string_pretty(figures)?),
    }
    Ok(())
}
