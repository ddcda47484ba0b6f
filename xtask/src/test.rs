//! `cargo xtask test`: peers first, then every test of the workspace.
//!
//! Without arguments the end-to-end tests run beside all others: both mostly wait for peers. Their output comes when both
//! have ended.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command},
};

use anyhow::{Context as _, bail};
use cargo_metadata::{MetadataCommand, TargetKind};

use crate::{
    command::{cargo, run as run_command, target_dir},
    peers,
};

/// The test target that takes as long as all others together.
const END_TO_END: &str = "e2e";

pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    let peers = Peers {
        python: peers::python(&target_dir())?,
        kafka: peers::kafka(&target_dir())?,
        hivemq: peers::hivemq(&target_dir())?,
        tahu: peers::tahu(&target_dir())?,
        node_opcua: peers::node_opcua(&target_dir())?,
    };
    if !args.is_empty() {
        let is_of_some = args.iter().any(|arg| arg == "-p" || arg == "--package");
        let packages = if is_of_some {
            Vec::new()
        } else {
            arguments(&["--workspace"])
        };
        return run_command(&mut peers.test(&[packages.as_slice(), args].concat()));
    }
    // Built once, for all targets: another choice of them would build the analytic engine with other features.
    run_command(
        peers
            .test(&arguments(&["--workspace", "--no-run"]))
            .arg("--quiet"),
    )?;
    let output = target_dir().join("end-to-end.log");
    let end_to_end = start(
        &mut peers.test(&arguments(&["--workspace", "--test", END_TO_END])),
        &output,
    )?;
    let others = run_command(&mut peers.test(&others()?));
    let end_to_end = finished(end_to_end, &output);
    others.and(end_to_end)
}

/// Where the programs lie that tests talk to.
struct Peers {
    python: PathBuf,
    kafka: PathBuf,
    hivemq: PathBuf,
    tahu: PathBuf,
    node_opcua: PathBuf,
}

impl Peers {
    fn test(&self, args: &[String]) -> Command {
        let mut test = cargo();
        test.args(["test", "--locked"]).args(args);
        test.env("FOREBAY_TEST_PYTHON", &self.python)
            .env("FOREBAY_TEST_KAFKA", &self.kafka)
            .env("FOREBAY_TEST_HIVEMQ", &self.hivemq)
            .env("FOREBAY_TEST_TAHU", &self.tahu)
            .env("FOREBAY_TEST_NODE_OPCUA", &self.node_opcua);
        test
    }
}

fn arguments(args: &[&str]) -> Vec<String> {
    args.iter().map(|arg| (*arg).to_owned()).collect()
}

/// Everything but the end-to-end tests. No comment has an example to run: they are in docs/, where tests of their own run them.
fn others() -> anyhow::Result<Vec<String>> {
    let metadata = MetadataCommand::new()
        .no_deps()
        .exec()
        .context("ask cargo for the test targets")?;
    let targets = metadata
        .packages
        .iter()
        .flat_map(|package| &package.targets);
    let tests = targets
        .filter(|target| target.kind.contains(&TargetKind::Test) && target.name != END_TO_END);
    let mut args = arguments(&["--workspace", "--no-fail-fast", "--lib", "--bins"]);
    for target in tests {
        args.extend(["--test".to_owned(), target.name.clone()]);
    }
    Ok(args)
}

fn start(command: &mut Command, output: &Path) -> anyhow::Result<Child> {
    let file = File::create(output).with_context(|| format!("create {}", output.display()))?;
    let shown = format!("{command:?}");
    command
        .stdout(file.try_clone()?)
        .stderr(file)
        .spawn()
        .with_context(|| format!("cannot start {shown}"))
}

/// Waits for the end and prints what was written.
fn finished(mut child: Child, output: &Path) -> anyhow::Result<()> {
    let status = child.wait()?;
    print!(
        "{}",
        fs::read_to_string(output).with_context(|| format!("read {}", output.display()))?
    );
    if !status.success() {
        bail!("the end-to-end tests: {status}");
    }
    Ok(())
}
