//! The project's chores: `cargo xtask check`, `test`, `bench`, `dist`, `evaluate`, `screenshot`, `soak` and `spark`.
//!
//! All run the same on a workstation and in CI. A missing tool is an error that names it, never a skip.

mod bench;
mod check;
mod command;
#[cfg(test)]
mod direction;
mod dist;
mod docs;
mod evaluate;
mod peers;
mod rustdoc;
mod screenshot;
mod soak;
mod spark;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Forebay's chores")]
struct Args {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// What a reading costs from Kafka into the lake: see benches/README.md.
    Bench {
        /// Arguments for the bench, such as `--format json` or `--help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Documents, format, lints, documentation and dependency rules.
    Check(check::Args),
    /// What is shipped: the full build and that for the edge alone, started once, with their sizes.
    Dist(dist::Args),
    /// How well the jobs do on sets of real data: see docs/explanation/accuracy.md.
    Evaluate(evaluate::Args),
    /// Everything that can be tested: fetches the foreign peers into the target folder, then runs all tests.
    Test {
        /// Arguments for `cargo test`, such as `-p forebay-lake`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Pictures of a report for the documents, by headless Chromium.
    Screenshot(screenshot::Args),
    /// The binary at work against foreign peers, and whether what it holds stays the same.
    Soak(soak::Args),
    /// `readings` of a data folder as Spark sees them: what it counts, and which files it skips.
    Spark(spark::Args),
}

fn main() -> anyhow::Result<ExitCode> {
    if let Some(documented) = rustdoc::in_its_place() {
        return documented;
    }
    run(Args::parse().chore)?;
    Ok(ExitCode::SUCCESS)
}

fn run(chore: Chore) -> anyhow::Result<()> {
    match chore {
        Chore::Bench { args } => bench::run(&args),
        Chore::Check(args) => check::run(&args),
        Chore::Dist(args) => dist::run(&args),
        Chore::Evaluate(args) => evaluate::run(&args),
        Chore::Test { args } => test::run(&args),
        Chore::Screenshot(args) => screenshot::run(&args),
        Chore::Soak(args) => soak::run(&args),
        Chore::Spark(args) => spark::run(&args),
    }
}
