//! The binary `forebay`: composes the other crates, one file a verb.
//!
//! Data goes to stdout, messages to stderr. Exit codes: 0 done, 1 failed, 2 usage, 3 `verify` found a fault, 78 bad
//! configuration.

mod clock;
mod config;
mod control;
mod hex;
mod keyring;
mod lake_place;
mod lock;
mod log;
mod metrics;
mod notify;
mod out;
mod owner;
mod place;
mod registry;
mod reload;
mod role;
mod schema;
mod service;
mod signals;
#[cfg(feature = "lake")]
mod store;
mod verbs;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{CommandFactory as _, Parser, Subcommand};
use forebay_config::ConfigErrors;
use forebay_runtime::report;

use place::Place;

/// The system's allocator kept what merges and commits gave back, in an arena a thread: docs/adr/0007 has what was seen.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Threads for work that blocks. Such work may wait for other work that blocks (a table's log is read so), hence no fewer.
const BLOCKING_MAX: usize = 64;

/// How long one of them waits for work. Linux wakes idle threads in turn, so under a steady load all threads of a burst live on
/// while each gets some within this time, and with each the memory that its heap keeps. Tokio's own ten seconds kept the pool
/// at its peak for good (docs/adr/0007).
const BLOCKING_IDLE: Duration = Duration::from_millis(100);

/// A configuration that cannot be used (sysexits.h, EX_CONFIG).
const BAD_CONFIGURATION: u8 = 78;

#[derive(Parser)]
#[command(
    name = "forebay",
    version,
    about = "Stream-to-batch ingestion gateway for industrial and IoT sites"
)]
struct Args {
    /// The configuration; ./forebay.toml unless given.
    #[arg(short = 'c', long = "config", global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of spool, keys and lake, and of forebay.toml if there is one; ./forebay-data unless given.
    #[arg(long, global = true, value_name = "D", conflicts_with = "config")]
    data_dir: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Start a small plant on this machine, run everything on it, and show what comes of it.
    #[cfg(feature = "lake")]
    Demo(verbs::demo::Args),
    /// Write a configuration to start from.
    Init,
    /// Name everything that is wrong in the configuration.
    Validate,
    /// Describe every key of the configuration.
    Schema(verbs::schema::Args),
    /// List every metric that a running Forebay has.
    Metrics(verbs::metrics::Args),
    /// Run what the configuration describes, until SIGINT or SIGTERM.
    Run(verbs::run::Args),
    /// How each device of a running gateway does: link, last reading, rate, tags that are not good and why.
    Devices(verbs::devices::Args),
    /// Readings of a running gateway as they pass.
    Tap(verbs::tap::Args),
    /// Have a running gateway read its configuration again.
    Reload,
    /// Put a CSV file into the lake, each reading exactly once.
    #[cfg(feature = "lake")]
    Import(Box<verbs::import::Args>),
    /// What was imported, and taking it back.
    #[cfg(feature = "lake")]
    #[command(subcommand)]
    Imports(verbs::imports::Verb),
    /// Answer SQL over the lake's tables.
    #[cfg(feature = "lake")]
    Query(verbs::query::Args),
    /// Prove that each reading is there once and each file is the one that was committed.
    #[cfg(feature = "lake")]
    Verify,
    /// What `[retention]` would delete now. `forebay run` deletes it.
    #[cfg(feature = "lake")]
    Retention,
    /// Make again what is lost of the lake and follows from the rest of it.
    #[cfg(feature = "lake")]
    #[command(subcommand)]
    Repair(verbs::repair::Verb),
    /// Scheduled jobs.
    #[cfg(feature = "lake")]
    #[command(subcommand)]
    Jobs(verbs::jobs::Verb),
    /// Alerts: what fires, who has taken it up, and whether routes work.
    #[command(subcommand)]
    Alerts(verbs::alerts::Verb),
    /// Look after the keyring.
    #[command(subcommand)]
    Keys(verbs::keys::Verb),
    /// What is in an OPC UA server or a Modbus device, as tags for the configuration.
    Browse(Box<verbs::browse::Args>),
    /// A Modbus address under every type and byte order, to see which is right.
    Probe(verbs::probe::Args),
    /// Certificates of OPC UA servers.
    #[command(subcommand)]
    Certificates(verbs::certificates::Verb),
    /// Tags that other tools list.
    #[command(subcommand)]
    Tags(verbs::tags::Verb),
    /// Completions for a shell.
    Completions(verbs::completions::Args),
}

impl Verb {
    /// Whether the verb itself starts the log, as its configuration says.
    fn starts_its_log(&self) -> bool {
        #[cfg(feature = "lake")]
        if matches!(self, Self::Demo(_)) {
            return true;
        }
        matches!(self, Self::Run(_))
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder
        .enable_all()
        .max_blocking_threads(BLOCKING_MAX)
        .thread_keep_alive(BLOCKING_IDLE);
    let runtime = match builder.build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    match runtime.block_on(run(args)) {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let place = Place::find(args.config, args.data_dir.clone())?;
    if !args.verb.starts_its_log() {
        log::start(&format!(",{}", registry::QUIET));
    }
    match args.verb {
        #[cfg(feature = "lake")]
        Verb::Demo(demo) => verbs::demo::run(args.data_dir, demo).await,
        Verb::Init => verbs::init::run(&place, args.data_dir.as_deref()),
        Verb::Validate => verbs::validate::run(&place),
        Verb::Schema(args) => verbs::schema::run(&args),
        Verb::Metrics(args) => verbs::metrics::run(&args),
        Verb::Run(args) => verbs::run::run(&place, args).await,
        Verb::Devices(args) => verbs::devices::run(&place, &args).await,
        Verb::Tap(args) => verbs::tap::run(&place, args).await,
        Verb::Reload => verbs::reload::run(&place).await,
        #[cfg(feature = "lake")]
        Verb::Import(args) => verbs::import::run(&place, *args).await,
        #[cfg(feature = "lake")]
        Verb::Imports(verb) => verbs::imports::run(&place, verb).await,
        #[cfg(feature = "lake")]
        Verb::Query(args) => verbs::query::run(&place, args).await,
        #[cfg(feature = "lake")]
        Verb::Verify => verbs::verify::run(&place).await,
        #[cfg(feature = "lake")]
        Verb::Retention => verbs::retention::run(&place).await,
        #[cfg(feature = "lake")]
        Verb::Repair(verb) => verbs::repair::run(&place, verb).await,
        #[cfg(feature = "lake")]
        Verb::Jobs(verb) => verbs::jobs::run(&place, verb).await,
        Verb::Alerts(verb) => verbs::alerts::run(&place, verb).await,
        Verb::Keys(verb) => verbs::keys::run(&place, verb).await,
        Verb::Browse(args) => verbs::browse::run(&place, *args).await,
        Verb::Probe(args) => verbs::probe::run(args).await,
        Verb::Certificates(verb) => verbs::certificates::run(&place, verb),
        Verb::Tags(verb) => verbs::tags::run(verb),
        Verb::Completions(args) => verbs::completions::run(&args, Args::command()),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    if let Some(errors) = error.downcast_ref::<ConfigErrors>() {
        eprintln!("{errors}");
        return ExitCode::from(BAD_CONFIGURATION);
    }
    eprintln!("forebay: {}", report(error.as_ref()));
    ExitCode::FAILURE
}
