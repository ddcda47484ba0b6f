//! `cargo xtask bench`: what a reading costs from Kafka into the lake, beside the limits of what it is made of; and what the shipped
//! binary takes at the edge, beside Telegraf.
//!
//! Every measurement of the lake runs in a process of its own, which is this program again: so CPU time and memory are those of the
//! measured part alone. It starts its own Kafka and its own S3 store on loopback, bounded in count and time; what it
//! measures and how is described in README.md. It judges nothing: there is no threshold here.

#[cfg(feature = "lake")]
mod consume;
mod edge;
#[cfg(feature = "lake")]
mod encode;
mod hostile;
mod idle;
#[cfg(feature = "lake")]
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
#[cfg_attr(
    not(feature = "lake"),
    allow(dead_code, reason = "of this process itself only")
)]
mod meter;
mod modbus;
#[cfg(feature = "lake")]
#[path = "../../lake/tests/s3/moto.rs"]
#[allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the tests' own rig"
)]
mod moto;
mod opcua;
mod path;
#[cfg(feature = "lake")]
mod place;
mod program;
mod received;
mod report;
mod serve;
mod served;
#[cfg(feature = "lake")]
mod signals;
#[cfg(feature = "lake")]
mod spool;
#[cfg(feature = "lake")]
mod suite;
#[cfg(feature = "lake")]
mod task;
#[cfg(feature = "lake")]
mod topic;
mod turns;

use std::{path::PathBuf, time::Duration};

use clap::{Parser, Subcommand, ValueEnum};
use serde::Serialize;
use tracing_subscriber::EnvFilter;

use crate::program::Binaries;

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
        #[command(flatten)]
        binaries: Binaries,
        /// Devices that speak, with four tags each.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=25_000))]
        devices: u64,
        /// Messages of each measurement.
        #[arg(long, default_value_t = 300_000, value_parser = clap::value_parser!(u64).range(10_000..=3_000_000))]
        messages: u64,
        /// How often each is measured; the medians are reported.
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=9))]
        rounds: u8,
    },
    /// What registers cost from Modbus TCP over the spool into Kafka, and the memory of so many tags, with Telegraf beside it.
    Modbus {
        #[command(flatten)]
        binaries: Binaries,
        /// Tags, of one register each.
        #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
        tags: u32,
        /// How many seconds each measurement takes.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3_600))]
        seconds: u64,
        /// How often each is measured; the medians are reported.
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=9))]
        rounds: u8,
    },
    /// What values of OPC UA cost from a subscription over the spool into Kafka, and the memory of so many tags, with Telegraf
    /// beside it.
    Opcua {
        #[command(flatten)]
        binaries: Binaries,
        /// Tags, of one variable each.
        #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=200_000))]
        tags: u32,
        /// Values that the server writes in a second.
        #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..=200_000))]
        per_second: u32,
        /// How many seconds each measurement takes.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3_600))]
        seconds: u64,
        /// How often each is measured; the medians are reported.
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=9))]
        rounds: u8,
    },
    /// What a reading costs from a Modbus device to the lake's table, edge and compactor in one process.
    Path {
        /// The binary `forebay`, with the lake.
        #[arg(long)]
        forebay: PathBuf,
        /// Tags, of one register each, polled five times a second.
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
        tags: u32,
        /// How many seconds each measurement takes.
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(10..=3_600))]
        seconds: u64,
        /// How often it is measured; the medians are reported.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=9))]
        rounds: u8,
    },
    /// What a forecast and a warning cost for many series.
    Jobs {
        /// The binary `forebay`, with the lake.
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
    #[cfg(feature = "lake")]
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

impl Format {
    fn print<F: Serialize + ?Sized>(
        self,
        figures: &F,
        table: impl FnOnce(&F) -> String,
    ) -> anyhow::Result<()> {
        match self {
            Self::Table => print!("{}", table(figures)),
            Self::Json => println!("{}", serde_json::to_string_pretty(figures)?),
        }
        Ok(())
    }
}

impl Case {
    async fn run(self, format: Format) -> anyhow::Result<()> {
        match self {
            Self::Edge {
                binaries,
                devices,
                messages,
                rounds,
            } => {
                let plan = edge::Plan {
                    binaries,
                    devices,
                    messages,
                    rounds,
                };
                format.print(&*edge::run(&plan).await?, report::programs_table)
            }
            Self::Modbus {
                binaries,
                tags,
                seconds,
                rounds,
            } => {
                let plan = modbus::Plan {
                    binaries,
                    tags,
                    length: Duration::from_secs(seconds),
                    rounds,
                };
                format.print(&*modbus::run(&plan).await?, report::programs_table)
            }
            Self::Opcua {
                binaries,
                tags,
                per_second,
                seconds,
                rounds,
            } => {
                let plan = opcua::Plan {
                    binaries,
                    tags,
                    per_second,
                    length: Duration::from_secs(seconds),
                    rounds,
                };
                format.print(&*opcua::run(&plan).await?, report::programs_table)
            }
            Self::Path {
                forebay,
                tags,
                seconds,
                rounds,
            } => {
                let plan = path::Plan {
                    forebay,
                    tags,
                    length: Duration::from_secs(seconds),
                    rounds,
                };
                format.print(&path::run(&plan).await?, report::path_table)
            }
            Self::Jobs { forebay, series } => {
                let plan = jobs::Plan { forebay, series };
                format.print(&*jobs::run(&plan).await?, report::jobs_table)
            }
            Self::Serve(plan) => format.print(&serve::run(&plan).await?, report::serve_table),
            Self::Idle(plan) => format.print(&idle::run(&plan).await?, report::idle_table),
            Self::Hostile(plan) => format.print(&hostile::run(&plan).await?, report::hostile_table),
            #[cfg(feature = "lake")]
            Self::Measure { task } => {
                let task: task::Task = serde_json::from_str(&task)?;
                println!("{}", task.measure().await?);
                Ok(())
            }
        }
    }
}

fn main() -> anyhow::Result<()> {
    // The library's server names the certificate that an endpoint without security does not need.
    let filter = EnvFilter::try_from_env("FOREBAY_LOG")
        .unwrap_or_else(|_| EnvFilter::new("error,opcua_crypto=off,opcua_core=off"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let mut args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match args.measure.take() {
            Some(case) => case.run(args.format).await,
            None => whole(&args).await,
        }
    })
}

/// From Kafka into the lake.
#[cfg(feature = "lake")]
async fn whole(args: &Args) -> anyhow::Result<()> {
    let size = suite::Size {
        readings: args.readings,
        rounds: args.rounds,
    };
    args.format.print(&suite::run(size).await?, report::table)
}

#[cfg(not(feature = "lake"))]
async fn whole(args: &Args) -> anyhow::Result<()> {
    anyhow::bail!(
        "{} rounds of {} readings into the lake take the feature lake; this build has the edge's cases alone",
        args.rounds,
        args.readings
    )
}
