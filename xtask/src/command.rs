//! Running other programs so that a failure names the command.

use std::process::Command;

use anyhow::{Context as _, bail};

/// `cargo` as it called us, so that a toolchain override holds for the chores too.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs to the end; an exit code other than 0 is an error.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let shown = format!("{command:?}");
    let status = command.status().with_context(|| format!("cannot start {shown}: is it installed?"))?;
    if !status.success() {
        bail!("{shown}: {status}");
    }
    Ok(())
}
