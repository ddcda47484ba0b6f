//! `cargo xtask check`: what a reviewer need not look at.

use anyhow::ensure;

use crate::{
    command::{cargo, run as run_command},
    docs, rustdoc,
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Lint what is built for the tests, and document from it, instead of checking every dependency once more. It wants
    /// clippy's driver as the compiler of our crates, as .ci/run sets it; of binaries' comments it sees nothing.
    #[arg(long)]
    as_built: bool,
}

/// The build for the edge alone. What other crates have by default stays, so that dependencies have the same features and
/// only the binary is looked at again.
const EDGE: [&str; 3] = [
    "--no-default-features",
    "--features",
    "forebay/edge,forebay-benches/lake,forebay-simulated/plant,forebay-simulated/parquet",
];

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    docs::check()?;
    run_command(cargo().args(["fmt", "--all", "--check"]))?;
    // The advisory database is fetched from outside the package registries; `cargo deny check advisories` is run where
    // that is reachable.
    run_command(cargo().args(["deny", "--locked", "check", "bans", "licenses", "sources"]))?;
    if args.as_built {
        ensure!(
            is_linted(),
            "nothing is linted by this build: set RUSTC_WORKSPACE_WRAPPER and CLIPPY_ARGS as .ci/run does"
        );
        build(&[])?;
        build(&EDGE)?;
        return rustdoc::libraries();
    }
    lint(&[])?;
    lint(&EDGE)?;
    run_command(
        cargo()
            .args([
                "doc",
                "--workspace",
                "--no-deps",
                "--document-private-items",
                "--locked",
            ])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )
}

/// Whether the build that was asked for lints, and fails on a lint.
fn is_linted() -> bool {
    let set = |name| std::env::var(name).unwrap_or_default();
    set("RUSTC_WORKSPACE_WRAPPER").ends_with("clippy-driver")
        && set("CLIPPY_ARGS").contains("-Dwarnings")
}

fn lint(features: &[&str]) -> anyhow::Result<()> {
    run_command(
        cargo()
            .args(["clippy", "--workspace", "--all-targets", "--locked"])
            .args(features)
            .args(["--", "-D", "warnings"]),
    )
}

/// Builds every target; a lint is an error by what the compiler was told.
fn build(features: &[&str]) -> anyhow::Result<()> {
    run_command(
        cargo()
            .args(["test", "--workspace", "--no-run", "--locked", "--quiet"])
            .args(features),
    )
}
