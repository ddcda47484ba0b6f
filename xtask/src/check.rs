//! `cargo xtask check`: what a reviewer need not look at.

use crate::{
    command::{cargo, run as run_command},
    docs,
};

pub(crate) fn run() -> anyhow::Result<()> {
    docs::check()?;
    run_command(cargo().args(["fmt", "--all", "--check"]))?;
    run_command(cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ]))?;
    // The build for the edge alone: the same dependencies with the same features, so that only the binary is looked at again.
    run_command(
        cargo()
            .args([
                "clippy",
                "--workspace",
                "--all-targets",
                "--no-default-features",
                "--features",
                "forebay/edge",
            ])
            .args(["--locked", "--", "-D", "warnings"]),
    )?;
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
    )?;
    // The advisory database is fetched from outside the package registries; `cargo deny check advisories` is run where
    // that is reachable.
    run_command(cargo().args(["deny", "--locked", "check", "bans", "licenses", "sources"]))
}
