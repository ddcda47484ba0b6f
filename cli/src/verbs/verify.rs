//! `forebay verify`: one line a fault on stderr; on stdout what became of what each gateway received, and the verdict as the
//! last line.

mod ledgers;

use std::process::ExitCode;

use crate::{config::Reading, out, place::Place, store::Store};

/// What `verify` exits with when it found a fault.
const FAULT: u8 = 3;

pub(crate) async fn run(place: &Place) -> anyhow::Result<ExitCode> {
    let reading = Reading::load(place)?;
    let store = Store::for_reading(&reading);
    let reader = store.reader().await?;
    // Before the lake: what has been received by now must be there, or on its way.
    let at_hand = ledgers::at_hand(&reading.data_dir, &store).await?;
    let mut report = forebay_lake::verify_received(
        &reader.tables,
        &at_hand.lanes,
        &reader.keeper,
        &reader.decrypter,
    )
    .await?;
    at_hand.name_unreadable(&mut report);
    for fault in &report.faults {
        eprintln!("forebay: {fault}");
    }
    let ledgers: String = report
        .ledgers
        .iter()
        .map(|line| format!("{line}\n"))
        .collect();
    out::print(format!("{ledgers}{report}\n"))?;
    Ok(if report.faults.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAULT)
    })
}
