//! `cargo xtask bench`: peers first, then the bench, which prints its figures on standard output.
//!
//! Built together with the binary `forebay`: alone, cargo would choose other features of the analytic engine and build it
//! once more.

use std::process::Command;

use crate::{
    command::{cargo, run as run_command, target_dir},
    peers,
};

/// `edge` and the cases of `of_binary` measure the shipped binary, `edge` with Telegraf beside it where a Go toolchain is present.
pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    let python = peers::python(&target_dir())?;
    let kafka = peers::kafka(&target_dir())?;
    run_command(cargo().args([
        "build",
        "--release",
        "--locked",
        "-p",
        "forebay",
        "-p",
        "forebay-benches",
    ]))?;
    let mut bench = Command::new(target_dir().join("release/forebay-bench"));
    bench.args(args);
    let of_binary = ["jobs", "modbus", "serve", "idle", "hostile"];
    if args.iter().any(|arg| of_binary.contains(&arg.as_str())) {
        bench
            .arg("--forebay")
            .arg(target_dir().join("release/forebay"));
    }
    if args.iter().any(|arg| arg == "edge") {
        bench
            .arg("--forebay")
            .arg(target_dir().join("release/forebay"));
        if let Some(telegraf) = peers::telegraf(&target_dir())? {
            bench.arg("--telegraf").arg(telegraf);
        }
    }
    run_command(
        bench
            .env("FOREBAY_TEST_PYTHON", python)
            .env("FOREBAY_TEST_KAFKA", kafka),
    )
}
