//! `cargo xtask test`: peers first, then every test of the workspace.

use std::path::{Path, PathBuf};

use crate::{
    command::{cargo, run as run_command},
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

fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => dir.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("target"),
    }
}
