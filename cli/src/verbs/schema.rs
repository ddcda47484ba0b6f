//! `forebay schema`: every key of the configuration, for editors or for readers.

use std::process::ExitCode;

use clap::ValueEnum;

use crate::{out, schema};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// What is printed.
    #[arg(long, value_enum, default_value_t = Format::Json)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A JSON Schema, by which editors complete and check the file.
    Json,
    /// The reference page.
    Markdown,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let sections = schema::sections();
    match args.format {
        Format::Json => out::print(format!("{:#}\n", schema::json(&sections)))?,
        Format::Markdown => out::print(schema::markdown(&sections))?,
    }
    Ok(ExitCode::SUCCESS)
}
