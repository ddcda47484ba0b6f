//! `cargo xtask evaluate DIR`: jobs over sets of real data, by the binary's verbs, judged by Python alone.
//!
//! Most sets may not be shipped, so their folder is an argument; benches/accuracy/ has the programs.

use std::{fs, path::PathBuf, process::Command};

use anyhow::Context as _;

use crate::{
    command::{cargo, run as run_command, target_dir},
    peers,
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder of the sets, such as `vic_elec` and `skab`.
    data: PathBuf,
    /// Only these sets; all unless given, and only then the page of figures is rewritten.
    sets: Vec<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let data = fs::canonicalize(&args.data)
        .with_context(|| format!("there are no sets at {}", args.data.display()))?;
    let target = target_dir();
    let python = peers::python(&target)?;
    // As the tests build it: other features would build the analytic engine once more.
    run_command(cargo().args(["build", "--locked", "--workspace", "--all-targets"]))?;
    run_command(
        Command::new(python)
            .arg("benches/accuracy/evaluate.py")
            .arg("--data")
            .arg(data)
            .arg("--binary")
            .arg(target.join("debug/forebay"))
            .arg("--work")
            .arg(target.join("evaluate"))
            .args(["--page", "docs/explanation/accuracy.md"])
            .args(&args.sets),
    )
}
