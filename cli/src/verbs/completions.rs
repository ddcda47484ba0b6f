//! `forebay completions SHELL`.

use std::process::ExitCode;

use clap::Command;
use clap_complete::Shell;

use crate::out;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(args: &Args, mut command: Command) -> anyhow::Result<ExitCode> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    out::print(script)?;
    Ok(ExitCode::SUCCESS)
}
