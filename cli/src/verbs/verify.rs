//! `forebay verify`: one line a fault on stderr, the verdict as the last line on stdout.

use std::process::ExitCode;

use crate::{config::Reading, out, place::Place, store::Store};

/// What `verify` exits with when it found a fault.
const FAULT: u8 = 3;

pub(crate) async fn run(place: &Place) -> anyhow::Result<ExitCode> {
    let reader = Store::for_reading(&Reading::load(place)?)?.reader().await?;
    let report = forebay_lake::verify_lake(&reader.tables, &reader.keeper, &reader.decrypter).await?;
    for fault in &report.faults {
        eprintln!("forebay: {fault}");
    }
    out::print(format!("{report}\n"))?;
    Ok(if report.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FAULT) })
}
