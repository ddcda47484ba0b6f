//! `cargo xtask soak --load fuzz`: every decoder, for longer than the tests fuzz it.
//!
//! The tests do the work (see the head of `fuzz/src/lib.rs`): each is told how long it may take. They run side by side.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use cargo_metadata::{DependencyKind, MetadataCommand};

use crate::command::{cargo, run as run_command};

/// The crate that damages inputs.
const FUZZ: &str = "forebay-fuzz";
/// What the names of its tests begin with.
const TESTS: &str = "fuzz_";
/// How long each decoder is fuzzed.
const EACH: Duration = Duration::from_secs(60);

pub(super) fn run(length: Option<Duration>, release: bool) -> anyhow::Result<()> {
    let length = length.unwrap_or(EACH);
    ensure!(length.as_secs() > 0, "--for: at least 1 s is expected");
    let mut test = cargo();
    test.args(["test", "--locked", "--no-fail-fast"]);
    if release {
        test.arg("--release");
    }
    for package in fuzzed()? {
        test.args(["-p", &package]);
    }
    test.args([TESTS, "--", "--show-output"])
        .env("FOREBAY_FUZZ_SECONDS", length.as_secs().to_string());
    run_command(&mut test)
}

/// The packages whose tests fuzz.
fn fuzzed() -> anyhow::Result<Vec<String>> {
    let metadata = MetadataCommand::new()
        .no_deps()
        .exec()
        .context("ask cargo for the packages")?;
    let packages = metadata.packages.iter().filter(|package| {
        package
            .dependencies
            .iter()
            .any(|on| on.name == FUZZ && on.kind == DependencyKind::Development)
    });
    Ok(packages.map(|package| package.name.to_string()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_crate_that_reads_foreign_bytes_is_fuzzed() {
        let fuzzed = fuzzed().unwrap();
        for decodes in [
            "schemas", "stream", "payload", "modbus", "mqtt", "opcua", "http", "tags",
        ] {
            assert!(fuzzed.contains(&format!("forebay-{decodes}")), "{decodes}");
        }
    }
}
