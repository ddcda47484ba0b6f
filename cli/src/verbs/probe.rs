//! `forebay probe`: a Modbus address under every type and byte order, so that a person sees which is right.

use std::{io, process::ExitCode};

use super::browse::{Line, told};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// modbus://host, tcp://, rtu+tcp://, tls:// or serial://.
    url: String,
    /// The table: holding, input, coil or discrete.
    register: String,
    /// The address, counted from 0.
    address: u16,
    #[command(flatten)]
    line: Line,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let survey = args.line.survey(&args.url)?;
    told(forebay_modbus::probe(&survey, &args.register, args.address, &mut io::stdout()).await)
}
