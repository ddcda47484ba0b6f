//! Rustdoc over what is built for the tests.
//!
//! `cargo doc` wants every dependency checked once more, beside what was built: a quarter of an hour for the analytic
//! engine. `cargo test --doc` hands rustdoc what is built already, to run the examples in comments. Here it is started with
//! this program in rustdoc's place, which takes the test away and has the documents made. Binaries have no such run.

use std::{
    ffi::OsString,
    path::Path,
    process::{Command, ExitCode},
};

use crate::command::{cargo, run as run_command, target_dir};

/// Set for the program that stands for rustdoc: where the documents go.
const OUTPUT: &str = "FOREBAY_RUSTDOC_OUTPUT";
/// Options of rustdoc that run examples, each followed by a value.
const OF_A_TEST: [&str; 3] = ["--test-run-directory", "--test-args", "--test-runtool"];

/// Documents every library, private items too; a warning fails.
pub(crate) fn libraries() -> anyhow::Result<()> {
    run_command(
        cargo()
            .args(["test", "--workspace", "--doc", "--locked", "--quiet"])
            .env("RUSTDOC", std::env::current_exe()?)
            .env(OUTPUT, target_dir().join("doc")),
    )
}

/// What rustdoc ends with, if this process stands for it.
pub(crate) fn in_its_place() -> Option<anyhow::Result<ExitCode>> {
    let output = std::env::var_os(OUTPUT)?;
    Some(document(Path::new(&output)))
}

fn document(output: &Path) -> anyhow::Result<ExitCode> {
    let status = Command::new("rustdoc")
        .args(without_test(std::env::args_os().skip(1)))
        .args(["--document-private-items", "-D", "warnings", "--out-dir"])
        .arg(output)
        .status()?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The arguments of a run of examples without what makes it one.
fn without_test(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut kept = Vec::new();
    let mut args = args.filter(|arg| arg != "--test" && arg != "--no-run");
    while let Some(arg) = args.next() {
        if OF_A_TEST.iter().any(|option| arg == *option) {
            args.next();
            continue;
        }
        kept.push(arg);
    }
    kept
}
