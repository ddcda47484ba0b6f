//! The binary `forebay`: composes the other crates, one file a verb.
//!
//! Data goes to stdout, messages to stderr. Exit codes: 0 done, 1 failed, 2 usage, 3 `verify` found a fault.

mod data_dir;
mod verbs;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use data_dir::DataDir;

#[derive(Parser)]
#[command(name = "forebay", version, about = "Stream-to-batch ingestion gateway for industrial and IoT sites")]
struct Args {
    /// Folder of keys, lake and spool; ./forebay-data unless given.
    #[arg(long, global = true, value_name = "D")]
    data_dir: Option<std::path::PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Put a CSV file into the lake, each reading exactly once.
    Import(verbs::import::Args),
    /// Answer SQL over the lake's tables.
    Query(verbs::query::Args),
    /// Prove that each reading is there once and each file is the one that was committed.
    Verify,
    /// Look after the keyring.
    #[command(subcommand)]
    Keys(verbs::keys::Verb),
}

fn main() -> ExitCode {
    let args = Args::parse();
    start_log();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    match runtime.block_on(run(args)) {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let dir = DataDir::find(args.data_dir)?;
    match args.verb {
        Verb::Import(args) => verbs::import::run(&dir, args).await,
        Verb::Query(args) => verbs::query::run(&dir, args).await,
        Verb::Verify => verbs::verify::run(&dir).await,
        Verb::Keys(verb) => verbs::keys::run(&dir, verb),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("forebay: {error:#}");
    ExitCode::FAILURE
}

fn start_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("FOREBAY_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error"));
    let colour = std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colour).init();
}
