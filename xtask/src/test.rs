//! `cargo xtask test`: peers first, then every test of the workspace.

use crate::{
    command::{cargo, run as run_command, target_dir},
    peers,
};

pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    let python = peers::python(&target_dir())?;
    let kafka = peers::kafka(&target_dir())?;
    let mut test = cargo();
    test.args(["test", "--locked"]);
    if !args.iter().any(|arg| arg == "-p" || arg == "--package") {
        test.arg("--workspace");
    }
    run_command(test.args(args).env("FOREBAY_TEST_PYTHON", python).env("FOREBAY_TEST_KAFKA", kafka))
}
