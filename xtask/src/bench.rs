//! `cargo xtask bench`: peers first, then the bench, which prints its figures on standard output.
//!
//! Built together with the binary `forebay`: alone, cargo would choose other features of the analytic engine and build it
//! once more. The cases of the edge are built without that engine, as gateways are.

use std::process::Command;

use crate::{
    command::{cargo, run as run_command, target_dir},
    peers,
};

/// They start the binary for the edge, with Telegraf beside it where a Go toolchain is present.
const OF_THE_EDGE: [&str; 3] = ["edge", "modbus", "opcua"];
/// They start the whole binary.
const OF_THE_LAKE: [&str; 5] = ["jobs", "path", "serve", "idle", "hostile"];

/// Without a case: from Kafka into the lake.
pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    let is_one_of = |cases: &[&str]| args.iter().any(|arg| cases.contains(&arg.as_str()));
    let (is_of_edge, is_of_lake) = (is_one_of(&OF_THE_EDGE), is_one_of(&OF_THE_LAKE));
    let python = peers::python(&target_dir())?;
    let kafka = peers::kafka(&target_dir())?;
    let mut build = cargo();
    build.args(["build", "--release", "--locked"]);
    build.args(["-p", "forebay", "-p", "forebay-benches"]);
    if is_of_edge {
        build.args(["--no-default-features", "--features", "forebay/edge"]);
    }
    run_command(&mut build)?;
    let mut bench = Command::new(target_dir().join("release/forebay-bench"));
    bench.args(args);
    if is_of_edge || is_of_lake {
        bench
            .arg("--forebay")
            .arg(target_dir().join("release/forebay"));
    }
    if is_of_edge && let Some(telegraf) = peers::telegraf(&target_dir())? {
        bench.arg("--telegraf").arg(telegraf);
    }
    run_command(
        bench
            .env("FOREBAY_TEST_PYTHON", python)
            .env("FOREBAY_TEST_KAFKA", kafka),
    )
}
